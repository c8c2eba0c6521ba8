"""`hwtune replay TABLE.csv`: the tuner on a measured table, a row of it as the machine."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hwtune.cli.options import Abandon, Json, MaxSlowdown, ObjectiveName, Seed, check_abandon

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hwtune.sim.table import MeasuredTable, MeasuredWorkload, Skipped


class Warm(StrEnum):
    """Words of --warm."""

    NONE = "none"
    TABLE = "table"


def replay(
    table: Annotated[
        Path, typer.Argument(metavar="TABLE.csv", help="A measured table; TABLE.toml beside it says what is what.")
    ],
    workload: Annotated[
        list[str] | None,
        typer.Option("--workload", metavar="NAME", help="Only this workload; may be repeated (default: all)."),
    ] = None,
    objective: Annotated[ObjectiveName, typer.Option("--objective", help="What to minimise.")] = ObjectiveName.EDP,
    max_slowdown: MaxSlowdown = None,
    max_risk: Annotated[
        str, typer.Option("--max-risk", metavar="PERCENT", help="Largest accepted probability of breaking that.")
    ] = "5%",
    budget: Annotated[
        int, typer.Option("--budget", min=1, help="Settings to evaluate in each workload, the default included.")
    ] = 20,
    abandon: Abandon = None,
    warm: Annotated[
        Warm, typer.Option("--warm", help="What is known before: nothing, or the table's other workloads.")
    ] = Warm.NONE,
    jobs: Annotated[
        int | None, typer.Option("--jobs", min=1, help="Workloads replayed at once (default: the number of CPUs).")
    ] = None,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Run the tuner on a table of measurements: every setting it evaluates is a row that somebody has measured.

    Nothing is written to this machine and nothing is run. Settings without a row are not offered. A workload without
    a row for its default setting, or with fewer than 10 settings, is skipped and named.
    """
    from hwtune.cli.prior import refreshed_prior
    from hwtune.cli.replay_progress import ReplayProgress
    from hwtune.cli.replay_run import ReplayWish, replay_all
    from hwtune.config import load_config, parse_ratio
    from hwtune.domain.errors import UsageError
    from hwtune.domain.objective import Objective
    from hwtune.sim.table import read_table

    risk = parse_ratio(max_risk)
    if not 0.0 < risk < 1.0:
        raise UsageError(f"--max-risk {max_risk} is no probability", hint="write 5% or 0.05")
    wish = ReplayWish(
        objective=Objective(objective.value),
        max_slowdown=None if max_slowdown is None else parse_ratio(max_slowdown),
        max_risk=risk,
        abandon=bool(abandon),
        budget=budget,
        seed=seed,
        warm=warm is Warm.TABLE,
        jobs=jobs or len(os.sched_getaffinity(0)),
    )
    check_abandon(wish.abandon, wish.max_slowdown)
    config = load_config()
    measured = read_table(table)
    wanted, skipped = choose_workloads(measured, workload or ())
    with ReplayProgress(workloads=len(wanted), budget=budget, spoken=not as_json) as progress:
        replayed = replay_all(
            measured,
            wanted,
            wish,
            command=config.planner.command,
            timeout_s=config.planner.timeout_s,
            prior=refreshed_prior(config),
            progress=progress,
        )
    if as_json:
        from hwtune.cli.replay_json import document, json_text

        print(json_text(document(measured, wish, replayed, skipped)))
    else:
        from hwtune.cli.replay_text import print_replay

        print_replay(measured, wish, replayed, skipped)


def choose_workloads(
    table: MeasuredTable, names: Sequence[str]
) -> tuple[tuple[MeasuredWorkload, ...], tuple[Skipped, ...]]:
    """The workloads to replay and the ones to skip, all of the table's or those that are named.

    Raises:
        UsageError: a name that is no workload of the table, or none that can be replayed.
    """
    from hwtune.domain.errors import UsageError

    if not names:
        return table.workloads, table.skipped
    known = [each.name for each in table.workloads] + [each.workload for each in table.skipped]
    for name in names:
        if name not in known:
            few = ", ".join(known[:5]) + (", …" if len(known) > 5 else "")
            raise UsageError(f"{table.name} has no workload {name!r}", hint=f"it has: {few}")
    wanted = tuple(each for each in table.workloads if each.name in names)
    skipped = tuple(each for each in table.skipped if each.workload in names)
    if not wanted:
        raise UsageError(
            f"{skipped[0].workload} cannot be replayed: {skipped[0].why}", hint="leave --workload out for all others"
        )
    return wanted, skipped
