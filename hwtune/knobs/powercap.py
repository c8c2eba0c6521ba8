"""Power limits of CPU packages (Documentation/power/powercap/powercap.rst, drivers/powercap/intel_rapl_common.c).

    /sys/class/powercap/intel-rapl:0/name                           package-0
    /sys/class/powercap/intel-rapl:0/enabled                        1
    /sys/class/powercap/intel-rapl:0/constraint_0_name              long_term
    /sys/class/powercap/intel-rapl:0/constraint_0_power_limit_uw    15000000        µW
    /sys/class/powercap/intel-rapl:0/constraint_0_max_power_uw      15000000        µW, 0 where it is not known
    /sys/class/powercap/intel-rapl:0/constraint_1_name              short_term

Knobs: `powercap.long_term` and `powercap.short_term`, in µW. A limit does nothing while its zone is not enabled;
`powercap.enabled` is a knob where a zone was found so, for hwtune turns a limit on but never off. The subzones (core,
uncore, dram), the platform zone and the second window on the same package (intel-rapl-mmio) are left alone.

The hardware counts in units of its own, 1/8 W on most, and rounds down. Where the firmware has locked the register
the zone reads as not enabled, and a write is EINVAL (drivers/powercap/powercap_sys.c), or has no effect.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from hwtune.domain.knob import Activity, ChoiceKnob, RangeKnob
from hwtune.host.fs import HostFS
from hwtune.knobs.attributes import directory_of, name_of
from hwtune.knobs.policies import read_text
from hwtune.knobs.target import FileTarget, Unit, grid, only_while, read_unit, whole

WORD = "powercap"
UNIT = r"package-\d+(?:-die-\d+)?"
_ZONES = "/sys/class/powercap/intel-rapl:[0-9]*"
_ENABLED = "enabled"
_TERMS = ("long_term", "short_term")
_CONSTRAINTS = range(3)
_FILES = (
    _ENABLED,
    *(f"constraint_{index}_{what}" for index in _CONSTRAINTS for what in ("name", "power_limit_uw", "max_power_uw")),
    *(f"constraint_{index}_min_power_uw" for index in _CONSTRAINTS),
)
# Where no minimum is told. Far below what it was built for a package hardly runs at all.
_LEAST_SHARE = 4
_WATT_UW = 1_000_000
_LEVELS = 100
# The coarsest power unit that the register can name.
_ROUNDING_UW = _WATT_UW


def units(files: HostFS) -> tuple[Unit, ...]:
    """The package zones that have limits."""
    found = []
    for directory in files.glob(_ZONES):
        name = read_text(files, f"{directory}/name") or ""
        if re.fullmatch(UNIT, name):
            found.append(read_unit(files, name, directory, _FILES))
    return tuple(unit for unit in found if _limits(unit))


def targets(group: tuple[Unit, ...], prefix: str) -> list[FileTarget]:
    """The limits of a group of like packages, and the switch where it is off."""
    first, found = group[0], []
    switch = f"{prefix}{WORD}.{_ENABLED}"
    off = first.texts.get(_ENABLED) == "0"
    for key, index in _limits(first).items():
        knob = _limit_knob(first, index, f"{prefix}{WORD}.{key}", only_while(switch, "1") if off else ())
        if knob is not None:
            paths = tuple(unit.path(f"constraint_{index}_power_limit_uw") for unit in group)
            found.append(FileTarget(knob=knob, key=f"{WORD}.{key}", files=paths))
    if found and off:
        knob_of_switch = ChoiceKnob(name=switch, role="other", choices=("0", "1"), default="0")
        paths = tuple(unit.path(_ENABLED) for unit in group)
        found.append(FileTarget(knob=knob_of_switch, key=f"{WORD}.{_ENABLED}", files=paths))
    return found


def coupled(files: HostFS, path: str) -> tuple[str, ...]:
    """What a write may change: the limits and the switch of the same zone."""
    return (*files.glob(f"{directory_of(path)}/constraint_[0-9]_power_limit_uw"), f"{directory_of(path)}/{_ENABLED}")


def owns(path: str) -> bool:
    """Whether it is a file of these."""
    return path.startswith("/sys/class/powercap/")


def accepts(path: str, wanted: str, text: str) -> bool:
    """A limit may be rounded, clamped, or stay as it was where firmware has locked it: then it reads as before."""
    return name_of(path) != _ENABLED and None not in (whole(wanted), whole(text))


def explains(path: str, text: str, *, ours: Mapping[str, Sequence[str]], original: Mapping[str, str]) -> bool:
    """A request of ours, rounded down to the hardware's unit."""
    now = whole(text)
    requests = [whole(mine) for mine in ours.get(path, ())]
    return now is not None and any(want is not None and 0 <= want - now < _ROUNDING_UW for want in requests)


def _limits(unit: Unit) -> dict[str, int]:
    """Constraint number by its name, of those that limit something now; `peak_power` is nobody's to tune."""
    named = {unit.texts.get(f"constraint_{index}_name"): index for index in _CONSTRAINTS}
    return {
        term: named[term]
        for term in _TERMS
        if term in named and (unit.number(f"constraint_{named[term]}_power_limit_uw") or 0) > 0
    }


def _limit_knob(unit: Unit, index: int, name: str, active_when: tuple[Activity, ...]) -> RangeKnob | None:
    """The range from what the kernel says is the least to the larger of its most and what was found, in whole watts.

    A board that limits nothing names thousands of watts: then what the package was built for is stepped through.
    """
    default = unit.number(f"constraint_{index}_power_limit_uw")
    if default is None:
        return None
    told = unit.number(f"constraint_{index}_max_power_uw")
    usual = told or unit.number("constraint_0_max_power_uw") or default
    high = max(told or 0, default)
    low = min(unit.number(f"constraint_{index}_min_power_uw") or usual // _LEAST_SHARE, default)
    top = min(usual, high)
    step = max(-(-(top - low) // (_LEVELS * _WATT_UW)), 1) * _WATT_UW
    levels = grid(low, max(top, low), step, default, high)
    if len(levels) < 2:
        return None
    return RangeKnob(
        name=name,
        role="power_cap",
        unit="uW",
        low=low,
        high=high,
        default=default,
        levels=levels,
        active_when=active_when,
    )
