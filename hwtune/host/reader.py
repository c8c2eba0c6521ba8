"""A kernel file that is read again and again: kept open where it is the kernel's own, looked up anew elsewhere.

Reading at offset 0 makes the kernel write the text anew, also through a descriptor that has been read before
(filesystems/sysfs.rst, "Reading/Writing Attribute Data"; fs/seq_file.c for /proc). What a kept descriptor saves is the
walk along the path and an allocation in the kernel: most of the time.
"""

from __future__ import annotations

import os
import resource
from contextlib import suppress
from typing import Protocol

from hwtune.host.fs import HostFS, LinuxFS

# An attribute of sysfs is a page at most, and pages have 4096 bytes on all but a few machines.
_PAGE = 4096
# The part of the files we may open that readers may keep: event counters, pipes and the store need theirs.
_KEPT_SHARE = 4


class Reader(Protocol):
    """One file's text, whenever it is asked for."""

    def read(self) -> str | None:
        """See `HostFS.read`: the same text and errors; where it is longer than a page perhaps only its beginning."""


class _PathReader:
    """By path, every time."""

    __slots__ = ("_files", "_path")

    def __init__(self, files: HostFS, path: str) -> None:
        self._files, self._path = files, path

    def read(self) -> str | None:
        """See `Reader.read`."""
        return self._files.read(self._path)


class _KeptReader:
    """Through a descriptor that stays open until the reader is dropped, as long as not too many are."""

    __slots__ = ("_fd", "_files", "_path")
    kept = 0

    def __init__(self, files: LinuxFS, path: str) -> None:
        self._files, self._path = files, path
        self._fd = -1

    def __del__(self) -> None:
        self._close()

    def read(self) -> str | None:
        """See `Reader.read`.

        A device that has gone (ENODEV through the old descriptor) and come back is another file at the same path; so
        after any error the path has the last word.
        """
        if self._fd >= 0 or self._open():
            try:
                return os.pread(self._fd, _PAGE, 0).decode("utf-8", "replace").rstrip()
            except OSError:
                self._close()
        return self._files.read(self._path)

    def _open(self) -> bool:
        if _KeptReader.kept >= resource.getrlimit(resource.RLIMIT_NOFILE)[0] // _KEPT_SHARE:
            return False
        with suppress(OSError):
            self._fd = self._files.open(self._path)
            _KeptReader.kept += 1
        return self._fd >= 0

    def _close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            _KeptReader.kept -= 1
        self._fd = -1


def open_reader(files: HostFS, path: str) -> Reader:
    """A reader of one file, whether or not it is there now.

    Only the kernel's own files are kept open: those of a tree may be replaced by others.
    """
    return _KeptReader(files, path) if isinstance(files, LinuxFS) and files.live else _PathReader(files, path)
