"""The unmodified program on fake kernels, on the true paths of a mount namespace."""

from __future__ import annotations

import errno
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake.faults import Fault, Moment
from fake.namespace import Machine, run, why_not
from semantics import CPU, CPUFREQ, P0, P1

HWTUNE = (sys.executable, "-m", "hwtune")
# Opens a file, writes each text in a system call of its own, and prints the errno of each.
_WRITE = """
import os, sys
for path, text in zip(sys.argv[1::2], sys.argv[2::2]):
    try:
        os.write(os.open(path, os.O_WRONLY), text.encode())
        print(0)
    except OSError as error:
        print(error.errno)
"""
_HELD = """
import os
held = os.open("/sys/devices/system/cpu/cpufreq/schedutil/rate_limit_us", os.O_RDONLY)
print(os.pread(held, 64, 0).decode().strip())
for policy in (0, 1):
    with open(f"/sys/devices/system/cpu/cpufreq/policy{policy}/scaling_governor", "w") as file:
        file.write("ondemand")
for policy in (0, 1):
    with open(f"/sys/devices/system/cpu/cpufreq/policy{policy}/scaling_governor", "w") as file:
        file.write("schedutil")
try:
    os.pread(held, 64, 0)
except OSError as error:
    print(error.errno)
"""


@pytest.fixture(autouse=True)
def _mountable() -> None:
    if reason := why_not():
        pytest.skip(reason)


@pytest.fixture
def machine(request: pytest.FixtureRequest) -> Iterator[Machine]:
    """A machine of the name that the test is parametrized with; acpi_cpufreq otherwise."""
    with Machine(getattr(request, "param", "acpi_cpufreq")) as mounted:
        yield mounted


def hwtune(machine: Machine, *words: str, status: int = 0) -> str:
    """Its output; both streams."""
    done = machine.run([*HWTUNE, *words])
    assert done.returncode == status, (words, done.stdout, done.stderr)
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


def text(machine: Machine, path: str) -> str:
    return machine.control.read(path).strip()


@pytest.mark.parametrize(
    ("machine", "driver"),
    [
        ("intel_pstate_nohwp", "intel_pstate"),
        ("old_layout", "acpi-cpufreq"),
        ("hybrid", "intel_pstate"),
    ],
    indirect=["machine"],
)
def test_probe(machine: Machine, driver: str) -> None:
    start = machine.control.state()
    said = json.loads(hwtune(machine, "probe", "--json"))
    assert driver in json.dumps(said["cpufreq"])
    assert machine.control.state() == start
    assert machine.control.writes() == []


@pytest.mark.parametrize(
    ("machine", "words", "path", "becomes"),
    [
        ("intel_pstate_hwp", ("epp=power", "max=2GHz", "boost=0"), f"{P0}/energy_performance_preference", "power"),
        ("amd_pstate_epp", ("governor=performance", "max=2GHz"), f"{P0}/energy_performance_preference", "performance"),
        ("cpufreq_dt_biglittle", ("boost=0", "policy4.max=1400000"), f"{CPUFREQ}/policy4/scaling_max_freq", "1400000"),
        ("old_layout", ("min=1.6GHz", "max=2GHz"), f"{CPU}/cpu1/cpufreq/scaling_min_freq", "1600000"),
    ],
    indirect=["machine"],
)
def test_apply_and_restore_are_byte_exact(machine: Machine, words: tuple[str, ...], path: str, becomes: str) -> None:
    start, requests = machine.control.state(), machine.control.requests()
    hwtune(machine, "apply", *words)
    assert text(machine, path) == becomes
    assert (machine.run_dir / "hwtune" / "journal.json").exists()
    hwtune(machine, "restore")
    assert machine.control.state() == start
    assert machine.control.requests() == requests
    assert not (machine.run_dir / "hwtune" / "journal.json").exists()


def test_status_reads_the_machine(machine: Machine) -> None:
    hwtune(machine, "apply", "governor=ondemand", "ondemand.up_threshold=60", "max=2GHz")
    said = hwtune(machine, "status")
    assert "ondemand.up_threshold = 60" in said
    assert "policy1.scaling_max_freq: 2000000 → 3600000" in said


def test_killed_in_the_middle_of_a_write(machine: Machine) -> None:
    start = machine.control.state()
    for action, done in (("kill_before", False), ("kill_after", True)):
        machine.control.faults([Fault(pattern=f"{P0}/scaling_governor", action=action)])
        applying = machine.run([*HWTUNE, "apply", "governor=powersave", "max=1.2GHz"])
        assert applying.returncode == -9
        assert machine.control.call("met") == [1]
        assert (text(machine, f"{P0}/scaling_governor") == "powersave") is done
        assert (machine.run_dir / "hwtune" / "journal.json").exists()
        hwtune(machine, "restore")
        assert machine.control.state() == start


def test_a_refused_write_is_told_and_undone(machine: Machine) -> None:
    start = machine.control.state()
    machine.control.faults([Fault(pattern=f"{CPUFREQ}/boost", times=None, errno=errno.EPERM)])
    assert "EPERM" in hwtune(machine, "apply", "boost=0", "max=2GHz", status=1)
    assert machine.control.state() == start
    assert not (machine.run_dir / "hwtune" / "journal.json").exists()


def test_a_cpu_goes_and_comes_between_apply_and_restore(machine: Machine) -> None:
    start = machine.control.state()
    hwtune(machine, "apply", "max=2GHz")
    machine.control.hotplug(1, False)
    listed = machine.run(["cat", f"{P1}/scaling_max_freq", f"{CPU}/online"])
    assert "Device or resource busy" in listed.stderr
    assert listed.stdout == "0\n"
    machine.control.hotplug(1, True)
    hwtune(machine, "restore")
    assert machine.control.state() == start


def test_somebody_elses_value_stays(machine: Machine) -> None:
    start = machine.control.state()
    hwtune(machine, "apply", "max=2GHz")
    theirs = f"{P0}/scaling_max_freq"
    machine.control.somebody(theirs, "1200000")
    hwtune(machine, "restore")
    assert machine.control.state() == {**start, theirs: "1200000\n"}


def test_a_moment_strikes_in_the_middle(machine: Machine) -> None:
    machine.control.faults([Fault(pattern=f"{P1}/scaling_max_freq", action=Moment("firmware_limit", (1_600_000,)))])
    assert "clamped" in hwtune(machine, "apply", "max=2GHz")
    machine.control.firmware_limit(None)
    assert text(machine, f"{P0}/scaling_max_freq") == "2000000"


def test_errors_of_the_kernel_reach_the_program(machine: Machine) -> None:
    wanted = [
        (f"{P0}/scaling_governor", "foo", errno.EINVAL),
        (f"{P0}/scaling_governor", "", 0),
        (f"{P0}/scaling_max_freq", "2100000\n", 0),
        (f"{P0}/cpuinfo_max_freq", "1", errno.EACCES),
        (f"{P0}/energy_performance_preference", "power", errno.ENOENT),
        (f"{CPU}/cpu1/cpufreq/scaling_governor", "powersave", 0),
    ]
    argv = [word for path, value, _ in wanted for word in (path, value)]
    done = machine.run([sys.executable, "-c", _WRITE, *argv])
    assert [int(line) for line in done.stdout.split()] == [code for *_, code in wanted], done.stderr
    assert text(machine, f"{P0}/scaling_max_freq") == "2000000"
    assert text(machine, f"{P1}/scaling_governor") == "powersave"


def test_a_held_tunable_is_dead_though_another_has_come(machine: Machine) -> None:
    done = machine.run([sys.executable, "-c", _HELD])
    assert done.stdout.split() == ["10000", str(errno.ENODEV)], done.stderr


def test_a_reboot_has_another_boot_id(machine: Machine) -> None:
    boot_id = ["cat", "/proc/sys/kernel/random/boot_id"]
    before = machine.run(boot_id).stdout
    assert before != Path(boot_id[1]).read_text()
    machine.control.reboot()
    assert machine.run(boot_id).stdout not in (before, "")


def test_nothing_of_it_is_seen_outside_or_left_behind() -> None:
    with Machine("acpi_cpufreq") as machine:
        assert machine.run(["sh", "-c", "echo powersave > /sys/devices/system/cpu/cpufreq/policy0/scaling_governor"])
        assert "hwtune-fake" not in Path("/proc/mounts").read_text()
        assert not os.path.exists("/run/hwtune/journal.json")
        folder = machine.run_dir.parent
    assert not folder.exists()


def test_one_command_on_a_machine_of_its_own() -> None:
    done = run(["cat", f"{P0}/scaling_driver"], machine="cppc_cpufreq")
    assert (done.returncode, done.stdout) == (0, "cppc_cpufreq\n")
    with pytest.raises(ValueError, match="no machine"):
        Machine("pentium")
