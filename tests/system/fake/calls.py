"""What a program does to the files of a fake kernel: opening, reading, writing; and the faults that strike it there."""

from __future__ import annotations

import errno
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NoReturn

from fake.attribute import Attribute, refuse
from fake.faults import Fault, Killed
from fake.tree import FileTree


def _killed() -> NoReturn:
    raise Killed


@dataclass(frozen=True, slots=True)
class Handle:
    """An open file. Its attribute may go, and then it answers ENODEV for ever, whatever has come in its place."""

    kernel: Calls
    path: str
    life: int

    def read(self) -> str:
        """The text with its newline."""
        return self.kernel.read_at(self)

    def write(self, text: str) -> None:
        """One write from the beginning."""
        self.kernel.write_at(self, text)


@dataclass(kw_only=True)
class Calls(ABC):
    """The system calls of a machine. Everything raises OSError with the errno of the real kernel.

    Args:
        kill: ends the caller (`kill_before`, `kill_after`).
        faults: what goes wrong from now on.
        log: operation, path, text, errno of every read and write by the program.
        modes: path → permission bits that somebody has given it.
    """

    kill: Callable[[], None] = _killed
    faults: list[Fault] = field(default_factory=list)
    log: list[tuple[str, str, str, int | None]] = field(default_factory=list)
    modes: dict[str, int] = field(default_factory=dict)

    @abstractmethod
    def tree(self) -> FileTree:
        """All files as they are now."""

    @abstractmethod
    def lives(self, directory: str) -> int:
        """How many times a directory has come by now."""

    def read(self, path: str) -> str:
        """What the program reads: text with a newline."""
        return self.read_at(Handle(self, path, self._life(path)))

    def write(self, path: str, text: str) -> None:
        """What the program writes, in one call."""
        self.write_at(self._opened(path, text), text)

    def open(self, path: str, *, write: bool = False) -> Handle:
        """A file that is kept open.

        Raises:
            OSError: ENOENT; EACCES where the mode forbids it, which sysfs enforces even for root.
        """
        bits = self.mode(path)
        if not bits:
            refuse(errno.ENOENT)
        if not bits & (0o222 if write else 0o444):
            refuse(errno.EACCES)
        return Handle(self, path, self._life(path))

    def _opened(self, path: str, text: str) -> Handle:
        try:
            return self.open(path, write=True)
        except OSError as error:
            self.log.append(("write", path, text, error.errno))
            raise

    def read_at(self, handle: Handle) -> str:
        """See `Handle.read`."""
        text, code = "", None
        try:
            answer = self._struck("read", handle.path)
            text = f"{self._attribute(handle).show()}\n" if answer is None else answer
        except OSError as error:
            code = error.errno
            raise
        finally:
            self.log.append(("read", handle.path, text, code))
        return text

    def write_at(self, handle: Handle, text: str) -> None:
        """See `Handle.write`."""
        code, ends = None, False
        try:
            ends = self._struck("write", handle.path) is not None
            self.store(handle, text)
        except OSError as error:
            code = error.errno
            raise
        finally:
            self.log.append(("write", handle.path, text, code))
        if ends:
            self.kill()

    def store(self, handle: Handle, text: str) -> None:
        """A write that no fault meets and no log has."""
        store = self._attribute(handle).store
        if text and store is not None:  # sysfs never hears of an empty write
            store(text)
        elif text:
            refuse(errno.EIO)

    def _struck(self, operation: str, path: str) -> str | None:
        """The fault of this call, if it has one: raises it, or gives the text to answer (of a write: a kill after)."""
        for fault in [fault for fault in self.faults if fault.meets(operation, path)]:
            if fault.action == "kill_before":
                self.kill()
                refuse(errno.EINTR)
            if callable(fault.action):
                fault.action(self)
            if fault.errno is not None:
                refuse(fault.errno)
            if fault.action == "kill_after" or fault.text is not None:
                return fault.text or ""
        return None

    def _attribute(self, handle: Handle) -> Attribute:
        found = self.tree().find(handle.path)
        if found is None or handle.life != self._life(handle.path):
            refuse(errno.ENODEV if handle.life else errno.ENOENT)
        return found

    def _life(self, path: str) -> int:
        """Which life of its file a path leads to; 0 where there is none."""
        if self.tree().find(path) is None:
            return 0
        return self.lives(self.tree().resolve(path).rpartition("/")[0])

    def mode(self, path: str) -> int:
        """Permission bits of a file, 0 when there is none."""
        found = self.tree().find(path)
        return 0 if found is None else self.modes.get(self.tree().resolve(path), found.mode)

    def chmod(self, path: str, bits: int) -> None:
        """Other permissions, for as long as the machine is up."""
        if not self.mode(path):
            refuse(errno.ENOENT)
        self.modes[self.tree().resolve(path)] = bits

    def paths(self) -> list[str]:
        """Every file, links left out."""
        return sorted(self.tree().files)

    def listdir(self, path: str) -> list[str]:
        """Names in a directory, links among them."""
        return self.tree().listdir(path)
