"""Checks of what comes and goes: tunables, CPUs, the firmware's limit; for the fake kernel and the real one."""

from __future__ import annotations

import errno
from collections.abc import Callable

from semantics import CPU, CPUFREQ, P0, P1, Machine, expect, govern, limits, refused, set_limit

# --- tunables -----------------------------------------------------------------------------------------------------


def tunables_come_and_go_with_their_users(machine: Machine) -> None:
    assert "schedutil" in machine.listdir(CPUFREQ)
    assert "ondemand" not in machine.listdir(CPUFREQ)
    govern(machine, "ondemand")
    assert sorted(machine.listdir(f"{CPUFREQ}/ondemand")) == [
        "ignore_nice_load", "io_is_busy", "powersave_bias", "sampling_down_factor", "sampling_rate", "up_threshold",
    ]  # fmt: skip
    assert "ondemand" not in machine.listdir(P0)
    govern(machine, "ondemand", P1)
    assert "schedutil" not in machine.listdir(CPUFREQ)
    machine.write(f"{CPUFREQ}/ondemand/up_threshold", "60")
    govern(machine, "performance")
    expect(machine, f"{CPUFREQ}/ondemand/up_threshold", "60")
    govern(machine, "performance", P1)
    assert "ondemand" not in machine.listdir(CPUFREQ)
    refused(lambda: machine.read(f"{CPUFREQ}/ondemand/up_threshold"), errno.ENOENT)
    govern(machine, "ondemand")
    expect(machine, f"{CPUFREQ}/ondemand/up_threshold", "95")


def the_same_governor_again_keeps_tunables(machine: Machine) -> None:
    govern(machine, "conservative")
    machine.write(f"{CPUFREQ}/conservative/freq_step", "9")
    govern(machine, "conservative")
    expect(machine, f"{CPUFREQ}/conservative/freq_step", "9")


def an_open_tunable_dies_with_its_governor(machine: Machine) -> None:
    govern(machine, "ondemand")
    path = f"{CPUFREQ}/ondemand/up_threshold"
    assert machine.read_held(path, (f"{P0}/scaling_max_freq", "3600000")) is None
    assert machine.read_held(path, (f"{P0}/scaling_governor", "performance")) == errno.ENODEV


def tunable(machine: Machine, path: str, text: str, becomes: str | int) -> None:
    """A text is written and becomes something, or is refused with an errno."""
    before = machine.read(f"{CPUFREQ}/{path}").strip()
    if isinstance(becomes, int):
        refused(lambda: machine.write(f"{CPUFREQ}/{path}", text), becomes)
        expect(machine, f"{CPUFREQ}/{path}", before)
    else:
        machine.write(f"{CPUFREQ}/{path}", text)
        expect(machine, f"{CPUFREQ}/{path}", becomes)


_BAD = errno.EINVAL
ONDEMAND: tuple[tuple[str, str, str | int], ...] = (
    ("up_threshold", "101", _BAD), ("up_threshold", "0", _BAD), ("up_threshold", "x", _BAD),
    ("up_threshold", "1", "1"), ("up_threshold", "100", "100"), ("up_threshold", "50 junk", "50"),
    ("sampling_rate", "1", _BAD), ("sampling_rate", "7999", _BAD), ("sampling_rate", "8000", "8000"),
    ("sampling_rate", "20000", "20000"), ("powersave_bias", "1001", "1000"), ("powersave_bias", "300", "300"),
    ("powersave_bias", "-1", _BAD), ("sampling_down_factor", "0", _BAD), ("sampling_down_factor", "100000", "100000"),
    ("sampling_down_factor", "100001", _BAD), ("ignore_nice_load", "5", "1"), ("io_is_busy", "7", "1"),
    ("io_is_busy", "0", "0"),
)  # fmt: skip
CONSERVATIVE: tuple[tuple[str, str, str | int], ...] = (
    ("up_threshold", "101", _BAD), ("up_threshold", "20", _BAD), ("up_threshold", "21", "21"),
    ("down_threshold", "21", _BAD), ("down_threshold", "0", _BAD), ("down_threshold", "1", "1"),
    ("up_threshold", "2", "2"), ("freq_step", "101", "100"), ("freq_step", "0", "0"),
    ("sampling_down_factor", "11", _BAD), ("sampling_down_factor", "10", "10"),
)  # fmt: skip
SCHEDUTIL: tuple[tuple[str, str, str | int], ...] = (
    ("rate_limit_us", "500", "500"), ("rate_limit_us", "600\n", "600"), ("rate_limit_us", "5 junk", _BAD),
    ("rate_limit_us", "-1", _BAD), ("rate_limit_us", "0x10", _BAD), ("rate_limit_us", "+7", "7"),
    ("rate_limit_us", "4294967296", _BAD), ("rate_limit_us", "0", "0"),
)  # fmt: skip


def tunables_of_ondemand(machine: Machine) -> None:
    govern(machine, "ondemand")
    for name, text, becomes in ONDEMAND:
        tunable(machine, f"ondemand/{name}", text, becomes)


def tunables_of_conservative(machine: Machine) -> None:
    govern(machine, "conservative")
    for name, text, becomes in CONSERVATIVE:
        tunable(machine, f"conservative/{name}", text, becomes)


def tunables_of_schedutil(machine: Machine) -> None:
    for name, text, becomes in SCHEDUTIL:
        tunable(machine, f"schedutil/{name}", text, becomes)


# --- hotplug ------------------------------------------------------------------------------------------------------


def an_offline_policy_is_busy_and_comes_back(machine: Machine) -> None:
    govern(machine, "powersave", P1)
    set_limit(machine, "max", "2000000", P1)
    limits(machine, 800, 2000, P1)
    machine.hotplug(1, False)
    assert "policy1" in machine.listdir(CPUFREQ)
    assert machine.read(f"{CPU}/online") == "0\n"
    for name in ("scaling_governor", "scaling_max_freq", "affected_cpus", "related_cpus", "cpuinfo_max_freq"):
        refused(lambda name=name: machine.read(f"{P1}/{name}"), errno.EBUSY)
    refused(lambda: govern(machine, "performance", P1), errno.EBUSY)
    refused(lambda: set_limit(machine, "max", "1200000", P1), errno.EBUSY)
    refused(lambda: machine.write(f"{P1}/cpuinfo_max_freq", "1"), errno.EACCES)
    limits(machine, 800, 3600)
    machine.hotplug(1, True)
    expect(machine, f"{P1}/scaling_governor", "powersave")
    expect(machine, f"{P1}/scaling_cur_freq", "800000")
    limits(machine, 800, 2000, P1)


def hotplug_takes_tunables_that_nobody_else_uses(machine: Machine) -> None:
    govern(machine, "ondemand", P1)
    machine.write(f"{CPUFREQ}/ondemand/up_threshold", "60")
    machine.hotplug(1, False)
    assert "ondemand" not in machine.listdir(CPUFREQ)
    machine.hotplug(1, True)
    expect(machine, f"{P1}/scaling_governor", "ondemand")
    expect(machine, f"{CPUFREQ}/ondemand/up_threshold", "95")


def requests_survive_hotplug(machine: Machine) -> None:
    set_limit(machine, "max", "2000000", P1)
    set_limit(machine, "min", "2800000", P1)
    limits(machine, 2000, 2000, P1)
    machine.hotplug(1, False)
    machine.hotplug(1, True)
    limits(machine, 2000, 2000, P1)
    set_limit(machine, "max", "3600000", P1)
    limits(machine, 2800, 3600, P1)


def the_first_cpu_stays(machine: Machine) -> None:
    assert "online" not in machine.listdir(f"{CPU}/cpu0")
    assert machine.read(f"{CPU}/cpu1/online") == "1\n"


def what_an_offline_cpu_keeps(machine: Machine) -> None:
    here = f"{CPU}/cpu1"
    assert {"cpufreq", "topology"} <= set(machine.listdir(here))
    machine.hotplug(1, False)
    assert "topology" not in machine.listdir(here)
    assert "cpufreq" in machine.listdir(here)
    assert machine.read(f"{CPU}/offline") == "1\n"
    machine.hotplug(1, True)
    assert "topology" in machine.listdir(here)
    assert machine.read(f"{CPU}/online") == "0-1\n"


def the_switch_of_a_cpu(machine: Machine) -> None:
    path = f"{CPU}/cpu1/online"
    for text in ("x", "2", "-1"):
        refused(lambda text=text: machine.write(path, text), errno.EINVAL)
    for text in ("1", "n", "off", "0", "on\n"):
        machine.write(path, text)
        expect(machine, path, "1" if text[:2] == "on" or text == "1" else "0")


def resume_latency(machine: Machine) -> None:
    path = f"{CPU}/cpu1/power/pm_qos_resume_latency_us"
    assert machine.read(path) == "0\n"
    for text, shown in (("20", "20"), ("n/a", "n/a"), ("0x10", "16"), ("n/a\n", "n/a"), ("2147483646", "2147483646")):
        machine.write(path, text)
        assert machine.read(path) == f"{shown}\n"
    for text in ("-1", "2147483647", "none", "5 us", "99999999999"):
        refused(lambda text=text: machine.write(path, text), errno.EINVAL)
    machine.write(path, "30")
    machine.hotplug(1, False)
    machine.hotplug(1, True)
    assert machine.read(path) == "30\n"
    machine.write(path, "0")


# --- the firmware's limit -----------------------------------------------------------------------------------------


def a_firmware_limit_clamps_while_it_lasts(machine: Machine) -> None:
    expect(machine, f"{P0}/bios_limit", "3600000")
    set_limit(machine, "max", "3200000", P1)
    machine.firmware_limit(2_400_000)
    expect(machine, f"{P0}/bios_limit", "2400000")
    limits(machine, 800, 2400)
    limits(machine, 800, 2400, P1)
    set_limit(machine, "max", "2800000")
    limits(machine, 800, 2400)
    set_limit(machine, "min", "2600000")
    limits(machine, 2400, 2400)
    expect(machine, f"{P0}/cpuinfo_max_freq", "3600000")
    machine.firmware_limit(None)
    expect(machine, f"{P0}/bios_limit", "3600000")
    limits(machine, 2800, 2800)
    limits(machine, 800, 3200, P1)


CHECKS: tuple[Callable[[Machine], None], ...] = (
    tunables_come_and_go_with_their_users,
    the_same_governor_again_keeps_tunables,
    an_open_tunable_dies_with_its_governor,
    tunables_of_ondemand,
    tunables_of_conservative,
    tunables_of_schedutil,
    an_offline_policy_is_busy_and_comes_back,
    hotplug_takes_tunables_that_nobody_else_uses,
    requests_survive_hotplug,
    the_first_cpu_stays,
    what_an_offline_cpu_keeps,
    the_switch_of_a_cpu,
    resume_latency,
    a_firmware_limit_clamps_while_it_lasts,
)
