"""What each cpufreq driver has and couples; a driver that is not named here takes the generic line.

The order of writing and restoring is the same for all (`attributes.Stage`: governor, tunables, EPP, boost, limits),
because it is the one that is right for the strictest of them: `performance` locks the EPP under the active drivers,
and boost moves the maximum of most. What differs is what a write to one attribute does to another.

Which attributes there are is read from the machine, never from this table. What it says of boost holds for every
version of the driver that is known: where versions differ, for the one that changes more.

Sources: admin-guide/pm/{cpufreq,intel_pstate,amd-pstate,cpufreq_drivers}.rst; drivers/cpufreq/{intel_pstate,amd-pstate,
acpi-cpufreq,cppc_cpufreq,cpufreq-dt,pcc-cpufreq,powernow-k8,speedstep-smi,cpufreq}.c.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

# The energy-performance hint behind each word, 0 for most performance; a kernel may map a word otherwise on a model.
EPP_WORDS = {"performance": 0, "balance_performance": 128, "balance_power": 192, "power": 255}


@dataclass(frozen=True, slots=True, kw_only=True)
class Driver:
    """Couplings of one driver.

    Args:
        name: as `scaling_driver` reads.
        epp_locked_under: governors under which the EPP reads `performance` and another value is EBUSY.
        epp_listed_when_free: whether the available preferences shrink to `performance` while the EPP is locked.
        epp_numbers: whether the EPP takes 0-255 besides the words.
        boost_resets_max: whether switching boost may overwrite the requested maximum with the new hardware maximum.
        max_snaps_to_top: whether a maximum above the highest non-turbo state may read as the hardware maximum.
        perf_pct_limits: whether min_perf_pct and max_perf_pct are requests on the limits of every policy.
        may_refuse_dynamic: whether the kernel may put `performance` in the place of a governor that changes the
            frequency often, because the driver is slow at it.
        reset_governor: what `hwtune reset` sets, None for schedutil, else ondemand, else the first on offer.
        without: for a knob that it never has, what to do for one.
    """

    name: str
    epp_locked_under: tuple[str, ...] = ()
    epp_listed_when_free: bool = False
    epp_numbers: bool = False
    boost_resets_max: bool = True
    max_snaps_to_top: bool = False
    perf_pct_limits: bool = False
    may_refuse_dynamic: bool = False
    reset_governor: str | None = None
    without: Mapping[str, str] = field(default_factory=dict)


GENERIC = Driver(name="generic")
_AMD_EPP = {"epp": "the EPP is for the active driver: boot with amd_pstate=active, on Zen 2 and later"}
_PASSIVE = {"epp": "the EPP is for active drivers: boot with amd_pstate=active or, with HWP, intel_pstate=active"}
_NO_EPP = {"epp": "this driver has none; intel_pstate and amd-pstate in active mode do"}
_NO_BOOST = {"boost": "this driver has no switch for it", **_NO_EPP}
_DRIVERS = (
    # Active mode: `powersave` is the hardware's own governor, and `performance` overrides the EPP. The EPP is there
    # with HWP only; it comes back as it was when `performance` is left. Boost is no_turbo: no request is overwritten,
    # but what the limits are clamped to moves, and min_perf_pct is squashed.
    Driver(
        name="intel_pstate",
        epp_locked_under=("performance",),
        epp_numbers=True,
        boost_resets_max=False,
        max_snaps_to_top=True,
        reset_governor="powersave",
        without={"epp": "this processor has no HWP, or the kernel was booted with intel_pstate=no_hwp"},
    ),
    # The same driver in passive mode; with HWP the EPP is there and never locked.
    Driver(
        name="intel_cpufreq",
        epp_numbers=True,
        boost_resets_max=False,
        perf_pct_limits=True,
        without={"epp": "the EPP needs HWP, which intel_pstate=active turns on where the processor has it"},
    ),
    # Active mode. Under `performance` the EPP is 0 and the list of words has one; older versions forget the EPP.
    # Words only: a number is EINVAL. Boost moves the hardware maximum, older versions with it the request.
    Driver(
        name="amd-pstate-epp",
        epp_locked_under=("performance",),
        epp_listed_when_free=True,
        reset_governor="powersave",
    ),
    # Passive and guided mode have the same name; guided lets the hardware choose between the limits.
    Driver(name="amd-pstate", without=_AMD_EPP),
    # Boost is a bit in a register; the P-state table, and with it every limit, stays as it is.
    Driver(name="acpi-cpufreq", boost_resets_max=False, without=_PASSIVE),
    # Boost rewrites the requested maximum. The EPP of recent kernels has a file and units of its own here: left alone.
    Driver(name="cppc_cpufreq", without=_NO_EPP),
    # Boost is the turbo entries of the table, and the core rewrites the requested maximum with their coming and going.
    Driver(name="cpufreq-dt", without=_NO_EPP),
    # Any frequency between the limits; a change goes through the firmware, and with more than four CPUs the kernel
    # does not let a governor make many.
    Driver(name="pcc-cpufreq", may_refuse_dynamic=True, reset_governor="performance", without=_NO_BOOST),
    Driver(name="powernow-k8", boost_resets_max=False, without=_NO_BOOST),
    Driver(name="speedstep-smi", may_refuse_dynamic=True, reset_governor="performance", without=_NO_BOOST),
    Driver(name="speedstep-ich", without=_NO_BOOST),
    Driver(name="centrino", without=_NO_BOOST),
    # Skips clock ticks: the voltage stays, so that a lower step saves nothing; it starts with the governor it is given.
    Driver(name="p4-clockmod", may_refuse_dynamic=True, reset_governor="performance", without=_NO_BOOST),
)


def driver_named(name: str | None) -> Driver:
    """The couplings of a driver; the generic ones where it is not known."""
    return next((driver for driver in _DRIVERS if driver.name == name), GENERIC)
