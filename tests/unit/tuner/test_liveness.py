from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import pytest
import torch
from tuner_values import CAPS, LAPTOP, every, fitted, managed, trials_of

from hwtune.domain.knob import ChoiceKnob, KnobSpace, RangeKnob, Setting, Value
from hwtune.domain.objective import Objective
from hwtune.domain.problem import Problem
from hwtune.domain.trial import Run, Trial
from hwtune.knobs.cpufreq import CpufreqBackend
from hwtune.model.encoding import Encoding
from hwtune.model.surrogate import Posterior
from hwtune.sim.machine import SimulatedMachine
from hwtune.tuner.liveness import held_out, liveness
from hwtune.tuner.propose import recommend, suggest
from hwtune.tuner.search import Neighbourhood
from hwtune.tuner.study import Study

MACHINES = ("laptop", "server", "biglittle")
WORK = ("compute", "memory", "mixed", "bursty")
Figures = Sequence[tuple[float, float]]


@cache
def simulated(machine: str, work: str) -> tuple[SimulatedMachine, KnobSpace]:
    plant = SimulatedMachine(machine, workload=work, seed=0, run_dir=Path("/nowhere"))
    space = CpufreqBackend(plant.host.files, None, plant.host.clock.sleep).space
    return plant, space.subset(tuple(knob.name for knob in space.knobs if knob.role != "other"))


def anywhere(space: KnobSpace, rng: random.Random) -> Setting:
    values: dict[str, Value] = {
        knob.name: rng.choice(knob.choices if isinstance(knob, ChoiceKnob) else (knob.levels or (knob.low, knob.high)))
        for knob in space.knobs
    }
    return Neighbourhood(Encoding(space)).legal(Setting(values))


def measured(settings: Sequence[Setting], figures: Figures, rng: random.Random) -> list[Trial]:
    """Three noisy runs of each, as the simulated machines disturb theirs."""

    def run(time_s: float, energy_j: float) -> Run:
        work, meter = math.exp(rng.gauss(0.0, 0.011)), math.exp(rng.gauss(0.0, 0.014))
        return Run(time_s=time_s * work, energy_j=energy_j * work * meter)

    return [
        Trial(setting=setting, requested=setting, runs=tuple(run(*pair) for _ in range(3)))
        for setting, pair in zip(settings, figures, strict=True)
    ]


def history(
    machine: str, work: str, size: int, seed: int
) -> tuple[KnobSpace, list[Setting], list[tuple[float, float]]]:
    """The default and random settings, with the plant's true figures."""
    plant, space = simulated(machine, work)
    rng = random.Random(seed)
    settings = [space.default, *(anywhere(space, rng) for _ in range(size - 1))]
    return space, settings, [plant.true(setting) for setting in settings]


def turned(figures: Figures) -> Figures:
    """The same with the sign of log power turned around that of the default."""
    time_s, energy_j = figures[0]
    usual_w = energy_j / time_s
    return [(t, t * usual_w**2 / (e / t)) for t, e in figures]


@pytest.mark.parametrize("seed", range(30))
def test_a_healthy_session_never_trips_it(seed: int) -> None:
    rng = random.Random(seed)
    size = rng.choice((1, 2, 3, 5, 8, 12, 16, 20))
    space, settings, figures = history(MACHINES[seed % 3], WORK[seed % 4], size, seed)
    verdict = liveness(fitted(space, measured(settings, figures, rng)))
    assert verdict.alive, verdict.why
    assert verdict.why == ""


@pytest.mark.parametrize("machine", MACHINES)
def test_the_prior_alone_may_act(machine: str) -> None:
    assert liveness(fitted(simulated(machine, "mixed")[1], [])).alive


class Constant(Posterior):
    """Whatever is asked, the same answer, with the doubt that is left."""

    doubt = 1.0

    def predict(
        self, x: torch.Tensor, *, against: torch.Tensor | None = None, level: bool = False
    ) -> tuple[torch.Tensor, torch.Tensor]:
        mean, covariance = super().predict(x, against=against, level=level)
        return torch.zeros_like(mean), self.doubt * covariance


class Sure(Constant):
    doubt = 0.0


class Upside(Posterior):
    """Power with the wrong sign."""

    def predict(
        self, x: torch.Tensor, *, against: torch.Tensor | None = None, level: bool = False
    ) -> tuple[torch.Tensor, torch.Tensor]:
        mean, covariance = super().predict(x, against=against, level=level)
        return mean * torch.tensor([1.0, -1.0], dtype=torch.float64), covariance


def remade(kind: type[Posterior], posterior: Posterior) -> Posterior:
    return kind(posterior.surrogate, posterior.seen, posterior.theta, posterior.hyper)


@pytest.fixture(scope="module")
def healthy() -> Posterior:
    space, settings, figures = history("laptop", "mixed", 12, seed=5)
    return fitted(space, measured(settings, figures, random.Random(5)))


def test_a_constant_model_may_not_act(healthy: Posterior) -> None:
    assert liveness(healthy).alive
    sure = liveness(remade(Sure, healthy))
    assert not sure.alive and "same for every setting" in sure.why
    doubting = liveness(remade(Constant, healthy))
    assert not doubting.alive and "varies by" in doubting.why


def test_whoever_decides_is_asked(healthy: Posterior) -> None:
    assert liveness(healthy, healthy).alive
    assert not liveness(healthy, remade(Sure, healthy)).alive
    assert "draws more power" in liveness(healthy, remade(Upside, healthy)).why
    assert liveness(remade(Upside, healthy), healthy).alive


def test_a_constant_model_may_not_act_before_anything_was_measured() -> None:
    assert not liveness(remade(Sure, fitted(LAPTOP, []))).alive


def test_a_machine_that_does_not_answer_to_its_knobs_is_no_fault_of_the_model() -> None:
    settings = list(every(CAPS))
    assert liveness(fitted(CAPS, trials_of(settings, lambda _: (10.0, 100.0)))).alive


def test_power_with_the_wrong_sign_is_named_with_its_knob(healthy: Posterior) -> None:
    verdict = liveness(remade(Upside, healthy))
    assert not verdict.alive
    assert "max at 400 MHz draws more power" in verdict.why


@pytest.mark.parametrize("work", ["compute", "mixed"])
@pytest.mark.parametrize("machine", MACHINES)
def test_measurements_with_the_wrong_sign_of_power_end_it(machine: str, work: str) -> None:
    space, settings, figures = history(machine, work, 20, seed=1)
    verdict = liveness(fitted(space, measured(settings, turned(figures), random.Random(1))))
    assert not verdict.alive
    assert "power" in verdict.why


def test_nothing_is_proposed_by_a_model_that_may_not_act() -> None:
    space, settings, figures = history("server", "mixed", 12, seed=2)
    problem = Problem(space=space, objective=Objective.EDP)
    assert suggest(Study(problem, measured(settings, figures, random.Random(2)))).status == "ok"
    trials = measured(settings, turned(figures), random.Random(2))
    for answer in (suggest(Study(problem, trials)), recommend(Study(problem, trials))):
        assert answer.status == "distrusted"
        assert answer.setting == space.default
        assert "power" in answer.why


def test_one_odd_probe_does_not_end_it() -> None:
    odd = [LAPTOP.default, LAPTOP.default | {"max": 800_000}]

    def truth(setting: Mapping[str, Value]) -> tuple[float, float]:
        time_s, energy_j = managed(setting)
        return time_s, energy_j * (1.0 if setting == odd[0] else 9.0)

    assert liveness(fitted(LAPTOP, trials_of(odd, truth))).alive


def test_most_shuffled_targets_end_it() -> None:
    """Twenty trials whose figures belong to others: chance leaves some order in a few of them."""
    ended = 0
    for seed, machine in enumerate(MACHINES * 3):
        space, settings, figures = history(machine, WORK[seed % 3], 20, seed)
        random.Random(seed).shuffle(figures)
        verdict = liveness(fitted(space, measured(settings, figures, random.Random(seed))))
        ended += not verdict.alive
        assert verdict.alive or verdict.why
    assert ended >= 7


def test_held_out_residuals_are_those_of_a_model_without_the_trial() -> None:
    """At the hyperparameters and the linearisation of the whole, each output by itself; so without energy."""
    levels = [CAPS.default | {"max": level} for level in (800_000, 1_600_000, 2_400_000, 3_000_000)]
    timed = [
        Trial(
            setting=trial.setting,
            requested=trial.requested,
            runs=tuple(Run(time_s=run.time_s, energy_j=None) for run in trial.runs),
        )
        for trial in trials_of([CAPS.default, *levels], lambda setting: managed({"epp": "performance", **setting}))
    ]
    whole = fitted(CAPS, timed)

    missed, z = held_out(whole)
    assert missed[:, 1].isnan().all() and z[:, 1].isnan().all()
    for index in range(len(timed)):
        kept = [at for at in range(len(timed)) if at != index]
        seen = whole.seen
        rest = seen.only(torch.tensor(kept))
        mean, covariance = Posterior(whole.surrogate, rest, whole.theta, whole.hyper).predict(
            seen.x[index : index + 1], level=True
        )
        expected = (seen.y[index, 0] - mean[0, 0]).item()
        assert missed[index, 0].item() == pytest.approx(expected, rel=1e-6, abs=1e-9)
        noise = seen.noise[index, 0].item()
        assert (missed[index, 0] / z[index, 0]).item() ** 2 == pytest.approx(
            covariance[0, 0, 0].item() + noise, rel=1e-6
        )


def test_a_space_of_one_setting_has_nothing_to_move() -> None:
    knob = RangeKnob(name="max", role="frequency", unit="kHz", low=9, high=9, default=9, levels=(9,))
    assert liveness(fitted(KnobSpace(knobs=(knob,)), [])).alive
