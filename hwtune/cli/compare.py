"""`hwtune compare A B -- CMD`: two settings under one command, in turns, until it is decided which is better."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hwtune.cli.metric_options import (
    Metric,
    MetricBetter,
    MetricFile,
    MetricGrowing,
    MetricHeartbeat,
    MetricInstructions,
    MetricPrometheus,
    MetricUnit,
    Query,
    Window,
)
from hwtune.cli.options import (
    Competing,
    Cwd,
    DryRun,
    Json,
    ObjectiveName,
    Prepare,
    Root,
    Seed,
    Simulate,
    User,
    Workload,
)


def compare(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="A B -- CMD [ARG]...",
            help="Two settings, each `default` or KEY=VALUE[,KEY=VALUE]... as `hwtune apply` takes them, and the work.",
            show_default=False,
        ),
    ] = None,
    objective: Annotated[
        ObjectiveName, typer.Option("--objective", help="What is to be decided; the others are shown as well.")
    ] = ObjectiveName.TIME,
    margin: Annotated[
        str,
        typer.Option(
            "--margin",
            metavar="PERCENT",
            help="The smallest difference that matters: runs are planned to see it, below it both are as good.",
        ),
    ] = "1%",
    max_runs: Annotated[int, typer.Option("--max-runs", min=4, max=128, help="Runs of each setting, at most.")] = 30,
    competing: Competing = None,
    prepare: Prepare = None,
    cwd: Cwd = None,
    user: User = None,
    metric: Metric = None,
    metric_file: MetricFile = None,
    metric_heartbeat: MetricHeartbeat = False,
    metric_prometheus: MetricPrometheus = None,
    query: Query = None,
    metric_instructions: MetricInstructions = False,
    metric_better: MetricBetter = None,
    metric_unit: MetricUnit = None,
    metric_growing: MetricGrowing = False,
    window: Window = None,
    pyperf_a: Annotated[
        Path | None, typer.Option("--pyperf-a", metavar="FILE", help="Write A's runs as pyperf JSON.")
    ] = None,
    pyperf_b: Annotated[
        Path | None, typer.Option("--pyperf-b", metavar="FILE", help="Write B's runs as pyperf JSON.")
    ] = None,
    noise: Annotated[
        bool, typer.Option("--noise", help="Run nothing; watch for five seconds what would disturb runs here.")
    ] = False,
    dry_run: DryRun = False,
    simulate: Simulate = None,
    workload: Workload = None,
    root: Root = None,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Compare two settings under a command, with an interval, and put the machine back.

    The command runs under A until its figures have settled; their noise tells what difference can be seen with how many
    runs. Then both settings take turns until it is decided. What disturbed the runs is reported with advice.
    `hwtune compare default default -- CMD` measures the noise alone. Ctrl-C restores and prints what is known.
    """
    from hwtune.cli.command import Command
    from hwtune.cli.compare_open import Wish, open_compare
    from hwtune.cli.compare_progress import CompareProgress
    from hwtune.cli.compare_result import print_result, save_pyperf
    from hwtune.cli.compare_settings import check_words, parse_arm, parse_margin
    from hwtune.cli.host import open_host
    from hwtune.cli.metric import MetricWish
    from hwtune.domain.objective import Objective

    words = words or []
    measured = MetricWish(
        expression=metric,
        file=metric_file,
        heartbeat=metric_heartbeat,
        prometheus=metric_prometheus,
        query=query,
        instructions=metric_instructions,
        better=metric_better,
        unit=metric_unit,
        growing=metric_growing,
    )
    work = Command(words=tuple(words[2:]), prepare=prepare, cwd=cwd, user=user, metric=measured, window=window)
    check_words(words, work, simulate=simulate, root=root, dry_run=dry_run, noise=noise)
    flags = {"tune.competing": competing}
    with open_host(root=root, dry_run=dry_run, simulate=simulate, workload=workload, seed=seed, flags=flags) as opened:
        if noise:
            from hwtune.cli.compare_noise import print_noise, watch

            print_noise(opened, watch(opened), as_json=as_json)
            return
        wish = Wish(
            a=parse_arm(words[0]),
            b=parse_arm(words[1]),
            command=work,
            objective=Objective(objective.value),
            margin=parse_margin(margin),
            max_runs=max_runs,
            seed=seed,
        )
        with open_compare(opened, wish, CompareProgress(spoken=not as_json and not dry_run)) as comparing:
            status = 0 if dry_run else comparing.run()
        save_pyperf(opened, comparing, {"A": pyperf_a, "B": pyperf_b})
        print_result(opened, comparing, as_json=as_json)
    if status:
        raise typer.Exit(status)
