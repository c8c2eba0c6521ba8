"""The CPU's temperature: /sys/class/thermal (driver-api/thermal/sysfs-api.rst), else hwmon.

    thermal_zone0/type x86_pkg_temp   temp 49925 (m°C)        hwmon2/name coretemp   temp1_input 50000 (m°C)

A board has many zones (`acpitz`, the wireless card, the battery). What is read is the best kind that answers, and only
that: a limit on the CPU's temperature must not hang on the card reader's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from hwtune.host.fs import HostFS
from hwtune.sensors.found import FoundFiles
from hwtune.sensors.optional import optional_int, optional_text

# thermal zone types by preference: the package, named CPU zones of ARM device trees, then the firmware's own idea.
_ZONE_KINDS = (r"x86_pkg_temp", r"(cpu|soc|cluster|little|big|mid|gold|silver|bcm2835).*", r"acpitz.*")
_HWMON_CPU = {"coretemp", "k10temp", "k8temp", "zenpower", "cpu_thermal", "scpi_sensors"}
# Unpopulated and disabled zones answer with -274 °C, -44 °C, 255 °C and the like.
_PLAUSIBLE_MC = range(-40_000 + 1, 150_000)


class ThermalSensor:
    """Temperatures of the CPU in m°C. The zones are looked up once, and again when one has gone."""

    def __init__(self, files: HostFS) -> None:
        self._zones = FoundFiles(files, _find)

    def temp_mc(self) -> dict[str, int]:
        """Temperature by zone, empty without a sensor; an implausible one is left out."""
        return {zone: temp for zone, temp in self._zones.ints().items() if temp in _PLAUSIBLE_MC}


def _answer(files: HostFS, paths: Mapping[str, str]) -> bool:
    return any(temp is not None and temp in _PLAUSIBLE_MC for temp in (optional_int(files, p) for p in paths.values()))


def _find(files: HostFS) -> dict[str, str]:
    """Path by zone of the first kind in which any zone answers; hwmon comes after the package's own zone."""
    zones = {
        path: optional_text(files, f"{path}/type") or "" for path in files.glob("/sys/class/thermal/thermal_zone*")
    }
    package, named, firmware = (
        {
            f"{kind}/{path.rsplit('/', 1)[1]}": f"{path}/temp"
            for path, kind in zones.items()
            if re.fullmatch(wanted, kind, re.IGNORECASE)
        }
        for wanted in _ZONE_KINDS
    )
    for paths in (package, _hwmon(files), named, firmware):
        if _answer(files, paths):
            return paths
    return {}


def _hwmon(files: HostFS) -> dict[str, str]:
    """The first temperature of each CPU's chip: the package of coretemp, Tctl of k10temp."""
    found = {}
    for path in files.glob("/sys/class/hwmon/hwmon*"):
        for place in (path, f"{path}/device"):
            name = optional_text(files, f"{place}/name")
            if name in _HWMON_CPU and optional_int(files, f"{place}/temp1_input") is not None:
                found[f"{name}/{path.rsplit('/', 1)[1]}"] = f"{place}/temp1_input"
                break
    return found
