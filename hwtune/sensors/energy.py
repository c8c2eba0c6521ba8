"""The machine's energy source, chosen once: RAPL, else a power meter, else the battery, else none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

from hwtune.domain.errors import Unsupported
from hwtune.domain.sample import EnergyReading
from hwtune.host.fs import HostFS
from hwtune.sensors.battery import find_batteries, read_batteries
from hwtune.sensors.hwmon import find_meters, read_meters
from hwtune.sensors.powercap import find_zones, read_zones

Quality = Literal["package", "node", "battery", "none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class EnergySource:
    """Where energy comes from, and how good that is.

    Args:
        quality: `package` (the CPUs), `node` (the machine, at its power supply), `battery` (the machine, coarsely),
            `none`.
        name: what figures from it are labelled with.
        period_s: how often to sample: often enough not to miss a wrap or a change, not oftener than it is refreshed.
        emulated: whether the meter is no meter of real power, and every figure must say so.
        why: what a better source is missing; None for the best kind.
        hint: what to do about that, or None.
        reader: reads the zones.
    """

    quality: Quality
    name: str
    period_s: float
    emulated: bool = False
    why: str | None = None
    hint: str | None = None
    reader: Callable[[], tuple[EnergyReading, ...]]

    def read(self) -> tuple[EnergyReading, ...]:
        """One reading per zone now, empty without a source."""
        return self.reader()


def find_energy_source(files: HostFS) -> EnergySource:
    """The best energy source that can be read with our present rights. Never raises for want of one."""
    refusals: list[Unsupported] = []
    for find in (_rapl, _meter, _battery):
        try:
            return find(files, _why(refusals), _hint(refusals))
        except Unsupported as refusal:
            refusals.append(refusal)
    return EnergySource(
        quality="none", name="none", period_s=1.0, why=_why(refusals), hint=_hint(refusals), reader=lambda: ()
    )


def _why(refusals: list[Unsupported]) -> str | None:
    return "; ".join(str(refusal) for refusal in refusals) or None


def _hint(refusals: list[Unsupported]) -> str | None:
    return "; or ".join(refusal.hint for refusal in refusals if refusal.hint) or None


def _rapl(files: HostFS, why: str | None, hint: str | None) -> EnergySource:
    zones = find_zones(files)
    psys = zones[0].name == "psys"
    return EnergySource(
        quality="node" if psys else "package",
        name=f"RAPL {' + '.join(zone.name for zone in zones)}",
        period_s=1.0,  # 2³² units last 2 minutes at 500 W: far from missing a wrap
        why=why,
        hint=hint,
        reader=partial(read_zones, files, zones),
    )


def _meter(files: HostFS, why: str | None, hint: str | None) -> EnergySource:
    found = find_meters(files)
    zones = " + ".join(meter.zone for meter in found.meters)
    kind = "emulated meter" if found.emulated else "power meter"
    # Slower than 1 s the trapezoid cuts corners, faster than 0.1 s the reading costs more than it tells.
    period_s = min(max(found.interval_s or 1.0, 0.1), 1.0)
    return EnergySource(
        quality=found.quality,
        name=f"{kind} {found.driver} ({zones})",
        period_s=period_s,
        emulated=found.emulated,
        why=why,
        hint=hint,
        reader=partial(read_meters, files, found.meters),
    )


def _battery(files: HostFS, why: str | None, hint: str | None) -> EnergySource:
    batteries = find_batteries(files)
    return EnergySource(
        quality="battery",
        name=f"battery {' + '.join(path.rsplit('/', 1)[1] for path in batteries)}",
        period_s=1.0,
        why=why,
        hint=hint,
        reader=partial(read_batteries, files, batteries),
    )
