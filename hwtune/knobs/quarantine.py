"""Knobs whose first change ended in a crash: left alone until a person clears them.

Around the first change of a knob on a machine a marker is on the disk, `state_dir/attempt.json`. Whoever finds it after
another boot knows that the machine went down in between, and puts the knob into `state_dir/quarantine.json`. A knob
whose change was read back has survived: that is remembered for the CPU, driver and kernel in `state_dir/tried.json`, so
that only what is new costs a write to the disk. Where the machine does not name its boots (a tree) nothing can be told
apart, and no marker is written.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from hwtune.domain.errors import JournalError
from hwtune.host.fs import HostFS
from hwtune.knobs import durable
from hwtune.knobs.attributes import CPU, CPUFREQ
from hwtune.knobs.journal import boot_id
from hwtune.knobs.policies import read_text

FILES = (_ATTEMPT, _QUARANTINE, _TRIED) = ("attempt.json", "quarantine.json", "tried.json")
_POLICY = re.compile(r"^policy\d+\.")


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = 1
    digest: str = ""
    """Of everything else: a flipped bit is not believed."""

    def signed(self) -> str:
        """What the digest has to be."""
        return hashlib.sha256(self.model_dump_json(exclude={"digest"}).encode()).hexdigest()


class Attempt(BaseModel):
    """A first change of a knob.

    Attributes:
        knob: its name.
        wanted: the value, in the file's words.
        driver: of cpufreq, None where there is none.
        kernel: release, None where it is not told.
        boot_id: of the boot in which it was made.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    knob: str
    wanted: str
    driver: str | None
    kernel: str | None
    boot_id: str | None

    def __str__(self) -> str:
        return (
            f"{self.knob} = {self.wanted} with {self.driver or 'no driver'} on Linux {self.kernel or '(unknown)'}: "
            "the machine went down at its first change"
        )


class _Marker(_File):
    attempt: Attempt


class _Quarantined(_File):
    attempts: tuple[Attempt, ...] = ()


class _Tried(_File):
    machine: tuple[str | None, ...]
    knobs: tuple[str, ...]


_F = TypeVar("_F", bound=_File)


class Quarantine:
    """What may not be turned on this machine, and what has proved harmless. The caller holds the lock when it writes.

    Args:
        state_dir: where the files are; outlives a reboot.
        files: the machine's.
    """

    def __init__(self, state_dir: Path, files: HostFS) -> None:
        self._dir = state_dir
        self._boot_id = boot_id(files) or None
        self._driver = _driver(files)
        self._kernel = read_text(files, "/proc/sys/kernel/osrelease")
        self._machine = (_cpu_model(files), self._driver, self._kernel)
        self._known: tuple[Attempt, ...] = ()
        self._tried: tuple[str, ...] = ()

    def open(self) -> None:
        """Read what is known; a marker that another boot has left becomes an entry, one of this boot is void.

        A process that was killed leaves a marker too, but takes no machine down.

        Raises:
            JournalError: a file is unreadable, or cannot be written.
            PermissionDenied: no right to read or write there.
        """
        self._known = self.entries()
        marker = self._load(_ATTEMPT, _Marker)
        tried = self._load(_TRIED, _Tried)
        self._tried = tried.knobs if tried is not None and tried.machine == self._machine else ()
        if marker is None:
            return
        if marker.attempt in self._known:
            self._save(_QUARANTINE, _Quarantined(attempts=self._known))
        durable.remove(self._dir / _ATTEMPT)

    def entries(self) -> tuple[Attempt, ...]:
        """Everything in quarantine, whatever the driver, what a crash has just put there among it.

        Raises:
            JournalError: a file is unreadable.
        """
        kept = self._load(_QUARANTINE, _Quarantined)
        marker = self._load(_ATTEMPT, _Marker)
        found = () if kept is None else kept.attempts
        crashed = marker is not None and marker.attempt.boot_id != self._boot_id and self._boot_id is not None
        return tuple(dict.fromkeys((*found, marker.attempt))) if marker is not None and crashed else found

    def entry(self, knob: str) -> Attempt | None:
        """Why a knob is in quarantine with the driver of now, None when it is not.

        One policy's own knob is covered by that of all, and the other way round.
        """
        return next((each for each in self._known if each.driver == self._driver and _same(each.knob, knob)), None)

    def is_new(self, knob: str) -> bool:
        """Whether no change of this knob has been survived yet here."""
        return self._boot_id is not None and knob not in self._tried

    def attempt(self, knob: str, wanted: str) -> None:
        """Leave the marker: the first change of the knob is about to be made.

        Raises:
            JournalError: it cannot be written; the change must not be made.
        """
        attempt = Attempt(knob=knob, wanted=wanted, driver=self._driver, kernel=self._kernel, boot_id=self._boot_id)
        self._save(_ATTEMPT, _Marker(attempt=attempt))

    def passed(self, knob: str, *, changed: bool) -> None:
        """The machine is still there; a knob that was changed has survived for good.

        Raises:
            JournalError: that cannot be written.
        """
        if changed and knob not in self._tried:
            self._tried = (*self._tried, knob)
            self._save(_TRIED, _Tried(machine=self._machine, knobs=self._tried))
        self.leave()

    def leave(self) -> None:
        """Take the marker away, if there is one: whatever has ended the change, the machine is still there.

        Raises:
            JournalError: it cannot be removed.
        """
        if (self._dir / _ATTEMPT).exists():
            durable.remove(self._dir / _ATTEMPT)

    def clear(self, knob: str | None = None) -> tuple[Attempt, ...]:
        """Let a knob go, or all of them, unreadable files included; returns what was let go.

        Raises:
            JournalError: a file cannot be written, or one is unreadable and only one knob is to go.
        """
        if knob is None:
            try:
                gone = self.entries()
            except JournalError:
                gone = ()
            for name in FILES:
                durable.remove(self._dir / name)
            return gone
        entries = self.entries()
        gone = tuple(each for each in entries if _same(each.knob, knob))
        if gone:
            self._save(_QUARANTINE, _Quarantined(attempts=tuple(each for each in entries if each not in gone)))
            durable.remove(self._dir / _ATTEMPT)
        return gone

    def _save(self, name: str, file: _File) -> None:
        durable.save(self._dir / name, file.model_copy(update={"digest": file.signed()}).model_dump_json(indent=1))

    def _load(self, name: str, form: type[_F]) -> _F | None:
        path = self._dir / name
        hint = f"look at {path}; `hwtune quarantine clear` forgets everything that is in quarantine"
        text = durable.load(path, hint=hint)
        if text is None:
            return None
        try:
            file = form.model_validate_json(text)
        except ValidationError as error:
            problem = error.errors()[0]
            where = ".".join(str(part) for part in problem["loc"])
            raise JournalError(
                f"{path} is damaged: {where + ': ' if where else ''}{problem['msg']}", hint=hint
            ) from error
        if file.digest != file.signed():
            raise JournalError(f"{path} is damaged: its digest does not fit", hint=hint)
        return file


def _same(one: str, other: str) -> bool:
    """Whether two names are one knob: without a policy a name means all of them."""
    if _POLICY.match(one) and _POLICY.match(other):
        return one == other
    return _POLICY.sub("", one) == _POLICY.sub("", other)


def _driver(files: HostFS) -> str | None:
    for pattern in (f"{CPUFREQ}/policy[0-9]*/scaling_driver", f"{CPU}/cpu[0-9]*/cpufreq/scaling_driver"):
        for path in files.glob(pattern):
            if (name := read_text(files, path)) is not None:
                return name
    return None


def _cpu_model(files: HostFS) -> str | None:
    found = re.search(r"^model name\s*:\s*(.+)$", read_text(files, "/proc/cpuinfo") or "", re.MULTILINE)
    return found[1] if found else None
