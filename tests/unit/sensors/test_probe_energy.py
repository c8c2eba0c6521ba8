"""What the probe says of an energy source: looked at for some seconds where that tells more."""

from pathlib import Path

import pytest
from fake_perf import FakePerf, power_pmu

from hwtune.cli.probe_document import Machine
from hwtune.cli.probe_energy import energy_text, find_energy
from hwtune.cli.probe_text import probe_text
from hwtune.host.machine import Host
from hwtune.host.perf_system import NoCounters
from hwtune.host.runner import LinuxRunner
from hwtune.sensors.collector import Collector
from hwtune.sensors.energy import find_energy_source

RAPL = "/sys/class/powercap/intel-rapl:0"
BATTERY = "/sys/class/power_supply/BAT0"


class Clock:
    """Time passes when somebody waits; then `then` is told the time."""

    def __init__(self, then):
        self.now_s, self.then = 50.0, then

    def monotonic_ns(self):
        return round(self.now_s * 1e9)

    def sleep(self, duration_s):
        self.now_s += duration_s
        self.then(self.now_s)


def machine(**changes):
    plain = dict.fromkeys(Machine.model_fields) | {
        "name": "box",
        "live": True,
        "simulated": False,
        "virtual": False,
        "online_cpus": [0],
    }
    return Machine.model_validate(plain | changes)


def found(tree, texts, then, perf=None, **kind):
    files, clock = tree(texts), Clock(then)
    host = Host(
        name="box", files=files, clock=clock, counters=NoCounters(), runner=LinuxRunner(), run_dir=Path("/nonexistent")
    )
    collector = Collector(host)
    collector.energy = find_energy_source(files, perf)
    energy = find_energy(collector, clock, collector.sample(), machine(**kind), "add a meter")
    return energy, clock.now_s - 50.0


def rapl(energy_j):
    return {f"{RAPL}/name": "package-0", f"{RAPL}/energy_uj": str(round(energy_j * 1e6)), **RANGE}


RANGE = {f"{RAPL}/max_energy_range_uj": "262143328850"}


@pytest.mark.parametrize(("perf_w", "agrees"), [(30.0, True), (31.0, True), (36.0, False)])
def test_two_ways_to_the_counters_are_compared(tree, perf_w, agrees):
    perf = FakePerf()
    perf.used_j[0, 2] = perf_w * 50.0

    def use(now_s):
        tree(rapl(30.0 * now_s))
        perf.used_j[0, 2] = perf_w * now_s

    energy, took_s = found(tree, {**rapl(1500.0), **power_pmu("0")}, use, perf)
    assert 3.0 <= took_s < 5.0
    assert (energy.doubt is None) == agrees
    assert ("doubtful" in energy.name) != agrees
    assert energy_text(energy) == "refreshed every 1 ms, in steps of 61 µJ; 1% takes windows of 101 ms or more"


def test_a_machine_that_stands_still_is_not_waited_for(tree):
    energy, took_s = found(tree, {**rapl(5.0), **power_pmu("0")}, lambda _: None, FakePerf(), live=False)
    assert (took_s, energy.doubt) == (0.0, None)


def test_one_way_alone_needs_no_look(tree):
    energy, took_s = found(tree, rapl(5.0), lambda _: None)
    assert took_s == 0.0
    assert (energy.update_s, energy.learned, energy.step_unit) == (0.001, False, "J")


def gauge(power_w):
    return {
        f"{BATTERY}/type": "Battery",
        f"{BATTERY}/status": "Discharging",
        f"{BATTERY}/power_now": str(round(power_w * 1e6)),
    }


def test_a_gauge_is_watched_and_what_is_still_not_known_is_said(tree):
    slow, took_s = found(tree, gauge(7.0), lambda now_s: tree(gauge(7.0 + now_s // 10 / 100)))
    assert 3.0 <= took_s < 5.0
    assert slow.update_s is None and slow.window_s is None
    assert "not known" in energy_text(slow)
    quick, _ = found(tree, gauge(7.0), lambda now_s: tree(gauge(7.0 + now_s // 0.4 / 100)))
    assert quick.learned and 0.4 <= quick.update_s < 0.8
    assert "(learned)" in energy_text(quick) and quick.step_unit == "W"


def test_nothing_is_said_without_a_source(tree):
    energy, took_s = found(tree, {}, lambda _: None)
    assert (energy.available, energy.hint, took_s) == (False, "add a meter", 0.0)
    assert energy_text(energy) is None


def test_a_doubt_is_on_a_line_of_its_own(tree):
    from hwtune.cli.host import open_host
    from hwtune.cli.probe_find import probe_machine

    with open_host(simulate="laptop") as opened:
        document = probe_machine(opened)
    assert "DOUBTFUL" not in probe_text(document)
    doubted = document.energy.model_copy(update={"doubt": "over 3.0 s package-0 used 1 J by powercap, 2 J by perf"})
    lines = probe_text(document.model_copy(update={"energy": doubted})).splitlines()
    assert any(line.strip().startswith("DOUBTFUL: over 3.0 s") for line in lines)
