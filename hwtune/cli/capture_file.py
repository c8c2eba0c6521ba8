"""A file that appears whole or not at all: written aside, and never over another one without leave."""

from __future__ import annotations

import errno
import os
import stat
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from hwtune.domain.errors import HostError, PermissionDenied, UsageError


def check_free(path: Path, *, force: bool) -> None:
    """Whether a file may be put there.

    Raises:
        UsageError: something is there that may not be replaced.
        HostError: it cannot be looked at.
    """
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        if not path.parent.is_dir():
            raise UsageError(f"there is no directory {path.parent}", hint="make it, or name another place") from None
        return
    except (OSError, ValueError) as error:
        raise _failed(path, error) from error
    if not stat.S_ISREG(mode):
        raise UsageError(f"{path} is there and is no plain file", hint="name another file")
    if not force:
        raise UsageError(f"{path} is there already", hint="--force replaces it")


def write_aside(path: Path, write: Callable[[BinaryIO], None], *, force: bool) -> int:
    """Write a file beside its place, and move it there once it is whole and on the disk; returns its size in bytes.

    Raises:
        UsageError: something has come there in between.
        PermissionDenied: no right to write there.
        HostError: no space, a read-only file system.
    """
    aside = None
    try:
        fd, aside = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        with os.fdopen(fd, "wb") as stream:
            write(stream)
            stream.flush()
            os.fchmod(fd, 0o644)
            os.fsync(fd)
            size = stream.tell()
        check_free(path, force=force)
        os.replace(aside, path)
    except BaseException as error:
        if aside is not None:
            with suppress(OSError):
                os.unlink(aside)
        if isinstance(error, OSError | ValueError):
            raise _failed(path, error) from error
        raise
    return size


def _failed(path: Path, error: OSError | ValueError) -> HostError:
    code = getattr(error, "errno", None)
    if code in {errno.EACCES, errno.EPERM, errno.EROFS}:
        return PermissionDenied(str(path), "write", errno=code, hint="name a place that you may write to")
    hint = "make room there, or name another place" if code in {errno.ENOSPC, errno.EDQUOT} else "name another place"
    return HostError(str(path), "write", errno=code, hint=hint)
