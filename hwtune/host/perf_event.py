"""System-wide event counts from perf_event_open(2), by ctypes.

Software events, which every kernel has, and hardware events where there is a PMU: these as one group per CPU, which is
scheduled as a unit, so that ratios compare like with like. Numbers are those of include/uapi/linux/perf_event.h.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

_TYPE_HARDWARE = 0  # enum perf_type_id
_TYPE_SOFTWARE = 1

# perf's name, type, config (enum perf_sw_ids, enum perf_hw_id). System-wide, task-clock is the time the CPUs were
# watched, idle or not, as in `perf stat -a`.
_Event = tuple[str, int, int]
EVENTS: tuple[_Event, ...] = (
    ("task-clock", _TYPE_SOFTWARE, 1),
    ("context-switches", _TYPE_SOFTWARE, 3),
    ("cpu-migrations", _TYPE_SOFTWARE, 4),
    ("page-faults", _TYPE_SOFTWARE, 2),
    ("cycles", _TYPE_HARDWARE, 0),
    ("instructions", _TYPE_HARDWARE, 1),
    ("cache-references", _TYPE_HARDWARE, 2),
    ("cache-misses", _TYPE_HARDWARE, 3),
)
# Hardware events share one group. Software events never share a counter, and grouped ones of different software PMUs
# (task-clock and the others) read 0 on Linux 6.18, so each stands alone.
_BATCHES = (
    *((event,) for event in EVENTS if event[1] == _TYPE_SOFTWARE),
    tuple(event for event in EVENTS if event[1] == _TYPE_HARDWARE),
)

# perf_event_open(2) has no wrapper in libc; its number differs by architecture (arch/*/syscall*.tbl, asm-generic).
_SYSCALL = {"x86_64": 298, "i686": 336, "aarch64": 241, "riscv64": 241, "armv7l": 364, "ppc64le": 319, "s390x": 331}

_ATTR = struct.Struct("=IIQQQQQIIQ")  # struct perf_event_attr up to PERF_ATTR_SIZE_VER0, 64 bytes
_READ_FORMAT = 1 | 2 | 8  # PERF_FORMAT_TOTAL_TIME_ENABLED | TOTAL_TIME_RUNNING | GROUP
_FLAG_FD_CLOEXEC = 8
_DENIED = {errno.EACCES, errno.EPERM}
_NO_SUCH_EVENT = {errno.ENOENT, errno.EOPNOTSUPP, errno.ENODEV, errno.EINVAL}
_DEVICES = Path("/sys/bus/event_source/devices")


class NoCounters:
    """The counters of a machine that is not running: none."""

    why: str | None = "a captured machine is not running"
    hint: str | None = "count on the machine itself"

    def read(self) -> Mapping[str, int]:
        """See `CounterSource.read`."""
        return {}


@dataclass(slots=True, kw_only=True)
class _Group:
    """Open events of one CPU, and what they have counted so far, scaled for the time they shared the PMU."""

    names: tuple[str, ...]
    fds: tuple[int, ...]
    previous: tuple[int, ...] = ()
    counts: list[float] = field(default_factory=list)
    starved: bool = False

    def update(self) -> None:
        """Add what was counted since the last read, times enabled/running of just that time: never goes back."""
        size = 8 * (3 + len(self.names))
        raw = os.read(self.fds[0], size)
        if len(raw) < size:
            return  # the CPU went offline; its counts stay
        now = struct.unpack(f"={3 + len(self.names)}Q", raw)
        before = self.previous or (0,) * len(now)
        self.previous, self.counts = now, self.counts or [0.0] * len(self.names)
        enabled, running = now[1] - before[1], now[2] - before[2]
        self.starved = enabled > 0 and running == 0
        if running > 0:
            for index in range(len(self.names)):
                self.counts[index] += (now[3 + index] - before[3 + index]) * enabled / running


class LinuxCounters:
    """Events of all CPUs of the running machine, opened at the first read.

    An event that some CPU cannot count is left out: a part of the machine is not a smaller machine. Nothing raises;
    `why` and `hint` say what is missing after the first read.
    """

    def __init__(self) -> None:
        self._groups: list[_Group] | None = None
        self._missing: list[str] = []
        self.why: str | None = None
        self.hint: str | None = None

    def read(self) -> Mapping[str, int]:
        """See `CounterSource.read`: counts since the first read, summed over the CPUs online then."""
        if self._groups is None:
            self._groups = self._open()
        totals: dict[str, float] = {}
        starved: set[str] = set()
        for group in self._groups:
            group.update()
            for name, count in zip(group.names, group.counts, strict=False):
                totals[name] = totals.get(name, 0.0) + count
            if group.starved:  # other users of the PMU had it all the time: not 0 events, but unknown
                starved.update(group.names)
        return {name: round(count) for name, count in totals.items() if name not in starved}

    def close(self) -> None:
        """Close every event; a later read opens them anew."""
        _close(self._groups or ())
        self._groups = None

    def _open(self) -> list[_Group]:
        number = _SYSCALL.get(platform.machine())
        if number is None:
            self.why = f"the number of perf_event_open is not known on {platform.machine()}"
            return []
        self._missing = []
        cpus = _cpu_list(Path("/sys/devices/system/cpu/online"))
        groups: list[_Group] = []
        try:
            for events in _BATCHES:
                groups += self._open_batch(number, events, cpus)
        except OSError as error:
            _close(groups)
            self._explain(error)
            return []
        return groups

    def _open_batch(self, number: int, events: tuple[_Event, ...], cpus: tuple[int, ...]) -> list[_Group]:
        """A group per CPU of those events that every CPU has."""
        types = _hybrid_types() if events[0][1] == _TYPE_HARDWARE else {}
        while events and cpus:
            groups: list[_Group] = []
            missing: str | None = None
            try:
                for cpu in cpus:
                    group, missing = _open_group(number, events, cpu, types.get(cpu, 0))
                    groups.append(group)
                    if missing is not None:
                        break
            except OSError:
                _close(groups)
                raise
            if missing is None:
                return groups
            _close(groups)
            self._missing.append(missing)
            self.why = f"not counted here: {', '.join(self._missing)} (no PMU driver, or the hypervisor hides the PMU)"
            self.hint = "without cycles and instructions, learning relies on time, load and power alone"
            events = tuple(event for event in events if event[0] != missing)
        return []

    def _explain(self, error: OSError) -> None:
        self.why = f"perf_event_open: {error.strerror}"
        if error.errno in _DENIED:
            with suppress(OSError):
                level = Path("/proc/sys/kernel/perf_event_paranoid").read_text().strip()
                self.why += f" (kernel.perf_event_paranoid is {level})"
            self.hint = "run as root, give CAP_PERFMON, or set kernel.perf_event_paranoid to 0 or less"
        elif error.errno == errno.EMFILE:
            self.hint = "raise the limit of open files (ulimit -n): 8 per CPU are needed"
        elif error.errno == errno.ENOSYS:
            self.hint = "this kernel is built without perf events (CONFIG_PERF_EVENTS)"


def _open_group(number: int, events: tuple[_Event, ...], cpu: int, pmu: int) -> tuple[_Group, str | None]:
    """The events of one CPU, the first one leading; and the name of the first that the CPU does not have, or None.

    Raises:
        OSError: anything else than a missing event; what was opened is closed.
    """
    fds: list[int] = []
    missing = None
    for name, kind, config in events:
        # On hybrid CPUs the upper half of the config of a hardware event is the PMU of the core's type.
        attr = _ATTR.pack(kind, _ATTR.size, config | pmu << 32, 0, 0, _READ_FORMAT, 0, 0, 0, 0)
        try:
            fds.append(_perf_event_open(number, attr, cpu, fds[0] if fds else -1))
        except OSError as error:
            if error.errno not in _NO_SUCH_EVENT:
                _close([_Group(names=(), fds=tuple(fds))])
                raise
            missing = name
            break
    return _Group(names=tuple(event[0] for event in events), fds=tuple(fds)), missing


def _perf_event_open(number: int, attr: bytes, cpu: int, leader: int) -> int:
    """perf_event_open(attr, pid=-1, cpu, leader, flags): every process on one CPU.

    Raises:
        OSError: with the kernel's errno.
    """
    syscall = ctypes.CDLL(None, use_errno=True).syscall
    syscall.restype = ctypes.c_long
    long = ctypes.c_long
    fd = int(syscall(long(number), attr, long(-1), long(cpu), long(leader), ctypes.c_ulong(_FLAG_FD_CLOEXEC)))
    if fd < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return fd


def _close(groups: Iterable[_Group]) -> None:
    for group in groups:
        for fd in group.fds:
            os.close(fd)


def _cpu_list(path: Path) -> tuple[int, ...]:
    try:
        return parse_cpu_list(path.read_text())
    except (OSError, ValueError):
        return ()


def parse_cpu_list(text: str) -> tuple[int, ...]:
    """CPU numbers of a kernel list (Documentation/core-api/printk-formats.rst, %*pbl).

        0-3,8,10-11

    Raises:
        ValueError: when the text is something else.
    """
    cpus: list[int] = []
    for part in text.strip().split(","):
        first, _, last = part.partition("-")
        if part:
            if max(len(first), len(last)) > 5:  # NR_CPUS is 8192 at most: this is no list of CPUs
                raise ValueError(f"not a list of CPUs: {text[:40]!r}")
            cpus.extend(range(int(first), int(last or first) + 1))
    return tuple(cpus)


def _hybrid_types() -> dict[int, int]:
    """The PMU type by CPU on machines whose cores have different PMUs (x86 `cpu_core`, `cpu_atom`), else empty."""
    types: dict[int, int] = {}
    for device in _DEVICES.glob("cpu_*"):
        with suppress(OSError, ValueError):
            number = int((device / "type").read_text())
            types.update(dict.fromkeys(_cpu_list(device / "cpus"), number))
    return types
