"""The fake kernel as hwtune's file system, in this process."""

from __future__ import annotations

import fnmatch

from fake.kernel import FakeKernel
from hwtune.host.fs import _ABSENT, _raise, natural


class InProcess:
    """A `HostFS` over a kernel in memory; a kill raises `fake.faults.Killed` out of the write."""

    def __init__(self, kernel: FakeKernel) -> None:
        self.kernel = kernel

    def read(self, path: str) -> str | None:
        """See `HostFS.read`."""
        try:
            return self.kernel.read(path).rstrip()
        except OSError as error:
            if error.errno in _ABSENT:
                return None
            _raise(path, "read", error)

    def write(self, path: str, value: str) -> None:
        """See `HostFS.write`."""
        try:
            self.kernel.write(path, value)
        except OSError as error:
            _raise(path, "write", error)

    def glob(self, pattern: str) -> tuple[str, ...]:
        """See `HostFS.glob`."""
        found = [""]
        for part in pattern.strip("/").split("/"):
            found = [
                f"{path}/{name}" for path in found for name in self._names(path) if fnmatch.fnmatchcase(name, part)
            ]
        return tuple(sorted(found, key=natural))

    def _names(self, path: str) -> list[str]:
        return self.kernel.listdir(path) if self.kernel.tree().is_dir(path) else []

    def writable(self, path: str) -> bool:
        """See `HostFS.writable`: as access(2) answers root, even where sysfs will then refuse."""
        return bool(self.kernel.mode(path))
