"""The end of `hwtune tune` for people: default against chosen, or what a dry run would have done."""

from __future__ import annotations

from collections.abc import Callable
from math import exp
from statistics import median

from rich.console import Console
from rich.table import Table

from hwtune.cli.cost import cost_lines, disturbances, measured_runs
from hwtune.cli.host import OpenHost
from hwtune.cli.outcome import Z95, changes, restored_text, setting_text
from hwtune.cli.tuning import Tuning
from hwtune.domain.breach import breaches
from hwtune.domain.measure import Better, Measure, energy_unit, objective_unit
from hwtune.domain.objective import Objective
from hwtune.domain.trial import Prediction, Run
from hwtune.session import Receipt


def print_result(opened: OpenHost, tuning: Tuning) -> None:
    """The result on standard output."""
    console = Console(highlight=False)
    if opened.dry:
        _say(console, *_expectation(tuning))
        return
    session = tuning.session
    if session.receipt is not None:
        console.print(_table(opened, tuning, session.receipt))
    elif session.decisions:
        _say(console, _title(opened, tuning))
    _say(
        console,
        *_conclusion(opened, tuning),
        *cost_lines(session, tuning.collector.cost(), nature=_nature(opened, tuning)),
        *(f"warning: {warning}" for warning in (*tuning.warnings, *disturbances(measured_runs(session)))),
        *(f"warning: {notice.text}" for notice in session.notices),
    )


def _say(console: Console, *lines: str) -> None:
    for line in lines:
        console.print(line, markup=False, soft_wrap=True)


def _title(opened: OpenHost, tuning: Tuning) -> str:
    return f"{opened.host.name}: {tuning.label} ({_nature(opened, tuning)}; energy: {tuning.energy.name})"


def _nature(opened: OpenHost, tuning: Tuning) -> str:
    """What kind of figures these are; joules of an emulated meter are nobody's joules."""
    if opened.host.simulated:
        return "simulated"
    emulated = tuning.energy.emulated and tuning.session.problem.objective.needs_energy
    return "measured, energy by an emulated meter" if emulated else "measured"


def _table(opened: OpenHost, tuning: Tuning, receipt: Receipt) -> Table:
    table = Table(title=_title(opened, tuning), title_justify="left")
    table.add_column("")
    for heading in ("default", "chosen", "difference (95 % interval)"):
        table.add_column(heading, justify="right")
    for row in _figures(receipt, tuning.session.problem.objective, tuning.measure):
        table.add_row(*row)
    table.add_section()
    for knob, default, chosen in changes(tuning.session.problem.space, tuning.session.chosen):
        table.add_row(knob, default, chosen, "")
    return table


def _figures(receipt: Receipt, objective: Objective, measure: Measure) -> list[tuple[str, str, str, str]]:
    """Time or rate, energy and objective: the medians of both arms, and the paired ratio between them."""
    verdict = receipt.verdict
    if measure.better is Better.HIGHER:
        low, high = verdict.time_ratio_95
        name, ratio = "rate", _ratio(1.0 / verdict.time_ratio, (1.0 / high, 1.0 / low))
    else:
        name, ratio = "time" if measure.time_unit == "s" else "cost", _ratio(verdict.time_ratio, verdict.time_ratio_95)
    rows = [(name, *_medians(receipt, lambda run: measure.value_of(run.time_s), measure.unit), ratio)]
    if verdict.energy_ratio is not None and verdict.energy_ratio_95 is not None:
        energies = _medians(receipt, lambda run: run.energy_j or 0.0, energy_unit(measure.time_unit))
        rows.append(("energy", *energies, _ratio(verdict.energy_ratio, verdict.energy_ratio_95)))
    if objective not in {Objective.TIME, Objective.ENERGY}:
        unit = objective_unit(objective, measure.time_unit)
        values = _medians(receipt, lambda run: objective.value_of(run.time_s, run.energy_j), unit)
        rows.append((objective.value.upper(), *values, _ratio(verdict.objective_ratio, verdict.objective_ratio_95)))
    return rows


def _medians(receipt: Receipt, figure: Callable[[Run], float], unit: str) -> tuple[str, str]:
    default, chosen = (median(map(figure, runs)) for runs in (receipt.default_runs, receipt.chosen_runs))
    return f"{default:.4g} {unit}", f"{chosen:.4g} {unit}"


def _ratio(ratio: float, interval: tuple[float, float]) -> str:
    low, high = interval
    return f"{ratio - 1:+.1%} ({low - 1:+.1%} … {high - 1:+.1%})"


def _conclusion(opened: OpenHost, tuning: Tuning) -> list[str]:
    session = tuning.session
    if session.proven and session.receipt is not None:
        lower = 1.0 - session.receipt.verdict.objective_ratio
        lines = [
            f"{session.problem.objective.value} {lower:.1%} lower than at the defaults ({_nature(opened, tuning)})."
        ]
    elif session.receipt is not None and session.receipt.verdict.significant:
        broken = breaches(session.problem.bound, session.receipt.chosen_runs)
        lines = [f"The gain breaks {', '.join(broken) if broken else 'the slowdown bound'}: defaults kept."]
    elif session.receipt is not None:
        lines = ["No significant gain: defaults kept."]
    elif session.stopped == "interrupted":
        changed = setting_text(session.default.diff(session.chosen))
        lines = [f"Stopped early; the best so far, not verified: {changed or 'the defaults'}."]
    else:
        lines = ["No setting promises to be better: defaults kept."]
    if session.why_stopped:
        lines.append(f"The model was not trusted to go on: {session.why_stopped}.")
    if tuning.kept:
        return [*lines, "The setting stays applied; `hwtune restore` puts the defaults back."]
    yielded = any(notice.kind == "yielded" for notice in session.notices)
    return [*lines, restored_text(tuning.restored, yielded=yielded)]


def _expectation(tuning: Tuning) -> list[str]:
    """A dry run: the files it would have written, and what the model expects of that."""
    lines = ["dry run: nothing was written, nothing was run"]
    if not tuning.would_write:
        return [*lines, "the model expects no gain before it has measured anything: defaults kept"]
    lines += [f"would write {value} to {path}" for path, value in tuning.would_write.items()]
    return lines if tuning.session.expected is None else lines + _expected(tuning.session.expected)


def _expected(prediction: Prediction) -> list[str]:
    quantities = {"time": prediction.time_s, "energy": prediction.energy_j}
    return [
        f"expected {name}, relative to the default: "
        + " … ".join(f"{exp(quantity.mean_log + z * quantity.sd_log):.2f}" for z in (-Z95, 0.0, Z95))
        + " (median and 95 % interval; predicted, not measured)"
        for name, quantity in quantities.items()
        if quantity is not None
    ]
