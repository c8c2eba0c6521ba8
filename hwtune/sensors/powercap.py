"""RAPL energy counters under /sys/class/powercap (Documentation/power/powercap/powercap.rst).

    intel-rapl:0    name package-0   energy_uj 240422366267   max_energy_range_uj 262143328850
    intel-rapl:0:0  name core        intel-rapl:0:1  name uncore       intel-rapl:0:2  name dram
    intel-rapl:1    name psys        intel-rapl-mmio:0  name package-0

What is counted is the package, and each package once:

- core and uncore are inside the package;
- dram is a sibling of the package on servers and inside it, or absent, elsewhere; as sysfs does not tell which, it is
  never added, so that figures of different machines mean the same;
- psys contains the packages, and is used only where there is no package zone;
- intel-rapl-mmio is the same counter of the same package through another window, used only where it is the only one;
- AMD's counters appear under the same names.

The hardware counts 32 bits of a unit, 61.035 or 15.258 µJ in most, and adds to it about every millisecond
(Intel SDM 3B, 16.10; AMD PPR for family 17h, MSRC001_029B). The driver shows whole µJ and as the range the largest
count times the unit (intel_rapl_common.c, get_max_energy_counter), so range / (2³² - 1) is the unit.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from hwtune.domain.energy import MOST_POWER_W
from hwtune.domain.errors import HostError, PermissionDenied, Unsupported
from hwtune.domain.sample import EnergyReading, Resolution
from hwtune.host.fs import HostFS
from hwtune.sensors.optional import optional_int, optional_text, parse_int

_CONTROL_TYPES = ("intel-rapl", "intel-rapl-mmio")
_PACKAGE = re.compile(r"package-\d+(-die-\d+)?")
_PSYS = re.compile("psys")
UPDATE_S = 0.001
_LARGEST_COUNT = 2**32 - 1
# A limit holds on average over its time window, and the package takes more for a part of that.
_OVERSHOOT = 4.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Zone:
    """One powercap zone: its directory, name, the largest value of its counter, and the most it can draw."""

    path: str
    name: str
    max_energy_uj: int | None
    max_power_w: float
    resolution: Resolution


def find_zones(files: HostFS) -> tuple[Zone, ...]:
    """The zones that together are the machine's CPU energy: all packages, else psys.

    Raises:
        Unsupported: there are none, or one of them cannot be read.
    """
    zones = [_named_zones(files, control_type) for control_type in _CONTROL_TYPES]
    for kind in (_PACKAGE, _PSYS):
        for named in zones:
            wanted = [name for name in named if kind.fullmatch(name)]
            if wanted:
                return tuple(_readable(files, name, named[name]) for name in wanted)
    raise Unsupported(
        "no RAPL package zone in /sys/class/powercap",
        hint="on x86 hardware: `modprobe intel_rapl_msr`",
    )


def _named_zones(files: HostFS, control_type: str) -> dict[str, str]:
    """Directory by zone name; a name that comes twice is the same thing twice, and the first one stands."""
    named: dict[str, str] = {}
    for path in files.glob(f"/sys/class/powercap/{control_type}:*"):
        name = optional_text(files, f"{path}/name")
        if name:
            named.setdefault(name, path)
    return named


def _readable(files: HostFS, name: str, path: str) -> Zone:
    file = f"{path}/energy_uj"
    try:
        text = files.read(file)
    except PermissionDenied as error:
        raise Unsupported(
            f"{file} may be read by root only (mode 0400 since CVE-2020-8694)",
            hint="run as root, with CAP_DAC_READ_SEARCH, or with CAP_PERFMON (by perf)",
        ) from error
    except HostError as error:
        raise Unsupported(str(error), hint="see `dmesg | grep -i rapl`") from error
    if text is None or parse_int(text) is None:
        raise Unsupported(f"{file} gives no number", hint="see `dmesg | grep -i rapl`")
    range_uj = optional_int(files, f"{path}/max_energy_range_uj")
    range_uj = range_uj if range_uj is not None and range_uj > 0 else None
    # The driver's unit is a whole number of nJ.
    unit_j = None if range_uj is None else round(range_uj / _LARGEST_COUNT * 1e3) / 1e9
    return Zone(
        path=path,
        name=name,
        max_energy_uj=range_uj,
        max_power_w=_max_power_w(files, path),
        resolution=Resolution(update_s=UPDATE_S, step=unit_j or None),
    )


def _max_power_w(files: HostFS, path: str) -> float:
    """What the zone never draws on average: four times its highest limit while limits are enforced, or `MOST_POWER_W`.

        constraint_0_power_limit_uw 4090000000   no limit at all, on many boards
        constraint_1_max_power_uw 0              not known

    The least of `max_power_uw`, what it was built for, counts as a limit that may be set again later.
    """
    if optional_text(files, f"{path}/enabled") != "1":
        return MOST_POWER_W
    limits_uw = [
        value
        for what in ("power_limit_uw", "max_power_uw")
        for limit in files.glob(f"{path}/constraint_[0-9]_{what}")
        if (value := optional_int(files, limit)) is not None and value > 0
    ]
    return min(_OVERSHOOT * max(limits_uw) / 1e6, MOST_POWER_W) if limits_uw else MOST_POWER_W


def read_zones(files: HostFS, zones: tuple[Zone, ...]) -> tuple[EnergyReading, ...]:
    """The counters now; a zone that does not answer has `energy_uj` None."""
    return tuple(
        EnergyReading(
            zone=zone.name,
            source="powercap",
            energy_uj=optional_int(files, f"{zone.path}/energy_uj"),
            max_energy_uj=zone.max_energy_uj,
            max_power_w=zone.max_power_w,
            resolution=zone.resolution,
        )
        for zone in zones
    )
