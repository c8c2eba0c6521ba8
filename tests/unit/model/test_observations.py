from __future__ import annotations

import dataclasses
import math
import random

import pytest
import torch
from model_values import LEVELS, MAX, trial

from hwtune.domain.knob import KnobSpace
from hwtune.domain.trial import Run, TrialStatus
from hwtune.model.encoding import Encoding
from hwtune.model.observations import observe

CAPS = KnobSpace(knobs=(MAX,))


def test_figures_are_centred_on_the_default() -> None:
    encoding = Encoding(CAPS)
    trials = [trial({"max": LEVELS[2]}, (20.0, 100.0)), trial(CAPS.default, (10.0, 80.0), (10.0, 80.0))]
    seen = observe(encoding, trials)
    assert seen.level.tolist() == pytest.approx([math.log(10.0), math.log(8.0)])
    assert seen.y[0].tolist() == pytest.approx([math.log(2.0), math.log(5.0 / 8.0)])
    assert seen.runs.tolist() == [1.0, 2.0]


def test_what_failed_or_was_only_predicted_does_not_count() -> None:
    good = trial(CAPS.default, (10.0, 80.0))
    others = [
        dataclasses.replace(trial({"max": LEVELS[0]}, (99.0, 1.0)), status=status)
        for status in (TrialStatus.FAILED, TrialStatus.PREDICTED)
    ]
    assert len(observe(Encoding(CAPS), [good, *others]).x) == 1


def test_of_a_trial_that_was_cut_short_the_longest_run_counts_and_is_marked() -> None:
    cut = dataclasses.replace(
        trial(CAPS.default | {"max": LEVELS[0]}, (12.0, 60.0), (15.0, 75.0)), status=TrialStatus.CENSORED
    )
    seen = observe(Encoding(CAPS), [trial(CAPS.default, (10.0, 80.0)), cut])
    assert seen.cut.tolist() == [False, True]
    assert seen.y[1].tolist() == pytest.approx([math.log(1.5), math.log(5.0 / 8.0)])
    assert seen.level[0].item() == pytest.approx(math.log(10.0))


def noisy(sd: float, count: int, runs: int, *, seed: int) -> list[tuple[tuple[float, float], ...]]:
    rng = random.Random(seed)
    return [
        tuple((10.0 * math.exp(rng.gauss(0.0, sd)), 80.0 * math.exp(rng.gauss(0.0, sd))) for _ in range(runs))
        for _ in range(count)
    ]


def test_one_disturbed_run_moves_neither_its_setting_nor_the_noise_of_all() -> None:
    """Of 14 settings with three runs one has a run 35 % too long."""
    figures = noisy(0.01, 14, 3, seed=2)
    figures[5] = ((13.5, 108.0), *figures[5][1:])
    trials = [trial(CAPS.default, *runs) for runs in figures]
    seen = observe(Encoding(CAPS), trials)
    calm = torch.tensor([math.log(time_s) for time_s, _ in figures[5][1:]]).mean().item()
    disturbed = (seen.y[5, 0] + seen.level[0]).item()
    assert disturbed == pytest.approx(calm, abs=0.02)  # the mean would be 0.1 off
    assert seen.run_sd[0].item() < 0.025  # the pooled deviation would be 0.04
    assert seen.noise[5, 0] > 3.0 * seen.noise[[0, 1, 2, 3], 0].mean()


def test_a_restless_setting_is_trusted_less_than_a_calm_one() -> None:
    trials = [trial(CAPS.default, *runs) for runs in noisy(0.004, 6, 5, seed=0) + noisy(0.04, 6, 5, seed=1)]
    noise = observe(Encoding(CAPS), trials).noise
    assert noise[6:, 0].mean() > 2.0 * noise[:6, 0].mean()


def test_variances_are_those_of_the_figures_they_go_with() -> None:
    """Over many sessions the figure is off by what its variance says, with few runs and without any disturbance."""
    missed, said = [], []
    for seed in range(60):
        seen = observe(Encoding(CAPS), [trial(CAPS.default, *runs) for runs in noisy(0.02, 8, 3, seed=seed)])
        missed.append((seen.y[:, 0] + seen.level[0] - math.log(10.0)).square().mean())
        said.append(seen.noise[:, 0].mean())
    assert 0.75 < (torch.stack(said).mean() / torch.stack(missed).mean()).item() < 1.33


def test_a_meter_that_now_and_then_says_nothing_leaves_what_was_sensed() -> None:
    blind = dataclasses.replace(
        trial(CAPS.default, (10.0, 80.0)), runs=(Run(time_s=10.0, energy_j=80.0), Run(time_s=10.4, energy_j=None))
    )
    seen = observe(Encoding(CAPS), [blind, trial({"max": LEVELS[0]}, (20.0, None))])
    assert torch.isfinite(seen.y).tolist() == [[True, True], [True, False]]
    assert torch.isfinite(seen.noise).all()
