"""`hwtune why [N]`: a decision read back: what was known, what was expected, what came of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from hwtune.cli.options import Json

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hwtune.report.explain import Explanation, Figure
    from hwtune.report.stored import Stored

_BAR = 24


def why(
    number: Annotated[
        int | None,
        typer.Argument(metavar="[N]", help="The decision.  [default: the last, below a list of all]"),
    ] = None,
    session: Annotated[int | None, typer.Option("--session", help="The session.  [default: the last]")] = None,
    as_json: Json = False,
) -> None:
    """Show a decision: what was known, what was predicted and observed, which knobs mattered, what would be kept."""
    from hwtune.cli.record import store_path
    from hwtune.config import load_config
    from hwtune.report.explain import explain, find_decision
    from hwtune.report.stored import load_session

    stored = load_session(store_path(load_config()), session)
    explanation = explain(stored, find_decision(stored, number))
    if as_json:
        print(explanation.model_dump_json())
        return
    for line in _header(stored):
        print(line)
    if number is None:
        for line in _list(stored):
            print(line)
    for line in _detail(stored, explanation):
        print(line)


def _header(stored: Stored) -> Iterator[str]:
    record = stored.record
    qualities = dict.fromkeys((f"time {stored.time_quality}", f"energy {stored.energy_quality}"))
    figures = stored.time_quality if stored.time_quality == stored.energy_quality else ", ".join(qualities)
    yield f"session {record.number}: {record.workload} on {record.machine.name}, {stored.objective_name} ({figures})"
    yield ""


def _list(stored: Stored) -> Iterator[str]:
    """One line for each decision."""
    from hwtune.report.axes import digits

    figures: dict[int, str] = {}
    for decision, trial in stored.measured:
        value = stored.objective_of(trial.time_s, trial.energy_j)
        if trial.stopped_after_s is not None:
            figures[decision.number] = _stopped(trial.stopped_after_s)
        elif value is not None:
            broken = " out of bounds" if trial.status == "infeasible" else ""
            figures[decision.number] = f"{digits(value, 4)} {stored.objective_unit}{broken}"
    width = max(16, *map(len, figures.values())) if figures else 16
    for each in stored.decisions:
        figure = figures.get(each.number, "nothing measured")
        setting = stored.setting_text(each.proposal.setting)
        yield f"{each.number:4d}  {each.proposal.reason:<8} {figure:>{width}}  {setting}"
    yield ""


def _stopped(after_s: float) -> str:
    from hwtune.report.axes import digits

    return f"stopped after {digits(after_s)} s"


def _detail(stored: Stored, why: Explanation) -> Iterator[str]:
    from hwtune.domain.knob import Setting

    yield f"decision {why.decision} of {why.decisions}"
    yield ""
    yield _row("known", _known(stored, why))
    yield _row("proposed", stored.setting_text(Setting(why.proposed)))
    yield _row("why", f"{why.reason}: {why.meaning}")
    if why.effective is not None and why.effective != why.proposed:
        yield _row("took effect", stored.setting_text(Setting(why.effective)))
    for figure in why.figures:
        yield _row(figure.quantity, _figure(figure, why.stopped_after_s))
    if why.probability_feasible is not None:
        bound = "" if why.max_slowdown is None else f" (at most {why.max_slowdown * 100:g} % slower)"
        yield _row("bound", f"holds with probability {why.probability_feasible:.2f}{bound}")
    for what in why.broke:
        yield _row("broke", f"{what}: it is not kept")
    yield from _importance(why.importance)
    if why.recommended is not None:
        yield _row("kept now", stored.setting_text(Setting(why.recommended)))


def _known(stored: Stored, why: Explanation) -> str:
    from hwtune.domain.knob import Setting
    from hwtune.report.axes import digits

    if why.known_trials == 0:
        return "nothing yet"
    words = "1 measured setting" if why.known_trials == 1 else f"{why.known_trials} measured settings"
    best = why.best_so_far
    if best is None:
        return words
    objective = best.objective
    value = "" if objective is None else f" ({stored.objective_name} {digits(objective, 4)} {stored.objective_unit})"
    return f"{words}; best so far: {stored.setting_text(Setting(best.setting))}{value}"


def _row(name: str, words: str) -> str:
    return f"{name:<12} {words}"


def _figure(figure: Figure, stopped_after_s: float | None) -> str:
    """`predicted 1.20 s (1.10 … 1.31), measured 1.25 s: inside the 90 % interval`."""
    from hwtune.report.axes import digits

    parts = []
    if figure.predicted is not None and figure.predicted_90 is not None:
        low, high = figure.predicted_90
        parts.append(f"predicted {digits(figure.predicted)} {figure.unit} ({digits(low)} … {digits(high)})")
    if figure.quantity == "time" and stopped_after_s is not None:
        parts.append(_stopped(stopped_after_s))
    elif figure.observed is not None and stopped_after_s is not None:
        parts.append(f"{figure.quality} at least {digits(figure.observed)} {figure.unit}")
    elif figure.observed is not None:
        parts.append(f"{figure.quality} {digits(figure.observed)} {figure.unit}")
    words = ", ".join(parts) or "not measured"
    if figure.inside is None:
        return words
    return f"{words}: {'inside' if figure.inside else 'OUTSIDE'} the 90 % interval"


def _importance(importance: dict[str, float]) -> Iterator[str]:
    """How far the objective moves over a knob's whole range, by the surrogate's gradient at the setting."""
    largest = max(importance.values(), default=0.0)
    if largest <= 0.0:
        return
    width = max(map(len, importance))
    name = "mattered"
    for knob, value in importance.items():
        bar = "█" * round(_BAR * value / largest)
        yield _row(name, f"{knob:<{width}}  {bar:<{_BAR}}  {value:.2f}")
        name = ""
    yield _row("", "(|d log objective| over the knob's whole range, by the gradient at this setting)")
