"""A stored session turned into what a page shows: words, figures with their kind, dots for the plots."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from math import exp

from hwtune.domain.knob import Setting
from hwtune.domain.objective import Objective
from hwtune.domain.trial import LogNormal, Proposal, TrialStatus
from hwtune.report.plots import Dot, Guess
from hwtune.report.stored import Medians, Stored
from hwtune.workload.verdict import Verdict

# Two-sided 90 % of a normal distribution.
_Z90 = 1.6448536269514722


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One figure of the default and of the chosen setting, and the ratio that interleaved runs gave.

    Args:
        name: time, energy, EDP.
        unit: of both figures.
        quality: what kind of figures these are.
        default: median of the interleaved runs of the receipt, without one of the runs in the search; or None.
        chosen: the same, or what is predicted where the setting was never run.
        chosen_quality: the kind of `chosen`.
        ratio: chosen over default, from the receipt.
        ratio_95: its interval.
    """

    name: str
    unit: str
    quality: str
    default: float | None
    chosen: float | None
    chosen_quality: str
    ratio: float | None
    ratio_95: tuple[float, float] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A knob that the chosen setting changes, in words."""

    knob: str
    default: str
    chosen: str


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """Everything on the page, in the order of the page.

    `dots` are the settings of the search; `verified` is the chosen one where only the receipt ran it.
    """

    number: int
    machine: str
    workload: str
    time_quality: str
    energy_quality: str
    time_unit: str
    energy_unit: str
    objective_quality: str
    headline: str
    explanation: str
    comparisons: tuple[Comparison, ...]
    changes: tuple[Change, ...]
    objective: str
    max_slowdown: float | None
    dots: tuple[Dot, ...]
    verified: Dot | None
    conditions: tuple[tuple[str, str], ...]
    version: str


def view_of(stored: Stored) -> View:
    """The page of a session.

    Raises:
        StoreError: when its receipt is damaged.
    """
    record = stored.record
    receipt = stored.receipt
    headline, explanation = _words(stored, None if receipt is None else receipt[0])
    default, chosen = record.problem.space.default, stored.chosen
    changed = {} if chosen is None else default.diff(chosen.setting)
    return View(
        number=record.number,
        machine=record.machine.name,
        workload=record.workload,
        time_quality=stored.time_quality,
        energy_quality=stored.energy_quality,
        time_unit=stored.time_unit,
        energy_unit=stored.energy_unit,
        objective_quality=stored.objective_quality,
        headline=headline,
        explanation=explanation,
        comparisons=_comparisons(stored, receipt) if changed else (),
        changes=tuple(
            Change(
                knob=name,
                default=record.problem.space[name].text(default[name]),
                chosen=record.problem.space[name].text(value),
            )
            for name, value in changed.items()
        ),
        objective=f"{stored.objective_name} ({stored.objective_unit})",
        max_slowdown=record.problem.bound.max_slowdown,
        dots=dots_of(stored),
        verified=None if receipt is None else _verified(stored, receipt[1]),
        conditions=_conditions(stored),
        version=record.machine.hwtune_version,
    )


def front_dots(view: View) -> tuple[Dot, ...]:
    """What belongs on the time-energy front: all that was ever run to its end."""
    whole = tuple(dot for dot in view.dots if dot.stopped_after_s is None)
    return whole if view.verified is None else (*whole, view.verified)


def guess_of(quantity: LogNormal | None) -> Guess | None:
    """Median and 90 % interval of a prediction, in its own unit."""
    if quantity is None:
        return None
    low, median, high = (exp(quantity.mean_log + z * quantity.sd_log) for z in (-_Z90, 0.0, _Z90))
    return Guess(median=median, low=low, high=high)


def dots_of(stored: Stored) -> tuple[Dot, ...]:
    """One dot for every trial with figures."""
    chosen = () if stored.chosen is None else stored.trials_of(stored.chosen.setting)
    default = stored.trials_of(stored.record.problem.space.default)
    dots: list[Dot] = []
    best: float | None = None
    for decision, trial in stored.measured:
        if decision.recommended is not None:
            best = _objective_of(stored, decision.recommended, decision.number)
        predicted = decision.proposal.predicted
        dots.append(
            Dot(
                number=decision.number,
                reason=trial.reason.value,
                label=stored.setting_text(trial.setting),
                time_s=trial.time_s,
                energy_j=trial.energy_j,
                objective=stored.objective_of(trial.time_s, trial.energy_j),
                best_objective=best,
                time_guess=None if predicted is None else guess_of(predicted.time_s),
                energy_guess=None if predicted is None else guess_of(predicted.energy_j),
                stopped_after_s=trial.stopped_after_s,
                default=trial in default,
                chosen=trial in chosen,
            )
        )
    return tuple(dots)


def _verified(stored: Stored, medians: Medians) -> Dot | None:
    """The chosen setting as the receipt found it, where the search never ran it itself."""
    chosen = stored.chosen
    if chosen is None or stored.trials_of(chosen.setting):
        return None
    return Dot(
        number=len(stored.decisions) + 1,
        reason="verify",
        label=stored.setting_text(chosen.setting),
        time_s=medians.chosen_time_s,
        energy_j=medians.chosen_energy_j,
        objective=None,
        best_objective=None,
        chosen=True,
    )


def _objective_of(stored: Stored, recommended: Proposal, number: int) -> float | None:
    """The objective of what is recommended after decision `number`: as measured by then, else as predicted."""
    trials = stored.trials_of(recommended.setting, before=number + 1)
    if trials:
        return stored.objective_of(trials[-1].time_s, trials[-1].energy_j)
    if recommended.predicted is None:
        return None
    energy = guess_of(recommended.predicted.energy_j)
    return stored.objective_of(exp(recommended.predicted.time_s.mean_log), energy.median if energy else None)


def _words(stored: Stored, verdict: Verdict | None) -> tuple[str, str]:
    """The verdict in a line, and what it rests on."""
    record, name = stored.record, stored.objective_name
    if verdict is None:
        chosen = stored.chosen
        if chosen is None or chosen.setting == record.problem.space.default:
            return "No better setting found: defaults kept", "Nothing that was tried promised to be better."
        if record.ended_s is None:
            return "Not finished: nothing is proven", "The session is still running, or it was killed."
        return "Stopped before it was verified: nothing is proven", "The best so far is shown below, as it was found."
    low, high = verdict.objective_ratio_95
    basis = (
        f"{name} {change_text(verdict.objective_ratio)}, 95 % interval {change_text(low)} … {change_text(high)} "
        f"({stored.objective_quality}), from {verdict.runs} runs of each setting, interleaved so that drift hits both "
        "alike."
    )
    if not verdict.significant:
        return "No significant gain: defaults kept", basis
    slowest = record.problem.bound.max_slowdown
    if slowest is not None and verdict.time_ratio > 1.0 + slowest:
        return "The gain breaks the slowdown bound: defaults kept", f"{basis} Time {change_text(verdict.time_ratio)}."
    lower = f"{(1 - verdict.objective_ratio) * 100:.1f} % lower"
    return f"{name[0].upper()}{name[1:]} {lower} than at the defaults", basis


def change_text(ratio: float) -> str:
    """A ratio as what it adds or takes away: 0.9 takes 10 % away."""
    return f"{(ratio - 1) * 100:+.1f}\N{NO-BREAK SPACE}%".replace("-", "\N{MINUS SIGN}")


def _comparisons(stored: Stored, receipt: tuple[Verdict, Medians] | None) -> tuple[Comparison, ...]:
    objective = stored.record.problem.objective
    verdict, never_run = None, False
    if receipt is not None:
        verdict, medians = receipt
        default: tuple[float | None, float | None] = medians.default_time_s, medians.default_energy_j
        chosen: tuple[float | None, float | None] = medians.chosen_time_s, medians.chosen_energy_j
    else:
        default = _figures(stored, stored.record.problem.space.default)
        chosen = (None, None) if stored.chosen is None else _figures(stored, stored.chosen.setting)
        never_run = chosen == (None, None)
        if never_run and stored.chosen is not None and stored.chosen.predicted is not None:
            time, energy = guess_of(stored.chosen.predicted.time_s), guess_of(stored.chosen.predicted.energy_j)
            chosen = time.median if time else None, energy.median if energy else None
    rows = [
        ("time", stored.time_unit, stored.time_quality, default[0], chosen[0], "time_ratio"),
        ("energy", stored.energy_unit, stored.energy_quality, default[1], chosen[1], "energy_ratio"),
    ]
    if objective in (Objective.EDP, Objective.ED2P):
        values = [None if time is None else stored.objective_of(time, energy) for time, energy in (default, chosen)]
        name, unit = stored.objective_name, stored.objective_unit
        rows.append((name, unit, stored.objective_quality, values[0], values[1], "objective_ratio"))
    return tuple(
        Comparison(
            name=name,
            unit=unit,
            quality=quality,
            default=before,
            chosen=after,
            chosen_quality="predicted" if never_run else quality,
            ratio=None if verdict is None else getattr(verdict, ratio),
            ratio_95=None if verdict is None else getattr(verdict, f"{ratio}_95"),
        )
        for name, unit, quality, before, after, ratio in rows
        if before is not None or after is not None
    )


def _figures(stored: Stored, setting: Setting) -> tuple[float | None, float | None]:
    """Time and energy of the last trial of a setting."""
    trials = stored.trials_of(setting)
    return (trials[-1].time_s, trials[-1].energy_j) if trials else (None, None)


def _conditions(stored: Stored) -> tuple[tuple[str, str], ...]:
    record, machine, bound = stored.record, stored.record.machine, stored.record.problem.bound
    empty = len(stored.decisions) - len(stored.measured)
    broken = sum(trial.status is TrialStatus.INFEASIBLE for _, trial in stored.measured)
    early = sum(trial.stopped_after_s is not None for _, trial in stored.measured)
    entries = (
        ("machine", f"{machine.name} ({stored.time_quality})"),
        ("processor", machine.cpu_model),
        ("cpufreq driver", machine.driver),
        ("kernel", machine.kernel),
        ("energy from", machine.energy_source),
        ("work", record.workload),
        ("objective", stored.objective_name),
        ("largest slowdown", None if bound.max_slowdown is None else f"{bound.max_slowdown * 100:g} %"),
        ("largest power", None if bound.max_power_w is None else f"{bound.max_power_w:g} W"),
        ("knobs", ", ".join(record.problem.space.names)),
        ("seed", str(record.problem.seed)),
        ("started", moment_text(record.started_s)),
        ("took", None if record.ended_s is None else f"{record.ended_s - record.started_s:.0f} s"),
        ("ended with", record.outcome),
        ("stopped early", f"{early} of {len(stored.decisions)} decisions" if early else None),
        ("broke a bound that only shows when it is run", f"{broken} settings" if broken else None),
        ("came to nothing", f"{empty} of {len(stored.decisions)} decisions" if empty else None),
    )
    return tuple((name, value) for name, value in entries if value)


def moment_text(unix_s: float) -> str:
    """A moment for people, in UTC: the page may be read anywhere."""
    return datetime.fromtimestamp(unix_s, UTC).strftime("%Y-%m-%d %H:%M UTC")
