import errno
import os
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwtune.domain.interval import Interval
from hwtune.domain.sample import CpuTimes, Sample
from hwtune.host.clock import LinuxClock
from hwtune.host.machine import Host
from hwtune.host.perf_system import NoCounters
from hwtune.host.runner import LinuxRunner
from hwtune.sensors import process
from hwtune.sensors.collector import Collector
from hwtune.sensors.cpu import CpuSensor, parse_cpu_times, parse_time_in_state
from hwtune.sensors.optional import parse_int
from hwtune.sensors.pressure import PressureSensor, parse_pressure
from hwtune.sensors.thermal import ThermalSensor

CPU = "/sys/devices/system/cpu"
PSI = "some avg10=1.02 avg60=0.71 avg300=0.44 total=11826819\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=7"
kernel_like = st.text(alphabet="cpu0123456789 -.\n=<>someful\x00é²_", max_size=60) | st.text(max_size=30)


@pytest.mark.parametrize(
    ("text", "number"),
    [("42", 42), (" -7\n", -7), ("", None), ("<unsupported>", None), ("1_0", None), ("٣", None), ("9" * 5000, None)],
)
def test_parse_int(text, number):
    assert parse_int(text) == number


@given(kernel_like)
def test_parsers_never_raise(text):
    assert parse_int(text) is None or isinstance(parse_int(text), int)
    assert isinstance(parse_pressure(text), dict)
    assert isinstance(parse_time_in_state(text), dict)
    assert parse_cpu_times(text) is None or isinstance(parse_cpu_times(text), CpuTimes)


@given(st.lists(st.integers(0, 2**63), min_size=4, max_size=12))
def test_cpu_times_of_any_kernel_age(ticks):
    times = parse_cpu_times(f"cpu  {' '.join(map(str, ticks))}\ncpu0 1 1 1 1\nintr 5")
    found = [getattr(times, name) for name in CpuTimes.__slots__]
    assert found == (ticks + [0] * 8)[:8]


@pytest.mark.parametrize(
    "text", ["", "cpu", "cpu 1 2 3", "cpu0 1 2 3 4", "cpu 1 2 x 4", "cpu 1 2 3 -4", "intr 1\nctxt 2"]
)
def test_odd_proc_stat_is_none(text):
    assert parse_cpu_times(text) is None


def test_cpu_line_need_not_be_the_first():
    assert parse_cpu_times("\nbtime 1\ncpu 1 2 3 4").idle_ticks == 4


def test_pressure_of_old_and_new_kernels(tree):
    files = tree({"/proc/pressure/cpu": PSI.splitlines()[0], "/proc/pressure/io": PSI})
    assert PressureSensor(files).stall_us() == {"cpu_some": 11_826_819, "io_some": 11_826_819, "io_full": 7}


def test_pressure_switched_off(tree):
    files = tree({f"/proc/pressure/{resource}": PSI for resource in ("cpu", "io", "memory")})
    for resource in ("cpu", "io", "memory"):
        files.refuse[f"/proc/pressure/{resource}"] = errno.EOPNOTSUPP
    assert PressureSensor(files).stall_us() == {}


POLICIES = {
    f"{CPU}/cpufreq/policy0/scaling_cur_freq": "800000",
    f"{CPU}/cpufreq/policy0/stats/time_in_state": "800000 10\n2000000 5\nodd line here",
    f"{CPU}/cpufreq/policy10/scaling_cur_freq": "<unknown>",
    f"{CPU}/cpufreq/ondemand/up_threshold": "80",
    f"{CPU}/cpu0/cpufreq/scaling_cur_freq": "1",
    f"{CPU}/cpu0/cpuidle/state0/name": "POLL",
    f"{CPU}/cpu0/cpuidle/state0/time": "5",
    f"{CPU}/cpu0/cpuidle/state1/name": "C1",
    f"{CPU}/cpu0/cpuidle/state1/time": "100",
    f"{CPU}/cpu1/cpuidle/state1/name": "C1",
    f"{CPU}/cpu1/cpuidle/state1/time": "200",
    f"{CPU}/cpuidle/current_driver": "intel_idle",
}


def test_cpufreq_and_cpuidle(tree):
    sensor = CpuSensor(tree(POLICIES))
    assert sensor.freq_khz() == {0: 800_000}
    assert sensor.time_in_state() == {0: {800_000: 10, 2_000_000: 5}}
    assert sensor.idle_us() == {"POLL": {0: 5}, "C1": {0: 100, 1: 200}}


def test_offline_policy_is_left_out_and_comes_back(tree):
    files = tree(POLICIES)
    sensor = CpuSensor(files)
    files.refuse = dict.fromkeys(POLICIES, errno.EBUSY)
    assert (sensor.freq_khz(), sensor.time_in_state(), sensor.idle_us()) == ({}, {}, {})
    files.refuse = {}
    assert sensor.freq_khz() == {0: 800_000}


def test_kernels_without_policy_directories(tree):
    files = tree({f"{CPU}/cpu4/cpufreq/scaling_cur_freq": "5", f"{CPU}/cpu11/cpufreq/scaling_cur_freq": "6"})
    assert CpuSensor(files).freq_khz() == {4: 5, 11: 6}


def zone(number, kind, temp):
    path = f"/sys/class/thermal/thermal_zone{number}"
    return {f"{path}/type": kind, f"{path}/temp": temp}


def test_the_package_is_preferred_to_everything_on_the_board(tree):
    texts = {
        **zone(0, "acpitz", "27800"),
        **zone(1, "iwlwifi_1", "41000"),
        **zone(2, "x86_pkg_temp", "61000"),
        **zone(10, "x86_pkg_temp", "59000"),
    }
    assert ThermalSensor(tree(texts)).temp_mc() == {
        "x86_pkg_temp/thermal_zone2": 61_000,
        "x86_pkg_temp/thermal_zone10": 59_000,
    }


@pytest.mark.parametrize("place", ["", "/device"])
def test_hwmon_before_the_firmwares_zone(tree, place):
    path = f"/sys/class/hwmon/hwmon3{place}"
    texts = {**zone(0, "acpitz", "27800"), f"{path}/name": "k10temp", f"{path}/temp1_input": "50500"}
    assert ThermalSensor(tree(texts)).temp_mc() == {"k10temp/hwmon3": 50_500}


@pytest.mark.parametrize(
    ("kind", "temp", "expected"),
    [
        ("acpitz", "40100", {"acpitz/thermal_zone0": 40_100}),
        ("cpu0-thermal", "45000", {"cpu0-thermal/thermal_zone0": 45_000}),
        ("acpitz", "-44000", {}),
        ("x86_pkg_temp", "-274000", {}),
        ("battery", "30000", {}),
    ],
)
def test_other_zones(tree, kind, temp, expected):
    assert ThermalSensor(tree(zone(0, kind, temp))).temp_mc() == expected


def test_a_zone_that_fails_is_left_out(tree):
    files = tree({**zone(0, "cpu-thermal", "45000"), **zone(1, "cpu-thermal", "46000")})
    sensor = ThermalSensor(files)
    files.refuse["/sys/class/thermal/thermal_zone0/temp"] = errno.EIO
    assert sensor.temp_mc() == {"cpu-thermal/thermal_zone1": 46_000}


class Counters:
    gaps: ClassVar = {"cycles": 2}

    def read(self):
        return {"cycles": 5}


def host(files, counters=None):
    return Host(
        name="test",
        files=files,
        clock=LinuxClock(),
        counters=counters or NoCounters(),
        runner=LinuxRunner(),
        run_dir=Path("/nonexistent"),
    )


def test_a_whole_sample(tree):
    rapl = "/sys/class/powercap/intel-rapl:0"
    texts = {
        **POLICIES,
        **zone(0, "x86_pkg_temp", "61000"),
        "/proc/stat": "cpu  1 2 3 4 5 6 7 8 0 0\ncpu0 1 2 3 4",
        "/proc/pressure/cpu": PSI,
        f"{rapl}/name": "package-0",
        f"{rapl}/energy_uj": "77",
    }
    collector = Collector(host(tree(texts), Counters()))
    sample = collector.sample()
    assert sample.cpu.steal_ticks == 8
    assert sample.pressure["cpu_full"] == 7
    assert sample.counters == {"cycles": 5}
    assert sample.counter_gaps == {"cycles": 2}
    assert sample.temp_mc == {"x86_pkg_temp/thermal_zone0": 61_000}
    assert sample.energy[0].energy_uj == 77
    assert sample.freq_khz and sample.time_in_state and sample.idle_us
    cheap = collector.sample_energy()
    assert cheap == Sample(t_ns=cheap.t_ns, energy=sample.energy, own_cpu_ns=cheap.own_cpu_ns)
    assert Interval.over([sample, cheap, collector.sample()]).energy_j == 0.0


def test_a_machine_with_nothing(tree):
    collector = Collector(host(tree()))
    first, second = collector.sample(), collector.sample()
    assert first == Sample(t_ns=first.t_ns, own_cpu_ns=first.own_cpu_ns)
    assert collector.energy.quality == "none"
    assert Interval.between(first, second).energy_j is None


def test_host_facts_of_this_machine():
    facts = process.host_facts()
    assert facts.logical_cpus == os.cpu_count()
    assert facts.memory_bytes > 0
