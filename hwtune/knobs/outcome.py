"""What became of a write: the kernel's answer, read back."""

from __future__ import annotations

import errno as _errno
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, Protocol, get_args

from hwtune.domain.errors import HostError, PermissionDenied, Rejected
from hwtune.knobs.attributes import Write
from hwtune.knobs.ownership import same

Result = Literal["offline", "already", "applied", "clamped", "yielded", "quarantined", "rejected"]
# From best to worst; that some of its CPUs are offline says nothing about a knob's other files.
_RESULTS: tuple[Result, ...] = get_args(Result)


class Writable(Protocol):
    """What writing needs of a backend."""

    def read(self, path: str) -> str | None:
        """The text now, None when it is not there; raises TransientError for an offline policy."""

    def write(self, path: str, value: str) -> None:
        """Write; raises Rejected."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one knob, or of one of its files.

    Args:
        knob: its name.
        result: already so, applied, clamped to another value, or rejected; or not tried because its policy is away,
            because somebody else sets it, or because it is in quarantine.
        path: the file, None where nothing was written.
        wanted: what was asked for, in the knob's words.
        effective: what it is now, None when that is not known.
        errno: of a rejection.
    """

    knob: str
    result: Result
    wanted: str
    path: str | None = None
    effective: str | None = None
    errno: int | None = None

    def __str__(self) -> str:
        match self.result:
            case "offline":
                return f"{self.knob} = {self.wanted} waits: its policy is not there (CPUs offline, or driver removed)"
            case "yielded":
                return f"{self.knob} is left as it is: somebody else has set {self.effective}"
            case "quarantined":
                return f"{self.knob} = {self.wanted} not set: in quarantine since a crash, see `hwtune quarantine list`"
            case "already":
                return f"{self.knob} = {self.effective} already"
            case "applied":
                return f"{self.knob} = {self.effective}"
            case "clamped":
                return f"{self.knob} = {self.effective}, clamped from {self.wanted}"
            case "rejected":
                code = "refused" if self.errno is None else _errno.errorcode.get(self.errno, str(self.errno))
                return f"{self.knob} = {self.wanted} rejected by the kernel ({code})"


def write_one(backend: Writable, write: Write) -> Outcome | None:
    """Write; None when the kernel took it, else the rejection.

    Raises:
        PermissionDenied: no right to write there.
    """
    try:
        backend.write(write.path, write.value)
    except PermissionDenied:
        raise
    except (Rejected, HostError) as error:
        return outcome_of(write, "rejected", None, error.errno)
    return None


def read_one(backend: Writable, write: Write) -> Outcome:
    """Read back, and say what became of a write that the kernel took."""
    try:
        text = backend.read(write.path)
    except HostError as error:
        return outcome_of(write, "rejected", None, error.errno)
    if text is None:
        return outcome_of(write, "rejected", None, _errno.ENODEV)  # gone with its governor, or its driver
    clamped = not same(write.path, write.value, text) and text.isdecimal() and write.value.isdecimal()
    return outcome_of(write, "clamped" if clamped else "applied", text)


def outcome_of(write: Write, result: Result, text: str | None = None, errno: int | None = None) -> Outcome:
    """What became of a write; `text` is what the file reads."""
    return Outcome(
        knob=write.knob,
        result=result,
        path=write.path,
        wanted=write.word(write.value),
        effective=None if text is None else write.word(text),
        errno=errno,
    )


def worst_of(outcomes: Iterable[Outcome]) -> tuple[Outcome, ...]:
    """One outcome for each knob: of its several files the worst counts."""
    found: dict[str, Outcome] = {}
    for outcome in outcomes:
        known = found.get(outcome.knob)
        if known is None or _RESULTS.index(outcome.result) > _RESULTS.index(known.result):
            found[outcome.knob] = outcome
    return tuple(found.values())
