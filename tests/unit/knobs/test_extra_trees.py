"""What the kernel says of knobs that are off by default, on machines of all kinds."""

import pytest
from sysfs_trees import CPU, policy, write_tree

from hwtune.domain.knob import Setting
from hwtune.host.fs import LinuxFS
from hwtune.knobs.cpufreq import CpufreqBackend
from hwtune.knobs.keys import parse_assignments
from hwtune.knobs.transaction import Transaction


def backend(root, *parts, wanted):
    write_tree(root, {path: text for part in (policy(0), *parts) for path, text in part.items()})
    return CpufreqBackend(LinuxFS(root), wanted=wanted)


def zone(number, name=None, **texts):
    files = {
        "name": name or f"package-{number}",
        "enabled": "1",
        "constraint_0_name": "long_term",
        "constraint_0_power_limit_uw": "15000000",
        "constraint_0_max_power_uw": "15000000",
        "constraint_1_name": "short_term",
        "constraint_1_power_limit_uw": "25000000",
        "constraint_1_max_power_uw": "0",
        **texts,
    }
    return {f"sys/class/powercap/intel-rapl:{number}/{file}": text for file, text in files.items()}


def die(package, **texts):
    files = {
        "max_freq_khz": "2400000",
        "min_freq_khz": "1200000",
        "initial_max_freq_khz": "2400000",
        "initial_min_freq_khz": "800000",
        **texts,
    }
    place = f"{CPU}/intel_uncore_frequency/package_0{package}_die_00"
    return {f"{place}/{file}": text for file, text in files.items()}


def states(cpu, *names, **texts):
    here = f"{CPU}/cpu{cpu}/cpuidle"
    files = {}
    for number, name in enumerate(names):
        files |= {f"{here}/state{number}/name": name, f"{here}/state{number}/disable": "0"}
        files[f"{here}/state{number}/latency"] = str(10 * number)
    return files | {f"{here}/{file}": text for file, text in texts.items()}


def extras(found):
    return [name for name in found.space.names if "." in name and not name.startswith(("ondemand", "schedutil"))]


def test_like_packages_share_a_limit_and_unlike_ones_do_not(tmp_path):
    found = backend(tmp_path, zone(0), zone(1), wanted=("powercap",))
    assert extras(found) == ["powercap.long_term", "powercap.short_term"]
    assert len(found.target("powercap.long_term").files) == 2
    assert len(found.target("package-1.powercap.long_term").files) == 1
    unlike = backend(tmp_path, zone(1, constraint_0_power_limit_uw="10000000"), wanted=("powercap",))
    assert extras(unlike)[::2] == ["package-0.powercap.long_term", "package-1.powercap.long_term"]
    assert [unlike.space[name].default for name in extras(unlike)[::2]] == [15_000_000, 10_000_000]
    both = parse_assignments(["powercap.long_term=9W"], unlike)
    assert dict(both) == {"package-0.powercap.long_term": 9_000_000, "package-1.powercap.long_term": 9_000_000}


@pytest.mark.parametrize(
    ("texts", "low", "high", "levels"),
    [
        ({"constraint_0_min_power_uw": "5000000"}, 5_000_000, 15_000_000, 11),
        ({}, 3_750_000, 15_000_000, 13),
        ({"constraint_0_power_limit_uw": "64000000"}, 3_750_000, 64_000_000, 14),
        # A board that limits nothing: stepped through to what the package was built for.
        ({"constraint_0_power_limit_uw": "4095875000"}, 3_750_000, 4_095_875_000, 14),
        # Nothing is told: every watt up to what was found, hundreds of watts in fewer steps.
        ({"constraint_0_max_power_uw": "0"}, 3_750_000, 15_000_000, 13),
        (
            {"constraint_0_max_power_uw": "", "constraint_0_power_limit_uw": "800000000"},
            200_000_000,
            800_000_000,
            102,
        ),
    ],
)
def test_the_range_of_a_power_limit(tmp_path, texts, low, high, levels):
    knob = backend(tmp_path, zone(0, **texts), wanted=("powercap.long_term",)).space["powercap.long_term"]
    assert (knob.low, knob.high, len(knob.levels)) == (low, high, levels)
    assert knob.legal(knob.default)


def test_zones_that_are_no_packages_are_left_alone(tmp_path):
    no_limit = zone(2, constraint_0_power_limit_uw="0", constraint_1_power_limit_uw="0")
    found = backend(tmp_path, zone(0, name="psys"), no_limit, wanted=("powercap",))
    assert extras(found) == []


def test_limits_the_wrong_way_round_are_no_pair(tmp_path):
    found = backend(tmp_path, zone(0, constraint_1_power_limit_uw="8000000"), wanted=("powercap",))
    assert found.space.ordered_pairs == (("min", "max"),)
    assert found.space.legal(found.space.default)


def test_a_fabric_cluster_follows_its_package_and_goes_back(tmp_path):
    """Written through by the driver: here by hand, behind the transaction's back."""
    cluster = f"{CPU}/intel_uncore_frequency/uncore00"
    files = {f"{cluster}/package_id": "0", f"{cluster}/max_freq_khz": "2200000", f"{cluster}/min_freq_khz": "1200000"}
    other = {path.replace("uncore00", "uncore01"): text for path, text in files.items()}
    other[f"{CPU}/intel_uncore_frequency/uncore01/package_id"] = "1"
    found = backend(tmp_path, die(0), files, other, wanted=("uncore",))
    watched = {path for path in found.snapshot() if "uncore" in path}
    assert {path.split("/")[6] for path in watched} == {"package_00_die_00", "uncore00"}
    path = f"/{cluster}/max_freq_khz"
    with Transaction(found, run_dir=tmp_path / "run", verb="tune", files=LinuxFS(tmp_path)) as stay:
        stay.apply(Setting({"uncore.max": 1_500_000}))
        LinuxFS(tmp_path).write(path, "1500000")
        assert stay.restore().foreign == {}
    assert LinuxFS(tmp_path).read(path) == "2200000"


def test_two_dies_have_limits_of_their_own_when_set_apart(tmp_path):
    found = backend(tmp_path, die(0), die(1, max_freq_khz="2000000"), wanted=("uncore.max",))
    assert extras(found) == ["package_00_die_00.uncore.max", "package_01_die_00.uncore.max"]
    assert found.space["package_01_die_00.uncore.max"].role == "memory_frequency"
    assert found.space["package_00_die_00.uncore.max"].low == 800_000


def test_idle_states_of_two_kinds_of_cores(tmp_path):
    big = [states(cpu, "WFI", "cpu-sleep-0") for cpu in (4, 5)]
    little = [states(cpu, "WFI", "cpu-sleep-0", "cluster-sleep-0") for cpu in (0, 1)]
    found = backend(tmp_path, *big, *little, wanted=("cpuidle",))
    assert extras(found) == ["cpu0.cpuidle.cpu-sleep-0", "cpu0.cpuidle.cluster-sleep-0", "cpu4.cpuidle.cpu-sleep-0"]
    assert dict(parse_assignments(["cpuidle.cpu-sleep-0=0"], found)) == {
        "cpu0.cpuidle.cpu-sleep-0": "0",
        "cpu4.cpuidle.cpu-sleep-0": "0",
    }


def test_states_without_a_name_of_their_own_have_a_number(tmp_path):
    found = backend(tmp_path, states(0, "POLL", "C1 ACPI", "C2", "C2"), wanted=("cpuidle",))
    assert extras(found) == ["cpuidle.state1", "cpuidle.state2", "cpuidle.state3"]


def test_a_state_that_the_driver_has_off_is_reset_to_off(tmp_path):
    off = states(0, "POLL", "C1", "C6", **{"state2/default_status": "disabled", "state2/disable": "1"})
    found = backend(tmp_path, off, wanted=("cpuidle",))
    assert [found.target(f"cpuidle.{name}").reset for name in ("C1", "C6")] == ["1", "0"]
    assert found.space["cpuidle.C6"].default == "0"


def test_percentages_are_absent_or_odd(tmp_path):
    assert extras(backend(tmp_path, wanted=("perf_pct",))) == []
    one = {f"{CPU}/intel_pstate/max_perf_pct": "100"}
    assert extras(backend(tmp_path, one, wanted=("perf_pct",))) == []
    both = {f"{CPU}/intel_pstate/max_perf_pct": "100", f"{CPU}/intel_pstate/min_perf_pct": "20"}
    found = backend(tmp_path, both, wanted=("perf_pct",))
    assert (found.space["perf_pct.min"].low, found.space["perf_pct.min"].default) == (20, 20)
