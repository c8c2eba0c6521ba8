"""One decision of a stored session, explained: what was known, what was expected, what came of it."""

from __future__ import annotations

from pydantic import BaseModel

from hwtune.domain.breach import breaches
from hwtune.domain.errors import StoreError, UsageError
from hwtune.domain.knob import Value
from hwtune.domain.trial import LogNormal, Reason, Trial, TrialStatus
from hwtune.report.plots import Guess
from hwtune.report.stored import Stored
from hwtune.report.view import guess_of
from hwtune.store.records import DecisionRecord

REASONS = {
    Reason.DEFAULT: "the setting found on the machine, which everything is compared with",
    Reason.EXPLORE: "little is known about it, and it may be better than the best so far",
    Reason.EXPLOIT: "expected to be better than the best so far",
    Reason.EXPAND: "nothing that is surely within the bound promises more, so the edge of what is known is pushed out",
    Reason.VERIFY: "measured again, to be sure of it",
}


class Figure(BaseModel):
    """One quantity: what was predicted before the run, and what was observed in it.

    `inside` is null also where a run that was stopped early leaves it open.
    """

    quantity: str
    unit: str
    quality: str
    predicted: float | None
    predicted_90: tuple[float, float] | None
    observed: float | None
    inside: bool | None


class Best(BaseModel):
    """What would have been kept before the decision; its objective as measured, None where it was not."""

    setting: dict[str, Value]
    objective: float | None


class Explanation(BaseModel):
    """The document of `hwtune why --json`."""

    schema_version: int = 1
    session: int
    machine: str
    simulated: bool
    workload: str
    objective: str
    objective_unit: str
    max_slowdown: float | None
    decision: int
    decisions: int
    known_trials: int
    best_so_far: Best | None
    proposed: dict[str, Value]
    reason: str
    meaning: str
    figures: list[Figure]
    probability_feasible: float | None
    importance: dict[str, float]
    effective: dict[str, Value] | None
    stopped_after_s: float | None
    broke: list[str]
    recommended: dict[str, Value] | None


def find_decision(stored: Stored, number: int | None) -> DecisionRecord:
    """A decision of a session, the last one if no number is given.

    Raises:
        StoreError: the session came to no decision.
        UsageError: no decision of that number.
    """
    if not stored.decisions:
        raise StoreError(
            f"session {stored.record.number} came to no decision", hint="`hwtune report --list` lists other sessions"
        )
    if number is None:
        return stored.decisions[-1]
    found = next((decision for decision in stored.decisions if decision.number == number), None)
    if found is None:
        raise UsageError(
            f"session {stored.record.number} has no decision {number}",
            hint=f"it has 1 to {stored.decisions[-1].number}; --session chooses another session",
        )
    return found


def explain(stored: Stored, decision: DecisionRecord) -> Explanation:
    """Everything that is known about one decision."""
    record, proposal = stored.record, decision.proposal
    return Explanation(
        session=record.number,
        machine=record.machine.name,
        simulated=record.machine.simulated,
        workload=record.workload,
        objective=record.problem.objective.value,
        objective_unit=stored.objective_unit,
        max_slowdown=record.problem.bound.max_slowdown,
        decision=decision.number,
        decisions=len(stored.decisions),
        known_trials=decision.known_trials,
        best_so_far=_best_before(stored, decision.number),
        proposed=dict(proposal.setting),
        reason=proposal.reason.value,
        meaning=REASONS[proposal.reason],
        figures=_figures(stored, decision),
        probability_feasible=proposal.probability_feasible,
        importance=dict(sorted(proposal.importance.items(), key=lambda item: -item[1])),
        effective=None if decision.trial is None else dict(decision.trial.setting),
        stopped_after_s=None if decision.trial is None else decision.trial.stopped_after_s,
        broke=_broken(stored, decision.trial),
        recommended=None if decision.recommended is None else dict(decision.recommended.setting),
    )


def _broken(stored: Stored, trial: Trial | None) -> list[str]:
    """What it broke of the bounds that no model predicts, in words."""
    if trial is None or trial.status is not TrialStatus.INFEASIBLE:
        return []
    return [*breaches(stored.record.problem.bound, trial.runs)]


def _best_before(stored: Stored, number: int) -> Best | None:
    earlier = [decision for decision in stored.decisions if decision.number < number]
    if not earlier or earlier[-1].recommended is None:
        return None
    setting = earlier[-1].recommended.setting
    trials = stored.trials_of(setting, before=number)
    objective = stored.objective_of(trials[-1].time_s, trials[-1].energy_j) if trials else None
    return Best(setting=dict(setting), objective=objective)


def _figures(stored: Stored, decision: DecisionRecord) -> list[Figure]:
    """Time, and energy where it was predicted or observed."""
    predicted, trial = decision.proposal.predicted, _measured(stored, decision)
    whole = trial is None or trial.stopped_after_s is None
    figures = [
        _figure(
            ("time", stored.time_unit, stored.time_quality),
            None if predicted is None else predicted.time_s,
            None if trial is None else trial.time_s,
            whole,
        ),
        _figure(
            ("energy", stored.energy_unit, stored.energy_quality),
            None if predicted is None else predicted.energy_j,
            None if trial is None else trial.energy_j,
            whole,
        ),
    ]
    return [figure for figure in figures if figure.predicted is not None or figure.observed is not None]


def _measured(stored: Stored, decision: DecisionRecord) -> Trial | None:
    return next((trial for measured, trial in stored.measured if measured.number == decision.number), None)


def _figure(words: tuple[str, str, str], predicted: LogNormal | None, observed: float | None, whole: bool) -> Figure:
    quantity, unit, quality = words
    guess = guess_of(predicted)
    return Figure(
        quantity=quantity,
        unit=unit,
        quality=quality,
        predicted=None if guess is None else guess.median,
        predicted_90=None if guess is None else (guess.low, guess.high),
        observed=observed,
        inside=_inside(guess, observed, whole),
    )


def _inside(guess: Guess | None, observed: float | None, whole: bool) -> bool | None:
    """Whether an observation lies in its interval; of a lower bound that is known only when it is above."""
    if guess is None or observed is None or (not whole and observed <= guess.high):
        return None
    return guess.holds(observed)
