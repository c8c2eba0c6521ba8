"""A kernel that counts: perf_event_open as include/uapi/linux/perf_event.h has it, in a time of our own."""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from hwtune.host.fs import LinuxFS

ATTR = struct.Struct("=IIQQQQQIIQ")
GROUPED = 8
INHERIT, EXCLUDE_USER, EXCLUDE_KERNEL, ENABLE_ON_EXEC = 1 << 1, 1 << 4, 1 << 5, 1 << 12

HARDWARE = {
    0: "cycles",
    1: "instructions",
    2: "cache-references",
    3: "cache-misses",
    4: "branches",
    5: "branch-misses",
    7: "stalled-cycles-frontend",
    8: "stalled-cycles-backend",
    9: "ref-cycles",
}
SOFTWARE = {1: "task-clock", 2: "page-faults", 3: "context-switches", 4: "cpu-migrations", 6: "major-faults"}


@dataclass(eq=False)
class FakeEvent:
    """One descriptor's event."""

    fd: int
    type: int
    config: int
    read_format: int
    flags: int
    pid: int
    cpu: int
    leader: FakeEvent | None
    value: int = 0
    enabled: int = 0
    running: int = 0
    dead: bool = False

    @property
    def pmu(self) -> int:
        """The PMU that the upper half of a hardware event's config names."""
        return self.config >> 32 if self.type == 0 else 0

    @property
    def name(self) -> str:
        names = {0: HARDWARE, 1: SOFTWARE}.get(self.type, {})
        bare = names.get(self.config & 0xFFFFFFFF, f"{self.type}/{self.config:#x}")
        user, kernel = self.flags & EXCLUDE_KERNEL, self.flags & EXCLUDE_USER
        return bare + (":u" if user else ":k" if kernel else "")


class FakePerf:
    """See `hwtune.host.perf_event.PerfCalls`.

    Args:
        online: CPUs, written to a tree under `root` as well.
        refuse: the errno with which an event is not opened, or None.
        most_files: descriptors, after which it is EMFILE.
        spare: what `spare_files` says.
    """

    def __init__(
        self,
        root: Path,
        online: str = "0-1",
        refuse: Callable[[FakeEvent], int | None] = lambda event: None,
        most_files: int = 10_000,
        spare: int = 10_000,
    ) -> None:
        self.root, self.refuse, self.most_files, self.spare = root, refuse, most_files, spare
        self.events: dict[int, FakeEvent] = {}
        self.reads = 0
        self._next = 100
        self.files = LinuxFS(root)
        self.online(online)

    def put(self, path: str, text: str) -> None:
        """A file of the machine."""
        file = self.root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def online(self, cpus: str) -> None:
        """What the kernel lists."""
        self.put("/sys/devices/system/cpu/online", cpus + "\n")

    def offline(self, cpu: int) -> None:
        """Its events count no more, and of every group there is one of each (perf_event_exit_cpu)."""
        for event in self.events.values():
            if event.cpu == cpu:
                event.dead, event.leader = True, None

    def run(
        self,
        seconds: float,
        rates: Mapping[str, int],
        share: Callable[[FakeEvent], float] = lambda event: 1.0,
        only: Callable[[FakeEvent], bool] = lambda event: True,
    ) -> None:
        """Time passes: by name (with its modifier) the rate of each event, and the share of time it is on the PMU."""
        for event in self.events.values():
            if not event.dead and only(event):
                event.enabled += round(seconds * 1e9)
                event.running += round(seconds * share(event) * 1e9)
                event.value += round(rates.get(event.name, 0) * seconds * share(event))

    def open(self, attr: bytes, *, pid: int, cpu: int, group: int) -> int:
        kind, size, config, period, sample, read_format, flags, wakeup, breakpoint_type, config1 = ATTR.unpack(attr)
        assert (size, period, sample, wakeup, breakpoint_type, config1) == (64, 0, 0, 0, 0, 0)
        assert read_format & 3 == 3, "without both times nothing can be said of a count"
        leader = self.events[group] if group != -1 else None
        assert leader is None or (leader.leader is None and leader.cpu == cpu and leader.pid == pid)
        event = FakeEvent(self._next, kind, config, read_format, flags, pid, cpu, leader)
        code = self.refuse(event)
        if code is None and len(self.events) >= self.most_files:
            code = errno.EMFILE
        if code is not None:
            raise OSError(code, os.strerror(code))
        self.events[event.fd] = event
        self._next += 1
        return event.fd

    def read(self, fd: int, size: int) -> bytes:
        self.reads += 1
        event = self.events[fd]
        if not event.read_format & GROUPED:
            return struct.pack("=3Q", event.value, event.enabled, event.running)
        first = event.leader or event
        group = [first, *(other for other in self.events.values() if other.leader is first)]
        data = struct.pack(
            f"={3 + len(group)}Q", len(group), first.enabled, first.running, *(each.value for each in group)
        )
        if len(data) > size:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return data

    def close(self, fd: int) -> None:
        gone = self.events.pop(fd)
        for other in self.events.values():
            if other.leader is gone:
                other.leader = None

    def spare_files(self) -> int:
        return self.spare


def no_hardware(event: FakeEvent) -> int | None:
    """A virtual machine."""
    return errno.ENOENT if event.type == 0 else None
