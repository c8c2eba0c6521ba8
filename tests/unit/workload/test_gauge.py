"""What a gauge makes of a run: a time per unit, an energy per unit, percentiles, and what it refuses."""

from __future__ import annotations

import pytest

from hwtune.domain.errors import WorkloadError
from hwtune.domain.measure import Better, measure_of
from hwtune.domain.trial import Run
from hwtune.workload.gauge import WALL_TIME, Found, Gauge, by_measure
from hwtune.workload.metric import OutputNumber
from hwtune.workload.pattern import Pattern

TPS = measure_of("tps", better=Better.HIGHER, unit="transaction")
DELAY = measure_of("delay", better=Better.LOWER, unit="ms")


def test_by_itself_it_is_the_wall_time() -> None:
    assert WALL_TIME.timed and not WALL_TIME.hears
    assert WALL_TIME.end("tps=3", "") == Found(time=None)
    run = Run(time_s=2.0, energy_j=20.0)
    assert by_measure(run, WALL_TIME.measure, None) is run


@pytest.mark.parametrize(
    ("measure", "said", "time", "energy", "unit"),
    [(TPS, "=50", 0.02, 0.2, "s/transaction"), (DELAY, "=50", 0.05, 0.5, "s")],
)
def test_power_stays_and_time_is_per_unit(measure, said: str, time: float, energy: float, unit: str) -> None:
    gauge = Gauge(measure=measure, source=OutputNumber(Pattern("=(.+)")), hears=True)
    run = by_measure(Run(time_s=2.0, energy_j=20.0, cpu_time_s=1.5), measure, gauge.end(said).time)
    assert (run.time_s, run.energy_j, run.unit) == (pytest.approx(time), pytest.approx(energy), unit)
    assert (run.lasted_s, run.wall_s, run.cpu_time_s) == (2.0, 2.0, 1.5)
    assert by_measure(Run(time_s=2.0, energy_j=None), measure, time).energy_j is None


@pytest.mark.parametrize("said", ["=0", "=-3", "=0.0"])
def test_no_work_at_all_is_no_rate(said: str) -> None:
    gauge = Gauge(measure=TPS, source=OutputNumber(Pattern("=(.+)")), hears=True)
    with pytest.raises(WorkloadError, match="must be more than 0"):
        gauge.end(said)


def test_latencies_in_the_output() -> None:
    gauge = Gauge(latency=Pattern(r"lat=(\S+)"), latency_scale=1e-3, percentiles=("p50",))
    assert gauge.timed and gauge.hears
    found = gauge.end("lat=10\nlat=20\nlat=30\n")
    assert found.latency_s["p50"] == pytest.approx(0.02, rel=0.011)
    with pytest.raises(WorkloadError, match="0 or less"):
        gauge.end("lat=0\n")
    with pytest.raises(WorkloadError, match="needs 2 latencies"):
        gauge.end("quiet")
