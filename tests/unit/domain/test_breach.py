"""Bounds that only a measurement shows."""

from __future__ import annotations

import pytest

from hwtune.domain.breach import breaches, outcome_of
from hwtune.domain.objective import Bound
from hwtune.domain.trial import Run, TrialStatus

BOUND = Bound(max_latency_s={"p99": 0.02}, max_pressure={"cpu_some": 0.2}, max_temp_c=90.0)


def run(p99: float = 0.01, cpu_some: float = 0.1, temp_c: float = 50.0) -> Run:
    features = {"pressure.cpu_some": cpu_some, "temp_c": temp_c}
    return Run(time_s=1.0, energy_j=None, latency_s={"p99": p99}, features=features)


@pytest.mark.parametrize(
    ("runs", "said"),
    [
        ([run()], ()),
        ([run(p99=0.02)], ()),
        ([run(p99=0.031)], ("p99 latency 0.031 s is over 0.02 s",)),
        ([run(p99=0.031), run(), run()], ()),
        ([run(p99=0.031), run(), run(p99=0.03)], ("p99 latency 0.03 s is over 0.02 s",)),
        ([run(cpu_some=0.25)], ("pressure cpu_some 0.25 is over 0.2",)),
        ([run(temp_c=95.0)], ("temperature 95 °C is over 90 °C",)),
        ([Run(time_s=1.0, energy_j=None)], ()),
    ],
)
def test_the_median_of_the_runs_is_judged(runs: list[Run], said: tuple[str, ...]) -> None:
    assert breaches(BOUND, runs) == said
    assert outcome_of(BOUND, runs, TrialStatus.OK) is (TrialStatus.INFEASIBLE if said else TrialStatus.OK)


def test_without_such_a_bound_nothing_is_broken() -> None:
    assert breaches(Bound(max_slowdown=0.0), [run(p99=9.0, cpu_some=1.0, temp_c=120.0)]) == ()


def test_what_was_stopped_or_predicted_stays_that() -> None:
    stopped = Run(time_s=1.0, energy_j=None, censored=True, latency_s={"p99": 1.0})
    assert outcome_of(BOUND, [stopped], TrialStatus.OK) is TrialStatus.CENSORED
    assert outcome_of(BOUND, [run(p99=1.0)], TrialStatus.PREDICTED) is TrialStatus.PREDICTED


def test_bounds_can_still_be_compared_and_hashed() -> None:
    assert hash(BOUND) == hash(Bound(max_temp_c=90.0))
    assert Bound(max_temp_c=90.0) != BOUND
