"""Spaces, trials and random surrogates that the tuner's tests share."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence

import torch
from torch import Tensor

from hwtune.domain.knob import Activity, ChoiceKnob, Knob, KnobSpace, RangeKnob, Setting, Value
from hwtune.domain.trial import Run, Trial
from hwtune.model.encoding import Encoding
from hwtune.model.fit import learn_from
from hwtune.model.surrogate import Posterior, matern52
from hwtune.tuner.acquisition import log_expected_improvement
from hwtune.tuner.relaxation import Acquisition
from hwtune.tuner.search import Neighbourhood, climb, paths, worths

LEVELS = tuple(range(800_000, 3_600_001, 200_000))
MAX = RangeKnob(
    name="max", role="frequency", unit="kHz", low=LEVELS[0], high=LEVELS[-1], default=LEVELS[-1], levels=LEVELS
)
MIN = RangeKnob(
    name="min", role="frequency_floor", unit="kHz", low=LEVELS[0], high=LEVELS[-1], default=LEVELS[0], levels=LEVELS
)
GOVERNOR = ChoiceKnob(name="governor", role="governor", choices=("performance", "powersave"), default="powersave")
EPP = ChoiceKnob(
    name="epp",
    role="epp",
    choices=("performance", "balance_performance", "balance_power", "power"),
    default="balance_performance",
    ordered=True,
    active_when=(Activity(knob="governor", values=("powersave",)),),
)
BOOST = ChoiceKnob(name="boost", role="boost", choices=("0", "1"), default="1")
CAPS = KnobSpace(knobs=(MAX,))
LAPTOP = KnobSpace(knobs=(GOVERNOR, MAX, MIN, EPP, BOOST), ordered_pairs=(("min", "max"),))

Truth = Callable[[Mapping[str, Value]], tuple[float, float]]


def fitted(space: KnobSpace, trials: Sequence[Trial]) -> Posterior:
    """The physics given trials, with nothing learned beside it."""
    return learn_from(space, trials, ()).physics


def measured(setting: Mapping[str, Value], truth: Truth, rng: random.Random, noise: float = 0.0) -> Trial:
    """A trial of three runs."""
    time_s, energy_j = truth(setting)
    runs = tuple(
        Run(time_s=time_s * math.exp(rng.gauss(0, noise)), energy_j=energy_j * math.exp(rng.gauss(0, noise)))
        for _ in range(3)
    )
    return Trial(setting=Setting(setting), requested=Setting(setting), runs=runs)


def managed(setting: Mapping[str, Value], memory: float = 0.4) -> tuple[float, float]:
    """Time and energy of an invented job on an invented laptop, whose clock is a table of preferences."""
    asked = {"performance": 3.6, "balance_performance": 3.4, "balance_power": 2.7, "power": 2.1}
    cap = min(int(setting["max"]) / 1e6, 3.6 if setting.get("boost", "1") == "1" else 2.4)
    ghz = cap
    if setting.get("governor", "performance") != "performance":
        ghz = min(cap, max(asked[str(setting["epp"])], int(setting["min"]) / 1e6))
    volts = 0.7 + 0.18 * max(0.0, ghz - 1.5)
    time_s = 10.0 * ((1 - memory) * 3.6 / ghz + memory)
    return time_s, time_s * (4.0 + 1.5 * volts + 3.2 * ghz * volts**2 * (1.0 - 1.5 * memory / time_s))


def every(space: KnobSpace) -> Iterator[Setting]:
    """All legal settings, each that acts alike once."""
    values = [k.choices if isinstance(k, ChoiceKnob) else (k.levels or ()) for k in space.knobs]
    settings = (space.canonical(dict(zip(space.names, chosen, strict=True))) for chosen in itertools.product(*values))
    yield from dict.fromkeys(setting for setting in settings if space.legal(setting))


class RandomSurrogate:
    """A random problem: up to 500 cells of choices and levels, and log EI of a GP through random data."""

    def __init__(self, seed: int) -> None:
        rng = random.Random(seed)
        while True:
            sizes = [rng.randint(2, 8) for _ in range(rng.randint(1, 4))]
            if math.prod(sizes) <= 500:
                break
        self.space = KnobSpace(knobs=tuple(self._knob(i, size, rng) for i, size in enumerate(sizes)))
        self.encoding = Encoding(self.space)
        settings = list(every(self.space))
        self._x = self._scaled(self.encoding.encode(rng.sample(settings, min(len(settings), 8))))
        generator = torch.Generator().manual_seed(seed)
        y = torch.randn(len(self._x), dtype=torch.float64, generator=generator)
        gram = matern52(self._x, self._x) + 0.01 * torch.eye(len(self._x), dtype=torch.float64)
        self._factor = torch.linalg.cholesky(gram)
        self._weights = torch.cholesky_solve(y.unsqueeze(-1), self._factor).squeeze(-1)
        self._best = y.min().item()

    @staticmethod
    def _knob(index: int, size: int, rng: random.Random) -> Knob:
        if rng.random() < 0.6:
            words = tuple(f"c{i}" for i in range(size))
            return ChoiceKnob(name=f"k{index}", role="other", choices=words, default=words[0])
        levels = tuple(sorted(rng.sample(range(100), size)))
        return RangeKnob(
            name=f"k{index}", role="other", unit="", low=levels[0], high=levels[-1], default=levels[0], levels=levels
        )

    def _scaled(self, x: Tensor) -> Tensor:
        return 1.5 * (x - self.encoding.low) / self.encoding.span

    def __call__(self, x: Tensor) -> Tensor:
        """Log EI of rows."""
        cross = matern52(self._scaled(x), self._x)
        solved = torch.linalg.solve_triangular(self._factor, cross.T, upper=False)
        sd = (1.0 - solved.square().sum(0)).clamp_min(1e-9).sqrt()
        return log_expected_improvement(cross @ self._weights, sd, self._best)

    def enumerated(self) -> float:
        """The largest value of all."""
        return self(self.encoding.encode(list(every(self.space)))).max().item()


def trials_of(
    settings: Sequence[Mapping[str, Value]], truth: Truth, *, seed: int = 0, noise: float = 0.01
) -> list[Trial]:
    """Trials of settings in order, with noise."""
    rng = random.Random(seed)
    return [measured(setting, truth, rng, noise) for setting in settings]


def searched(
    encoding: Encoding, acquisition: Acquisition, start: Setting, *, seed: int = 0, parsimony: float = 0.0
) -> tuple[float, Setting]:
    """The best of gradient steps and a climb from where they end."""
    near = Neighbourhood(encoding)
    starts = paths(near, acquisition, [start], torch.Generator().manual_seed(seed))
    return climb(near, starts, worths(near, acquisition, parsimony), set())[0]
