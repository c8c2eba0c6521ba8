"""How fast the cores ran while they had something to do: what a frequency limit is checked against.

An idle core's frequency says nothing of a limit, and may be an old one. So a policy counts only where one of its CPUs
was busy for most of the time since the last look.
"""

from __future__ import annotations

from hwtune.domain.errors import HostError
from hwtune.host.fs import HostFS
from hwtune.host.reader import Reader, open_reader
from hwtune.sensors.optional import optional_text, parse_int

_CPU = "/sys/devices/system/cpu"
_BUSY = 0.6
# Below a few ticks of /proc/stat (10 ms each) a share is noise.
_TICKS = 5


def parse_busy_ticks(text: str) -> dict[int, tuple[int, int]]:
    """(busy, all) time of each CPU from /proc/stat, in USER_HZ ticks; idle, iowait and stolen time are not busy.

        cpu0 1981 0 1481 107100 308 0 5 24 0 0
        cpu1 2011 3 1204 108211 291 0 2 30 0 0

    Documentation: filesystems/proc.rst (1.7), proc_stat(5).
    """
    found = {}
    for line in text.splitlines():
        if not line.startswith("cpu"):
            continue
        name, *words = line.split()[:9]
        cpu = parse_int(name.removeprefix("cpu"))
        ticks = [number for word in words if (number := parse_int(word)) is not None]
        if cpu is not None and cpu >= 0 and len(ticks) >= 4:
            waiting = sum(ticks[3:5]) + sum(ticks[7:8])
            found[cpu] = (sum(ticks) - waiting, sum(ticks))
    return found


class LoadedClocks:
    """`scaling_cur_freq` of busy policies. On x86 the kernel measures it by APERF/MPERF.

    Args:
        files: the machine.
    """

    def __init__(self, files: HostFS) -> None:
        self.watching = False
        self._files = files
        self._cpus = _cpus_by_policy(files)
        self._clocks = {directory: open_reader(files, f"{directory}/scaling_cur_freq") for directory in self._cpus}
        self._before: dict[int, tuple[int, int]] = {}
        self._lowest: dict[str, int] = {}

    def look(self) -> None:
        """Note how fast busy policies run now; does nothing unless `watching`."""
        if not self.watching:
            return
        ticks = parse_busy_ticks(optional_text(self._files, "/proc/stat") or "")
        grown = {
            cpu: (busy - self._before[cpu][0], whole - self._before[cpu][1])
            for cpu, (busy, whole) in ticks.items()
            if cpu in self._before
        }
        if self._before and max((whole for _, whole in grown.values()), default=_TICKS) < _TICKS:
            return  # too soon to tell
        self._before = ticks
        for directory, cpus in self._cpus.items():
            shares = [grown[cpu][0] / grown[cpu][1] for cpu in cpus if cpu in grown and grown[cpu][1] >= _TICKS]
            if max(shares, default=0.0) < _BUSY:
                continue
            khz = _khz(self._clocks[directory])
            if khz is not None and khz > 0:
                self._lowest[directory] = min(khz, self._lowest.get(directory, khz))

    def take(self) -> dict[str, int]:
        """By the directory of each policy that was busy the lowest frequency seen since this was asked last, in kHz.

        The lowest, because a limit that holds at one moment is not ignored.
        """
        found, self._lowest = self._lowest, {}
        return found


def _khz(clock: Reader) -> int | None:
    try:
        return parse_int(clock.read() or "")
    except HostError:
        return None


def _cpus_by_policy(files: HostFS) -> dict[str, tuple[int, ...]]:
    found = {}
    for pattern in (f"{_CPU}/cpufreq/policy[0-9]*", f"{_CPU}/cpu[0-9]*/cpufreq"):
        for directory in files.glob(pattern):
            words = (optional_text(files, f"{directory}/affected_cpus") or "").split()
            cpus = tuple(cpu for word in words if (cpu := parse_int(word)) is not None)
            if cpus:
                found[directory] = cpus
        if found:
            break
    return found
