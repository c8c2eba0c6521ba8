"""Setting knobs so that they can always be put back.

Every write is journaled before it is made, read back after, and undone when the transaction ends, however it ends;
what a crash leaves behind is put back by whoever comes next.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal, Protocol, Self

from hwtune.domain.errors import JournalError, PermissionDenied, VerifyError
from hwtune.domain.knob import KnobSpace, Setting
from hwtune.host.fs import HostFS
from hwtune.knobs import journal as journals
from hwtune.knobs.attributes import Write
from hwtune.knobs.interruption import uninterrupted
from hwtune.knobs.journal import Journal
from hwtune.knobs.lock import Lock
from hwtune.knobs.outcome import Outcome, read_one, worst_of, write_one
from hwtune.knobs.restore import Restorable, RestoreReport, put_back, restore_journal, settle

_log = logging.getLogger(__name__)


class KnobBackend(Restorable, Protocol):
    """What differs between the kernel's files and the rows of a measured table."""

    @property
    def space(self) -> KnobSpace:
        """All knobs; defaults are what was found before anything was changed."""

    def snapshot(self) -> dict[str, str]:
        """Path → text of everything a write may change."""

    def plan(self, setting: Setting) -> tuple[Write, ...]:
        """Ordered writes that bring the machine to a setting; none for what is so already or not active."""

    def effective(self) -> Setting:
        """What is set now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """What the kernel made of a setting.

    Args:
        effective: what is set now, for every knob of the machine that is there.
        outcomes: one for each knob of the setting that is active.
    """

    effective: Setting
    outcomes: tuple[Outcome, ...]


class Transaction:
    """One writer's stay at the machine, from lock to restore.

    On entering, what a crashed predecessor left is put back first. On leaving, everything goes back to how it was
    before the first write, unless `keep` was called. The journal of an earlier `keep` is added to, and outlives the
    transaction.

    Args:
        backend: where to write.
        run_dir: where journal and lock are.
        verb: on whose behalf, for the journal and for others that find the machine locked.
        files: the machine's files, for the name of its boot.
    """

    def __init__(self, backend: KnobBackend, *, run_dir: Path, verb: str, files: HostFS) -> None:
        self.backend = backend
        self.recovered: RestoreReport | None = None
        self._run_dir = run_dir
        self._verb = verb
        self._files = files
        self._lock = Lock(run_dir, verb=verb)
        self._rejected: dict[str, Outcome] = {}
        self._earlier: Journal | None = None
        self._journal: Journal | None = None
        self._found: dict[str, str] = {}

    def __enter__(self) -> Self:
        """Take the machine.

        Raises:
            Locked: another writer holds it.
            JournalError: the journal is unreadable, or cannot be written.
            RestoreError: what a crashed predecessor left could not be put back.
        """
        self._lock.acquire()
        try:
            self._recover()
        except BaseException:
            self._lock.release()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Put everything back unless it was kept, and let the machine go."""
        try:
            with uninterrupted():
                if self._journal is not None and self._journal.state == "active":
                    self.restore()
        finally:
            self._lock.release()

    def apply(self, setting: Setting) -> Applied:
        """Bring the machine to a setting: only what differs is written, each write is read back.

        A knob whose write the kernel rejects stays as it is for the rest of this transaction.

        Raises:
            JournalError: the journal cannot be written; no knob was changed after that.
            PermissionDenied: no right to write there.
            VerifyError: something reads otherwise than it was written and nothing explains it; all is put back.
        """
        outcomes = [outcome for knob, outcome in self._rejected.items() if knob in setting]
        texts = self.backend.snapshot()
        if self._journal is None:
            self._found = texts
        done = -1
        while writes := [write for write in self._plan(setting) if write.stage > done]:
            done = writes[0].stage
            texts = self._write([write for write in writes if write.stage == done], texts, outcomes)
        effective = self.backend.effective()
        touched = {outcome.knob for outcome in outcomes}
        for knob, value in setting.items():
            if knob not in touched and effective.get(knob, value) == value:
                outcomes.append(Outcome(knob=knob, result="already", wanted=str(value), effective=str(value)))
        return Applied(effective=effective, outcomes=worst_of(outcomes))

    def keep(self) -> None:
        """Let the settings stay when the transaction ends; `hwtune restore` undoes them.

        Raises:
            JournalError: the journal cannot be written.
        """
        if self._journal is not None:
            self._save(self._journal, state="kept")

    def restore(self) -> RestoreReport:
        """Put everything back to how it was before the first write, now.

        Raises:
            RestoreError: something that is ours could not be put back; the journal is kept.
            JournalError: the journal cannot be written or removed.
        """
        journal, self._journal = self._journal, None
        if journal is None:
            return RestoreReport()
        with uninterrupted():
            target = {**journal.original, **self._found}
            report = put_back(self.backend, original=target, ours=journal.ours)
            for path, text in report.foreign.items():
                _log.warning("%s reads %s, which is not ours: left as it is", path, text)
            settle(self._run_dir, journal, report, before=self._earlier)
        return report

    def _recover(self) -> None:
        found = journals.load(self._run_dir, self._files)
        if found is not None and found.state == "active":
            self.recovered = restore_journal(self.backend, run_dir=self._run_dir, journal=found)
            found = journals.load(self._run_dir, self._files)
        self._earlier = found

    def _plan(self, setting: Setting) -> tuple[Write, ...]:
        return self.backend.plan(
            Setting({knob: value for knob, value in setting.items() if knob not in self._rejected})
        )

    def _write(self, writes: list[Write], before: dict[str, str], outcomes: list[Outcome]) -> dict[str, str]:
        """Journal a stage, write it, read it back, journal what came of it; returns what everything reads now."""
        ahead = self._ahead(writes, before)
        refused: dict[str, Outcome] = {}
        unexplained: Outcome | None = None
        rejections = [write_one(self.backend, write) for write in writes]
        self.backend.settle(writes)
        for write, rejection in zip(writes, rejections, strict=True):
            outcome = rejection or read_one(self.backend, write)
            outcomes.append(outcome)
            if outcome.result == "rejected":
                refused[write.path] = outcome
                self._reject(outcome)
            elif not self.backend.accepts(write.path, write.value, write.word(outcome.effective or "")):
                unexplained = unexplained or outcome
        after = self.backend.snapshot()
        self._save(self._behind(ahead, writes, refused, before, after))
        if unexplained is not None:
            self.restore()
            raise VerifyError(
                knob=unexplained.knob,
                wanted=unexplained.wanted,
                effective=unexplained.effective,
                hint="everything was put back; another tool may be setting the same knob: see `hwtune probe`",
            )
        return after

    def _reject(self, outcome: Outcome) -> None:
        self._rejected[outcome.knob] = outcome
        _log.warning("%s; it stays as it is from now on", outcome)

    def _ahead(self, writes: list[Write], before: Mapping[str, str]) -> Journal:
        """The journal that allows these writes: their files' texts kept, what is asked for claimed."""
        journal = self._journal or self._earlier
        original, ours = (dict(journal.original), dict(journal.ours)) if journal is not None else ({}, {})
        # What was there before us is the older truth; what has come up since is new to the journal.
        original = {**(self._found if self._journal is None else {}), **original}
        for write in writes:
            if write.path in before:
                original.setdefault(write.path, before[write.path])
            ours[write.path] = (*ours.get(write.path, ()), write.value)
        ahead = Journal(
            boot_id=journals.boot_id(self._files),
            owner=journals.this_process(),
            verb=self._verb,
            state="active",
            original=original,
            ours=ours,
        )
        claimed = self._journal
        try:
            self._save(ahead)
        except (JournalError, PermissionDenied):
            self._journal = claimed  # nothing was written, so nothing more is to be undone
            raise
        return ahead

    def _behind(
        self,
        ahead: Journal,
        writes: list[Write],
        refused: Mapping[str, Outcome],
        before: Mapping[str, str],
        after: Mapping[str, str],
    ) -> Journal:
        """The journal after the writes: the last request and its effect, also on attributes coupled to them."""
        ours = dict(ahead.ours)
        for write in writes:
            if write.path in refused:
                # Nothing was written: what was ours before still is, and no more.
                earlier = ours[write.path][:-1]
                ours = {**ours, write.path: earlier} if earlier else {p: t for p, t in ours.items() if p != write.path}
            else:
                ours[write.path] = _distinct(write.value, after.get(write.path))
        written = {write.path for write in writes}
        for path in ahead.original.keys() - written:
            # A tunable that came back with its governor has lost the value it was found with.
            if path in after and after[path] != before.get(path, ahead.original[path]):
                ours[path] = _distinct(*ours.get(path, ())[:1], after[path])
        return ahead.model_copy(update={"ours": ours})

    def _save(self, journal: Journal, *, state: Literal["active", "kept"] = "active") -> None:
        """Remember first, so that whatever interrupts the saving finds the journal when it restores."""
        self._journal = journal.model_copy(update={"state": state})
        journals.save(self._run_dir, self._journal)


def _distinct(*texts: str | None) -> tuple[str, ...]:
    return tuple(dict.fromkeys(text for text in texts if text is not None))
