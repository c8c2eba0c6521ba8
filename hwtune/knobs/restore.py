"""Putting back what is still ours.

Everything is compared first: an attribute that reads neither as it was found nor as anything of ours explains belongs
to somebody else now, and is left. Then governors, tunables, EPP, boost, limits, in this order, whatever the order was
in which they were changed. Nothing is taken for done that does not read as it should; a second pass catches what the
first one's own writes have moved. Killed at any point it can be begun again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from hwtune.domain.errors import HostError, Locked, Rejected, RestoreError, TransientError
from hwtune.host.clock import suspended_s
from hwtune.host.fs import HostFS
from hwtune.knobs import journal as journals
from hwtune.knobs.attributes import GOVERNOR, Stage, Write, directory_of, knob_of, name_of, stage_of
from hwtune.knobs.changes import forgotten, policy_of, vanished
from hwtune.knobs.interruption import uninterrupted
from hwtune.knobs.journal import Journal
from hwtune.knobs.lock import Lock
from hwtune.knobs.ownership import Ours

_log = logging.getLogger(__name__)
_PASSES = 2
# The two clocks are not read at once, and no suspend is shorter.
_NAP_S = 0.5


class Restorable(Protocol):
    """What restoring needs of a backend."""

    def restore_plan(self, snapshot: Mapping[str, str]) -> tuple[Write, ...]:
        """Ordered writes that bring every attribute back."""

    def read(self, path: str) -> str | None:
        """The text now, None when it is not there; raises TransientError for an offline policy."""

    def write(self, path: str, value: str) -> None:
        """Write; raises Rejected."""

    def settle(self, writes: Sequence[Write]) -> None:
        """Wait until the kernel has taken over what was written."""

    def accepts(self, path: str, wanted: str, text: str) -> bool:
        """Whether the kernel may answer so right after the write."""

    def explains(self, path: str, text: str, *, ours: Ours, original: Mapping[str, str]) -> bool:
        """Whether what is ours explains the value found."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreReport:
    """What became of every attribute that was ours.

    Args:
        restored: paths that were put back.
        foreign: path → text of what somebody else has set since, and keeps.
        offline: paths that are not there, as those of a policy whose CPUs are offline; the journal keeps them for when
            they come back.
        failed: path → why it could not be put back.
    """

    restored: tuple[str, ...] = ()
    foreign: Mapping[str, str] = field(default_factory=dict)
    offline: tuple[str, ...] = ()
    failed: Mapping[str, str] = field(default_factory=dict)


def put_back(
    backend: Restorable,
    *,
    original: Mapping[str, str],
    ours: Ours,
    restarted: Callable[[str], bool] = lambda _path: False,
    theirs: Collection[str] = (),
) -> RestoreReport:
    """Restore the attributes that are ours; the journal is the caller's business.

    Args:
        backend: where to write.
        original: path → text to go back to.
        ours: path → texts that are ours.
        restarted: whether an attribute may have been started anew since it was written, by a suspend or a hotplug: what
            it then begins with is nobody's wish.
        theirs: paths whose text in `original` is somebody else's: written only where putting back has moved it, for
            what a limit reads need not be what they have asked for.
    """
    return _Restoring(backend, original, ours, restarted, theirs).run()


class _Restoring:
    def __init__(
        self,
        backend: Restorable,
        original: Mapping[str, str],
        ours: Ours,
        restarted: Callable[[str], bool],
        theirs: Collection[str],
    ) -> None:
        self._backend = backend
        self._original = original
        self._ours = ours
        self._theirs = theirs
        self._limits_of = {directory_of(path) for path in ours if stage_of(path) is Stage.LIMIT}
        self._mine: set[str] = set()
        self._foreign: dict[str, str] = {}
        self._offline: set[str] = set()
        self._restored: dict[str, None] = {}
        self._failed: dict[str, str] = {}
        for path, text in original.items():
            try:
                now = backend.read(path)
            except TransientError:
                if path in ours:
                    self._offline.add(path)
                continue
            except HostError:
                self._mine.add(path)  # trying to put it back tells what is wrong
                continue
            if now is None and path in ours and not self._with_governor(path):
                self._offline.add(path)
            elif (
                now is None  # it may come back with its governor
                or now == text
                or backend.explains(path, now, ours=ours, original=original)
                or (path in ours and restarted(path) and forgotten(backend, path, now, original=original))
            ):
                self._mine.add(path)
            elif path in ours:
                self._foreign[path] = now

    def _with_governor(self, path: str) -> bool:
        """Whether an attribute that is not there went with its governor; else its policy has, or no read succeeds."""
        if stage_of(path) is not Stage.TUNABLE or vanished(self._backend, path):
            return False
        policy, tuned = policy_of(path), name_of(directory_of(path))
        mine = [each for each in self._original if name_of(each) == GOVERNOR and policy in (None, directory_of(each))]
        now = [self._governor(each) for each in mine]
        return not mine or (any(now) and tuned not in now)

    def _governor(self, path: str) -> str | None:
        with suppress(HostError):
            return self._backend.read(path)
        return None

    def run(self) -> RestoreReport:
        for _ in range(_PASSES):
            self._failed = {}
            self._pass()
            if self._all_back():
                break
        return RestoreReport(
            restored=tuple(self._restored),
            foreign=self._foreign,
            offline=tuple(sorted(self._offline)),
            failed=self._failed,
        )

    def _plan(self) -> list[Write]:
        return [write for write in self._backend.restore_plan(self._original) if write.path in self._mine]

    def _pass(self) -> None:
        done = -1
        # Planned anew after each stage: which limit makes room depends on what boost has moved.
        while writes := [write for write in self._plan() if write.stage > done]:
            done = writes[0].stage
            written = [write for write in writes if write.stage == done and self._write(write)]
            self._backend.settle(written)

    def _write(self, write: Write) -> bool:
        """Whether it had to be written, and was."""
        now = None
        try:
            now = self._backend.read(write.path)
            as_found = now == self._original[write.path]
            # Both limits of a policy are written once one was touched: the kernel remembers what it clamped.
            remembered = write.stage == Stage.LIMIT and directory_of(write.path) in self._limits_of
            remembered = remembered and write.path not in self._theirs
            if now is None or (as_found and not remembered):
                return False
            self._backend.write(write.path, write.value)
        except (Rejected, HostError) as error:
            if now is not None and self._held(write, now):
                self._foreign[write.path] = now
                self._mine.discard(write.path)
            else:
                self._failed[write.path] = str(error)
            return False
        if not as_found:
            self._restored[write.path] = None
        return True

    def _held(self, write: Write, now: str) -> bool:
        """Whether a preference cannot be put back because somebody else's governor holds it: then it goes with that."""
        governor = f"{directory_of(write.path)}/{GOVERNOR}"
        if write.stage is not Stage.EPP or now not in ("performance", "0"):
            return False
        with suppress(HostError):
            theirs = governor in self._foreign or governor not in self._ours
            return theirs and self._backend.read(governor) == "performance"
        return False

    def _all_back(self) -> bool:
        """Whether everything reads as it was found; what does not, and is not the kernel's doing, has failed."""
        exact = not self._failed
        for write in self._plan():
            wanted = self._original[write.path]
            try:
                now = self._backend.read(write.path)
            except HostError as error:
                self._failed[write.path], exact = str(error), False
                continue
            if now is None or now in (wanted, write.value):
                self._failed.pop(write.path, None)
                if now is None and write.path in self._ours and not self._with_governor(write.path):
                    self._offline.add(write.path)  # went in the middle
                continue
            exact = False
            if not self._backend.accepts(write.path, write.value, now):
                self._failed.setdefault(write.path, f"wrote {write.value}, reads {now}")
        return exact


def restore_machine(
    backend: Restorable, *, run_dir: Path, files: HostFS, slept_s: Callable[[], float] = suspended_s
) -> RestoreReport | None:
    """What `hwtune restore` does: put back everything of this boot's journal; None when there is none.

    Raises:
        Locked: a writer is at work; it puts back itself.
        RestoreError: something that is ours could not be put back; the journal is kept.
        JournalError: the journal is unreadable; it is left where it is.
    """
    if journals.load(run_dir, files) is None:
        return None
    lock = Lock(run_dir, verb="restore")
    lock.acquire()
    try:
        journal = journals.load(run_dir, files)
        return None if journal is None else restore_journal(backend, run_dir=run_dir, journal=journal, slept_s=slept_s)
    finally:
        lock.release()


def restore_journal(
    backend: Restorable, *, run_dir: Path, journal: Journal, slept_s: Callable[[], float] = suspended_s
) -> RestoreReport:
    """Put back everything of a journal, and drop from it what is settled.

    The caller holds the lock.

    Raises:
        Locked: its owner lives, though without the lock.
        RestoreError: something that is ours could not be put back; the journal is kept.
        JournalError: the journal cannot be written or removed.
    """
    if journals.held_by_another(journal):
        raise Locked(
            f"hwtune {journal.verb} (pid {journal.owner.pid}) has settings applied",
            hint="wait until it ends; it puts back what it changed",
        )
    with uninterrupted():
        slept = slept_since(journal.suspended_s, slept_s)
        report = put_back(backend, original=journal.original, ours=journal.ours, restarted=lambda _path: slept)
        for path, text in report.foreign.items() if report.failed else ():
            _log.warning("%s reads %s, which is not ours: left as it is", knob_of(path), text)
        settle(run_dir, journal, report, before=None)
    return report


def slept_since(before_s: float | None, slept_s: Callable[[], float]) -> bool:
    """Whether the machine was suspended since it had slept for so long; None for not known."""
    return before_s is not None and slept_s() - before_s > _NAP_S


def settle(run_dir: Path, journal: Journal, report: RestoreReport, *, before: Journal | None) -> None:
    """After restoring: leave in the journal what could not be done, else what was there before us, else nothing.

    Raises:
        RestoreError: when something failed.
        JournalError: the journal cannot be written or removed.
    """
    if left := _rest_of(journal, {*report.offline, *report.failed}):
        journals.save(run_dir, left if before is None else _joined(before, left))
    elif before is not None:
        journals.save(run_dir, before)
    else:
        journals.remove(run_dir)
    if report.failed:
        path, why = next(iter(report.failed.items()))
        more = f" (and {len(report.failed) - 1} more)" if len(report.failed) > 1 else ""
        raise RestoreError(
            f"could not put back {knob_of(path)}: {why}{more}",
            knob=knob_of(path),
            hint="`hwtune restore` tries again; `hwtune reset` goes to hardware defaults",
        )


def _rest_of(journal: Journal, paths: set[str]) -> Journal | None:
    """The journal of what hangs together with these paths; None when there are none.

    A policy's attributes do, and the tunables of the governor it had, which only that will bring back. A switch for
    the whole machine moves the limits of all policies: where it waits they do, and where one of them waits, that the
    switch was ours explains what it reads.
    """
    if not paths:
        return None
    directories = {place for path in paths for place in (directory_of(path), policy_of(path))}
    governors = {journal.original.get(f"{directory}/{GOVERNOR}") for directory in directories}
    whole = any(policy_of(path) is None for path in paths)

    def stays(path: str) -> bool:
        directory = directory_of(path)
        comes_back = stage_of(path) is Stage.TUNABLE and name_of(directory) in governors
        explains = stage_of(path) is Stage.BOOST and path in journal.ours
        return whole or directory in directories or comes_back or explains

    return journal.model_copy(
        update={
            "state": "active",
            "original": {path: text for path, text in journal.original.items() if stays(path)},
            "ours": {path: texts for path, texts in journal.ours.items() if stays(path)},
        }
    )


def _joined(before: Journal, left: Journal) -> Journal:
    """An earlier journal with what could not be done now: its originals are the older truth."""
    return before.model_copy(
        update={"original": {**left.original, **before.original}, "ours": {**before.ours, **left.ours}}
    )
