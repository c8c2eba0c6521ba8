"""Windows of a machine that runs all the time."""

from __future__ import annotations

import pytest
from test_command import Machine

from hwtune.domain.errors import UsageError, WorkloadError
from hwtune.domain.measure import Better, measure_of
from hwtune.domain.trial import TrialStatus
from hwtune.workload.gauge import WALL_TIME, Gauge
from hwtune.workload.metric import ServedNumber
from hwtune.workload.window import WindowWorkload

RATE = measure_of("requests", better=Better.HIGHER, unit="request")


class Server:
    """Serves so many requests a second."""

    def __init__(self, *rates: float) -> None:
        self._rates = list(rates)

    def __call__(self) -> float:
        return self._rates.pop(0) if len(self._rates) > 1 else self._rates[0]


def windows(machine: Machine, server: Server, window_s: float = 10.0, period_s: float = 1.0) -> WindowWorkload:
    gauge = Gauge(measure=RATE, source=ServedNumber(server, now_ns=machine.monotonic_ns))
    return WindowWorkload(
        clock=machine,
        sample=machine.sample,
        sample_energy=machine.sample_energy,
        period_s=period_s,
        window_s=window_s,
        gauge=gauge,
    )


def test_a_window_is_what_was_done_in_it() -> None:
    machine = Machine(sample_ms=50, energy_ms=1)
    (run,) = windows(machine, Server(50.0)).measure(1)
    assert run.time_s == 0.02
    assert run.wall_s == pytest.approx(10.0, rel=0.01)
    assert run.energy_j == pytest.approx(10.0 * 0.02, rel=1e-3)
    assert run.unit == "s/request"
    assert run.features["busy_ratio"] == 1.0
    assert (run.censored, run.cpu_time_s) == (False, None)
    assert machine.slept[0] == 1.0, "a tenth of the window, in which the setting takes effect"


def test_the_meter_is_read_all_the_time() -> None:
    machine = Machine()
    windows(machine, Server(1.0), window_s=2.0, period_s=30.0).measure(1)
    assert max(machine.slept) == 0.5
    machine = Machine()
    windows(machine, Server(1.0), window_s=0.2).warm_up()
    assert machine.slept == [0.2]


def test_repeats_end_when_several_are_hopeless() -> None:
    machine = Machine()
    assert len(windows(machine, Server(50.0)).measure(5, give_up_s=0.03)) == 5
    runs = windows(machine, Server(10.0)).measure(5, give_up_s=0.03)
    assert len(runs) == 2
    assert not any(run.censored for run in runs)
    assert len(windows(machine, Server(10.0, 50.0)).measure(5, give_up_s=0.03)) == 5, "one may be chance"


def test_nobody_serves() -> None:
    with pytest.raises(WorkloadError, match="more than 0"):
        windows(Machine(), Server(0.0)).measure(1)


def test_its_length_alone_is_no_measure() -> None:
    machine = Machine()
    with pytest.raises(UsageError, match="needs a metric"):
        WindowWorkload(
            clock=machine,
            sample=machine.sample,
            sample_energy=machine.sample_energy,
            period_s=1.0,
            window_s=1.0,
            gauge=WALL_TIME,
        )
    it = windows(machine, Server(1.0))
    assert (it.status, it.warnings) == (TrialStatus.OK, ())
