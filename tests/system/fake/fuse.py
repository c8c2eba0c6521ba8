"""The fake kernel as a file system that any process can use.

    python -m fake.fuse MACHINE MOUNTPOINT [--control SOCKET]

The mount point shows the machine's files under their paths: MOUNTPOINT/sys/devices/system/cpu/…
"""

from __future__ import annotations

import argparse
import errno
import os
import signal
import stat
import sys
import threading
from pathlib import Path
from typing import Any

import mfusepy

from fake.calls import Handle
from fake.control import Server
from fake.kernel import FakeKernel
from fake.machines import MACHINES

_PAGE = 4096
_WRITING = os.O_WRONLY | os.O_RDWR


class Sysfs(mfusepy.Operations):
    """Files of a fake kernel; a file's text is made when it is read from its beginning, as sysfs does.

    Args:
        kernel: whose files they are.
        lock: held while it is touched.
    """

    use_ns = True

    def __init__(self, kernel: FakeKernel, lock: threading.Lock) -> None:
        self._kernel, self._lock = kernel, lock
        self._handles: dict[int, Handle] = {}
        self._texts: dict[int, bytes] = {}
        self._opened = 0

    def getattr(self, path: str, fh: int | None = None) -> dict[str, Any]:
        """Directories, links, and files of one page, as in sysfs."""
        with self._lock:
            tree = self._kernel.tree()
            if path in tree.links:
                return {"st_mode": stat.S_IFLNK | 0o777, "st_nlink": 1}
            if tree.is_dir(path):
                return {"st_mode": stat.S_IFDIR | 0o755, "st_nlink": 2}
            bits = self._kernel.mode(path)
        if not bits:
            raise OSError(errno.ENOENT, path)
        return {"st_mode": stat.S_IFREG | bits, "st_size": _PAGE, "st_nlink": 1}

    def readlink(self, path: str) -> str:
        """Relative, so that it leads to the same place under any mount point."""
        with self._lock:
            return os.path.relpath(self._kernel.tree().links[path], os.path.dirname(path))

    def readdir(self, path: str, fh: int) -> list[str]:
        """Names."""
        with self._lock:
            return [".", "..", *self._kernel.listdir(path)]

    def open(self, path: str, flags: int) -> int:
        """EACCES where the mode forbids it, for root too."""
        with self._lock:
            handle = self._kernel.open(path, write=bool(flags & _WRITING))
            self._opened += 1
            self._handles[self._opened] = handle
        return self._opened

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        """A part of the text."""
        with self._lock:
            if offset == 0 or fh not in self._texts:
                self._texts[fh] = self._handles[fh].read().encode()
            return self._texts[fh][offset : offset + size]

    def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
        """One value."""
        with self._lock:
            self._handles[fh].write(data.decode("utf-8", "replace"))
        return len(data)

    def release(self, path: str, fh: int) -> int:
        """Closed."""
        self._handles.pop(fh, None)
        self._texts.pop(fh, None)
        return 0

    def truncate(self, path: str, length: int, fh: int | None = None) -> int:
        """Means nothing to an attribute."""
        return 0

    def chmod(self, path: str, mode: int) -> int:
        """As for any file of sysfs."""
        with self._lock:
            self._kernel.chmod(path, stat.S_IMODE(mode))
        return 0


def _kill_caller() -> None:
    _, _, pid = mfusepy.fuse_get_context()
    os.kill(pid, signal.SIGKILL)


def _end_with_input() -> None:
    """The one who started us has gone."""
    sys.stdin.read()
    os.kill(os.getpid(), signal.SIGTERM)


def main() -> None:
    """Serves until it is unmounted or ended."""
    parser = argparse.ArgumentParser(prog="python -m fake.fuse", description="A machine of tests/system/fake, mounted.")
    parser.add_argument("machine", choices=sorted(MACHINES))
    parser.add_argument("mountpoint", type=Path)
    parser.add_argument("--control", type=Path, help="a socket to be made, for fake.control.Control")
    parser.add_argument("--until-eof", action="store_true", help="end when standard input does")
    given = parser.parse_args()
    kernel, lock = MACHINES[given.machine](), threading.Lock()
    kernel.kill = _kill_caller
    if given.control is not None:
        Server(kernel, given.control, lock).start()
    if given.until_eof:
        threading.Thread(target=_end_with_input, daemon=True).start()
    mfusepy.FUSE(
        Sysfs(kernel, lock),
        str(given.mountpoint),
        foreground=True,
        nothreads=True,
        direct_io=True,
        default_permissions=True,
        allow_other=True,
        fsname="hwtune-fake-kernel",
        # Files come and go without the VFS being asked.
        attr_timeout=0,
        entry_timeout=0,
        negative_timeout=0,
    )


if __name__ == "__main__":
    main()
