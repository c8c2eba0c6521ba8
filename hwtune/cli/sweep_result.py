"""The end of `hwtune sweep`: a summary for people, or one JSON document."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

from pydantic import BaseModel

from hwtune.cli.outcome import OBJECTIVE_UNITS, restored_text, setting_text
from hwtune.domain.knob import Setting, Value
from hwtune.domain.objective import Objective

if TYPE_CHECKING:
    from rich.table import Table

    from hwtune.cli.host import OpenHost
    from hwtune.cli.sweep_open import Sweeping

# `hwtune replay` skips a workload with fewer.
_FEWEST_FOR_REPLAY = 10


class Figures(BaseModel):
    """Medians of the runs of one setting."""

    setting: dict[str, Value]
    time_s: float
    energy_j: float
    runs: int


class Clamp(BaseModel):
    """What the kernel made of a setting."""

    wanted: dict[str, Value]
    effective: dict[str, Value]


class SweepDocument(BaseModel):
    """The document of `hwtune sweep --json`; see docs/sweep.md."""

    schema_version: int = 1
    machine: str
    simulated: bool
    dry_run: bool
    energy_source: str
    workload: str
    table: str
    sidecar: str
    values: dict[str, tuple[Value, ...]]
    settings: int
    passes: int
    seed: int
    rows: int
    measured: int
    left: int
    torn_bytes: int
    stopped: str
    clamped: list[Clamp]
    default: Figures | None
    best: dict[str, Figures]
    restored: bool


def document(opened: OpenHost, sweeping: Sweeping) -> SweepDocument:
    """Everything the sweep did."""
    table, figures = sweeping.table, _figures(sweeping)
    return SweepDocument(
        machine=opened.host.name,
        simulated=opened.host.simulated,
        dry_run=opened.dry,
        energy_source=sweeping.energy.name,
        workload=sweeping.label,
        table=str(table.path),
        sidecar=str(table.sidecar),
        values=dict(sweeping.grid.values),
        settings=len(sweeping.grid.settings),
        passes=sweeping.passes,
        seed=sweeping.sweep.seed,
        rows=len(table.rows),
        measured=len(table.rows) - sweeping.rows_before,
        left=0 if sweeping.sweep.finished else len(sweeping.sweep.left()),
        torn_bytes=table.torn,
        stopped=_ending(opened, sweeping),
        clamped=[
            Clamp(wanted=dict(wanted), effective=dict(effective))
            for wanted, effective in sweeping.sweep.clamped.items()
        ],
        default=figures.get(sweeping.space.default),
        best={objective.value: _best(figures, objective) for objective in Objective} if figures else {},
        restored=sweeping.restored,
    )


def print_plan(opened: OpenHost, sweeping: Sweeping) -> None:
    """A dry run: what would be measured."""
    print("dry run: nothing was written, nothing was run")
    print(f"{opened.host.name}: {sweeping.label} would go into {sweeping.table.path}")
    for line in plan_lines(sweeping):
        print(line)


def plan_lines(sweeping: Sweeping) -> list[str]:
    """The grid and the number of runs, before anything is measured."""
    grid, left = sweeping.grid, len(sweeping.sweep.left())
    lines = []
    for name, values in grid.values.items():
        ends = [sweeping.space[name].text(value) for value in (values[0], values[-1])]
        words = values if all(isinstance(value, str) for value in values) else ends
        lines.append(f"{name}: {len(values)} values, {(', ' if words is values else ' … ').join(map(str, words))}")
    lines.append(
        f"{len(grid.settings)} settings, {sweeping.passes} pass{'es' if sweeping.passes > 1 else ''}: "
        f"{len(grid.settings) * sweeping.passes} runs, "
        "and one of the default before them that is not counted"
    )
    if sweeping.table.torn:
        lines.append(f"the last line of {sweeping.table.path} is torn: its {sweeping.table.torn} bytes are dropped")
    if sweeping.rows_before:
        lines.append(f"{sweeping.rows_before} rows are in {sweeping.table.path} already, {left} runs are left")
    if len(grid.settings) < _FEWEST_FOR_REPLAY:
        lines.append(f"hwtune replay wants at least {_FEWEST_FOR_REPLAY} settings")
    return lines


def print_result(opened: OpenHost, sweeping: Sweeping) -> None:
    """The summary on standard output."""
    from rich.console import Console

    console = Console(highlight=False)
    figures = _figures(sweeping)
    if figures:
        console.print(_table(opened, sweeping, figures))
    lines = [f"warning: {warning}" for warning in sweeping.work.warnings]
    if figures:
        times, energies = ([getattr(each, name) for each in figures.values()] for name in ("time_s", "energy_j"))
        lines.append(
            f"time {min(times):.4g} … {max(times):.4g} s, energy {min(energies):.4g} … {max(energies):.4g} J; "
            "lowest medians, not verified against the default"
        )
    if sweeping.sweep.clamped:
        lines.append(f"{len(sweeping.sweep.clamped)} settings have no rows: the kernel made others of them")
    lines.append(where_it_is(sweeping))
    lines.append(restored_text(sweeping.restored))
    for line in lines:
        console.print(line, markup=False, soft_wrap=True)


def where_it_is(sweeping: Sweeping) -> str:
    """How many rows there are, and how to get the rest."""
    table = sweeping.table
    if not table.rows:
        return "No row was measured."
    if sweeping.sweep.finished:
        return f"{len(table.rows)} rows are in {table.path}, all of this sweep; {table.sidecar} tells what they are."
    left = len(sweeping.sweep.left())
    return (
        f"{len(table.rows)} rows are in {table.path}, {left} runs are left: the same command line goes on from there."
    )


def _ending(opened: OpenHost, sweeping: Sweeping) -> str:
    if opened.dry:
        return "dry run"
    return "finished" if sweeping.sweep.finished else "interrupted"


def _figures(sweeping: Sweeping) -> dict[Setting, Figures]:
    """Medians by setting, in the order of their first row."""
    rows = sweeping.table.rows
    found = {}
    for setting in dict.fromkeys(row.setting for row in rows):
        own = [row for row in rows if row.setting == setting]
        found[setting] = Figures(
            setting=dict(setting),
            time_s=median(row.time_s for row in own),
            energy_j=median(row.energy_j for row in own),
            runs=len(own),
        )
    return found


def _best(figures: dict[Setting, Figures], objective: Objective) -> Figures:
    return min(figures.values(), key=lambda each: objective.value_of(each.time_s, each.energy_j))


def _table(opened: OpenHost, sweeping: Sweeping, figures: dict[Setting, Figures]) -> Table:
    from rich.table import Table

    nature = "simulated" if opened.host.simulated else "measured"
    table = Table(
        title=f"{opened.host.name}: {sweeping.label} ({nature}; energy: {sweeping.energy.name})", title_justify="left"
    )
    for heading in ("", "default", "lowest", "difference"):
        table.add_column(heading, justify="right" if heading else "left")
    table.add_column("at")
    default = figures.get(sweeping.space.default)
    for objective, unit in OBJECTIVE_UNITS.items():
        best = _best(figures, objective)
        lowest = objective.value_of(best.time_s, best.energy_j)
        found = None if default is None else objective.value_of(default.time_s, default.energy_j)
        table.add_row(
            objective.value,
            "" if found is None else f"{found:.4g} {unit}",
            f"{lowest:.4g} {unit}",
            "" if found is None else f"{lowest / found - 1:+.1%}",
            setting_text(best.setting),
        )
    return table
