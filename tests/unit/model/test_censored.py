from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from model_values import LEVELS, MAX, clock_bound, trial

from hwtune.domain.knob import KnobSpace
from hwtune.domain.trial import TrialStatus
from hwtune.model.censored import with_bounds, without_bounds
from hwtune.model.encoding import Encoding, tensor
from hwtune.model.fit import learn_from
from hwtune.model.observations import Observations, observe

CAPS = KnobSpace(knobs=(MAX,))


def cut_at(bound: float) -> Observations:
    """The default at 1 s, and another setting that was cut short at e^bound s."""
    time_s = math.exp(bound)
    cut = dataclasses.replace(trial({"max": LEVELS[0]}, (time_s, 50.0 * time_s)), status=TrialStatus.CENSORED)
    return observe(Encoding(CAPS), [trial(CAPS.default, (1.0, 50.0)), cut])


@pytest.mark.parametrize("mean", [-0.4, 0.0, 0.5])
def test_the_measurement_that_stands_for_a_bound_gives_the_moments_of_the_truncated_normal(mean: float) -> None:
    """Against the integral over all times that the bound leaves."""
    bound, variance = 0.2, 0.15**2
    seen = cut_at(bound)
    noise = seen.noise[1, 0].item()
    told = with_bounds(seen, tensor([0.0, mean]), tensor([1e-3, variance]))
    y, site = told.y[1, 0].item(), told.noise[1, 0].item()
    gain = variance / (variance + site)
    f = torch.linspace(mean - 1.5, mean + 1.5, 200_001, dtype=torch.float64)
    density = (-0.5 * (f - mean).square() / variance).exp() * torch.special.ndtr((f - bound) / noise**0.5)
    expected = (density * f).sum() / density.sum()
    left = (density * (f - expected).square()).sum() / density.sum()
    assert mean + gain * (y - mean) == pytest.approx(expected.item(), rel=1e-4, abs=1e-5)
    assert variance * (1.0 - gain) == pytest.approx(left.item(), rel=1e-3)
    assert told.y[:, 1].tolist() == seen.y[:, 1].tolist()


def test_a_bound_that_was_expected_anyway_says_nothing() -> None:
    seen = cut_at(0.2)
    told = with_bounds(seen, tensor([0.0, 3.0]), tensor([1e-3, 0.1**2]))
    assert told.y[1, 0].isnan() and torch.isfinite(told.y[1, 1])
    assert without_bounds(seen).y[1, 0].isnan()


def test_a_setting_far_beyond_all_expectation_is_moved_to_its_bound() -> None:
    told = with_bounds(cut_at(4.0), tensor([0.0, 0.0]), tensor([1e-3, 0.1**2]))
    assert torch.isfinite(told.y).all() and torch.isfinite(told.noise).all()
    gain = 0.01 / (0.01 + told.noise[1, 0].item())
    assert gain * told.y[1, 0].item() > 3.9


def test_what_was_cut_short_is_foretold_as_at_least_so_slow_and_its_power_as_it_was() -> None:
    """The work is slower at low clocks than the physics thinks likely; nobody waited for its end."""
    fast = [trial({"max": level}, *[clock_bound({"max": level})] * 2) for level in (LEVELS[-1], LEVELS[-3])]
    reference = clock_bound(CAPS.default)[0]
    time_s = 12.0 * reference
    cut = dataclasses.replace(trial({"max": LEVELS[2]}, (time_s, 7.0 * time_s)), status=TrialStatus.CENSORED)
    rows = Encoding(CAPS).encode([cut.setting])
    blind, _ = learn_from(CAPS, fast, ()).predict(rows, level=True)
    told, _ = learn_from(CAPS, [*fast, cut], ()).predict(rows, level=True)
    assert blind[0, 0] < math.log(6.0) and told[0, 0] > math.log(11.0)
    power = clock_bound(CAPS.default)[1] / reference
    assert told[0, 1].item() == pytest.approx(math.log(7.0 / power), abs=0.05)
