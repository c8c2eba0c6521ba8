"""The machine's energy source, chosen once: RAPL, else a power meter, else the battery, else none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Literal

from hwtune.domain.energy import longest_gap_s
from hwtune.domain.errors import Unsupported
from hwtune.domain.sample import EnergyReading, Resolution
from hwtune.host.fs import HostFS
from hwtune.host.perf_event import PerfCalls
from hwtune.sensors.battery import find_batteries, read_batteries
from hwtune.sensors.crosscheck import CrossCheck
from hwtune.sensors.hwmon import find_meters, read_meters
from hwtune.sensors.power_pmu import PowerPmu
from hwtune.sensors.powercap import find_zones, read_zones
from hwtune.sensors.refresh import RefreshWatch

Quality = Literal["package", "node", "battery", "none"]
Readings = tuple[EnergyReading, ...]

# Oftener than this a reading costs more than it tells, slower a short run has too few.
_FASTEST_S, _SLOWEST_S = 0.1, 1.0
# A power is looked at several times while its average follows a change, or the moment of that is not known; what does
# not tell over how long it averages is taken to do so over a second. A battery's gauge is slower than all that.
_LOOKS = 4


class EnergySource:
    """Where energy comes from, and how good that is.

    Attributes:
        quality: the domain: `package` (the CPUs), `node` (the machine, at its power supply), `battery` (the machine,
            coarsely), `none`.
        period_s: how often to sample: often enough not to miss a wrap or a change, not oftener than it is refreshed.
        emulated: whether the meter is no meter of real power, and every figure must say so.
        why: what a better source is missing; None for the best kind.
        hint: what to do about that, or None.
    """

    def __init__(
        self,
        name: str,
        quality: Quality,
        reader: Callable[[], Readings],
        *,
        emulated: bool = False,
        why: str | None = None,
        hint: str | None = None,
        check: CrossCheck | None = None,
    ) -> None:
        """Reads each zone once, to learn what can be known of it beforehand.

        Args:
            name: of the sensor and its zones.
            quality: see above.
            reader: reads the zones.
            emulated: see above.
            why: see above.
            hint: see above.
            check: a second way to the same counters, or None.
        """
        self._name, self.quality, self._reader = name, quality, reader
        self.emulated, self.why, self.hint, self._check = emulated, why, hint, check
        self._now = reader()
        unknown = [reading for reading in self._now if reading.resolution.update_s is None]
        self._watches = {reading.zone: RefreshWatch() for reading in unknown}
        self.period_s = _period_s(self._now)

    @property
    def name(self) -> str:
        """What figures from it are labelled with."""
        return self._name if self.doubt is None else f"{self._name} (doubtful: {self.doubt})"

    @property
    def checked(self) -> bool:
        """Whether there is a second way to the same counters."""
        return self._check is not None

    @property
    def doubt(self) -> str | None:
        """Why its figures may be wrong, None as long as nothing speaks against them."""
        return None if self._check is None else self._check.doubt

    @property
    def resolution(self) -> Resolution | None:
        """Of its coarsest zone, None without a source."""
        known = [self._learned(reading).resolution for reading in self._now]
        return max(known, key=lambda each: (each.update_s is None, each.update_s or 0.0), default=None)

    def read(self, t_ns: int) -> Readings:
        """One reading per zone now, empty without a source.

        Args:
            t_ns: the machine's clock just before.
        """
        self._now = self._reader()
        if self._check is not None:
            self._check.see(t_ns, self._now)
        if not self._watches:
            return self._now
        for reading in self._now:
            watch = self._watches.get(reading.zone)
            if watch is not None:
                watch.see(t_ns, reading.energy_uj if reading.power_uw is None else reading.power_uw)
        return tuple(map(self._learned, self._now))

    def _learned(self, reading: EnergyReading) -> EnergyReading:
        watch = self._watches.get(reading.zone)
        if watch is None or watch.update_s is None:
            return reading
        return replace(reading, resolution=replace(reading.resolution, update_s=watch.update_s, learned=True))


def _period_s(readings: Readings) -> float:
    gaps = [gap for reading in readings if (gap := longest_gap_s(reading)) is not None]
    powers = [reading for reading in readings if reading.power_uw is not None and reading.source == "hwmon"]
    averages = [(reading.resolution.average_s or _SLOWEST_S) / _LOOKS for reading in powers]
    return max(min([_SLOWEST_S, *(gap / 2 for gap in gaps), *averages]), _FASTEST_S)


def find_energy_source(files: HostFS, perf: PerfCalls | None = None) -> EnergySource:
    """The best energy source that can be read with our present rights. Never raises for want of one.

    Args:
        files: the machine's.
        perf: the running machine's counters; None where these files are not the running machine's.
    """
    refusals: list[Unsupported] = []
    for find in (_rapl, _meter, _battery):
        try:
            return find(files, perf, refusals)
        except Unsupported as refusal:
            refusals.append(refusal)
    return EnergySource("none", "none", lambda: (), why=_why(refusals), hint=_hint(refusals))


def _why(refusals: list[Unsupported]) -> str | None:
    return "; ".join(str(refusal) for refusal in refusals) or None


def _hint(refusals: list[Unsupported]) -> str | None:
    return "; or ".join(refusal.hint for refusal in refusals if refusal.hint) or None


def _rapl(files: HostFS, perf: PerfCalls | None, refusals: list[Unsupported]) -> EnergySource:
    """By powercap, checked against perf's way to the same counters; by perf where that alone may be read."""
    pmu = None if perf is None else PowerPmu.find(files, perf)
    try:
        zones = find_zones(files)
    except Unsupported as refusal:
        if pmu is None:
            raise
        return EnergySource(
            f"RAPL by perf {' + '.join(pmu.zones)}",
            "node" if pmu.zones == ("psys",) else "package",
            pmu.read,
            why=str(refusal),
            hint=refusal.hint,
        )
    return EnergySource(
        f"RAPL {' + '.join(zone.name for zone in zones)}",
        "node" if zones[0].name == "psys" else "package",
        partial(read_zones, files, zones),
        check=None if pmu is None else CrossCheck(pmu.read),
    )


def _meter(files: HostFS, perf: PerfCalls | None, refusals: list[Unsupported]) -> EnergySource:
    found = find_meters(files)
    zones = " + ".join(meter.zone for meter in found.meters)
    kind = "emulated meter" if found.emulated else "power meter"
    return EnergySource(
        f"{kind} {found.driver} ({zones})",
        found.quality,
        partial(read_meters, files, found.meters),
        emulated=found.emulated,
        why=_why(refusals),
        hint=_hint(refusals),
    )


def _battery(files: HostFS, perf: PerfCalls | None, refusals: list[Unsupported]) -> EnergySource:
    batteries = find_batteries(files)
    return EnergySource(
        f"battery {' + '.join(path.rsplit('/', 1)[1] for path in batteries)}",
        "battery",
        partial(read_batteries, files, batteries),
        why=_why(refusals),
        hint=_hint(refusals),
    )
