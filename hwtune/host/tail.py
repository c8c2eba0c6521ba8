"""The end of a file that a program keeps writing its figures to."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass

from hwtune.domain.errors import HostError, PermissionDenied

TAIL_BYTES = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Tail:
    """A file at one instant.

    Args:
        text: its last `TAIL_BYTES`.
        stamp: what differs once it has been written to: inode, size, time of change in ns.
    """

    text: str
    stamp: tuple[int, int, int]


def read_tail(path: str) -> Tail | None:
    """The end of a regular file, None where there is none (yet).

    Raises:
        PermissionDenied: it may not be read.
        HostError: it is no regular file (reading a pipe would wait for its writer), or cannot be read.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except FileNotFoundError:
        return None
    except PermissionError as error:
        raise PermissionDenied(path, "read", errno=error.errno, hint="the file must be readable") from error
    except (OSError, ValueError) as error:
        raise HostError(path, "read", errno=getattr(error, "errno", None), hint="is the path right?") from error
    try:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode):
            raise HostError(path, "read", hint="only a regular file can be read again and again")
        raw = os.pread(fd, TAIL_BYTES, max(0, found.st_size - TAIL_BYTES))
    except OSError as error:
        raise HostError(path, "read", errno=error.errno, hint="is the disk all right?") from error
    finally:
        os.close(fd)
    return Tail(text=raw.decode("utf-8", "replace"), stamp=(found.st_ino, found.st_size, found.st_mtime_ns))
