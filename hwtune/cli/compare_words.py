"""The end of `hwtune compare` for people: a table, the verdict in words, what disturbed it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from hwtune.cli.compare_noise import noise_lines
from hwtune.cli.outcome import OBJECTIVE_UNITS, restored_text
from hwtune.compare import ARMS, typical
from hwtune.domain.measure import energy_unit
from hwtune.domain.objective import Objective
from hwtune.workload.power import MOST_BLOCKS, runs_needed

if TYPE_CHECKING:
    from rich.table import Table

    from hwtune.cli.compare_open import Comparing
    from hwtune.cli.host import OpenHost
    from hwtune.domain.trial import Run
    from hwtune.workload.verdict import Interval95, Verdict

_BETTER = ("is better than A", "is worse than A")
_WORDS = {
    Objective.TIME: ("is faster than A", "is slower than A", "time"),
    Objective.ENERGY: ("saves energy", "costs energy", "energy"),
    Objective.EDP: (*_BETTER, "EDP"),
    Objective.ED2P: (*_BETTER, "ED2P"),
}


def print_table(opened: OpenHost, comparing: Comparing) -> None:
    """The result on standard output."""
    from rich.console import Console

    console = Console(highlight=False)
    verdict = comparing.verdict
    console.print(_title(opened, comparing), markup=False, soft_wrap=True)
    if verdict is not None:
        console.print(_table(comparing, verdict))
    lines = [conclusion(comparing)]
    if comparing.compare.same and comparing.settings["A"] != comparing.settings["B"]:
        lines.append("Both settings read the same on this machine: this is its noise, not their difference.")
    lines += [f"warning: {warning}" for warning in comparing.work.warnings]
    lines += noise_lines(comparing.noise) if comparing.noise.runs else []
    if comparing.space is not None:
        lines.append(restored_text(comparing.restored))
    for line in lines:
        console.print(line, markup=False, soft_wrap=True)


def print_plan(opened: OpenHost, comparing: Comparing) -> None:
    """A dry run: what would be written under each setting, and how often the command would run."""
    print("dry run: nothing was written, nothing was run")
    print(f"{opened.host.name}: {comparing.label or 'no command given'}")
    for arm in ARMS:
        writes = (comparing.would_write or {}).get(arm, {})
        print(f"{arm}: {comparing.asked[arm].text}{'' if writes else ', nothing to write'}")
        for path, text in writes.items():
            print(f"  would write {text} to {path}")
    print(f"the command would run 8 times or more under A to settle, then at most {comparing.wish.max_runs} under each")


def conclusion(comparing: Comparing) -> str:
    """The verdict in a sentence or two."""
    verdict, wish = comparing.verdict, comparing.wish
    if comparing.would_write is not None:
        return "Nothing was measured."
    if verdict is None:
        return "Stopped before both settings had run: nothing is known."
    lower, higher, figure = _words(comparing)
    is_lower = verdict.objective_ratio < 1.0
    if verdict.different:
        change = f"{abs(verdict.objective_ratio - 1.0):.1%} {'less' if is_lower else 'more'} {figure}"
        interval = _interval(verdict.objective_ratio_95)
        return f"B {lower if is_lower else higher}: {change} (95 %: {interval})."
    if verdict.equivalent:
        return f"A and B are equivalent: their {figure} differs by less than {100 * wish.margin:.3g} %."
    known = f"the {figure} of B is within {_interval(verdict.objective_ratio_95)} of A's (95 %)"
    if comparing.interrupted:
        return f"Stopped early, not decided: {known}."
    return f"Cannot tell A from B: {known}. {_needed(comparing)}"


def _words(comparing: Comparing) -> tuple[str, str, str]:
    """What B is when its figure is lower, what it is when that is higher, and the figure."""
    metric, objective = comparing.wish.command.metric, comparing.wish.objective
    if objective is not Objective.TIME or metric.measure.time_unit == "s":
        return _WORDS[objective]
    _, per, what = metric.measure.time_unit.partition("/")
    return *_BETTER, f"time per {what}" if per else f"metric in {metric.measure.time_unit}"


def _needed(comparing: Comparing) -> str:
    """How many runs the difference that matters would take, by how the blocks have scattered."""
    comparison, margin = comparing.compare.comparison, comparing.wish.margin
    noise = None if comparison is None else comparison.noise()
    runs = None if noise is None else runs_needed(noise, margin)
    if runs is None:
        return (
            f"To see {100 * margin:.3g} % would take more than {2 * MOST_BLOCKS} runs of each: "
            "a longer command, a quieter machine, or a larger --margin."
        )
    return f"To see {100 * margin:.3g} % takes about {runs} runs of each: --max-runs {runs}."


def _title(opened: OpenHost, comparing: Comparing) -> str:
    emulated = comparing.energy.emulated
    nature = "simulated" if opened.host.simulated else "measured"
    meter = f"{comparing.energy.name}, which is no real power" if emulated else comparing.energy.name
    work = " ".join(comparing.label.split())  # a script given to `sh -c` may have several lines
    return f"{opened.host.name}: {work} ({nature}; energy: {meter})"


def _table(comparing: Comparing, verdict: Verdict) -> Table:
    from rich.box import SIMPLE
    from rich.table import Table

    table = Table(box=SIMPLE, pad_edge=False)
    table.add_column("", no_wrap=True)
    for heading in ("A", "B", "B over A, 95 %"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in _setting_rows(comparing):
        table.add_row(*row)
    table.add_section()
    a, b = (comparing.runs(arm) for arm in ARMS)
    table.add_row("runs", str(len(a)), str(len(b)), "")
    unit, objective = a[0].unit, comparing.wish.objective
    figures: list[tuple[str, Callable[[Run], float], str, float, Interval95]] = [
        ("time" if unit == "s" else "metric", lambda run: run.time_s, unit, verdict.time_ratio, verdict.time_ratio_95)
    ]
    if verdict.energy_ratio is not None and verdict.energy_ratio_95 is not None:
        energy = energy_unit(unit)
        figures.append(
            ("energy", lambda run: run.energy_j or 0.0, energy, verdict.energy_ratio, verdict.energy_ratio_95)
        )
    if objective in {Objective.EDP, Objective.ED2P}:
        units = OBJECTIVE_UNITS[objective]
        value = _value_of(objective)
        figures.append((objective.value.upper(), value, units, verdict.objective_ratio, verdict.objective_ratio_95))
    for name, figure, units, ratio, interval in figures:
        cells = (_typical([figure(run) for run in runs], units) for runs in (a, b))
        table.add_row(name, *cells, f"{ratio - 1:+.1%} ({_interval(interval)})")
    return table


def _value_of(objective: Objective) -> Callable[[Run], float]:
    return lambda run: objective.value_of(run.time_s, run.energy_j)


def _setting_rows(comparing: Comparing) -> list[tuple[str, str, str, str]]:
    """The knobs in which the two differ, as the kernel reports them."""
    settings, space = comparing.settings, comparing.space
    differ = settings["A"].diff(settings["B"]) | settings["B"].diff(settings["A"])
    if space is None or not differ:
        return [("setting", comparing.asked["A"].text, comparing.asked["B"].text, "")]
    rows = []
    for name in differ:
        values = [
            comparing.compare.effective.get(arm, settings[arm]).get(name, settings[arm].get(name)) for arm in ARMS
        ]
        texts = ["" if value is None else space[name].text(value) if name in space.names else value for value in values]
        rows.append((name, str(texts[0]), str(texts[1]), ""))
    return rows


def _typical(values: list[float], unit: str) -> str:
    middle, (_, high) = typical(values)
    return f"{middle:.4g} {unit} ± {high / middle - 1:.1%}"


def _interval(interval: Interval95) -> str:
    return f"{interval[0] - 1:+.1%} … {interval[1] - 1:+.1%}"
