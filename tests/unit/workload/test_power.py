"""What is announced before a comparison: against exact formulas, and kept in simulation."""

from __future__ import annotations

from math import exp, inf, log1p, sqrt
from random import Random
from statistics import fmean

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwtune.domain.objective import Objective
from hwtune.domain.trial import Run
from hwtune.workload import power
from hwtune.workload.power import Noise, Plan, announcement, detectable, noise_of_runs, plans, runs_needed
from hwtune.workload.sequential import spending_bounds
from hwtune.workload.student import as_t

KNOWN = Noise(sd_log=0.01, degrees=2000)


def test_with_the_noise_known_and_nothing_disturbed_it_is_the_noncentral_t(monkeypatch):
    stats = pytest.importorskip("scipy.stats")
    monkeypatch.setattr(power, "DISTURBED", 0.0)
    power._needed.cache_clear()
    for blocks in (5, 10, 30):
        shift = log1p(detectable(KNOWN, 2 * blocks)) / 0.01 * sqrt(blocks)
        bound = as_t(spending_bounds(blocks).deviations[-1], blocks - 1)
        assert 1 - stats.nct.cdf(bound, blocks - 1, shift) == pytest.approx(0.95, abs=0.005)
    power._needed.cache_clear()


@given(st.integers(2, 40), st.integers(3, 30), st.floats(0.001, 0.1))
@settings(max_examples=25, deadline=None)
def test_more_runs_and_a_better_pilot_see_more(blocks, degrees, sd_log):
    noise = Noise(sd_log=sd_log, degrees=degrees)
    assert detectable(noise, 2 * blocks + 2) < detectable(noise, 2 * blocks)
    assert detectable(Noise(sd_log=sd_log, degrees=degrees + 5), 2 * blocks) < detectable(noise, 2 * blocks)
    assert detectable(noise, 2 * blocks, power=0.8) < detectable(noise, 2 * blocks)


@given(st.floats(0.002, 0.03), st.floats(0.005, 0.2))
@settings(max_examples=25, deadline=None)
def test_the_runs_needed_are_the_fewest_that_see_it(sd_log, effect):
    noise = Noise(sd_log=sd_log, degrees=8)
    runs = runs_needed(noise, effect)
    if runs is None:
        assert detectable(noise, 2 * power.MOST_BLOCKS) > effect
        return
    assert detectable(noise, runs) <= effect
    assert runs == 2 * power.FEWEST_BLOCKS or detectable(noise, runs - 2) > effect


def test_no_more_runs_are_announced_than_may_be_made():
    assert runs_needed(KNOWN, 0.1, most=6) == 6
    assert runs_needed(KNOWN, 0.001, most=6) is None
    assert runs_needed(KNOWN, 0.1, most=2) is None
    assert detectable(KNOWN, 2) == inf
    with pytest.raises(ValueError, match="positive"):
        runs_needed(KNOWN, 0.0)


def test_the_noise_of_runs_in_a_row_is_that_of_a_block():
    """Over many pilots of eight independent runs the mean square is that of one run, which is that of a block."""
    random = Random(2)
    found = []
    for _ in range(2000):
        runs = [Run(time_s=exp(random.gauss(0.0, 0.02)), energy_j=None) for _ in range(8)]
        noise = noise_of_runs(runs, Objective.TIME)
        assert noise is not None and noise.degrees == 5
        found.append(noise.sd_log**2)
    assert fmean(found) == pytest.approx(0.02**2, rel=0.06)


def test_a_steady_drift_is_no_noise():
    runs = [Run(time_s=exp(0.01 * at), energy_j=None) for at in range(12)]
    noise = noise_of_runs(runs, Objective.TIME)
    assert noise is not None
    assert noise.sd_log == pytest.approx(0.0, abs=1e-9)


def test_too_few_runs_tell_nothing():
    assert noise_of_runs([Run(time_s=1.0, energy_j=None)] * 3, Objective.TIME) is None


def test_what_is_announced_in_words():
    found = plans(KNOWN, [6, 20], [0.015, 0.0001])
    assert [plan.runs for plan in found[:2]] == [6, 20]
    assert len(found) == 3, "nobody is told of runs that are not enough"
    assert found[2] == Plan(runs=found[2].runs, effect=0.015)
    assert announcement([Plan(runs=6, effect=0.0214), Plan(runs=14, effect=0.01)]) == (
        "with 6 runs of each you can see 2.1 %; with 14 runs of each you can see 1 %"
    )
