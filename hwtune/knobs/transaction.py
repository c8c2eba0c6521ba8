"""Setting knobs so that they can always be put back.

Every write is journaled before it is made, read back after, and undone when the transaction ends, however it ends;
what a crash leaves behind is put back by whoever comes next. What somebody else sets in between is left to them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Literal, Protocol, Self

from hwtune.domain.errors import ForeignEdit, JournalError, PermissionDenied, VerifyError
from hwtune.domain.knob import KnobSpace, Setting, Value
from hwtune.host.clock import suspended_s
from hwtune.host.fs import HostFS
from hwtune.knobs import journal as journals
from hwtune.knobs.attributes import Stage, Write, knob_of, stage_of
from hwtune.knobs.changes import Changes, policy_of
from hwtune.knobs.claims import claimed, handed_over, written
from hwtune.knobs.interruption import uninterrupted
from hwtune.knobs.journal import Journal
from hwtune.knobs.lock import Lock
from hwtune.knobs.outcome import Outcome, worst_of
from hwtune.knobs.quarantine import Quarantine
from hwtune.knobs.restore import Restorable, RestoreReport, put_back, restore_journal, settle
from hwtune.knobs.watch import Watch
from hwtune.knobs.writing import present, write_stage

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
        state_dir: where it is remembered what may not be turned; None on a machine that cannot crash.
        on_foreign: whether a knob that somebody else sets meanwhile is left to them, or ends it all.
        slept_s: how long the machine has been suspended since its boot.
    """

    def __init__(
        self,
        backend: KnobBackend,
        *,
        run_dir: Path,
        verb: str,
        files: HostFS,
        state_dir: Path | None = None,
        on_foreign: Literal["stop", "yield"] = "yield",
        slept_s: Callable[[], float] = suspended_s,
    ) -> None:
        self.backend = backend
        self.recovered: RestoreReport | None = None
        self._run_dir = run_dir
        self._verb = verb
        self._files = files
        self._on_foreign = on_foreign
        self._slept_s = slept_s
        self._watch = Watch(backend, slept_s)
        self._lock = Lock(run_dir, verb=verb)
        self._quarantine = None if state_dir is None else Quarantine(state_dir, files)
        self._held: dict[str, Outcome] = {}
        self._earlier: Journal | None = None
        self._journal: Journal | None = None
        self._found: dict[str, str] = {}
        self._asked = Setting()

    def __enter__(self) -> Self:
        """Take the machine.

        Raises:
            Locked: another writer holds it.
            JournalError: the journal or the quarantine is unreadable, or cannot be written.
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
                if self._quarantine is not None:
                    self._quarantine.leave()
        finally:
            self._lock.release()

    @property
    def held(self) -> Mapping[str, Outcome]:
        """The knobs that are not turned any more, and why: rejected, in quarantine, or left to somebody else."""
        return self._held

    def apply(self, setting: Setting) -> Applied:
        """Bring the machine to a setting: only what differs is written, each write is read back.

        A knob whose write the kernel rejects stays as it is for the rest of this transaction, as does one that somebody
        else has set since the last time.

        Raises:
            JournalError: the journal cannot be written; no knob was changed after that.
            PermissionDenied: no right to write there.
            VerifyError: something reads otherwise than it was written and nothing explains it; all is put back.
            ForeignEdit: somebody else has set something, and that is to end it; all else is put back.
        """
        self.look()
        self._keep_quarantine(setting)
        outcomes = [self._why_held(knob, value) for knob, value in setting.items() if knob in self._held]
        self._asked = setting
        self._bring(setting, outcomes)
        effective = self.backend.effective()
        touched = {outcome.knob for outcome in outcomes if outcome.result != "offline"}
        knobs = {knob.name: knob for knob in self.backend.space.knobs}
        for knob, value in setting.items():
            if knob not in touched and self._watch.is_away(knobs.get(knob)):
                outcomes.append(Outcome(knob=knob, result="offline", wanted=str(value)))
            elif knob not in touched and effective.get(knob, value) == value:
                outcomes.append(Outcome(knob=knob, result="already", wanted=str(value), effective=str(value)))
        return Applied(effective=effective, outcomes=worst_of(outcomes))

    def foreign(self) -> Mapping[str, str]:
        """Path → text of what reads otherwise than we left it, by nobody's doing but somebody else's."""
        return self._changes().foreign

    def look(self) -> Changes:
        """What has changed since the last `apply`; what somebody else has set is theirs from now on.

        What a suspend or a hotplug has undone is set again with the next `apply`.

        Raises:
            ForeignEdit: somebody else has set something, and that is to end it; all else is put back.
            JournalError: the journal cannot be written.
        """
        found = self._changes()
        for path, text in found.lost.items():
            _log.info("%s reads %s since a suspend or a hotplug: it is set again", knob_of(path), text)
        if found.foreign:
            self._yield(found.foreign)
        return found

    def is_back(self, before: Mapping[str, str]) -> bool:
        """Whether everything reads as in an earlier snapshot, but for what somebody else has set meanwhile."""
        return self._watch.is_back(before, self.backend.snapshot())

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
        with uninterrupted():
            # Only while we are here can a tunable that was set meanwhile be told from one that began anew.
            theirs = self._changes().foreign
            self._watch.hand_over(theirs)
            journal, self._journal = self._journal, None
            if journal is None:
                return RestoreReport()
            for path, text in theirs.items():
                _log.warning("somebody else has set %s to %s: it is left to them", knob_of(path), text)
            report = self._put_back(handed_over(journal, theirs), {**self._found, **theirs})
        return replace(report, foreign={**self._watch.theirs, **report.foreign})

    def _put_back(self, journal: Journal, found: Mapping[str, str]) -> RestoreReport:
        kept = self._earlier if self._earlier is not None and self._earlier.state == "kept" else None
        # From settings that were kept the visit began; what a crash has left was never anybody's wish.
        target = {**found, **journal.original} if kept is None else {**journal.original, **found}
        report = put_back(
            self.backend,
            original=target,
            ours=journal.ours,
            restarted=self._watch.restarted,
            theirs=self._watch.theirs,
        )
        for path, text in report.foreign.items():
            _log.warning("%s reads %s, which is not ours: left as it is", knob_of(path), text)
        for path in report.offline:
            _log.warning("%s is not there: it waits for `hwtune restore`", knob_of(path))
        self._watch.forget()
        try:
            settle(self._run_dir, journal, report, before=kept)
        finally:
            self._earlier = journals.load(self._run_dir, self._files)
        return report

    def _recover(self) -> None:
        found = journals.load(self._run_dir, self._files)
        if self._quarantine is not None:
            self._quarantine.open()
            self._keep_quarantine(self.backend.space.default if self._quarantine.entries() else Setting())
        if found is not None and found.state == "active":
            self.recovered = restore_journal(self.backend, run_dir=self._run_dir, journal=found, slept_s=self._slept_s)
            found = journals.load(self._run_dir, self._files)
        self._earlier = found

    def _keep_quarantine(self, setting: Setting) -> None:
        for knob, value in setting.items():
            if self._quarantine is not None and knob not in self._held and (entry := self._quarantine.entry(knob)):
                self._held[knob] = Outcome(knob=knob, result="quarantined", wanted=str(value))
                _log.warning("not turned: %s; `hwtune quarantine clear %s` allows it again", entry, entry.knob)

    def _why_held(self, knob: str, value: Value) -> Outcome:
        held = self._held[knob]
        return replace(held, wanted=str(value)) if held.result == "quarantined" else held

    def _changes(self) -> Changes:
        return self._watch.look(ours={} if self._journal is None else self._journal.ours, original=self._originals())

    def _originals(self) -> Mapping[str, str]:
        return self._found if self._journal is None else self._journal.original

    def _yield(self, foreign: Mapping[str, str]) -> None:
        """Leave attributes to whoever has set them: the journal lets them go, the rest of their knobs goes back."""
        self._watch.hand_over(foreign)
        self._found |= foreign
        if self._journal is not None:
            self._save(handed_over(self._journal, foreign), state=self._journal.state)
        for path, text in foreign.items():
            _log.warning("somebody else has set %s to %s: it is left to them", knob_of(path), text)
        if self._on_foreign == "stop":
            path, text = next(iter(foreign.items()))
            self.restore()
            raise ForeignEdit(
                f"somebody else has set {knob_of(path)} to {text} meanwhile",
                knob=knob_of(path),
                hint="what was ours is put back; see `hwtune probe` for other tuners, or set tune.on_foreign to yield",
            )
        default = self.backend.space.default
        for write in self.backend.plan(default | self._asked):
            if write.path in foreign and write.knob not in self._held:
                now = write.word(foreign[write.path])
                self._held[write.knob] = Outcome(
                    knob=write.knob, result="yielded", wanted=write.word(write.value), path=write.path, effective=now
                )
                self._bring(default.only((write.knob,)), [], held=True)

    def _bring(self, setting: Setting, outcomes: list[Outcome], *, held: bool = False) -> None:
        texts = self.backend.snapshot()
        if self._journal is None:
            # The first look is the older truth: since then a limit of the firmware may have come over a request.
            self._found = {**texts, **self._found}
        if not held:
            setting = Setting({knob: value for knob, value in setting.items() if knob not in self._held})
        done = -1
        while writes := [write for write in self._plan(setting) if write.stage > done]:
            done = writes[0].stage
            texts = self._write([write for write in writes if write.stage == done], texts, outcomes)
        self._watch.leave(texts, self._policies())

    def _plan(self, setting: Setting) -> tuple[Write, ...]:
        return tuple(write for write in self.backend.plan(setting) if write.path not in self._watch.theirs)

    def _policies(self) -> set[str]:
        """The directories of the policies that were there at the start."""
        return {policy for path in self._originals() if (policy := policy_of(path)) is not None}

    def _write(self, writes: list[Write], before: dict[str, str], outcomes: list[Outcome]) -> dict[str, str]:
        """Journal a stage, write it, read it back, journal what came of it; returns what everything reads now."""
        writes, away = present(self.backend, writes, self._policies(), self._as_found(before))
        outcomes += away
        if not writes:
            return before
        ahead = self._ahead(writes, before)
        stage = write_stage(self.backend, writes, self._quarantine)
        outcomes += stage.outcomes
        for outcome in stage.outcomes:
            if outcome.result == "rejected":
                self._held[outcome.knob] = outcome
                _log.warning("%s; it stays as it is from now on", outcome)
        after = self.backend.snapshot()
        self._save(written(ahead, writes, stage.refused, before, after))
        if stage.unexplained is not None:
            self.restore()
            raise VerifyError(
                knob=stage.unexplained.knob,
                wanted=stage.unexplained.wanted,
                effective=stage.unexplained.effective,
                hint="everything was put back; another tool may be setting the same knob: see `hwtune probe`",
            )
        return after

    def _as_found(self, texts: Mapping[str, str]) -> set[str]:
        """Paths of which it is known how they were before us.

        What could not be read at first may read as we have made it meanwhile; what was not there yet does not.
        """
        known = self._originals()
        policies = self._policies()
        new = {path for path in texts if stage_of(path) is Stage.TUNABLE or policy_of(path) not in {None, *policies}}
        return {*known, *new}

    def _ahead(self, writes: list[Write], before: Mapping[str, str]) -> Journal:
        """The journal that allows these writes, saved."""
        journal = self._journal or self._earlier
        known = {} if journal is None else journal.original
        ahead = claimed(
            Journal(
                boot_id=journals.boot_id(self._files),
                owner=journals.this_process(),
                verb=self._verb,
                state="active",
                original={**(self._found if self._journal is None else {}), **known},
                ours={} if journal is None else journal.ours,
                suspended_s=self._slept_s(),
            ),
            writes,
            before,
        )
        allowed = self._journal
        try:
            self._save(ahead)
        except (JournalError, PermissionDenied):
            self._journal = allowed  # nothing was written, so nothing more is to be undone
            raise
        return ahead

    def _save(self, journal: Journal, *, state: Literal["active", "kept"] = "active") -> None:
        """Remember first, so that whatever interrupts the saving finds the journal when it restores."""
        self._journal = journal.model_copy(update={"state": state})
        journals.save(self._run_dir, self._journal)
