"""The files that knobs write, told apart by their paths.

A journal holds nothing but paths and texts, so what a path is must follow from the path alone:

    /sys/devices/system/cpu/cpufreq/policy0/scaling_governor
    /sys/devices/system/cpu/cpufreq/policy0/scaling_max_freq           (old layout: …/cpu/cpu0/cpufreq/scaling_max_freq)
    /sys/devices/system/cpu/cpufreq/ondemand/up_threshold              (or policy0/ondemand/up_threshold)
    /sys/devices/system/cpu/cpufreq/boost                              (or policy0/boost)
    /sys/devices/system/cpu/intel_pstate/no_turbo                      (and min_perf_pct, max_perf_pct)
    /sys/devices/system/cpu/intel_uncore_frequency/package_00_die_00/max_freq_khz
    /sys/class/powercap/intel-rapl:0/constraint_0_power_limit_uw       (and enabled)
    /sys/devices/system/cpu/cpu0/cpuidle/state2/disable
    /sys/devices/system/cpu/cpu0/power/pm_qos_resume_latency_us

Kernel documentation: admin-guide/pm/cpufreq.rst, admin-guide/pm/intel_pstate.rst, admin-guide/pm/amd-pstate.rst; of
those that are off by default in the module of each.
"""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass
from enum import IntEnum

CPU = "/sys/devices/system/cpu"
CPUFREQ = f"{CPU}/cpufreq"
GOVERNOR = "scaling_governor"
SETSPEED = "scaling_setspeed"
EPP = "energy_performance_preference"
BOOST = "boost"
MAX = "scaling_max_freq"
MIN = "scaling_min_freq"
GLOBAL_BOOST = f"{CPUFREQ}/boost"
NO_TURBO = f"{CPU}/intel_pstate/no_turbo"
MAX_PERF_PCT = f"{CPU}/intel_pstate/max_perf_pct"
MIN_PERF_PCT = f"{CPU}/intel_pstate/min_perf_pct"
# Also squashed by the kernel when no_turbo changes.
PERF_PCT = (MAX_PERF_PCT, MIN_PERF_PCT)
# Only read: a firmware limit explains why a maximum reads lower than it was asked for.
BIOS_LIMIT = "bios_limit"


class Stage(IntEnum):
    """The order of writing, for applying and for restoring.

    The governor decides which tunables exist and whether the EPP is locked. Boost moves the hardware's maximum, and
    most drivers then overwrite the requested limit with it, so the limits come behind it. The rest has nothing to do
    with these; a power limit is set before it is enabled, so that no other one is ever in force.
    """

    GOVERNOR = 0
    TUNABLE = 1
    EPP = 2
    BOOST = 3
    LIMIT = 4
    UNCORE = 5
    POWER = 6
    POWER_SWITCH = 7
    IDLE = 8


_STAGES = {
    GOVERNOR: Stage.GOVERNOR,
    EPP: Stage.EPP,
    BOOST: Stage.BOOST,
    "no_turbo": Stage.BOOST,
    "max_perf_pct": Stage.LIMIT,
    "min_perf_pct": Stage.LIMIT,
    MAX: Stage.LIMIT,
    MIN: Stage.LIMIT,
    "max_freq_khz": Stage.UNCORE,
    "min_freq_khz": Stage.UNCORE,
    "enabled": Stage.POWER_SWITCH,
    "disable": Stage.IDLE,
    "pm_qos_resume_latency_us": Stage.IDLE,
}
_POWER_LIMIT = re.compile(r"constraint_\d_power_limit_uw")
# Files that say `1` where the knob says `0`.
_INVERTED = ("no_turbo", "disable")


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """One value for one file.

    Args:
        knob: the name users know it by, for messages.
        path: the file, as the kernel has it.
        value: the text to write.
        stage: writes of a lower stage go first, and what follows is planned anew after them.
        inverted: whether the file says `1` for the knob's `0` (`no_turbo` for boost).
    """

    knob: str
    path: str
    value: str
    stage: int = 0
    inverted: bool = False

    def word(self, text: str) -> str:
        """What a text of the file means for the knob."""
        return flipped(text) if self.inverted else text


def name_of(path: str) -> str:
    """The attribute's own name, `scaling_max_freq`."""
    return posixpath.basename(path)


def directory_of(path: str) -> str:
    """The directory the attribute is in: a policy's, a governor's, or a global one."""
    return posixpath.dirname(path)


def stage_of(path: str) -> Stage:
    """When the attribute is written; what is no other attribute is a tunable of a governor."""
    if _POWER_LIMIT.fullmatch(name_of(path)):
        return Stage.POWER
    return _STAGES.get(name_of(path), Stage.TUNABLE)


def inverted(path: str) -> bool:
    """Whether the file says `1` for the knob's `0`: `no_turbo` for boost, `disable` for an idle state."""
    return name_of(path) in _INVERTED


def flipped(text: str) -> str:
    """The other one of `0` and `1`; any other text as it is."""
    return {"0": "1", "1": "0"}.get(text, text)


def knob_of(path: str) -> str:
    """A short name for messages: `policy0.scaling_max_freq`, `ondemand.up_threshold`, `cpu0.cpuidle.state2.disable`."""
    short = path.removeprefix(f"{CPUFREQ}/").removeprefix(f"{CPU}/").removeprefix("/sys/class/powercap/")
    return short.replace("/cpufreq/", "/").replace("/", ".")
