"""perf_event_open(2) by ctypes: the system call, what it is given, and what a descriptor of it reads.

Numbers are those of include/uapi/linux/perf_event.h.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import resource
import struct
import sys
from functools import cache
from typing import Protocol

# libc has no wrapper; the number differs by architecture (arch/*/syscall*.tbl, asm-generic).
_SYSCALL = {"x86_64": 298, "i686": 336, "aarch64": 241, "riscv64": 241, "armv7l": 364, "ppc64le": 319, "s390x": 331}
_FLAG_FD_CLOEXEC = 8

_ATTR = struct.Struct("=IIQQQQQIIQ")  # struct perf_event_attr up to PERF_ATTR_SIZE_VER0, 64 bytes
_TIMES = 1 | 2  # PERF_FORMAT_TOTAL_TIME_ENABLED | TOTAL_TIME_RUNNING
_GROUP = 8  # PERF_FORMAT_GROUP

# Bits behind read_format, in the header's order.
DISABLED = 0
INHERIT = 1
EXCLUDE_USER = 4
EXCLUDE_KERNEL = 5
EXCLUDE_HV = 6
ENABLE_ON_EXEC = 12

DENIED = frozenset({errno.EACCES, errno.EPERM})
NO_SUCH_EVENT = frozenset({errno.ENOENT, errno.EOPNOTSUPP, errno.ENODEV, errno.ENXIO, errno.EINVAL})
TOO_MANY_FILES = frozenset({errno.EMFILE, errno.ENFILE})


class PerfCalls(Protocol):
    """The system calls that counting takes."""

    def open(self, attr: bytes, *, pid: int, cpu: int, group: int) -> int:
        """perf_event_open(2): a descriptor that is closed on exec.

        Args:
            attr: a struct perf_event_attr.
            pid: 0 for the calling thread, -1 for everything that runs on the CPU.
            cpu: a number, or -1 for any.
            group: descriptor of the group's leader, or -1.

        Raises:
            OSError: with the kernel's errno.
        """

    def read(self, fd: int, size: int) -> bytes:
        """What a descriptor reads.

        Raises:
            OSError: with the kernel's errno.
        """

    def close(self, fd: int) -> None:
        """Give a descriptor back."""

    def spare_files(self) -> int:
        """How many descriptors may be taken for counting."""


class LinuxPerf:
    """The running kernel."""

    def open(self, attr: bytes, *, pid: int, cpu: int, group: int) -> int:
        """See `PerfCalls.open`; ENOSYS also where the call's number is not known."""
        number = _SYSCALL.get(platform.machine())
        if number is None:
            raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
        long = ctypes.c_long
        fd = _libc_syscall()(long(number), attr, long(pid), long(cpu), long(group), ctypes.c_ulong(_FLAG_FD_CLOEXEC))
        if fd < 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))
        return int(fd)

    def read(self, fd: int, size: int) -> bytes:
        """See `PerfCalls.read`."""
        return os.read(fd, size)

    def close(self, fd: int) -> None:
        """See `PerfCalls.close`."""
        os.close(fd)

    def spare_files(self) -> int:
        """See `PerfCalls.spare_files`: half of all that the process may open; the rest of it needs some, too."""
        return resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2


@cache
def _libc_syscall() -> ctypes._NamedFuncPointer:
    syscall = ctypes.CDLL(None, use_errno=True).syscall
    syscall.restype = ctypes.c_long
    return syscall


def pack_attr(kind: int, config: int, bits: frozenset[int] = frozenset(), *, grouped: bool) -> bytes:
    """A struct perf_event_attr that counts.

    Args:
        kind: enum perf_type_id, or the number of a PMU in sysfs.
        config: which event.
        bits: of the flags, by number.
        grouped: whether a read of the group's leader gives all its events, else each gives its own.
    """
    # A bit field begins at the least significant bit, on big-endian machines at the most significant one.
    flags = sum(1 << (bit if sys.byteorder == "little" else 63 - bit) for bit in bits)
    return _ATTR.pack(kind, _ATTR.size, config, 0, 0, _TIMES | (_GROUP if grouped else 0), flags, 0, 0, 0)


def group_size(events: int) -> int:
    """Bytes that the leader of a group of so many events reads."""
    return 8 * (3 + events)


def parse_group(data: bytes, events: int) -> tuple[int, ...] | None:
    """A read with PERF_FORMAT_GROUP: number of events, time enabled, time running (ns), each value; u64 each.

    Returns:
        Time enabled, time running, each value, all since the events were opened; None when it is of another number of
        events: a CPU that goes offline dissolves its groups.
    """
    if len(data) != group_size(events):
        return None
    found = struct.unpack(f"={3 + events}Q", data)
    return found[1:] if found[0] == events else None


def parse_single(data: bytes) -> tuple[int, int, int] | None:
    """A read without PERF_FORMAT_GROUP: value, time enabled, time running (ns); u64 each.

    Returns:
        Time enabled, time running, value: in the order of `parse_group`. None when it is of another size.
    """
    if len(data) != 24:
        return None
    value, enabled, running = struct.unpack("=3Q", data)
    return enabled, running, value
