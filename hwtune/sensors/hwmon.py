"""Energy and power meters under /sys/class/hwmon (Documentation/hwmon/sysfs-interface.rst).

    hwmon1/device/name power_meter   power1_average 32500000 (µW)   power1_average_interval 1000 (ms)
    hwmon2/name amd_energy   energy65_label Esocket0   energy65_input 123456789 (µJ)

Drivers of the old kind put the files under `device/`. A power sensor says what it measures only by its driver's name
and its label: laser diodes, pumps and graphics cards have `power1_input` too. So the meters that are the CPU's or the
whole machine's are listed here, and no other is taken for one.

How often they are refreshed is known of the RAPL counters behind `amd_energy` alone. An ACPI meter announces the time
that it averages over, `power1_average_interval`, and is taken to be refreshed once in that; its power is in mW
(acpi_power_meter.c). Of the others it is learned.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from hwtune.domain.errors import Unsupported
from hwtune.domain.sample import EnergyReading, Resolution
from hwtune.host.fs import HostFS
from hwtune.sensors.optional import optional_int, optional_text


@dataclass(frozen=True, slots=True, kw_only=True)
class _Chip:
    """A driver whose meters are known: what they measure, and which of its labels (None: no label is needed).

    `update_s` where it is documented; the steps of a counter and of a power where they are not the file's own µJ or µW.
    """

    names: tuple[str, ...]
    quality: Literal["package", "node"]
    label: str | None = None
    update_s: float | None = None
    step_j: float = 1e-6
    step_w: float = 1e-6


# In order of preference: energy counters before powers, the package before the whole machine.
_CHIPS = (
    _Chip(names=("amd_energy", "zenergy"), quality="package", label=r"Esocket\d+", update_s=0.001, step_j=2**-16),
    _Chip(names=("fam15h_power",), quality="package"),
    _Chip(names=("apm_xgene",), quality="package", label="CPU power"),
    _Chip(names=("power_meter",), quality="node", step_w=1e-3),  # ACPI 4.0 power meter: the server's own
    _Chip(names=("corsairpsu",), quality="node", label="power total"),
)
# The rig's meter: power of a modelled chip, behind a real driver.
_EMULATED = {"power1_oem_info": "hwtune-rig", "power1_model_number": "emulated"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Meter:
    """One hwmon attribute that is read: `path` in µJ when `counts_energy`, else in µW."""

    path: str
    zone: str
    counts_energy: bool
    resolution: Resolution


@dataclass(frozen=True, slots=True, kw_only=True)
class Meters:
    """The meters that together are the machine's, all of one driver.

    Args:
        driver: hwmon name of the driver.
        quality: `package` or `node`.
        meters: one per socket, or one.
        emulated: whether the device says itself that it is no meter of real power.
    """

    driver: str
    quality: Literal["package", "node"]
    meters: tuple[Meter, ...]
    emulated: bool


def find_meters(files: HostFS) -> Meters:
    """The first known meters that answer.

    Raises:
        Unsupported: there are none; a meter that was seen but is not known is named.
    """
    directories = _directories(files)
    for chip in _CHIPS:
        mine = {path: name for path, name in directories.items() if name in chip.names}
        meters = [meter for path in mine for meter in _meters(files, path, chip)]
        if not meters:
            continue
        if chip.quality == "node":
            meters = meters[:1]  # a second one measures a part of the first
        device = next(path for path in mine if meters[0].path.startswith(f"{path}/"))
        return Meters(
            driver=mine[device],
            quality=chip.quality,
            meters=tuple(meters),
            emulated=_emulated(files, device),
        )
    unknown = sorted({name for path, name in directories.items() if _inputs(files, path)})
    seen = f" (the power of {', '.join(unknown)} is not known to be the CPU's or the machine's)" if unknown else ""
    raise Unsupported(f"no power meter in /sys/class/hwmon{seen}", hint="on servers: `modprobe acpi_power_meter`")


def _emulated(files: HostFS, path: str) -> bool:
    chip = path.removesuffix("/device")
    return any(
        optional_text(files, f"{place}/{file}") == says
        for place in (chip, f"{chip}/device")
        for file, says in _EMULATED.items()
    )


def _directories(files: HostFS) -> dict[str, str]:
    """Driver name by directory with a meter's files: hwmonN itself, or hwmonN/device where they sit there."""
    named = {}
    for chip in files.glob("/sys/class/hwmon/hwmon*"):
        for path in (chip, f"{chip}/device"):
            name = optional_text(files, f"{path}/name") or optional_text(files, f"{chip}/name")
            if name and _inputs(files, path):
                named[path] = name
                break
    return named


def _inputs(files: HostFS, path: str) -> tuple[str, ...]:
    """Energy counters first; of a power both averaged and instantaneous, the average, which misses nothing between."""
    averages = files.glob(f"{path}/power*_average")
    instants = files.glob(f"{path}/power*_input")
    lone = tuple(each for each in instants if each.replace("_input", "_average") not in averages)
    return files.glob(f"{path}/energy*_input") + averages + lone


def _meters(files: HostFS, path: str, chip: _Chip) -> list[Meter]:
    meters = []
    for attribute in _inputs(files, path):
        name = attribute.rsplit("/", 1)[1]
        if chip.label is not None:
            label = optional_text(files, f"{path}/{name.split('_')[0]}_label")
            if label is None or not re.fullmatch(chip.label, label):
                continue
        if optional_int(files, attribute) is None:
            continue
        device = path.removesuffix("/device").rsplit("/", 1)[1]
        zone = f"{device}/{name.split('_')[0]}"
        found = _resolution(files, attribute, chip)
        meters.append(Meter(path=attribute, zone=zone, counts_energy=name.startswith("energy"), resolution=found))
    return meters


def _resolution(files: HostFS, attribute: str, chip: _Chip) -> Resolution:
    """What is documented or announced; an average's interval is in ms."""
    interval_ms = optional_int(files, f"{attribute}_interval") if attribute.endswith("_average") else None
    step = chip.step_j if "/energy" in attribute else chip.step_w
    if interval_ms is None or interval_ms <= 0:
        return Resolution(update_s=chip.update_s, step=step)
    return Resolution(update_s=interval_ms / 1e3, average_s=interval_ms / 1e3, step=step)


def read_meters(files: HostFS, meters: tuple[Meter, ...]) -> tuple[EnergyReading, ...]:
    """The meters now; one that does not answer has neither energy nor power."""
    readings = []
    for meter in meters:
        value = optional_int(files, meter.path)
        readings.append(
            EnergyReading(
                zone=meter.zone,
                source="hwmon",
                energy_uj=value if meter.counts_energy else None,
                power_uw=None if meter.counts_energy else value,
                resolution=meter.resolution,
            )
        )
    return tuple(readings)
