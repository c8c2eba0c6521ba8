"""A comparison in blocks: its order, when it ends and why, and that what it says is true often enough."""

from __future__ import annotations

from math import exp, inf, log, sqrt
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwtune.domain.objective import Objective
from hwtune.domain.trial import Run
from hwtune.workload.comparison import ORDERS, Comparison, Decided


def carried_out(measure, objective=Objective.TIME, **more):
    """A comparison whose runs are made by `measure(arm)`, to its end."""
    comparison = Comparison(objective, **more)
    while comparison.decided is None:
        for arm in comparison.next_block():
            comparison.add(arm, measure(arm))
    return comparison


def machine(seed, difference=0.0, sd=0.01):
    """Runs with jitter; B takes `difference` more time and as much less energy, in logs."""
    random = Random(seed)

    def measure(arm):
        shift = difference if arm == "B" else 0.0
        slow = random.gauss(0.0, sd)
        return Run(time_s=exp(shift + slow), energy_j=10.0 * exp(-shift + slow + random.gauss(0.0, sd / 2)))

    return measure


def test_blocks_are_abba_and_baab_once_each_in_two():
    comparison = Comparison(Objective.TIME, max_blocks=20, early=False, seed=3)
    orders = []
    for _ in range(20):
        orders.append(comparison.next_block())
        for arm in orders[-1]:
            comparison.add(arm, Run(time_s=1.0, energy_j=None))
    assert set(orders) == set(ORDERS)
    assert all(first != second for first, second in zip(orders[::2], orders[1::2], strict=True))
    assert len(set(orders[::2])) == 2, "a coin says which comes first"


def test_a_clear_difference_ends_it_early_and_with_its_sign():
    for difference, lower in ((-0.2, True), (0.2, False)):
        verdict = carried_out(machine(1, difference), max_blocks=20).verdict()
        assert (verdict.decided, verdict.different, verdict.significant) == ("difference", True, lower)
        assert verdict.runs < 20
        low, high = verdict.time_ratio_95
        assert low < verdict.time_ratio < high
        assert (high < 1.0) == lower and (low > 1.0) != lower
        assert verdict.time_ratio == pytest.approx(exp(difference), rel=0.02)
        assert verdict.energy_ratio == pytest.approx(exp(-difference), rel=0.02)


def test_without_looks_in_between_all_blocks_are_made():
    verdict = carried_out(machine(1, -0.2), max_blocks=8, early=False).verdict()
    assert (verdict.runs, verdict.significant) == (16, True)


def test_no_difference_ends_with_the_budget_and_what_could_have_been_seen():
    verdict = carried_out(machine(2), max_blocks=8).verdict()
    assert (verdict.decided, verdict.different, verdict.equivalent, verdict.runs) == ("budget", False, False, 16)
    assert verdict.objective_ratio_95[0] < 1.0 < verdict.objective_ratio_95[1]
    assert verdict.detectable is not None and 0.005 < verdict.detectable < 0.05


def test_a_difference_within_the_margin_is_told_before_the_budget_is_spent():
    verdict = carried_out(machine(3), max_blocks=30, margin=0.05).verdict()
    assert (verdict.decided, verdict.equivalent, verdict.different) == ("equivalent", True, False)
    assert verdict.runs < 60
    assert log(verdict.objective_ratio_95[1]) < 0.05


def test_a_difference_at_the_margin_is_called_equivalent_in_five_of_a_hundred():
    called = sum(
        carried_out(machine(seed, log(1.02)), max_blocks=8, margin=0.02).decided is Decided.EQUIVALENT
        for seed in range(400)
    )
    assert called / 400 <= 0.05 + 3 * sqrt(0.05 * 0.95 / 400)


def test_what_would_not_be_found_any_more_is_not_waited_for():
    comparison = carried_out(machine(4, sd=0.05), max_blocks=20, aim=0.01)
    assert comparison.decided is Decided.FUTILE
    assert comparison.blocks < 20
    assert not comparison.verdict().different
    assert carried_out(machine(4), max_blocks=20, aim=0.03).blocks > 10, "this one would still be found"
    assert carried_out(machine(4, log(1.03)), max_blocks=20, aim=0.03).decided is Decided.DIFFERENCE


def test_without_a_difference_one_is_found_in_five_of_a_hundred():
    """Early stops included; six blocks of normal noise. The campaign in benchmarks/aa.py has the rest."""
    found = held = 0
    comparisons = 600
    for seed in range(comparisons):
        verdict = carried_out(machine(seed), max_blocks=6).verdict()
        found += verdict.different
        held += verdict.time_ratio_95[0] <= 1.0 <= verdict.time_ratio_95[1]
        assert verdict.different != (verdict.time_ratio_95[0] <= 1.0 <= verdict.time_ratio_95[1])
    assert 0.02 <= found / comparisons <= 0.075
    assert held + found == comparisons


@pytest.mark.parametrize("objective", list(Objective))
def test_every_objective_is_compared_run_by_run(objective):
    verdict = carried_out(machine(6, 0.3), objective, max_blocks=6).verdict()
    exponent = {"time": 1.0, "energy": -1.0, "edp": 0.0, "ed2p": 1.0}[objective]
    assert log(verdict.objective_ratio) == pytest.approx(0.3 * exponent, abs=0.05)


def test_runs_that_are_all_alike_are_judged_too():
    def still(arm):
        return Run(time_s=0.9 if arm == "B" else 1.0, energy_j=None)

    verdict = carried_out(still, max_blocks=6, margin=0.01).verdict()
    assert (verdict.decided, verdict.runs) == ("difference", 6)
    assert verdict.time_ratio == pytest.approx(0.9)
    same = carried_out(lambda arm: Run(time_s=1.0, energy_j=None), max_blocks=6, margin=0.01).verdict()
    assert (same.decided, same.time_ratio, same.energy_ratio) == ("equivalent", 1.0, None)


def test_an_energy_missing_once_is_no_energy():
    measured = iter(range(100))
    verdict = carried_out(
        lambda arm: Run(time_s=1.0 + 0.01 * next(measured), energy_j=None if arm == "B" else 0.0), max_blocks=3
    ).verdict()
    assert (verdict.energy_ratio, verdict.energy_ratio_95) == (None, None)


def test_a_single_block_is_judged_by_its_pairs():
    verdict = carried_out(machine(7, -0.5, sd=0.001), max_blocks=1).verdict()
    assert (verdict.runs, verdict.significant, verdict.detectable) == (2, True, None)
    assert not carried_out(machine(7), max_blocks=1).verdict().different


def test_what_is_known_before_the_end_is_told_and_proves_nothing():
    comparison = Comparison(Objective.TIME, max_blocks=20)
    with pytest.raises(ValueError, match="nothing"):
        comparison.verdict()
    measure = machine(8, -0.3)
    for _ in range(2):
        for arm in comparison.next_block():
            comparison.add(arm, measure(arm))
    comparison.next_block()
    verdict = comparison.verdict()
    assert (verdict.decided, verdict.runs, verdict.significant) == (None, 4, False)
    assert verdict.time_ratio == pytest.approx(exp(-0.3), rel=0.02)


def test_the_same_seed_is_the_same_order():
    first, second = (Comparison(Objective.TIME, max_blocks=4, seed=9) for _ in range(2))
    assert first.next_block() == second.next_block()


def test_runs_out_of_turn_are_refused():
    comparison = Comparison(Objective.ENERGY, max_blocks=1)
    with pytest.raises(ValueError, match="turn"):
        comparison.add("A", Run(time_s=1.0, energy_j=1.0))
    first = comparison.next_block()[0]
    with pytest.raises(ValueError, match="turn"):
        comparison.add("B" if first == "A" else "A", Run(time_s=1.0, energy_j=1.0))
    with pytest.raises(ValueError, match="energy"):
        comparison.add(first, Run(time_s=1.0, energy_j=None))
    with pytest.raises(ValueError, match="positive"):
        comparison.add(first, Run(time_s=1.0, energy_j=0.0))
    with pytest.raises(ValueError, match="no block"):
        comparison.next_block()
    assert comparison.blocks == 0


@pytest.mark.parametrize("wrong", [{"margin": 0.0}, {"aim": -0.1}, {"max_blocks": 0}])
def test_a_design_that_makes_no_sense_is_refused(wrong):
    with pytest.raises(ValueError):
        Comparison(Objective.TIME, **({"max_blocks": 4} | wrong))


positive = st.floats(min_value=1e-6, max_value=1e6)


@given(
    st.integers(1, 8),
    st.lists(st.tuples(positive, positive), min_size=32, max_size=32),
    st.sampled_from([None, 0.02]),
    st.sampled_from([None, 0.02]),
)
@settings(max_examples=40, deadline=None)
def test_whatever_is_measured_there_is_an_interval_around_the_ratio(blocks, figures, margin, aim):
    left = (Run(time_s=time_s, energy_j=energy_j) for time_s, energy_j in figures)
    comparison = carried_out(lambda _: next(left), Objective.ENERGY, max_blocks=blocks, margin=margin, aim=aim)
    verdict = comparison.verdict()
    for ratio, (low, high) in (
        (verdict.time_ratio, verdict.time_ratio_95),
        (verdict.energy_ratio, verdict.energy_ratio_95),
    ):
        assert 0.0 < low <= ratio * (1 + 1e-9) and ratio <= high * (1 + 1e-9) < inf
    assert verdict.energy_ratio_95 == verdict.objective_ratio_95
    assert verdict.decided in {"difference", "equivalent", "futile", "budget"}
