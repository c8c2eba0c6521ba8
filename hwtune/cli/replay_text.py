"""The end of `hwtune replay` for people: what was found in each workload, and how much of what its table offers."""

from __future__ import annotations

from collections.abc import Sequence
from math import log

from rich.console import Console
from rich.table import Table
from rich.text import Text

from hwtune.cli.replay_run import Replayed, ReplayWish
from hwtune.domain.knob import Setting
from hwtune.sim.table import MeasuredTable, MeasuredWorkload, Skipped

_LEAST_HEADROOM = 1e-9  # of the log objective: below it the default is the best row


def share_of_headroom(workload: MeasuredWorkload, wish: ReplayWish, chosen: Setting) -> float | None:
    """How much of the gain from the default to the table's best row a setting has, in the log of the objective.

    Only rows within the slowdown bound count, by their medians; a chosen setting that breaks it has gained nothing.
    None where no row beats the default.
    """
    costs = {setting: _cost(workload, wish, setting) for setting in workload.runs}
    start = costs[workload.space.default]
    best = min(cost for setting, cost in costs.items() if _holds(workload, wish, setting))
    if start - best < _LEAST_HEADROOM:
        return None
    return (start - costs[chosen]) / (start - best) if _holds(workload, wish, chosen) else 0.0


def _cost(workload: MeasuredWorkload, wish: ReplayWish, setting: Setting) -> float:
    return log(wish.objective.value_of(*workload.figures(setting)))


def _holds(workload: MeasuredWorkload, wish: ReplayWish, setting: Setting) -> bool:
    if wish.max_slowdown is None:
        return True
    slowdown = workload.figures(setting)[0] / workload.figures(workload.space.default)[0]
    return slowdown <= 1.0 + wish.max_slowdown


def print_replay(
    table: MeasuredTable, wish: ReplayWish, replayed: Sequence[Replayed], skipped: Sequence[Skipped]
) -> None:
    """The result on standard output."""
    console = Console(highlight=False)
    grid = Table(title=f"{table.name}: {wish.objective.value}, replayed from measured rows", title_justify="left")
    grid.add_column("workload", overflow="fold")
    grid.add_column("evaluated", justify="right")
    grid.add_column("best found", overflow="fold")
    grid.add_column(wish.objective.value, justify="right")
    grid.add_column("of the table's best", justify="right")
    grid.add_column("stopped")
    for each in replayed:
        grid.add_row(*map(Text, _row(table, wish, each)))
    console.print(grid)
    for each in replayed:
        if each.session.why_stopped:
            why = f"{each.workload.name}: the model was not trusted to go on: {each.session.why_stopped}"
            console.print(why, markup=False, soft_wrap=True)
    for left_out in skipped:
        console.print(f"skipped {left_out.workload}: {left_out.why}", markup=False, soft_wrap=True)
    console.print(
        "Of the table's best: the share of the gain from the default to the best row within the bound (in logarithms)."
    )


def _row(table: MeasuredTable, wish: ReplayWish, replayed: Replayed) -> list[str]:
    workload, session = replayed.workload, replayed.session
    chosen = session.chosen
    change = wish.objective.value_of(*workload.figures(chosen)) / wish.objective.value_of(
        *workload.figures(workload.space.default)
    )
    share = share_of_headroom(workload, wish, chosen)
    broken = "" if _holds(workload, wish, chosen) else ", too slow"
    return [
        workload.name,
        f"{len(session.decisions)} of {len(workload.runs)}",
        " ".join(f"{knob}={number}" for knob, number in table.numbers(chosen).items()),
        f"{change - 1:+.1%}",
        "nothing to gain" if share is None else f"{share:.0%}{broken}",
        session.stopped,
    ]
