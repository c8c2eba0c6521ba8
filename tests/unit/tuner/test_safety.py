from __future__ import annotations

import math

import pytest
import torch

from hwtune.domain.objective import Bound
from hwtune.tuner.acquisition import Outlook
from hwtune.tuner.safety import EDGE_RISK, barrier, bounded, probe_risk, safe


def outlook(*chances: float) -> Outlook:
    chance = torch.tensor(chances, dtype=torch.float64)
    some = torch.full_like(chance, 0.1)
    return Outlook(mean=some, sd=some, log_feasible=chance.log())


def test_safe_is_what_holds_with_the_probability_asked_for() -> None:
    assert safe(outlook(0.99, 0.951, 0.949, 0.1), 0.05).tolist() == [True, True, False, False]
    assert safe(outlook(0.99, 0.951), 0.01).tolist() == [False, False]


def test_the_barrier_is_nothing_inside_and_steep_outside() -> None:
    values = barrier(outlook(1.0, 0.96, 0.9, 0.5).log_feasible, 0.05).tolist()
    assert values[:2] == [0.0, 0.0]
    assert 0.0 > values[2] > values[3]
    assert values[3] == pytest.approx(20.0 * math.log(0.5 / 0.95))


def test_a_probe_may_risk_more_than_the_answer_but_never_more_than_at_the_edge() -> None:
    assert [probe_risk(risk) for risk in (0.01, 0.05, 0.5)] == [pytest.approx(0.07), pytest.approx(0.35), EDGE_RISK]


def test_what_there_is_to_be_safe_about() -> None:
    assert bounded(Bound(max_slowdown=0.05)) and bounded(Bound(max_power_w=10.0))
    assert not bounded(Bound()) and not bounded(Bound(max_temp_c=90.0))
