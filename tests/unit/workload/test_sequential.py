"""Bounds for stopping early: printed tables, exact arithmetic, and simulation."""

from __future__ import annotations

from math import sqrt
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwtune.workload import sequential
from hwtune.workload.sequential import after_stop, spending_bounds
from hwtune.workload.student import NORMAL, as_t


def test_one_look_is_the_usual_test():
    for blocks in (1, 2, 3):
        assert spending_bounds(blocks).deviations == pytest.approx((1.959964,), abs=1e-5)
    assert spending_bounds(30, early=False).deviations == pytest.approx((1.959964,), abs=1e-5)
    assert spending_bounds(30, 0.1, early=False).deviations == pytest.approx((1.644854,), abs=1e-5)


def test_the_first_bound_spends_what_its_share_of_the_blocks_allows():
    bounds = spending_bounds(6, 0.05)
    spent = sequential.SPENT * 0.05 * (3 / 6) ** sequential.RHO
    assert bounds.deviations[0] == pytest.approx(NORMAL.inv_cdf(1 - spent / 2), abs=1e-5)


def test_two_looks_agree_with_the_bivariate_normal():
    stats = pytest.importorskip("scipy.stats")
    bounds = spending_bounds(4, 0.05)
    first, last = bounds.deviations
    both = stats.multivariate_normal(cov=[[1.0, sqrt(3 / 4)], [sqrt(3 / 4), 1.0]])
    inside = both.cdf([first, last], lower_limit=[-first, -last])
    assert 1 - inside == pytest.approx(bounds.spent, abs=1e-4)


@pytest.mark.parametrize("blocks", [4, 10, 40])
def test_as_much_is_spent_as_is_said(blocks):
    """A normal deviation passes some bound in `spent` of 40,000 walks, give or take four standard errors."""
    walks = np.random.default_rng(blocks).normal(size=(40_000, blocks)).cumsum(axis=1)
    bounds = spending_bounds(blocks)
    passed = np.zeros(len(walks), dtype=bool)
    for look in bounds.looks:
        passed |= np.abs(walks[:, look.blocks - 1]) / sqrt(look.blocks) >= look.deviation
    assert passed.mean() == pytest.approx(bounds.spent, abs=4 * sqrt(0.05 * 0.95 / len(walks)))


@pytest.mark.parametrize("blocks", [3, 4, 6, 8, 14, 40])
def test_with_an_estimated_deviation_it_is_five_in_a_hundred(blocks):
    """What the t's of normal blocks make of these bounds, and a little less: SPENT is chosen by this."""
    values = np.random.default_rng(blocks).normal(size=(60_000, blocks))
    sums, squares = values.cumsum(axis=1), (values**2).cumsum(axis=1)
    passed = np.zeros(len(values), dtype=bool)
    for look in spending_bounds(blocks).looks:
        n = look.blocks
        mean = sums[:, n - 1] / n
        error = np.sqrt((squares[:, n - 1] - n * mean**2) / (n - 1) / n)
        passed |= np.abs(mean) / error >= as_t(look.deviation, n - 1)
    assert 0.040 <= passed.mean() <= 0.053


def test_without_a_look_before_the_interval_is_the_usual_one():
    below, middle, above = after_stop(spending_bounds(20, early=False), 20, 2.7)
    assert (below, middle, above) == pytest.approx((1.959964, 0.0, -1.959964), abs=1e-4)


@given(blocks=st.integers(4, 24), data=st.data())
@settings(max_examples=25, deadline=None)
def test_the_interval_leaves_out_no_difference_just_when_a_bound_is_passed(blocks, data):
    bounds = spending_bounds(blocks)
    look = data.draw(st.sampled_from(bounds.looks))
    assert after_stop(bounds, look.blocks, look.deviation + 0.001)[0] < look.deviation + 0.001
    at_the_end = bounds.deviations[-1]
    assert after_stop(bounds, blocks, at_the_end + 0.001)[0] < at_the_end + 0.001
    assert after_stop(bounds, blocks, at_the_end - 0.001)[0] > at_the_end - 0.001


@given(st.floats(-4.0, 4.0), st.integers(4, 12))
@settings(max_examples=25, deadline=None)
def test_the_interval_turns_with_the_arms(deviation, blocks):
    bounds = spending_bounds(12)
    below, middle, above = after_stop(bounds, blocks, deviation)
    assert above < middle < below
    assert after_stop(bounds, blocks, -deviation) == pytest.approx((-above, -middle, -below), abs=1e-4)


@pytest.mark.parametrize("true", [0.0, 3.0])
def test_intervals_after_an_early_stop_hold_the_truth(true):
    """Of 500 walks with a known deviation; half of the middles lie above it."""
    random, bounds = Random(round(10 * true)), spending_bounds(6)
    drift = true / sqrt(6)
    held = high = early = 0
    walks = 500
    for _ in range(walks):
        total = 0.0
        for blocks in range(1, 7):
            total += random.gauss(drift, 1.0)
            deviation = total / sqrt(blocks)
            if abs(deviation) >= bounds.at(blocks):
                break
        early += blocks < 6
        below, middle, above = after_stop(bounds, blocks, deviation)
        scale = sqrt(blocks) * drift
        held += deviation - below <= scale <= deviation - above
        high += deviation - middle > scale
    # `spent` is what is missing here: the deviation is known, and it is for one that is not that it is set.
    share = 1 - bounds.spent
    assert held / walks == pytest.approx(share, abs=4 * sqrt(0.05 * 0.95 / walks))
    assert high / walks == pytest.approx(0.5, abs=4 * sqrt(0.25 / walks))
    if true == 3.0:
        assert early > walks / 2


def test_a_design_has_blocks():
    with pytest.raises(ValueError, match="block"):
        spending_bounds(0)
