"""The receipt: intervals hold what they promise, drift cancels, one bad run does not decide."""

from __future__ import annotations

from math import exp, log
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwtune.domain.objective import Objective
from hwtune.domain.trial import Run
from hwtune.workload.verdict import abba, judge, paired_ratio


def runs(times_s, energy_j=None):
    return [Run(time_s=time_s, energy_j=energy_j) for time_s in times_s]


@pytest.mark.parametrize("pairs", [4, 6, 8, 16])
@pytest.mark.parametrize("noise", [0.01, 0.2])
def test_the_interval_holds_the_true_ratio(pairs, noise):
    """At least 92 of 100 over 3000 simulated comparisons; a percentile bootstrap of 4 pairs holds about 80."""
    random = Random(pairs)
    held = 0
    for _ in range(3000):
        sample = [(random.lognormvariate(0, noise), 0.9 * random.lognormvariate(0, noise)) for _ in range(pairs)]
        _, (low, high) = paired_ratio(sample)
        held += low <= 0.9 <= high
    assert 0.92 <= held / 3000 <= 0.98


def test_no_gain_is_rarely_called_one():
    random = Random(5)
    gains = 0
    for _ in range(2000):
        arms = [runs(random.lognormvariate(0, 0.05) for _ in range(8)) for _ in "AB"]
        gains += judge(arms[0], arms[1], Objective.TIME).significant
    assert gains / 2000 < 0.045


def test_drift_hits_both_arms_alike():
    """A machine that slows down by 1 % from run to run: 17 % over the receipt, 2 % true gain."""
    measured = {"A": [], "B": []}
    for position, arm in enumerate(abba(4)):
        measured[arm].append(1.01**position * (0.98 if arm == "B" else 1.0))
    verdict = judge(runs(measured["A"]), runs(measured["B"]), Objective.TIME)
    assert verdict.time_ratio == pytest.approx(0.98, rel=1e-9)
    assert verdict.significant
    assert verdict.runs == 8
    blocked = sum(map(log, measured["A"][:4])) - sum(map(log, measured["A"][4:]))
    assert exp(blocked / 4) < 0.95, "the drift was there"


def test_one_disturbed_run_does_not_decide():
    default = [1.0, 1.01, 0.99, 1.0, 1.02, 0.98, 1.01, 1.0]
    chosen = [0.9 * time_s for time_s in reversed(default)]
    clean = judge(runs(default), runs(chosen), Objective.TIME)
    disturbed = judge(runs(default), runs([*chosen[:-1], chosen[-1] * 3.0]), Objective.TIME)
    assert clean.significant and disturbed.significant
    assert disturbed.time_ratio == pytest.approx(0.9, rel=0.02)
    lucky = judge(runs(default), runs([*default[:-1], default[-1] / 3.0]), Objective.TIME)
    assert not lucky.significant


def test_objectives_are_judged_run_by_run():
    default = [Run(time_s=1.0, energy_j=10.0), Run(time_s=1.1, energy_j=11.0)]
    chosen = [Run(time_s=1.2, energy_j=6.0), Run(time_s=1.32, energy_j=6.6)]
    verdict = judge(default, chosen, Objective.EDP)
    assert verdict.time_ratio == pytest.approx(1.2)
    assert verdict.energy_ratio == pytest.approx(0.6)
    assert verdict.objective_ratio == pytest.approx(0.72)
    assert verdict.significant
    assert judge(default, chosen, Objective.ED2P).objective_ratio == pytest.approx(0.864)
    assert not judge(default, chosen, Objective.TIME).significant


def test_energy_missing_once_is_no_energy():
    default = [Run(time_s=1.0, energy_j=10.0), Run(time_s=1.0, energy_j=None)]
    verdict = judge(default, default, Objective.TIME)
    assert (verdict.energy_ratio, verdict.energy_ratio_95) == (None, None)
    with pytest.raises(ValueError, match="energy"):
        judge(default, default, Objective.ENERGY)


def test_too_little_to_judge_is_said():
    with pytest.raises(ValueError, match="two pairs"):
        judge(runs([1.0]), runs([1.0]), Objective.TIME)
    with pytest.raises(ValueError, match="argument"):
        judge(runs([1.0, 1.0]), runs([1.0]), Objective.TIME)


def test_the_order_is_balanced():
    assert abba(2) == ("A", "B", "B", "A", "A", "B", "B", "A")


ratios = st.floats(min_value=1e-3, max_value=1e3)


@given(st.lists(st.tuples(ratios, ratios), min_size=2, max_size=12))
def test_the_interval_is_around_the_ratio_and_turns_with_the_arms(pairs):
    ratio, (low, high) = paired_ratio(pairs)
    assert low <= ratio * (1 + 1e-9) and ratio <= high * (1 + 1e-9)
    back, (back_low, back_high) = paired_ratio([(b, a) for a, b in pairs])
    assert log(back) == pytest.approx(-log(ratio), abs=1e-9)
    assert log(back_low) == pytest.approx(-log(high), rel=1e-6, abs=1e-9)
    assert log(back_high) == pytest.approx(-log(low), rel=1e-6, abs=1e-9)
