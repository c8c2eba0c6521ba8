"""Writing a stage: what is not there is left out, what was never changed here goes alone, everything is read back."""

from __future__ import annotations

import errno
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Protocol

from hwtune.knobs.attributes import Write
from hwtune.knobs.changes import Readable, offline, policy_of
from hwtune.knobs.outcome import Outcome, Writable, outcome_of, read_one, write_one
from hwtune.knobs.quarantine import Quarantine


class Settling(Writable, Readable, Protocol):
    """What a stage needs of a backend."""

    def settle(self, writes: Sequence[Write]) -> None:
        """Wait until the kernel has taken over what was written."""

    def accepts(self, path: str, wanted: str, text: str) -> bool:
        """Whether the kernel may answer so right after the write."""


@dataclass(slots=True, kw_only=True)
class Answers:
    """What became of the writes of a stage.

    Args:
        outcomes: one for each write.
        refused: paths of what the kernel did not take, or has taken back with the attribute.
        unexplained: the first that reads otherwise than it was written, for no reason that is known.
    """

    outcomes: list[Outcome] = field(default_factory=list)
    refused: set[str] = field(default_factory=set)
    unexplained: Outcome | None = None


def present(
    backend: Settling, writes: Sequence[Write], known: Collection[str], read: Collection[str]
) -> tuple[list[Write], list[Outcome]]:
    """The writes whose attributes are there, and outcomes for those that are away with the CPUs of their policy.

    Args:
        backend: the machine.
        writes: of a stage.
        known: directories of the policies that were there at the start; of others nobody knows how they were found.
        read: paths whose text is known; what cannot be read could not be put back, and is not written.
    """
    here: list[Write] = []
    away: list[Outcome] = []
    for write in writes:
        policy = policy_of(write.path)
        if (policy is not None and policy not in known) or offline(backend, write.path):
            away.append(outcome_of(write, "offline"))
        elif write.path not in read:
            away.append(outcome_of(write, "rejected", errno=errno.ENODATA))
        else:
            here.append(write)
    return here, away


def write_stage(backend: Settling, writes: Sequence[Write], quarantine: Quarantine | None) -> Answers:
    """Write, wait, read back; the caller has journaled all of it.

    Raises:
        PermissionDenied: no right to write there.
        JournalError: the marker of a first change cannot be written.
    """
    stage = Answers()
    for batch in _batches(writes, quarantine):
        new = quarantine is not None and quarantine.is_new(batch[0].knob)
        if quarantine is not None and new:
            quarantine.attempt(batch[0].knob, batch[0].value)
        refused = len(stage.refused)
        _write_batch(backend, batch, stage)
        if quarantine is not None and new:
            quarantine.passed(batch[0].knob, changed=len(stage.refused) - refused < len(batch))
    return stage


def _write_batch(backend: Settling, batch: Sequence[Write], stage: Answers) -> None:
    rejections = [write_one(backend, write) for write in batch]
    backend.settle(batch)
    for write, rejection in zip(batch, rejections, strict=True):
        outcome = rejection or read_one(backend, write)
        if outcome.result == "rejected" and offline(backend, write.path):
            outcome = replace(outcome, result="offline", errno=None)
            stage.refused |= {write.path} if rejection is not None else set()
        elif outcome.result == "rejected":
            # What was taken and cannot be read back is set all the same.
            stage.refused |= {write.path} if rejection is not None else set()
        elif not backend.accepts(write.path, write.value, write.word(outcome.effective or "")):
            stage.unexplained = stage.unexplained or outcome
        stage.outcomes.append(outcome)


def _batches(writes: Sequence[Write], quarantine: Quarantine | None) -> Iterator[list[Write]]:
    """In order; the writes of a knob that was never changed here by themselves, so that a crash tells which it was."""
    batch: list[Write] = []
    new: set[str] = set()
    for knob, group in groupby(writes, key=lambda write: write.knob):
        if quarantine is not None and knob not in new and quarantine.is_new(knob):
            new.add(knob)
            if batch:
                yield batch
                batch = []
            yield list(group)
        else:
            batch += group
    if batch:
        yield batch
