"""Checks of governors, limits and set speeds, for the fake kernel and the real one."""

from __future__ import annotations

import errno
from collections.abc import Callable

from semantics import CPUFREQ, P0, P1, Machine, expect, govern, limits, refused, set_limit

# --- governors ----------------------------------------------------------------------------------------------------


def unknown_governor(machine: Machine) -> None:
    for word in ("foo", "\n", "  "):
        refused(lambda word=word: govern(machine, word), errno.EINVAL)
    expect(machine, f"{P0}/scaling_governor", "schedutil")


def nothing_is_accepted_and_changes_nothing(machine: Machine) -> None:
    for name in ("scaling_governor", "scaling_max_freq", "scaling_setspeed"):
        machine.write(f"{P0}/{name}", "")
    expect(machine, f"{P0}/scaling_governor", "schedutil")
    limits(machine, 800, 3600)


def governors_in_any_case_and_only_the_first_word(machine: Machine) -> None:
    govern(machine, "PowerSave\n")
    expect(machine, f"{P0}/scaling_governor", "powersave")
    govern(machine, " performance junk")
    expect(machine, f"{P0}/scaling_governor", "performance")
    expect(machine, f"{P1}/scaling_governor", "schedutil")


def governors_decide_the_frequency(machine: Machine) -> None:
    govern(machine, "performance")
    expect(machine, f"{P0}/scaling_cur_freq", "3600000")
    govern(machine, "powersave")
    expect(machine, f"{P0}/scaling_cur_freq", "800000")


def offer(machine: Machine) -> None:
    assert machine.read(f"{P0}/scaling_available_governors").endswith(" \n")
    words = machine.read(f"{P0}/scaling_available_governors").split()
    assert sorted(words) == ["conservative", "ondemand", "performance", "powersave", "schedutil", "userspace"]
    table = machine.read(f"{P0}/scaling_available_frequencies")
    assert table == "3600000 3200000 2800000 2400000 2000000 1600000 1200000 800000 \n"


# --- limits -------------------------------------------------------------------------------------------------------


def requests_are_remembered(machine: Machine) -> None:
    set_limit(machine, "max", "2000000")
    set_limit(machine, "min", "2400000")
    limits(machine, 2000, 2000)
    set_limit(machine, "max", "700000")
    limits(machine, 800, 800)
    set_limit(machine, "max", "3600000")
    limits(machine, 2400, 3600)


def limits_are_clamped_without_an_error(machine: Machine) -> None:
    set_limit(machine, "min", "1")
    limits(machine, 800, 3600)
    set_limit(machine, "min", "99999999")
    limits(machine, 3600, 3600)
    set_limit(machine, "min", "0")
    set_limit(machine, "max", "99999999")
    limits(machine, 800, 3600)


def limits_snap_to_the_table(machine: Machine) -> None:
    set_limit(machine, "max", "2100000")
    limits(machine, 800, 2000)
    set_limit(machine, "min", "1700000")
    limits(machine, 2000, 2000)
    set_limit(machine, "max", "1500000")
    limits(machine, 1600, 1600)
    set_limit(machine, "max", "99999999")
    limits(machine, 2000, 3600)


def between_two_states(machine: Machine) -> None:
    set_limit(machine, "min", "2100000")
    set_limit(machine, "max", "2300000")
    limits(machine, 2400, 2400)


def text_that_is_no_number(machine: Machine) -> None:
    for text in ("xyz", "-1", " ", "\n", "3000000000"):
        refused(lambda text=text: set_limit(machine, "max", text), errno.EINVAL)
        limits(machine, 800, 3600)


def text_that_begins_with_a_number(machine: Machine) -> None:
    set_limit(machine, "max", "2000000 junk")
    limits(machine, 800, 2000)
    set_limit(machine, "max", " 2400000\n")
    limits(machine, 800, 2400)
    set_limit(machine, "max", "0x1E8480")
    limits(machine, 800, 800)


def numbers_wrap(machine: Machine) -> None:
    set_limit(machine, "max", str((1 << 32) + 2_000_000))
    limits(machine, 800, 2000)


def read_only_even_for_root(machine: Machine) -> None:
    for name in ("cpuinfo_max_freq", "scaling_available_governors", "affected_cpus", "bios_limit"):
        refused(lambda name=name: machine.write(f"{P0}/{name}", "1"), errno.EACCES)


def no_such_file(machine: Machine) -> None:
    for path in (f"{P0}/energy_performance_preference", f"{CPUFREQ}/policy7/scaling_governor"):
        refused(lambda path=path: machine.read(path), errno.ENOENT)


# --- userspace ----------------------------------------------------------------------------------------------------


def setspeed_is_of_userspace_only(machine: Machine) -> None:
    expect(machine, f"{P0}/scaling_setspeed", "<unsupported>")
    refused(lambda: machine.write(f"{P0}/scaling_setspeed", "1600000"), errno.EINVAL)


def setspeed_starts_where_it_was(machine: Machine) -> None:
    govern(machine, "performance")
    expect(machine, f"{P0}/scaling_cur_freq", "3600000")
    govern(machine, "userspace")
    expect(machine, f"{P0}/scaling_setspeed", "3600000")


def setspeed_rounds_up_and_clamps(machine: Machine) -> None:
    govern(machine, "userspace")
    for text, khz in (("1700000", 2_000_000), ("9999999", 3_600_000), ("1", 800_000), ("2400000 junk", 2_400_000)):
        machine.write(f"{P0}/scaling_setspeed", text)
        expect(machine, f"{P0}/scaling_setspeed", str(khz))
        expect(machine, f"{P0}/scaling_cur_freq", str(khz))
    for text in ("abc", "-5"):
        refused(lambda text=text: machine.write(f"{P0}/scaling_setspeed", text), errno.EINVAL)


def setspeed_is_remembered_under_a_limit(machine: Machine) -> None:
    govern(machine, "userspace")
    machine.write(f"{P0}/scaling_setspeed", "3200000")
    set_limit(machine, "max", "2000000")
    expect(machine, f"{P0}/scaling_setspeed", "2000000")
    set_limit(machine, "max", "3600000")
    expect(machine, f"{P0}/scaling_setspeed", "3200000")


CHECKS: tuple[Callable[[Machine], None], ...] = (
    unknown_governor,
    nothing_is_accepted_and_changes_nothing,
    governors_in_any_case_and_only_the_first_word,
    governors_decide_the_frequency,
    offer,
    requests_are_remembered,
    limits_are_clamped_without_an_error,
    limits_snap_to_the_table,
    between_two_states,
    text_that_is_no_number,
    text_that_begins_with_a_number,
    numbers_wrap,
    read_only_even_for_root,
    no_such_file,
    setspeed_is_of_userspace_only,
    setspeed_starts_where_it_was,
    setspeed_rounds_up_and_clamps,
    setspeed_is_remembered_under_a_limit,
)
