"""The document of `hwtune replay --json`."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel

from hwtune.cli.outcome import Figures, Predicted, censored_entry, predicted_figures
from hwtune.cli.replay_run import Replayed, ReplayWish
from hwtune.session import Decision
from hwtune.sim.table import MeasuredTable, Number, Skipped


class ReplayedSetting(BaseModel):
    """One evaluation; the default has no `predicted`, and only what was stopped early has `censored`."""

    setting: dict[str, Number]
    reason: str
    predicted: Predicted | None = None
    measured: Figures
    censored: bool = False


class ReplayedWorkload(BaseModel):
    """One workload; `recommended[k]` is what would be kept after `k + 1` evaluations."""

    workload: str
    budget: int
    evaluated: list[ReplayedSetting]
    recommended: list[dict[str, Number]]
    stopped: str
    why_stopped: str | None


class SkippedWorkload(BaseModel):
    """A workload that was not replayed."""

    workload: str
    why: str


class ReplayDocument(BaseModel):
    """All of it."""

    schema_version: int
    table: str
    objective: str
    max_slowdown: float | None
    seed: int
    warm: str
    workloads: list[ReplayedWorkload]
    skipped: list[SkippedWorkload]


def document(
    table: MeasuredTable, wish: ReplayWish, replayed: Sequence[Replayed], skipped: Sequence[Skipped]
) -> ReplayDocument:
    """The document of a replay, in the table's order."""
    return ReplayDocument(
        schema_version=1,
        table=table.name,
        objective=wish.objective.value,
        max_slowdown=wish.max_slowdown,
        seed=wish.seed,
        warm="table" if wish.warm else "none",
        workloads=[_workload(table, wish, each) for each in replayed],
        skipped=[SkippedWorkload(workload=each.workload, why=each.why) for each in skipped],
    )


def _workload(table: MeasuredTable, wish: ReplayWish, replayed: Replayed) -> ReplayedWorkload:
    decisions = replayed.session.decisions
    return ReplayedWorkload(
        workload=replayed.workload.name,
        budget=wish.budget,
        evaluated=[_evaluated(table, decision) for decision in decisions],
        recommended=[table.numbers(decision.recommended.setting) for decision in decisions],
        stopped=replayed.session.stopped,
        why_stopped=replayed.session.why_stopped or None,
    )


def _evaluated(table: MeasuredTable, decision: Decision) -> ReplayedSetting:
    trial, prediction = decision.trial, decision.proposal.predicted
    # What is left unset is left out of the document.
    predicted = {} if prediction is None else {"predicted": predicted_figures(prediction)}
    return ReplayedSetting(
        setting=table.numbers(trial.setting),
        reason=trial.reason.value,
        measured=Figures(time_s=trial.time_s, energy_j=trial.energy_j),
    ).model_copy(update=predicted | censored_entry(trial))


def json_text(it: ReplayDocument) -> str:
    """The document as one line."""
    return it.model_dump_json(exclude_unset=True)
