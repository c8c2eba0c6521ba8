"""A tree of kernel attributes in memory, behind the same seam as the real one.

An attribute is a function that gives its text, and one that takes a value where it can be written. Errors are those of
the kernel: reading what is not there is None, writing it ENOENT; an attribute without a store function answers EACCES.
"""

from __future__ import annotations

import errno
import fnmatch
import posixpath
import re
from collections.abc import Callable
from dataclasses import dataclass

from hwtune.domain.errors import HostError, PermissionDenied, TransientError
from hwtune.host.fs import natural

_WILD = re.compile(r"[*?\[]")


@dataclass(frozen=True, slots=True)
class Attribute:
    """One file: how it is read, and how it is written if it can be."""

    show: Callable[[], str]
    store: Callable[[str], None] | None = None


class KernelError(Exception):
    """What a store function answers; the tree turns it into the seam's error with path and operation."""

    def __init__(self, code: int) -> None:
        super().__init__(errno.errorcode[code])
        self.code = code


class SimulatedFS:
    """See `hwtune.host.fs.HostFS`."""

    def __init__(self) -> None:
        self._attributes: dict[str, Attribute] = {}
        self._children: dict[str, dict[str, None]] = {"": {}}
        self._links: dict[str, str] = {}

    def add(self, path: str, show: str | Callable[[], str], store: Callable[[str], None] | None = None) -> None:
        """Put an attribute into the tree; its directories come with it."""
        text = show
        self._attributes[path] = Attribute(text if callable(text) else lambda: text, store)
        self._enter(path)

    def link(self, path: str, target: str) -> None:
        """A symbolic link to a directory, by absolute path."""
        self._links[path] = target
        self._enter(path)

    def remove(self, directory: str) -> None:
        """Take a directory of attributes out again."""
        for name in self._children.pop(directory, {}):
            del self._attributes[f"{directory}/{name}"]
        parent, name = posixpath.split(directory)
        self._children.get(parent, {}).pop(name, None)

    def _enter(self, path: str) -> None:
        parent, name = posixpath.split(path)
        parent = parent.rstrip("/")
        if parent not in self._children:
            self._children[parent] = {}
            self._enter(parent)
        self._children[parent][name] = None

    def _resolve(self, path: str) -> str:
        for link, target in self._links.items():
            if path == link or path.startswith(f"{link}/"):
                return target + path[len(link) :]
        return path

    def read(self, path: str) -> str | None:
        """See `HostFS.read`."""
        attribute = self._attributes.get(self._resolve(path))
        if attribute is None:
            return None
        try:
            return attribute.show().rstrip()
        except KernelError as error:
            raise _seam_error(path, "read", error.code) from error

    def write(self, path: str, value: str) -> None:
        """See `HostFS.write`; writing nothing reaches no store function, as in the kernel."""
        resolved = self._resolve(path)
        attribute = self._attributes.get(resolved)
        if attribute is None:
            raise HostError(path, "write", errno=errno.EISDIR if resolved in self._children else errno.ENOENT)
        if attribute.store is None:
            raise PermissionDenied(path, "write", errno=errno.EACCES, hint="this attribute can only be read")
        if not value:
            return
        try:
            attribute.store(value)
        except KernelError as error:
            raise _seam_error(path, "write", error.code) from error

    def glob(self, pattern: str) -> tuple[str, ...]:
        """See `HostFS.glob`; links to directories are followed."""
        found = [""]
        for part in pattern.strip("/").split("/"):
            found = [f"{path}/{name}" for path in found for name in self._matching(path, part)]
        return tuple(sorted(found, key=natural))

    def _matching(self, path: str, part: str) -> list[str]:
        names = self._children.get(self._resolve(path), {})
        if not _WILD.search(part):
            return [part] if part in names else []
        return [name for name in names if fnmatch.fnmatchcase(name, part)]

    def writable(self, path: str) -> bool:
        """See `HostFS.writable`."""
        attribute = self._attributes.get(self._resolve(path))
        return attribute is not None and attribute.store is not None


def _seam_error(path: str, operation: str, code: int) -> HostError:
    if code in (errno.EBUSY, errno.EAGAIN, errno.EINTR):
        return TransientError(path, operation, errno=code)
    if code in (errno.EACCES, errno.EPERM):
        return PermissionDenied(path, operation, errno=code)
    return HostError(path, operation, errno=code)
