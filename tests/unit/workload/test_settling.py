"""Warm-up by change of level: what is left out, and that a settled machine is believed."""

from __future__ import annotations

from math import exp
from random import Random

import pytest

from hwtune.domain.objective import Objective
from hwtune.domain.trial import Run
from hwtune.workload.settling import Settling, level_since


def settle(logs, **more):
    settling = Settling(Objective.TIME, **more)
    for value in logs:
        if settling.done:
            break
        settling.add(Run(time_s=exp(value), energy_j=None))
    return settling


def jitter(count, seed=0, sd=0.01):
    random = Random(seed)
    return [random.gauss(0.0, sd) for _ in range(count)]


@pytest.mark.parametrize("cold", [1, 2, 4])
def test_runs_on_another_level_are_the_warm_up(cold):
    logs = [value + (0.3 if at < cold else 0.0) for at, value in enumerate(jitter(24, seed=cold))]
    settling = settle(logs)
    assert settling.settled
    assert len(settling.warm_up) == cold
    assert len(settling.steady) == 8


def test_a_machine_that_is_warm_costs_no_more_than_the_steady_runs():
    at_once = sum(len(settle(jitter(24, seed)).warm_up) == 0 for seed in range(100))
    assert at_once >= 80


def test_a_level_that_changes_late_is_waited_for():
    """A turbo budget that is used up after the sixth run."""
    logs = [value + (0.0 if at < 6 else 0.2) for at, value in enumerate(jitter(24, seed=3))]
    settling = settle(logs)
    assert settling.settled
    assert len(settling.warm_up) == 6


def test_what_never_settles_is_given_up_and_said():
    settling = settle([0.2 * at + value for at, value in enumerate(jitter(40))], most=12)
    assert settling.done and not settling.settled
    assert (len(settling.warm_up), len(settling.steady)) == (4, 8)


def test_equal_runs_are_on_one_level():
    assert level_since([0.5] * 10) == 0
    assert level_since([0.9] + [0.5] * 9) == 1


def test_the_objective_has_to_be_there():
    with pytest.raises(ValueError, match="energy"):
        Settling(Objective.ENERGY).add(Run(time_s=1.0, energy_j=None))
