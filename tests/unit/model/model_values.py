"""Spaces and trials that the model's tests share."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence

from hwtune.domain.knob import Activity, ChoiceKnob, Knob, KnobSpace, RangeKnob, Setting, Value
from hwtune.domain.trial import Run, Trial
from hwtune.model.fit import learn_from
from hwtune.model.surrogate import Posterior

LEVELS = tuple(range(800_000, 3_600_001, 200_000))

GOVERNOR = ChoiceKnob(name="governor", role="governor", choices=("performance", "powersave"), default="powersave")
MAX = RangeKnob(
    name="max", role="frequency", unit="kHz", low=LEVELS[0], high=LEVELS[-1], default=LEVELS[-1], levels=LEVELS
)
MIN = RangeKnob(
    name="min", role="frequency_floor", unit="kHz", low=LEVELS[0], high=LEVELS[-1], default=LEVELS[0], levels=LEVELS
)
EPP = ChoiceKnob(
    name="epp",
    role="epp",
    choices=("performance", "balance_performance", "balance_power", "power"),
    default="balance_performance",
    ordered=True,
    active_when=(Activity(knob="governor", values=("powersave",)),),
)
BOOST = ChoiceKnob(name="boost", role="boost", choices=("0", "1"), default="1")

LAPTOP = KnobSpace(knobs=(GOVERNOR, MAX, MIN, EPP, BOOST), ordered_pairs=(("min", "max"),))

ONE_OF_EACH: tuple[Knob, ...] = (
    MAX,
    MIN,
    GOVERNOR,
    BOOST,
    ChoiceKnob(name="epp", role="epp", choices=("performance", "power", "17"), default="power"),
    RangeKnob(name="epp_number", role="epp", unit="", low=0, high=255, default=128),
    RangeKnob(name="boost_number", role="boost", unit="", low=0, high=1, default=1, levels=(0, 1)),
    RangeKnob(name="mem", role="memory_frequency", unit="MHz", low=400, high=900, default=900, levels=(400, 700, 900)),
    RangeKnob(name="threads", role="active_cpus", unit="1", low=1, high=32, default=32),
    RangeKnob(name="cap_w", role="power_cap", unit="W", low=5, high=45, default=45, step=5),
    RangeKnob(name="tunable", role="other", unit="%", low=0, high=100, default=80, step=5),
    ChoiceKnob(name="mode", role="other", choices=("a", "b", "c"), default="b"),
)


def trial(setting: Mapping[str, Value], *runs: tuple[float, float | None]) -> Trial:
    """A trial of a setting with (time, energy) of each run."""
    return Trial(
        setting=Setting(setting),
        requested=Setting(setting),
        runs=tuple(Run(time_s=time_s, energy_j=energy_j) for time_s, energy_j in runs),
    )


def fitted(space: KnobSpace, trials: Sequence[Trial]) -> Posterior:
    """The physics given trials, with nothing learned beside it."""
    return learn_from(space, trials, ()).physics


def clock_bound(setting: Mapping[str, Value]) -> tuple[float, float]:
    """Time and energy of an invented job on an invented chip: time inverse to the clock but for a rest."""
    ghz = int(setting.get("max", LEVELS[-1])) / 1e6
    time_s = 2.0 + 18.0 / ghz
    return time_s, time_s * (6.0 + 1.5 * ghz + 0.35 * ghz**3)


def managed(setting: Mapping[str, Value]) -> tuple[float, float]:
    """Time and energy of an invented job on an invented laptop, whose clock is a table of preferences."""
    asked = {"performance": 3.6, "balance_performance": 3.4, "balance_power": 2.7, "power": 2.1}[str(setting["epp"])]
    cap = min(int(setting["max"]) / 1e6, 3.6 if setting["boost"] == "1" else 2.4)
    ghz = cap if setting["governor"] == "performance" else min(cap, max(asked, int(setting["min"]) / 1e6))
    volts = 0.7 + 0.18 * max(0.0, ghz - 1.5)
    time_s = 10.0 * (0.7 * 3.6 / ghz + 0.3)
    return time_s, time_s * (4.0 + 1.5 * volts + 3.2 * ghz * volts**2 * (1.0 - 1.0 / time_s))


def random_setting(space: KnobSpace, rng: random.Random) -> Setting:
    """A legal, canonical setting."""
    while True:
        setting = space.canonical(
            {
                knob.name: rng.choice(knob.choices)
                if isinstance(knob, ChoiceKnob)
                else knob.nearest(rng.uniform(knob.low, knob.high))
                for knob in space.knobs
            }
        )
        if space.legal(setting):
            return setting


def random_trials(
    space: KnobSpace,
    count: int,
    *,
    seed: int,
    truth: Callable[[Mapping[str, Value]], tuple[float, float]] = clock_bound,
    noise: float = 0.01,
    runs: int = 2,
) -> list[Trial]:
    """The default and random settings, measured with noise."""
    rng = random.Random(seed)
    trials = []
    for setting in [space.default, *(random_setting(space, rng) for _ in range(count - 1))]:
        time_s, energy_j = truth(setting)
        noisy = [
            (time_s * math.exp(rng.gauss(0, noise)), energy_j * math.exp(rng.gauss(0, noise))) for _ in range(runs)
        ]
        trials.append(trial(setting, *noisy))
    return trials
