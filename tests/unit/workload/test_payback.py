"""When a search has paid for itself."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwtune.domain.trial import Run
from hwtune.workload.payback import Payback, pay_back, paybacks
from hwtune.workload.verdict import Verdict


def verdict(energy=(0.75, (0.7, 0.8)), time=(1.1, (1.0, 1.2))):
    return Verdict(
        time_ratio=time[0],
        time_ratio_95=time[1],
        energy_ratio=energy and energy[0],
        energy_ratio_95=energy and energy[1],
        objective_ratio=0.9,
        objective_ratio_95=(0.8, 0.95),
        significant=True,
        runs=4,
    )


def runs(*each, unit="s"):
    return [Run(time_s=time_s, energy_j=energy_j, unit=unit) for time_s, energy_j in each]


def test_a_quarter_of_a_hundred_joules_each_time():
    found = paybacks(verdict(), runs((2.0, 90.0), (2.0, 100.0), (3.0, 500.0)), energy_j=1000.0, time_s=60.0)
    assert found is not None and found.unit == "run"
    assert found.energy is not None and found.energy.after == pytest.approx(40.0)
    assert found.energy.after_95 == pytest.approx((1000 / 30, 50.0))
    assert found.time is None


def test_time_is_paid_back_in_time():
    found = paybacks(verdict(time=(0.5, (0.4, 0.6))), runs((2.0, None)), energy_j=None, time_s=60.0)
    assert found is not None and found.energy is None
    assert found.time is not None and found.time.after == pytest.approx(60.0)


def test_an_interval_that_holds_no_saving_has_no_latest():
    assert pay_back(100.0, 10.0, 0.9, (0.8, 1.05)) == Payback(
        after=pytest.approx(100.0), after_95=(pytest.approx(50.0), None)
    )
    assert pay_back(100.0, 10.0, 0.9, (0.8, 1.0)).after_95[1] is None


def test_what_saves_nothing_never_pays_back():
    assert pay_back(100.0, 10.0, 1.0, (0.9, 1.1)) is None


@pytest.mark.parametrize(("unit", "expected"), [("s/transaction", "transaction"), ("frames", None), ("ms", None)])
def test_work_is_counted_by_its_own_measure_or_not_at_all(unit, expected):
    found = paybacks(verdict(), runs((2.0, 100.0), unit=unit), energy_j=1000.0, time_s=60.0)
    assert (found and found.unit) == expected


@given(
    cost=st.floats(0.0, 1e9),
    each=st.floats(1e-6, 1e6),
    ratios=st.lists(st.floats(0.01, 2.0), min_size=3, max_size=3).map(sorted),
)
def test_the_earliest_is_before_the_typical_is_before_the_latest(cost, each, ratios):
    low, middle, high = ratios
    found = pay_back(cost, each, middle, (low, high))
    if found is None:
        assert middle >= 1.0
        return
    earliest, latest = found.after_95
    assert 0.0 <= earliest <= found.after
    assert latest is None or latest >= found.after
    assert (latest is None) == (high >= 1.0)
