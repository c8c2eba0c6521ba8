"""What `hwtune tune` says at the end: one JSON document, or a table for people.

The workload entry (`evaluated`, `recommended`, `stopped`) has the form that `hwtune replay --json` prints, so that one
scorer reads both.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import exp
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from hwtune.cli.cost import CostEntry, PaybacksEntry, own_entry
from hwtune.cli.energy_entry import EnergyEntry
from hwtune.domain.breach import breaches
from hwtune.domain.knob import KnobSpace, Setting, Value
from hwtune.domain.measure import Measure, energy_unit, objective_unit
from hwtune.domain.objective import Bound, Objective
from hwtune.domain.trial import LogNormal, Prediction, Trial, TrialStatus

if TYPE_CHECKING:
    from hwtune.session import Decision, Session
    from hwtune.workload.verdict import Verdict

Interval = tuple[float, float]
# Two-sided 90 % and 95 % of a normal distribution.
Z90, Z95 = 1.6448536269514722, 1.959963984540054
OBJECTIVE_UNITS = {objective: objective_unit(objective) for objective in Objective}


class MeasureEntry(BaseModel):
    """What the times and energies of the document are: of a run, or by another measure of its work."""

    name: str
    better: str
    unit: str
    time_unit: str
    energy_unit: str


class Figures(BaseModel):
    """Time and energy of one run, or what takes their place by another measure."""

    time_s: float
    energy_j: float | None


class Predicted(Figures):
    """Medians with their 90 % intervals."""

    time_s_90: Interval
    energy_j_90: Interval | None


class Evaluated(BaseModel):
    """One setting that was tried; the first is the default, which nothing could be predicted of."""

    # `true`, on a simulated machine only; `censored`, of what was stopped early only; `own_cpu_share`, where known.
    model_config = ConfigDict(extra="allow")

    setting: dict[str, Value]
    reason: str
    predicted: Predicted | None = None
    measured: Figures | None = None


class VerdictEntry(BaseModel):
    """Chosen over default, from interleaved runs; below 1 is better."""

    time_ratio: float
    time_ratio_95: Interval
    energy_ratio: float | None
    energy_ratio_95: Interval | None
    objective_ratio: float
    objective_ratio_95: Interval
    significant: bool
    runs: int
    decided: str | None
    detectable: float | None


class Outcome(BaseModel):
    """The document of `hwtune tune --json`."""

    model_config = ConfigDict(extra="allow")  # `oracle`, on a simulated machine only

    schema_version: int = 1
    machine: str
    simulated: bool
    dry_run: bool
    energy_source: str
    energy: EnergyEntry | None = None
    workload: str
    measure: MeasureEntry
    objective: str
    max_slowdown: float | None
    max_power_w: float | None
    max_latency_s: dict[str, float] = {}
    max_pressure: dict[str, float] = {}
    seed: int
    budget: int
    evaluated: list[Evaluated]
    recommended: list[dict[str, Any]]
    stopped: str
    why_stopped: str | None
    verdict: VerdictEntry | None
    expected: Predicted | None = None
    would_write: dict[str, str] | None = None
    noticed: list[dict[str, str]] = []
    warnings: list[str] = []
    cost: CostEntry | None = None
    payback: PaybacksEntry | None = None
    kept: bool
    restored: bool


def interval_90(quantity: LogNormal) -> Interval:
    """The central 90 % of a log-normal quantity, in its own unit."""
    half = Z90 * quantity.sd_log
    return exp(quantity.mean_log - half), exp(quantity.mean_log + half)


def predicted_figures(prediction: Prediction) -> Predicted:
    """Medians and 90 % intervals of a prediction."""
    energy = prediction.energy_j
    return Predicted(
        time_s=exp(prediction.time_s.mean_log),
        energy_j=None if energy is None else exp(energy.mean_log),
        time_s_90=interval_90(prediction.time_s),
        energy_j_90=None if energy is None else interval_90(energy),
    )


def measure_entry(measure: Measure) -> MeasureEntry:
    """A measure in its printed form."""
    return MeasureEntry(
        name=measure.name,
        better=measure.better.value,
        unit=measure.unit,
        time_unit=measure.time_unit,
        energy_unit=energy_unit(measure.time_unit),
    )


def verdict_entry(verdict: Verdict) -> VerdictEntry:
    """The verdict in its printed form."""
    return VerdictEntry.model_validate(verdict, from_attributes=True)


Truth = Callable[[Mapping[str, Value]], tuple[float, float]]


def evaluated_entries(session: Session, truth: Truth | None) -> list[Evaluated]:
    """Every setting in the order of its measurement; `truth` adds a simulated machine's noise-free figures."""
    return [_evaluated(decision, truth, session.problem.bound) for decision in session.decisions]


def _evaluated(decision: Decision, truth: Truth | None, bound: Bound) -> Evaluated:
    trial, prediction = decision.trial, decision.proposal.predicted
    entry = Evaluated(
        setting=dict(trial.setting),
        reason=trial.reason.value,
        predicted=None if prediction is None else predicted_figures(prediction),
        measured=None
        if trial.status is TrialStatus.PREDICTED
        else Figures(time_s=trial.time_s, energy_j=trial.energy_j),
    )
    true = {} if truth is None else {"true": true_figures(truth, trial.setting)}
    return entry.model_copy(update=true | censored_entry(trial) | broken_entry(trial, bound) | own_entry(trial))


def censored_entry(trial: Trial) -> dict[str, bool]:
    """What an evaluation says besides when its figures are lower bounds."""
    return {"censored": True} if trial.status is TrialStatus.CENSORED else {}


def broken_entry(trial: Trial, bound: Bound) -> dict[str, list[str]]:
    """What an evaluation says besides when it broke a bound that no model predicts."""
    return {"broke": list(breaches(bound, trial.runs))} if trial.status is TrialStatus.INFEASIBLE else {}


def recommended_entries(session: Session, truth: Truth | None) -> list[dict[str, Any]]:
    """What would be kept after each evaluation; the last one is what the receipt left of it."""
    settings = [decision.recommended.setting for decision in session.decisions]
    if session.receipt is not None:
        settings[-1] = session.kept
    extra = [{} if truth is None else {"true": true_figures(truth, setting)} for setting in settings]
    return [{**setting, **more} for setting, more in zip(settings, extra, strict=True)]


def true_figures(truth: Truth, setting: Mapping[str, Value]) -> dict[str, float]:
    """Noise-free time and energy of a simulated machine under a setting."""
    time_s, energy_j = truth(setting)
    return {"time_s": time_s, "energy_j": energy_j}


def setting_text(setting: Mapping[str, Value]) -> str:
    """A setting as one would type it after `hwtune apply`."""
    return " ".join(f"{knob}={value}" for knob, value in setting.items())


def changes(space: KnobSpace, setting: Setting) -> list[tuple[str, str, str]]:
    """(knob, default, chosen) for every knob that the setting changes, in words."""
    return [
        (name, space[name].text(space.default[name]), space[name].text(value))
        for name, value in space.default.diff(setting).items()
    ]


def restored_text(restored: bool, *, yielded: bool = False) -> str:
    """How the machine was left; `yielded` when somebody else has set something meanwhile."""
    if restored and yielded:
        return "Everything else is back as it was; what somebody else has set stays."
    if restored:
        return "Everything is back as it was."
    return "NOT everything could be put back: see `hwtune status`, then `hwtune restore`."
