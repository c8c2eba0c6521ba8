"""What hwtune itself costs: what it adds up, what it attributes, and what it leaves open."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest

from hwtune.domain.interval import Interval, own_cpu_between_s
from hwtune.domain.sample import CpuTimes, EnergyReading, Sample
from hwtune.host.clock import LinuxClock
from hwtune.host.fs import LinuxFS
from hwtune.host.machine import Host
from hwtune.host.perf_system import NoCounters
from hwtune.host.runner import LinuxRunner
from hwtune.sensors import own
from hwtune.sensors.collector import Collector
from hwtune.sensors.own import Cost, Ledger, OwnTime


@pytest.fixture(autouse=True)
def two_seconds(monkeypatch):
    monkeypatch.setattr(own, "own_cpu_ns", lambda: 2_000_000_000)


def sample(t_s, energy_j=None, busy_ticks=None, source="powercap"):
    energy = (
        ()
        if source is None
        else (
            EnergyReading(
                zone="package-0", source=source, energy_uj=None if energy_j is None else round(energy_j * 1e6)
            ),
        )
    )
    cpu = None
    if busy_ticks is not None:
        cpu = CpuTimes(user_ticks=busy_ticks, nice_ticks=0, system_ticks=0, idle_ticks=10 * round(t_s), steal_ticks=7)
    return Sample(t_ns=round(t_s * 1e9), energy=energy, cpu=cpu)


def cost_of(*samples, helpers=(), same_machine=True):
    ledger, ours = Ledger(), OwnTime()
    for each in samples:
        ledger.note(each)
    for helper in helpers:
        ours.add(helper)
    return ledger.cost(ours, same_machine=same_machine)


def test_a_share_of_the_energy_by_cpu_time():
    found = cost_of(
        sample(1, 100.0, busy_ticks=1000),
        sample(2, 110.0),
        sample(11, 300.0, busy_ticks=3000),
        helpers=[lambda: 1_500_000_000, lambda: 500_000_000],
    )
    assert found == Cost(
        time_s=10.0,
        energy_j=pytest.approx(200.0),
        busy_s=pytest.approx(20.0),
        own_cpu_s=2.0,
        helpers_cpu_s=2.0,
        same_machine=True,
    )
    assert found.share == pytest.approx(0.2)
    assert found.attributed_j == pytest.approx(40.0)


def test_no_more_than_everything_is_attributed():
    found = cost_of(sample(0, 0.0, busy_ticks=0), sample(10, 50.0, busy_ticks=100))
    assert (found.share, found.attributed_j) == (1.0, pytest.approx(50.0))


def test_a_simulated_machines_energy_is_nothing_of_our_cpu_times():
    found = cost_of(sample(0, 0.0, busy_ticks=0), sample(10, 50.0, busy_ticks=1000), same_machine=False)
    assert found.energy_j == pytest.approx(50.0) and found.own_cpu_s == 2.0
    assert found.share is None and found.attributed_j is None


def test_a_reading_that_fails_is_bridged_by_the_next():
    found = cost_of(sample(0, 10.0), sample(1), sample(1), sample(2, 30.0))
    assert found.energy_j == pytest.approx(20.0)


@pytest.mark.parametrize(
    "samples",
    [
        [],
        [sample(1, 5.0, busy_ticks=3)],
        [sample(1, 5.0), sample(1, 6.0)],
        [sample(1, 5.0), sample(2, 7.0), sample(3)],
        [sample(1, 9.0), sample(2, 7.0)],  # reset
        [sample(1, source=None), sample(2, source=None)],
        [sample(1, 5.0), sample(2, 7.0, source="hwmon")],
    ],
)
def test_energy_that_is_not_known_to_the_end_is_absent(samples):
    found = cost_of(*samples)
    assert found.energy_j is None and found.attributed_j is None


def test_without_cpu_times_nothing_is_attributed():
    found = cost_of(sample(0, 0.0), sample(10, 50.0))
    assert found.energy_j == pytest.approx(50.0)
    assert found.busy_s is None and found.share is None and found.attributed_j is None


def test_stolen_and_idle_time_are_nobodys_work():
    found = cost_of(sample(0, 0.0, busy_ticks=0), sample(1000, 50.0, busy_ticks=0))
    assert found.busy_s == 0.0 and found.share is None


def known(t_s, own_cpu_ns):
    return replace(sample(t_s), own_cpu_ns=own_cpu_ns)


@pytest.mark.parametrize(
    ("before", "after", "own_s"), [(5, 1_000_000_005, 1.0), (7, 5, 0.0), (None, 5, None), (5, None, None)]
)
def test_an_interval_says_what_hwtune_used_in_it(before, after, own_s):
    a, b = known(1, before), known(2, after)
    assert Interval.between(a, b).own_cpu_s == own_cpu_between_s(a, b) == own_s


@pytest.mark.parametrize(("simulated", "expected"), [(False, 2_500_000_000), (True, None)])
def test_a_sample_says_what_hwtune_has_used_unless_the_machine_is_imaginary(tmp_path, simulated, expected):
    host = Host(
        name="test",
        files=LinuxFS(tmp_path),
        clock=LinuxClock(),
        counters=NoCounters(),
        runner=LinuxRunner(),
        run_dir=tmp_path,
        simulated=simulated,
    )
    collector = Collector(host)
    collector.own.add(lambda: 500_000_000)
    for each in (collector.sample(), collector.sample_energy(), collector.meter()):
        assert each.own_cpu_ns == expected
    assert collector.cost().same_machine is not simulated
    assert collector.cost().time_s > 0.0


def test_the_chain_of_imports_is_light():
    """What a resident process loads to sample: nothing that costs tens of megabytes."""
    program = "import sys, hwtune.sensors.collector, hwtune.sensors.own; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    heavy = {"numpy", "torch", "typer", "rich", "asyncio", "pydantic", "psutil", "pyperf", "sqlite3", "hwtune.config"}
    assert heavy & set(done.stdout.split()) == set()
    assert "hwtune.sensors.cpu" in done.stdout.split()
