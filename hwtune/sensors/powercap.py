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
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from hwtune.domain.errors import HostError, PermissionDenied, Unsupported
from hwtune.domain.sample import EnergyReading
from hwtune.host.fs import HostFS
from hwtune.sensors.optional import optional_int, optional_text, parse_int

_CONTROL_TYPES = ("intel-rapl", "intel-rapl-mmio")
_PACKAGE = re.compile(r"package-\d+(-die-\d+)?")
_PSYS = re.compile("psys")


@dataclass(frozen=True, slots=True, kw_only=True)
class Zone:
    """One powercap zone: its directory, name, and the largest value of its counter."""

    path: str
    name: str
    max_energy_uj: int | None


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
            hint="run as root, or with CAP_DAC_READ_SEARCH",
        ) from error
    except HostError as error:
        raise Unsupported(str(error), hint="see `dmesg | grep -i rapl`") from error
    if text is None or parse_int(text) is None:
        raise Unsupported(f"{file} gives no number", hint="see `dmesg | grep -i rapl`")
    return Zone(path=path, name=name, max_energy_uj=optional_int(files, f"{path}/max_energy_range_uj"))


def read_zones(files: HostFS, zones: tuple[Zone, ...]) -> tuple[EnergyReading, ...]:
    """The counters now; a zone that does not answer has `energy_uj` None."""
    return tuple(
        EnergyReading(
            zone=zone.name,
            source="powercap",
            energy_uj=optional_int(files, f"{zone.path}/energy_uj"),
            max_energy_uj=zone.max_energy_uj,
        )
        for zone in zones
    )
