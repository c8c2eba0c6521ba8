"""What each cpufreq driver couples; a driver that is not named here takes the generic line.

The order of writing is the same for all (`attributes.Stage`), because it is the one order that is right for the
strictest of them; what differs is only what a write to one attribute does to another.

Sources: drivers/cpufreq/{intel_pstate,amd-pstate,acpi-cpufreq,cppc_cpufreq,cpufreq}.c.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Driver:
    """Couplings of one driver.

    Args:
        name: as `scaling_driver` reads.
        epp_locked_under: governors under which the EPP reads `performance` and another value is EBUSY.
        epp_numbers: whether the EPP takes 0-255 besides the words.
        boost_resets_max: whether switching boost overwrites the requested maximum with the new hardware maximum.
        max_snaps_to_top: whether a maximum above the highest non-turbo state may read as the hardware maximum.
        reset_governor: what `hwtune reset` sets, None for schedutil, else ondemand, else the first on offer.
    """

    name: str
    epp_locked_under: tuple[str, ...] = ()
    epp_numbers: bool = False
    boost_resets_max: bool = True
    max_snaps_to_top: bool = False
    reset_governor: str | None = None


GENERIC = Driver(name="generic")
_DRIVERS = (
    # Active mode: `powersave` is the hardware's own governor, and `performance` overrides the EPP.
    Driver(
        name="intel_pstate",
        epp_locked_under=("performance",),
        epp_numbers=True,
        boost_resets_max=False,
        max_snaps_to_top=True,
        reset_governor="powersave",
    ),
    # The same driver in passive mode; with HWP the EPP is there and never locked.
    Driver(name="intel_cpufreq", epp_numbers=True, boost_resets_max=False),
    Driver(name="amd-pstate-epp", epp_locked_under=("performance",), epp_numbers=True, reset_governor="powersave"),
    # Boost is a bit in a register; the P-state table, and with it every limit, stays as it is.
    Driver(name="acpi-cpufreq", boost_resets_max=False),
)


def driver_named(name: str | None) -> Driver:
    """The couplings of a driver; the generic ones where it is not known."""
    return next((driver for driver in _DRIVERS if driver.name == name), GENERIC)
