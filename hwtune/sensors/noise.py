"""What disturbs a measured run from outside: throttling, swapping, other programs, clocks that do not hold.

Bracket each run with `NoiseMeter.begin` and `NoiseMeter.end`; what the run itself carries (steal, busy time, pressure)
stays with it. What all of it means is said by `noise_report`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from hwtune.domain.trial import Run
from hwtune.host.fs import HostFS
from hwtune.sensors.optional import optional_int, optional_text, parse_int

_CPU = "/sys/devices/system/cpu"


@dataclass(frozen=True, slots=True, kw_only=True)
class DisturbedRun:
    """A run, and what came from outside while it lasted.

    Args:
        run: the run itself.
        throttles: how often heat made the hardware slow down; None where the kernel does not count it.
        swapped_pages: pages written to and read from swap; None where that is not counted.
        clock_khz: by the directory of each policy that was busy, the lowest frequency seen.
        limit_khz: by directory, the limit that was in force, the firmware's included; left out where it is the highest
            of the hardware, above which there may be bins of boost that cpufreq does not know.
        demanded_khz: by directory, what the governor asks for under load; left out where that depends on the load.
    """

    run: Run
    throttles: int | None = None
    swapped_pages: int | None = None
    clock_khz: Mapping[str, int] = field(default_factory=dict)
    limit_khz: Mapping[str, int] = field(default_factory=dict)
    demanded_khz: Mapping[str, int] = field(default_factory=dict)


def parse_swapped_pages(text: str) -> int | None:
    """Pages swapped in and out since boot, from /proc/vmstat; None where neither is counted.

        nr_free_pages 1342
        pswpin 512
        pswpout 2048

    Documentation: proc_vmstat(5).
    """
    counts = [parse_int(found[1]) for found in re.finditer(r"^pswp(?:in|out) (\S+)$", text, re.MULTILINE)]
    known = [count for count in counts if count is not None]
    return sum(known) if known else None


def count_cpus(files: HostFS) -> int:
    """CPUs that are online, by the lines of /proc/stat; 0 where that says nothing."""
    return len(re.findall(r"^cpu\d+ ", optional_text(files, "/proc/stat") or "", re.MULTILINE))


class NoiseMeter:
    """Counters around a run.

    Args:
        files: the machine.
        clocks: by the directory of each policy that was busy, the lowest frequency in kHz since it was asked last.
    """

    def __init__(self, files: HostFS, clocks: Callable[[], Mapping[str, int]]) -> None:
        self._files = files
        self._clocks = clocks
        self._core = files.glob(f"{_CPU}/cpu[0-9]*/thermal_throttle/core_throttle_count")
        self._package = files.glob(f"{_CPU}/cpu[0-9]*/thermal_throttle/package_throttle_count")
        self._throttles: int | None = None
        self._swapped: int | None = None

    def begin(self) -> None:
        """A run begins."""
        self._clocks()
        self._throttles, self._swapped = self.throttles(), self.swapped_pages()

    def end(self, run: Run) -> DisturbedRun:
        """It has ended."""
        clocks = self._clocks()
        limits = {directory: limit for directory in clocks if (limit := self._limit_khz(directory)) is not None}
        return DisturbedRun(
            run=run,
            throttles=_growth(self._throttles, self.throttles()),
            swapped_pages=_growth(self._swapped, self.swapped_pages()),
            clock_khz=clocks,
            limit_khz={directory: khz for directory, khz in limits.items() if not self._is_top(directory, khz)},
            demanded_khz={directory: khz for directory, khz in limits.items() if self._wants_all(directory)},
        )

    def throttles(self) -> int | None:
        """Thermal throttling events since boot (drivers/thermal/intel/therm_throt.c); None off Intel and in most VMs.

        Every CPU of a package counts the package's events, so of those the highest count stands for all.
        """
        core = [optional_int(self._files, path) for path in self._core]
        package = [optional_int(self._files, path) for path in self._package]
        known = [count for count in core if count is not None]
        highest = max((count for count in package if count is not None), default=None)
        return None if not known and highest is None else sum(known) + (highest or 0)

    def swapped_pages(self) -> int | None:
        """Pages swapped in and out since boot."""
        return parse_swapped_pages(optional_text(self._files, "/proc/vmstat") or "")

    def _limit_khz(self, directory: str) -> int | None:
        limits = [optional_int(self._files, f"{directory}/{name}") for name in ("scaling_max_freq", "bios_limit")]
        return min((khz for khz in limits if khz is not None and khz > 0), default=None)

    def _is_top(self, directory: str, limit_khz: int) -> bool:
        return limit_khz >= (optional_int(self._files, f"{directory}/cpuinfo_max_freq") or 0)

    def _wants_all(self, directory: str) -> bool:
        return optional_text(self._files, f"{directory}/scaling_governor") == "performance"


def _growth(before: int | None, after: int | None) -> int | None:
    """None where the counter was not there, or began anew."""
    return None if before is None or after is None or after < before else after - before
