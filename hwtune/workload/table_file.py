"""A table that grows on disk, row by row, and survives whatever ends the writing.

    NAME.csv          the rows; each is on the disk before the next run begins
    NAME.toml         the sidecar that readers need
    NAME.sweep.json   what it is measured on and how, so that nothing else is ever added to it

Nothing is created before there is something to write, and nothing is overwritten.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError

from hwtune.domain.errors import Locked, UsageError, WorkloadError
from hwtune.domain.knob import Knob, Setting
from hwtune.host.durable import replace
from hwtune.workload.sweep_table import Form, Origin, Row

_ELSEWHERE = "nothing was changed; name another file with --out, or move this one away"


class _Saved(BaseModel):
    """NAME.sweep.json."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    origin: Origin
    features: tuple[str, ...]


class TableFile:
    """One table, new or to be continued.

    Args:
        path: NAME.csv.
        origin: what the rows to come are measured on, and how.
        knobs: the swept knobs.

    Raises:
        UsageError: the files at that path are of something else, or not a table; they stay as they are.
    """

    def __init__(self, path: Path, origin: Origin, knobs: Sequence[Knob]) -> None:
        if path.suffix != ".csv":
            raise UsageError(f"{path} is no name for a table", hint="it ends in .csv; the sidecar goes beside it")
        if not path.parent.is_dir():
            raise UsageError(f"{path.parent} is no directory", hint="make it first, or name another --out")
        self.path = path
        self.sidecar = path.with_suffix(".toml")
        self.rows: list[Row] = []
        self.torn = 0
        self._origin_path = path.with_suffix(".sweep.json")
        self._origin = origin
        self._knobs = tuple(knobs)
        self._form: Form | None = None
        self._fd: int | None = None
        self._end = 0
        try:
            self._look()
        except OSError as error:
            raise _refused("read", path, error) from error

    def measured(self, number: int) -> set[Setting]:
        """The settings that a pass has a row of."""
        return {row.setting for row in self.rows if row.number == number}

    def begin(self, features: Sequence[str]) -> None:
        """Open the files for rows, create them when they are not there; a torn last line is cut off now.

        Args:
            features: names of the feature columns of a new table; one that is continued has its own.

        Raises:
            Locked: another process adds rows to it.
            UsageError: it is not what was found when it was opened.
            WorkloadError: it cannot be written.
        """
        try:
            self._fd = self._open()
            if self._form is None:
                self._form = Form(workload=self._origin.workload, knobs=self._knobs, features=features)
                saved = _Saved(origin=self._origin, features=self._form.features)
                replace(self._origin_path, saved.model_dump_json(indent=1) + "\n")
            replace(self.sidecar, self._form.sidecar(self._origin, self.rows))
            os.ftruncate(self._fd, self._end)
            if self._end == 0:
                self._write(self._form.header())
        except OSError as error:
            raise _refused("write", self.path, error) from error

    def append(self, row: Row) -> None:
        """Add a row; it is on the disk when this returns.

        Raises:
            WorkloadError: it cannot be written; the table ends with the row before.
        """
        assert self._form is not None, "begin comes first"
        try:
            self._write(self._form.text(row))
        except OSError as error:
            raise _refused("write", self.path, error) from error
        self.rows.append(row)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close; the sidecar then names the features that every row has."""
        if self._fd is None:
            return
        fd, self._fd = self._fd, None
        os.close(fd)
        if self._form is not None:
            try:
                replace(self.sidecar, self._form.sidecar(self._origin, self.rows))
            except OSError as failure:
                raise _refused("write", self.sidecar, failure) from failure

    def _look(self) -> None:
        """Take in what is there.

        The files come in the order of an empty table, origin, sidecar, header: whatever of them a crash leaves, the
        rest is made again.
        """
        if not self._origin_path.exists():
            for path in (self.path, self.sidecar):
                if path.exists() and path.stat().st_size:
                    raise UsageError(f"{path} is there and is not of a sweep that could go on", hint=_ELSEWHERE)
            return
        try:
            saved = _Saved.model_validate_json(self._origin_path.read_bytes())
        except ValidationError as error:
            problem = error.errors()[0]
            where = "".join(f" {part}:" for part in problem["loc"])
            raise UsageError(f"{self._origin_path}:{where} {problem['msg']}", hint=_ELSEWHERE) from error
        self._agree(saved.origin)
        self._origin = saved.origin
        self._form = Form(workload=saved.origin.workload, knobs=self._knobs, features=saved.features)
        self._read(self._form, self.path.read_bytes() if self.path.exists() else b"")

    def _agree(self, origin: Origin) -> None:
        then, now = _flat(origin), _flat(self._origin)
        for name in {**then, **now}:
            if then.get(name) != now.get(name):
                raise UsageError(
                    f"{self.path} is of another sweep: {name} was {_short(then.get(name))}, is {_short(now.get(name))}",
                    hint="give the options it was begun with, or another --out; nothing was changed",
                )

    def _read(self, form: Form, content: bytes) -> None:
        """Rows up to the last whole line; what a loss of power left behind it counts as torn."""
        self._end = content.rfind(b"\n") + 1
        self.torn = len(content) - self._end
        if not self._end:
            if not form.header().encode().startswith(content.rstrip(b"\0")):
                raise UsageError(f"{self.path}, line 1: not the header of this table", hint=_ELSEWHERE)
            return
        seen = set()
        for number, line in enumerate(content[: self._end - 1].decode("utf-8", "replace").split("\n"), start=1):
            try:
                if number == 1:
                    if line + "\n" != form.header():
                        raise ValueError("not the header of this table")
                    continue
                row = form.parse(line)
                if (row.number, row.setting) in seen:
                    raise ValueError("this pass has a row of that setting already")
            except ValueError as error:
                raise UsageError(f"{self.path}, line {number}: {error}", hint=_ELSEWHERE) from error
            seen.add((row.number, row.setting))
            self.rows.append(row)

    def _open(self) -> int:
        """The file, for us alone, as it was when we looked."""
        fd = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(fd).st_size != self._end + self.torn:
                raise UsageError(f"{self.path} has changed since it was read", hint="try again")
        except BlockingIOError as error:
            os.close(fd)
            raise Locked(f"another hwtune adds rows to {self.path}", hint="wait until it ends") from error
        except BaseException:
            os.close(fd)
            raise
        return fd

    def _write(self, text: str) -> None:
        """One line in one system call, then onto the disk; of a line that did not fit nothing stays."""
        assert self._fd is not None
        line = text.encode()
        try:
            if os.write(self._fd, line) != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(self._fd)
        except OSError:
            os.ftruncate(self._fd, self._end)
            raise
        self._end += len(line)


def _flat(origin: Origin) -> dict[str, object]:
    """What must agree, by name; when it was begun need not."""
    fields = origin.model_dump(exclude={"started"})
    nested = {
        f"{name}.{key}": value
        for name, values in fields.items()
        if isinstance(values, dict)
        for key, value in values.items()
    }
    return nested | {name: value for name, value in fields.items() if not isinstance(value, dict)}


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


def _refused(operation: str, path: Path, error: OSError) -> WorkloadError:
    return WorkloadError(
        f"cannot {operation} {error.filename or path}: {error.strerror}",
        hint="name a file in a directory that you may write to, with room in it",
    )
