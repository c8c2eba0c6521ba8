"""RAPL energy counters through perf's `power` PMU (arch/x86/events/rapl.c), for which CAP_PERFMON is enough.

    /sys/bus/event_source/devices/power/type                     20
    /sys/bus/event_source/devices/power/cpumask                  0,24
    /sys/bus/event_source/devices/power/events/energy-pkg        event=0x02
    /sys/bus/event_source/devices/power/events/energy-pkg.scale  2.3283064365386962890625e-10
    /sys/bus/event_source/devices/power/events/energy-pkg.unit   Joules

A counter is opened on each CPU of the mask and counts, scale times what it shows, what the whole package (or die) has
used since then; the kernel looks after wraps. As with powercap it is packages that are counted, psys only without them,
and neither `energy-cores`, `energy-gpu` nor `energy-ram`.
"""

from __future__ import annotations

import errno
import logging
import math
import os
import re
from contextlib import suppress

from hwtune.domain.sample import EnergyReading, Resolution
from hwtune.host.event_source import find_event, parse_cpu_list
from hwtune.host.fs import HostFS
from hwtune.host.perf_event import PerfCalls, pack_attr, parse_single
from hwtune.sensors.optional import optional_int, optional_text
from hwtune.sensors.powercap import UPDATE_S

_POWER = "/sys/bus/event_source/devices/power"
_CPU = "/sys/devices/system/cpu"
_PSYS, _PSYS_EVENT = "psys", "energy-psys"
_LAST_TYPE = 2**32 - 1  # perf_event_attr.type is a u32
_READ_SIZE = 24  # u64: value, time enabled, time running
_SCALE = re.compile(r"[0-9]{1,20}(?:\.[0-9]{1,40})?(?:e[+-]?[0-9]{1,3})?", re.ASCII)
# The unit of the hardware behind the scale of 2⁻³² J is not told: the coarser of the usual ones.
_RESOLUTION = Resolution(update_s=UPDATE_S, step=2**-14)
_log = logging.getLogger(__name__)


def parse_scale(text: str) -> float | None:
    """What one count is in the event's unit, None for anything but a positive number.

    2.3283064365386962890625e-10
    """
    found = _SCALE.fullmatch(text.strip())
    scale = float(found[0]) if found else 0.0
    return scale if 0.0 < scale < math.inf else None


class _Zone:
    """An open counter; where its CPU has gone, another one is opened on the CPU that stands for the package then."""

    def __init__(self, files: HostFS, perf: PerfCalls, name: str, event: tuple[int, int], scale_uj: float) -> None:
        self.name = name
        self._files, self._perf, self._event, self._scale_uj = files, perf, event, scale_uj
        self._fd = -1
        self.open()

    def __del__(self) -> None:
        if self._fd >= 0:
            self._perf.close(self._fd)

    def open(self) -> None:
        """Count from now on.

        Raises:
            OSError: the kernel's refusal.
        """
        cpu = _cpus(self._files, self.name).get(self.name)
        if cpu is None:
            raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))
        self._fd = self._perf.open(pack_attr(*self._event, grouped=False), pid=-1, cpu=cpu, group=-1)

    def read_uj(self) -> int | None:
        """What was used since it was opened, None when it cannot be told."""
        with suppress(OSError):
            if self._fd < 0:
                self.open()
            found = parse_single(self._perf.read(self._fd, _READ_SIZE))
            if found is not None:
                return round(found[2] * self._scale_uj)
        if self._fd >= 0:
            self._perf.close(self._fd)
            self._fd = -1
        return None


class PowerPmu:
    """Open counters of all packages, or of psys."""

    def __init__(self, zones: tuple[_Zone, ...]) -> None:
        self._zones = zones

    @classmethod
    def find(cls, files: HostFS, perf: PerfCalls) -> PowerPmu | None:
        """The packages' counters, else psys's; None where they are not there or we may not open all of them."""
        for event in ("energy-pkg", _PSYS_EVENT):
            found = find_event(files, "power", event)
            scale = parse_scale(optional_text(files, f"{_POWER}/events/{event}.scale") or "")
            unit = optional_text(files, f"{_POWER}/events/{event}.unit")
            if found is None or found[0] > _LAST_TYPE or scale is None or unit != "Joules":
                continue
            names = _cpus(files, _PSYS if event == _PSYS_EVENT else "")
            try:
                zones = tuple(_Zone(files, perf, name, found, scale * 1e6) for name in names)
            except OSError as error:
                _log.debug("perf's power PMU: %s", error)
                return None
            if zones:
                return cls(zones)
        return None

    @property
    def zones(self) -> tuple[str, ...]:
        """Names of what is counted, as powercap has them."""
        return tuple(zone.name for zone in self._zones)

    def read(self) -> tuple[EnergyReading, ...]:
        """The counters now; one that does not answer has `energy_uj` None."""
        return tuple(
            EnergyReading(zone=zone.name, source="perf", energy_uj=zone.read_uj(), resolution=_RESOLUTION)
            for zone in self._zones
        )


def _cpus(files: HostFS, zone: str) -> dict[str, int]:
    """By powercap's name of the zone, the CPU to count it on: of all packages, or of psys for that.

    The mask has a CPU for each die. On AMD all dies of a package share the package's counter (and Linux before 6.11
    lists them all the same), so there one counts; elsewhere a die of several has a counter of its own.
    """
    try:
        mask = parse_cpu_list(optional_text(files, f"{_POWER}/cpumask") or "")
    except ValueError:
        return {}
    if zone == _PSYS:
        return {_PSYS: mask[0]} if mask else {}
    shared = re.search(
        r"^vendor_id\s*:\s*(AuthenticAMD|HygonGenuine)", optional_text(files, "/proc/cpuinfo") or "", re.MULTILINE
    )
    dies: dict[int, dict[int, int]] = {}
    for cpu in mask:
        package = optional_int(files, f"{_CPU}/cpu{cpu}/topology/physical_package_id")
        die = optional_int(files, f"{_CPU}/cpu{cpu}/topology/die_id")
        dies.setdefault(package or 0, {}).setdefault(0 if shared else die or 0, cpu)
    return {
        f"package-{package}" + (f"-die-{die}" if len(cpus) > 1 else ""): cpu
        for package, cpus in dies.items()
        for die, cpu in cpus.items()
    }
