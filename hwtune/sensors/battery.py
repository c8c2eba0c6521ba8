"""Power drawn from batteries under /sys/class/power_supply (Documentation/ABI/testing/sysfs-class-power).

    BAT0  type Battery  status Discharging  power_now 4830000 (µW)
    BAT1  type Battery  status Discharging  current_now 395000 (µA)  voltage_now 12229000 (µV)
    AC    type Mains    online 0            hidpp_battery_0  type Battery  scope Device

Only while the machine runs from them: on mains a battery says nothing about what the machine draws. `scope Device` is
the battery of a mouse. The gauge is refreshed every few seconds, which no file announces; its steps are µW and more.
"""

from __future__ import annotations

from hwtune.domain.errors import Unsupported
from hwtune.domain.sample import EnergyReading, Resolution
from hwtune.host.fs import HostFS
from hwtune.sensors.optional import optional_int, optional_text

_RESOLUTION = Resolution(step=1e-6)


def find_batteries(files: HostFS) -> tuple[str, ...]:
    """Directories of the machine's batteries.

    Raises:
        Unsupported: there is none, none says what it gives, or the machine does not run from them now.
    """
    batteries = _supplies(files, "Battery")
    if not batteries:
        raise Unsupported("no battery in /sys/class/power_supply")
    names = ", ".join(path.rsplit("/", 1)[1] for path in batteries)
    if not _on_battery(files, batteries):
        raise Unsupported(f"{names} is not discharging, so its power is not the machine's", hint="unplug the charger")
    if any(_power_uw(files, path) is None for path in batteries):
        raise Unsupported(f"{names} gives neither power_now nor current_now with voltage_now")
    return batteries


def _supplies(files: HostFS, *types: str) -> tuple[str, ...]:
    return tuple(
        path
        for path in files.glob("/sys/class/power_supply/*")
        if optional_text(files, f"{path}/type") in types and optional_text(files, f"{path}/scope") != "Device"
    )


def _on_battery(files: HostFS, batteries: tuple[str, ...]) -> bool:
    """No charger online, and some battery discharging (of two, firmware drains one after the other)."""
    chargers = _supplies(files, "Mains", "USB", "Wireless")
    if any(optional_int(files, f"{path}/online") not in {None, 0} for path in chargers):
        return False
    return any(optional_text(files, f"{path}/status") == "Discharging" for path in batteries)


def _power_uw(files: HostFS, path: str) -> int | None:
    """What one battery gives. Drivers do not agree on the sign of a discharge."""
    if optional_text(files, f"{path}/status") != "Discharging":
        return 0
    power_uw = optional_int(files, f"{path}/power_now")
    if power_uw is not None:
        return abs(power_uw)
    current_ua = optional_int(files, f"{path}/current_now")
    voltage_uv = optional_int(files, f"{path}/voltage_now")
    if current_ua is None or voltage_uv is None:
        return None
    return abs(current_ua) * voltage_uv // 1_000_000


def read_batteries(files: HostFS, batteries: tuple[str, ...]) -> tuple[EnergyReading, ...]:
    """What the batteries give now; without power once a charger is in."""
    discharging = _on_battery(files, batteries)
    return tuple(
        EnergyReading(
            zone=path.rsplit("/", 1)[1],
            source="power_supply",
            power_uw=_power_uw(files, path) if discharging else None,
            resolution=_RESOLUTION,
        )
        for path in batteries
    )
