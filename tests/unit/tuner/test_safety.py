from __future__ import annotations

import math

import pytest
import torch

from hwtune.domain.objective import Bound
from hwtune.tuner.acquisition import Outlook
from hwtune.tuner.safety import barrier, bounded, edge, hopeless, safe


def outlook(*chances: float, slowdown_sd: float = 0.1) -> Outlook:
    chance = torch.tensor(chances, dtype=torch.float64)
    some = torch.full_like(chance, slowdown_sd)
    return Outlook(mean=some, sd=some, slowdown_sd=some, log_feasible=chance.log())


def test_safe_is_what_holds_with_the_probability_asked_for() -> None:
    assert safe(outlook(0.99, 0.951, 0.949, 0.1), 0.05).tolist() == [True, True, False, False]
    assert safe(outlook(0.99, 0.951), 0.01).tolist() == [False, False]


def test_the_barrier_is_nothing_inside_and_steep_outside() -> None:
    values = barrier(outlook(1.0, 0.96, 0.9, 0.5), 0.05).tolist()
    assert values[:2] == [0.0, 0.0]
    assert 0.0 > values[2] > values[3]
    assert values[3] == pytest.approx(20.0 * math.log(0.5 / 0.95))


def test_at_the_edge_the_least_known_of_what_likely_holds_teaches_most() -> None:
    assert edge(outlook(0.6, slowdown_sd=0.2)) > edge(outlook(0.9, slowdown_sd=0.1))
    assert edge(outlook(0.6, slowdown_sd=0.1)) > edge(outlook(0.2, slowdown_sd=0.3))


def test_where_the_bound_would_surely_break_nothing_is_tried() -> None:
    assert hopeless(outlook(0.9, 0.3, 0.2, 1e-9)).tolist() == [False, False, True, True]


def test_what_there_is_to_be_safe_about() -> None:
    assert bounded(Bound(max_slowdown=0.05)) and bounded(Bound(max_power_w=10.0))
    assert not bounded(Bound()) and not bounded(Bound(max_temp_c=90.0))
