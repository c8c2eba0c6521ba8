"""`hwtune sweep -- CMD`: measure a grid of settings into a table that `hwtune replay` reads."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hwtune.cli.options import Competing, Cwd, DryRun, Json, Prepare, Root, Seed, Simulate, User, Workload, listed


def sweep(
    command: Annotated[
        list[str] | None, typer.Argument(metavar="-- CMD [ARG]...", help="The work to measure.", show_default=False)
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", metavar="NAME.csv", help="The table; NAME.toml goes beside it.  [default: sweep-CMD.csv]"
        ),
    ] = None,
    knob_names: Annotated[
        str | None,
        typer.Option(
            "--knobs", metavar="LIST", help="Knobs to sweep, separated by commas.  [default: max of every cluster]"
        ),
    ] = None,
    levels: Annotated[
        int | None,
        typer.Option(
            "--levels", min=2, help="Values of each range: both ends, evenly between, and the default.  [default: all]"
        ),
    ] = None,
    settings: Annotated[
        int | None,
        typer.Option(
            "--settings", min=2, help="Measure so many settings of the grid, picked at random.  [default: all]"
        ),
    ] = None,
    runs: Annotated[int, typer.Option("--runs", min=1, help="Passes over all settings, each in another order.")] = 3,
    label: Annotated[
        str | None, typer.Option("--label", metavar="TEXT", help="Name of the work in the table.  [default: CMD]")
    ] = None,
    competing: Competing = None,
    prepare: Prepare = None,
    cwd: Cwd = None,
    user: User = None,
    dry_run: DryRun = False,
    simulate: Simulate = None,
    workload: Workload = None,
    root: Root = None,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Measure many settings of this machine under one command, row by row, into a table.

    Every pass visits every setting in an order of its own. A sweep that was interrupted goes on when the same command
    line is given again. Whatever ends it, the machine is put back as it was.
    """
    from hwtune.cli.command import Command, check_words
    from hwtune.cli.host import open_host
    from hwtune.cli.sweep_open import Wish, open_sweep
    from hwtune.cli.sweep_progress import SweepProgress
    from hwtune.cli.sweep_result import document, plan_lines, print_plan, print_result, where_it_is
    from hwtune.domain.errors import HwtuneError, UsageError

    words = tuple(command or ())
    if simulate is None and not words:
        raise UsageError("no command to measure", hint="hwtune sweep -- make -j8, or --simulate to try it out")
    check_words(words, simulate=simulate, root=root, dry_run=dry_run, keep=False)
    wish = Wish(
        command=Command(words=words, prepare=prepare, cwd=cwd, user=user),
        out=out,
        label=label,
        knobs=listed(knob_names),
        levels=levels,
        settings=settings,
        passes=runs,
        seed=seed,
    )
    flags = {"tune.competing": competing}
    status, watcher = 0, SweepProgress(spoken=not as_json and not dry_run)
    with (
        open_host(root=root, dry_run=dry_run, simulate=simulate, workload=workload, seed=seed, flags=flags) as opened,
        open_sweep(opened, wish, watcher) as sweeping,
    ):
        if not dry_run:
            for line in plan_lines(sweeping):
                watcher.say(line)
            try:
                status = sweeping.run()
            except HwtuneError:
                watcher.say(where_it_is(sweeping))
                raise
    if as_json:
        print(document(opened, sweeping).model_dump_json())
    elif dry_run:
        print_plan(opened, sweeping)
    else:
        print_result(opened, sweeping)
    if status:
        raise typer.Exit(status)
