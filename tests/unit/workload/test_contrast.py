"""Contrasts of blocks: drift cancels, a run that stands out is limited, a difference of the arms is not."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwtune.workload.contrast import Contrasts, contrasts
from hwtune.workload.disturbed import LIMIT, limited

ABBA = ("A", "B", "B", "A")
BAAB = ("B", "A", "A", "B")


def noisy(count, seed=1):
    random = Random(seed)
    return [random.gauss(0.0, 0.01) for _ in range(count)]


@given(st.floats(-0.05, 0.05), st.floats(-1.0, 1.0))
def test_a_steady_drift_cancels_in_every_block(step, difference):
    arms = (*ABBA, *BAAB, *ABBA)
    found = contrasts(arms, [step * at + difference * (arm == "B") for at, arm in enumerate(arms)])
    assert found.each == pytest.approx((difference,) * 3, abs=1e-9)


def test_without_runs_that_stand_out_it_is_the_plain_contrast():
    arms, logs = (*ABBA, *BAAB), [0.01, 0.02, 0.03, 0.02, 0.03, 0.02, 0.01, 0.02]
    assert contrasts(arms, logs).each == pytest.approx(
        ((0.02 + 0.03 - 0.01 - 0.02) / 2, (0.03 + 0.02 - 0.02 - 0.01) / 2)
    )


def test_a_run_that_stands_out_moves_its_block_no_further_than_the_limit():
    arms, logs = ABBA * 4, noisy(16)
    clean = contrasts(arms, logs)
    logs[5] += 2.0
    disturbed = contrasts(arms, logs)
    assert disturbed.each[1] - clean.each[1] < LIMIT * 0.015
    assert disturbed.each[0] == pytest.approx(clean.each[0], abs=0.01)


def test_a_difference_of_the_arms_does_not_stand_out():
    arms, logs = ABBA * 4, noisy(16)
    apart = [value + 0.7 * (arm == "B") for arm, value in zip(arms, logs, strict=True)]
    alike = contrasts(arms, logs)
    assert contrasts(arms, apart).mean == pytest.approx(alike.mean + 0.7, abs=1e-9)
    assert contrasts(arms, apart).sd == pytest.approx(alike.sd, abs=1e-9)


def test_two_levels_are_not_limited():
    """A machine with and without turbo, half of the time each: neither is a disturbance."""
    values = [0.1 * (at % 2) for at in range(16)]
    assert limited(values) == values


def test_a_coarse_meter_is_left_alone():
    values = [1.0] * 15 + [1.1]
    assert limited(values) == values


@given(st.lists(st.floats(-1.0, 1.0), min_size=1, max_size=40))
def test_limiting_keeps_the_order_of_sizes_and_stays_between_the_values(values):
    found = limited(values)
    assert len(found) == len(values)
    assert all(min(values) <= value <= max(values) for value in found)


def test_scatter_of_nothing_and_of_figures_that_go_along():
    still = Contrasts(each=(0.1, 0.1, 0.1))
    assert still.sd == pytest.approx(0.0, abs=1e-15)
    assert Contrasts(each=(0.5, 0.5)).deviation() == 7.0
    assert Contrasts(each=(-0.5, -0.5)).deviation() == -7.0
    assert Contrasts(each=(0.0, 0.0)).deviation() == 0.0
    a = Contrasts(each=(0.1, 0.2, 0.4))
    assert a.along(Contrasts(each=(0.2, 0.4, 0.8))) == pytest.approx(1.0)
    assert a.along(Contrasts(each=(-0.2, -0.4, -0.8))) == pytest.approx(-1.0)
    assert a.along(Contrasts(each=(0.0, 0.0, 0.0))) == 0.0
