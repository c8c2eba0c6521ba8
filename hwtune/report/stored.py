"""A session out of the store, and how its figures are to be called."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from hwtune.domain.errors import StoreError, UsageError
from hwtune.domain.knob import Setting
from hwtune.domain.measure import energy_unit, objective_unit
from hwtune.domain.objective import Objective
from hwtune.domain.trial import Proposal, Trial, TrialStatus
from hwtune.store.database import Store
from hwtune.store.records import DecisionRecord, SessionRecord
from hwtune.workload.verdict import Verdict

_FIGURED = (TrialStatus.OK, TrialStatus.INFEASIBLE, TrialStatus.CENSORED)
_VERDICT: TypeAdapter[Verdict] = TypeAdapter(Verdict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Medians:
    """Medians of the interleaved runs of both arms of a receipt, in s and J."""

    default_time_s: float
    chosen_time_s: float
    default_energy_j: float | None
    chosen_energy_j: float | None


_MEDIANS: TypeAdapter[Medians] = TypeAdapter(Medians)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """One session with its decisions."""

    record: SessionRecord
    decisions: tuple[DecisionRecord, ...]

    @property
    def objective_name(self) -> str:
        """As it is written in the field: `energy`, `time`, `EDP`, `ED2P`."""
        objective = self.record.problem.objective
        return objective.value.upper() if objective in (Objective.EDP, Objective.ED2P) else objective.value

    @property
    def objective_unit(self) -> str:
        """Unit of the objective."""
        return objective_unit(self.record.problem.objective, self.time_unit)

    @property
    def time_unit(self) -> str:
        """Unit of the times: seconds of a run, or what another measure puts in their place."""
        return next((run.unit for _, trial in self.measured for run in trial.runs), "s")

    @property
    def energy_unit(self) -> str:
        """Unit of the energies."""
        return energy_unit(self.time_unit)

    @property
    def time_quality(self) -> str:
        """What kind of figures the times are."""
        return "simulated" if self.record.machine.simulated else "measured"

    @property
    def energy_quality(self) -> str:
        """What kind of figures the energies are; an emulated meter counts no real joules."""
        source = self.record.machine.energy_source or ""
        return "emulated meter" if source.startswith("emulated") else self.time_quality

    @property
    def objective_quality(self) -> str:
        """What kind of figures the objective's are: the weaker of what it is made of."""
        return self.energy_quality if self.record.problem.objective.needs_energy else self.time_quality

    @property
    def measured(self) -> tuple[tuple[DecisionRecord, Trial], ...]:
        """The decisions that came to a trial with figures."""
        return tuple(
            (decision, decision.trial)
            for decision in self.decisions
            if decision.trial is not None and decision.trial.status in _FIGURED
        )

    @property
    def chosen(self) -> Proposal | None:
        """What was recommended at the end, before any receipt."""
        return next((d.recommended for d in reversed(self.decisions) if d.recommended is not None), None)

    @property
    def receipt(self) -> tuple[Verdict, Medians] | None:
        """The interleaved comparison with the default, or None without one.

        Raises:
            StoreError: when what is stored is not one.
        """
        figures = self.record.verdict
        if figures is None:
            return None
        try:
            return _VERDICT.validate_python(figures), _MEDIANS.validate_python(figures)
        except ValidationError as error:
            raise StoreError(
                f"the verdict of session {self.record.number} is damaged", hint="`hwtune report --list` shows others"
            ) from error

    def trials_of(self, setting: Setting, *, before: int | None = None) -> tuple[Trial, ...]:
        """Trials of a setting that were run to their end, of decisions before a number if one is given.

        What the kernel made of a request is another setting (without boost, a limit above the base frequency reads as
        that frequency), and a recommendation may name either: both are the same trial.
        """
        return tuple(
            trial
            for decision, trial in self.measured
            if setting in (trial.setting, trial.requested)
            and trial.stopped_after_s is None
            and (before is None or decision.number < before)
        )

    def objective_of(self, time_s: float, energy_j: float | None) -> float | None:
        """The objective, None where it needs an energy that is not known."""
        objective = self.record.problem.objective
        if objective.needs_energy and energy_j is None:
            return None
        return objective.value_of(time_s, energy_j)

    def setting_text(self, setting: Setting) -> str:
        """What a setting changes of the defaults, in words."""
        space = self.record.problem.space
        changed = space.default.diff(setting)
        return ", ".join(f"{name} {space[name].text(value)}" for name, value in changed.items()) or "the defaults"


def load_session(path: Path, number: int | None) -> Stored:
    """A session of the store, the last one if no number is given.

    Raises:
        StoreError: no store, or nothing in it.
        UsageError: no session of that number.
    """
    with Store(path, create=False) as store:
        sessions = store.sessions()
        if not sessions:
            raise StoreError(f"{path} holds no session yet", hint="`hwtune tune -- CMD` makes the first one")
        record = sessions[-1] if number is None else next((s for s in sessions if s.number == number), None)
        if record is None:
            raise UsageError(f"there is no session {number}", hint="`hwtune report --list` lists them")
        return Stored(record=record, decisions=store.decisions(record.number))
