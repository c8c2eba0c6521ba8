"""One writer at a time: a lock that dies with its holder and says who that is."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from hwtune.domain.errors import JournalError, Locked, PermissionDenied

_NAME = "lock"


class Lock:
    """`run_dir/lock`, held by flock(2): the kernel frees it when the process ends, however it ends.

    The file itself stays, for removing it would let two writers hold two files of one name.

    Args:
        run_dir: created when it is not there.
        verb: said to whoever finds the lock taken.
    """

    def __init__(self, run_dir: Path, *, verb: str) -> None:
        self._path = run_dir / _NAME
        self._verb = verb
        self._fd: int | None = None

    def acquire(self) -> None:
        """Take the lock, without waiting.

        Raises:
            Locked: somebody holds it.
            PermissionDenied: no right to create it.
            JournalError: it cannot be created (no space).
        """
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except PermissionError as error:
            raise PermissionDenied(str(self._path), "write", errno=error.errno, hint="run as root") from error
        except OSError as error:
            raise _no_room("create", self._path, error) from error
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(fd, 0)
            os.pwrite(fd, f"{os.getpid()} {self._verb}\n".encode(), 0)
        except BlockingIOError as error:
            holder = os.pread(fd, 200, 0).decode("utf-8", "replace").split()
            os.close(fd)
            raise _taken(holder) from error
        except OSError as error:
            os.close(fd)
            raise _no_room("write", self._path, error) from error
        self._fd = fd

    def release(self) -> None:
        """Let go; nothing happens when the lock is not held."""
        if self._fd is not None:
            fd, self._fd = self._fd, None
            os.close(fd)


def _no_room(operation: str, path: Path, error: OSError) -> JournalError:
    return JournalError(
        f"cannot {operation} {path}: {error.strerror}",
        hint=f"nothing was changed; make room in {path.parent}, or set paths.run_dir",
    )


def _taken(holder: list[str]) -> Locked:
    who = f"hwtune {holder[1]} (pid {holder[0]})" if len(holder) == 2 else "another hwtune"
    return Locked(f"{who} holds this machine", hint="wait until it ends; it puts back what it changed")
