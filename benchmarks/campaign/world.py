"""A machine that hwtune works on, and its twin on which the same befalls without hwtune: what it should end like."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NoReturn
from unittest.mock import patch

from fake.faults import Fault, Killed
from fake.host import InProcess
from fake.kernel import FakeKernel
from fake.machines import MACHINES

Edit = tuple[str, str]
"""A path, and the text that somebody writes there."""


class Disk:
    """What becomes of `fsync`, which the journal calls once for its file and once for its directory."""

    def __init__(self) -> None:
        self.calls = 0
        self.strike: Callable[[int], None] | None = None
        self.strike_at = -1

    def fsync(self, fd: int) -> None:
        """Nothing is lost in memory, so nothing is to be done, unless this is the call that fails."""
        self.calls += 1
        if self.calls - 1 == self.strike_at and self.strike is not None:
            self.strike(fd)


class World:
    """One case's machine, with everything that a process of hwtune needs.

    Args:
        machine: of `fake.machines`.
        earlier: what a person has set before hwtune comes.
        directory: for journal, lock and quarantine.
        limit_khz: a firmware limit that is there from the beginning.
    """

    def __init__(self, machine: str, earlier: tuple[Edit, ...], directory: Path, limit_khz: int | None = None) -> None:
        self.kernel, self.twin = MACHINES[machine](), MACHINES[machine]()
        for kernel in (self.kernel, self.twin):
            kernel.kill = self._kill
            if limit_khz is not None:
                kernel.firmware_limit(limit_khz)
            for path, text in earlier:
                with suppress(OSError):
                    kernel.somebody(path, text)
        self.start = self.kernel.state()
        self.theirs: dict[str, list[str | None]] = {}
        """Path → texts it has had by what somebody else did, the last one last."""
        self.edited: dict[str, str] = {}
        """Path → the last text that somebody wrote there; the others were moved by it."""
        self.void = False
        """Whether the journal is of another boot, and may be left lying."""
        self.run_dir, self.state_dir = directory / "run", directory / "state"
        self.disk = Disk()
        self.waited_s = 0.0
        self.suspended_s = 0.0
        self.said: list[str] = []
        self.files = _Alive(self)
        self.dead = False

    def _kill(self) -> NoReturn:
        self.dead = True
        raise Killed

    def sleep(self, seconds: float) -> None:
        """Time passes without anybody waiting for it."""
        self.waited_s += seconds

    def happens(self, moment: Callable[[FakeKernel], None]) -> None:
        """Something that befalls the machine, with hwtune or without it."""
        with suppress(OSError):
            moment(self.kernel)
        with suppress(OSError):
            moment(self.twin)

    def edit(self, edits: tuple[Edit, ...]) -> None:
        """Somebody else writes; whatever changes by it is theirs."""
        before = self.kernel.state()
        self.edited |= dict(edits)
        for path, text in edits:
            self.happens(lambda kernel, path=path, text=text: kernel.somebody(path, text))  # type: ignore[misc]
        after = self.kernel.state()
        for path in before.keys() | after.keys():
            if before.get(path) != after.get(path):
                self.theirs.setdefault(path, []).append(after.get(path))

    def written(self) -> set[str]:
        """Paths that hwtune has written successfully."""
        return {path for operation, path, _, code in self.kernel.log if operation == "write" and code is None}

    def seen(self, path: str) -> set[str]:
        """Texts that hwtune has written to a file or read in it."""
        return {text.strip() for _, where, text, code in self.kernel.log if where == path and code is None}

    @property
    def journal(self) -> Path:
        """Where it is."""
        return self.run_dir / "journal.json"

    @contextmanager
    def process(self) -> Iterator[None]:
        """A process of hwtune: what it logs is heard, and its disk is this one."""
        self.dead = False
        handler = _Hearing(self.said)
        log = logging.getLogger("hwtune")
        log.addHandler(handler)
        propagates, log.propagate = log.propagate, False
        try:
            with patch("os.fsync", self.disk.fsync):
                yield
        finally:
            log.removeHandler(handler)
            log.propagate = propagates

    def calls(self, operation: str) -> Fault:
        """A fault that does nothing but count, in `met`."""
        fault = Fault(operation=operation, times=None, action=lambda _kernel: None)  # type: ignore[arg-type]
        self.kernel.faults.append(fault)
        return fault


class _Alive(InProcess):
    """The machine's files, to a process that can be killed: the dead neither read nor write."""

    def __init__(self, world: World) -> None:
        super().__init__(world.kernel)
        self._world = world

    def read(self, path: str) -> str | None:
        self._check()
        return super().read(path)

    def write(self, path: str, value: str) -> None:
        self._check()
        super().write(path, value)

    def _check(self) -> None:
        if self._world.dead:
            raise Killed


class _Hearing(logging.Handler):
    def __init__(self, said: list[str]) -> None:
        super().__init__(logging.WARNING)
        self._said = said

    def emit(self, record: logging.LogRecord) -> None:
        self._said.append(record.getMessage())


@contextmanager
def scratch() -> Iterator[Path]:
    """A directory for journal and lock, in memory where there is one."""
    shared = Path("/dev/shm")
    with tempfile.TemporaryDirectory(prefix="hwtune-faults-", dir=shared if shared.is_dir() else None) as name:
        yield Path(name)
