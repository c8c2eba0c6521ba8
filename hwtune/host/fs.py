"""Files of a machine under a root: the live kernel, a captured tree, or either with writes kept in memory.

A root path is a machine. Paths are always written as the kernel has them (`/sys/devices/system/cpu/…`); the file
system puts its root before them. Absent is `None`, broken raises, stable refusals apart from transient ones.
"""

from __future__ import annotations

import errno
import fnmatch
import glob
import os
import re
import stat
from pathlib import Path
from typing import NoReturn, Protocol, runtime_checkable

from hwtune.domain.errors import HostError, PermissionDenied, TransientError

# As much of a file as is read.
FILE_BYTES = 1 << 20
# More paths than any pattern of ours finds on a machine of 8192 CPUs.
_MOST_FOUND = 200_000
# At once: a buffer of FILE_BYTES for every attribute costs ten times the reading, and none has more than a page.
_CHUNK_BYTES = 1 << 16
_ABSENT = {errno.ENOENT, errno.ENOTDIR, errno.ENODEV, errno.ENXIO, errno.EISDIR, errno.ELOOP}
_DENIED = {errno.EACCES, errno.EPERM, errno.EROFS}
_TRANSIENT = {errno.EAGAIN, errno.EINTR, errno.EBUSY}


class HostFS(Protocol):
    """Reading and writing the kernel's text files."""

    def read(self, path: str) -> str | None:
        """The file's text without trailing white space, or None when there is no such file.

        Raises:
            PermissionDenied: EACCES, EPERM.
            TransientError: EAGAIN, EINTR, EBUSY (an offline CPU's policy).
            HostError: any other errno.
        """

    def write(self, path: str, value: str) -> None:
        """Put one value into the file, in a single system call.

        Raises:
            PermissionDenied: EACCES, EPERM, EROFS.
            TransientError: EAGAIN, EINTR, EBUSY.
            HostError: any other errno, ENOENT and EINVAL among them.
        """

    def glob(self, pattern: str) -> tuple[str, ...]:
        """Paths that match a shell pattern, numbers in natural order (cpu2 before cpu10)."""

    def writable(self, path: str) -> bool:
        """Whether a write has a chance: the file is there and its mode, mount and our rights allow it."""


@runtime_checkable
class LinkedFS(HostFS, Protocol):
    """Files among which there are symbolic links."""

    def link_target(self, path: str) -> str | None:
        """Where a symbolic link leads, as an absolute path of this machine; None for anything else."""


def natural(path: str) -> list[str | int]:
    """Sort key that puts cpu2 before cpu10."""
    parts: list[str | int] = []
    for index, part in enumerate(re.split(r"([0-9]+)", path)):
        parts.append(int(part) if index % 2 else part)
    return parts


def _raise(path: str, operation: str, error: OSError) -> NoReturn:
    code = error.errno
    if code in _DENIED:
        raise PermissionDenied(
            path, operation, errno=code, hint="run as root, or give the service write access to /sys/devices/system/cpu"
        ) from error
    if code in _TRANSIENT:
        raise TransientError(path, operation, errno=code) from error
    raise HostError(path, operation, errno=code) from error


class LinuxFS:
    """The files below a root directory, through plain system calls."""

    def __init__(self, root: str | Path = "/") -> None:
        self._root = str(root).rstrip("/")

    @property
    def live(self) -> bool:
        """Whether these are the running kernel's files."""
        return not self._root

    def open(self, path: str) -> int:
        """A descriptor to read from, for the caller to close.

        Raises:
            OSError: as the kernel answers.
        """
        return os.open(self._root + path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)

    def read(self, path: str) -> str | None:
        """See `HostFS.read`."""
        if "\0" in path:  # made of a damaged text; no file is called so
            return None
        try:
            fd = self.open(path)
        except OSError as error:
            if error.errno in _ABSENT:
                return None
            _raise(path, "read", error)
        try:
            # A retrying read hangs on drivers that answer EAGAIN for ever, so every read is one system call; only
            # /proc gives long texts (cpuinfo) page by page.
            text = os.read(fd, _CHUNK_BYTES)
            while path.startswith("/proc/") and len(text) < FILE_BYTES and (more := os.read(fd, _CHUNK_BYTES)):
                text += more
        except OSError as error:
            if error.errno in _ABSENT:
                return None
            _raise(path, "read", error)
        finally:
            os.close(fd)
        return text[:FILE_BYTES].decode("utf-8", "replace").rstrip()

    def write(self, path: str, value: str) -> None:
        """See `HostFS.write`: no O_TRUNC, no O_CREAT, and the errno of the write itself."""
        if "\0" in path:
            raise HostError(path, "write", errno=errno.ENOENT)
        try:
            fd = os.open(self._root + path, os.O_WRONLY | os.O_CLOEXEC)
        except OSError as error:
            _raise(path, "write", error)
        try:
            if stat.S_ISREG(os.fstat(fd).st_mode) and self._root:
                os.ftruncate(fd, 0)  # a plain file of a tree keeps the old tail; a sysfs attribute has none
            os.write(fd, value.encode())
        except OSError as error:
            _raise(path, "write", error)
        finally:
            os.close(fd)

    def glob(self, pattern: str) -> tuple[str, ...]:
        """See `HostFS.glob`."""
        if "\0" in pattern:
            return ()
        found = glob.glob(glob.escape(self._root) + pattern)
        # Names that are not UTF-8 could not be printed; no kernel has one.
        return tuple(sorted((name[len(self._root) :] for name in found if name.isprintable()), key=natural))

    def writable(self, path: str) -> bool:
        """See `HostFS.writable`."""
        try:
            # The mode as well: access(2) lets root write anything, sysfs nothing that is for reading only.
            # By effective ids: access(2) leaves out the capabilities of a user who is not root.
            mode = os.stat(self._root + path).st_mode
            return bool(mode & 0o222) and os.access(self._root + path, os.W_OK, effective_ids=True)
        except (OSError, ValueError):
            return False

    def link_target(self, path: str) -> str | None:
        """See `LinkedFS.link_target`; the path is normal, and an absolute target is one of this machine."""
        try:
            target = os.readlink(self._root + path)
        except OSError:
            return None
        return os.path.normpath(os.path.join(os.path.dirname(path), target))


class CapturedFS:
    """A machine's files from a `tar` archive laid out from `/`; nothing can be written.

    What the kernel refused when the machine was captured is refused again, where the capture says so.
    """

    def __init__(self, archive: str | Path) -> None:
        # A resident process has no use for it: pydantic, which checks what an archive says of itself, takes 20 MB.
        from hwtune.host.archive import read_archive  # noqa: PLC0415

        self._archive = read_archive(Path(archive))

    def _resolve(self, path: str) -> str:
        """Follow links in every leading part of the path, as the kernel's class directories need."""
        for _ in range(40):
            parts = path.split("/")
            for end in range(2, len(parts) + 1):
                target = self._archive.links.get("/".join(parts[:end]))
                if target is not None:
                    path = os.path.normpath("/".join([target, *parts[end:]]))
                    break
            else:
                return path
        return path

    def read(self, path: str) -> str | None:
        """See `HostFS.read`."""
        resolved = self._resolve(path)
        if resolved in self._archive.refused:
            code = self._archive.refused[resolved]
            _raise(path, "read", OSError(code, os.strerror(code)))
        return self._archive.texts.get(resolved)

    def write(self, path: str, value: str) -> None:
        """A capture is read-only."""
        raise PermissionDenied(path, f"write {value} to", errno=errno.EROFS, hint="a captured machine can only be read")

    def glob(self, pattern: str) -> tuple[str, ...]:
        """See `HostFS.glob`: part by part, so that links to directories are followed."""
        found = [""]
        for part in pattern.strip("/").split("/"):
            wild = any(character in part for character in "*?[")
            matches = re.compile(fnmatch.translate(part)).match
            inside: list[str] = []
            for path in found:
                names = self._archive.names.get(self._resolve(path).rstrip("/"), set())
                inside += [f"{path}/{name}" for name in (filter(matches, names) if wild else names & {part})]
                if len(inside) > _MOST_FOUND:  # links among directories multiply
                    hint = "no machine has as many: not a capture"
                    raise HostError(pattern, "list", errno=errno.E2BIG, hint=hint)
            found = inside
        return tuple(sorted(found, key=natural))

    def writable(self, path: str) -> bool:
        """Nothing is."""
        return False

    def link_target(self, path: str) -> str | None:
        """See `LinkedFS.link_target`."""
        return self._archive.links.get(path)


class DryRunFS:
    """Another file system with writes kept in memory and read through, so that verifying works in a dry run."""

    def __init__(self, inner: HostFS) -> None:
        self._inner = inner
        self.written: dict[str, str] = {}

    def read(self, path: str) -> str | None:
        """See `HostFS.read`."""
        return self.written[path] if path in self.written else self._inner.read(path)

    def write(self, path: str, value: str) -> None:
        """Remember the value; a path that does not exist is refused as the kernel would.

        A file is taken whose directory may come: a governor's tunables appear with the governor.
        """
        if self._inner.read(path) is None and not self._may_come(os.path.dirname(path)):
            raise HostError(path, "write", errno=errno.ENOENT)
        self.written[path] = value

    def _may_come(self, directory: str) -> bool:
        return not self._inner.glob(f"{directory}/*") and bool(self._inner.glob(f"{os.path.dirname(directory)}/*"))

    def glob(self, pattern: str) -> tuple[str, ...]:
        """See `HostFS.glob`."""
        return self._inner.glob(pattern)

    def writable(self, path: str) -> bool:
        """Every file that is there can be written in memory."""
        return self._inner.read(path) is not None


def open_root(root: str | Path) -> HostFS:
    """The machine at a path: a directory laid out from `/`, or an archive of one.

    Raises:
        HostError: when there is no such directory or it is not an archive.
    """
    path, hint = Path(root), "--root takes a directory laid out from /, or a tar archive of one"
    try:
        mode = path.stat().st_mode
    except PermissionError as error:
        raise PermissionDenied(str(path), "open root", errno=error.errno, hint="it must be readable") from error
    except (OSError, ValueError) as error:
        raise HostError(str(path), "open root", errno=getattr(error, "errno", None), hint=hint) from error
    if not (stat.S_ISDIR(mode) or stat.S_ISREG(mode)):  # opening a pipe would wait for ever
        raise HostError(str(path), "open root", errno=errno.ENOTDIR, hint=hint)
    if not os.access(path, os.R_OK | os.X_OK if stat.S_ISDIR(mode) else os.R_OK):
        raise PermissionDenied(str(path), "open root", errno=errno.EACCES, hint="it must be readable")
    if stat.S_ISDIR(mode):
        return LinuxFS(path)
    try:
        return CapturedFS(path)
    except HostError:
        raise
    except Exception as error:
        # tarfile's errors, and those of whichever decompressor is below it: zlib, bz2 and lzma have nothing in common.
        raise HostError(str(path), "open root", errno=getattr(error, "errno", None), hint=hint) from error
