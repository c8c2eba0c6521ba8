"""`hwtune tune -- CMD`: explore, learn, choose, verify against the default, put everything back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hwtune.cli.metric_options import (
    Latency,
    LatencyUnit,
    MaxLatency,
    MaxPressure,
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
    Abandon,
    Competing,
    Cwd,
    DryRun,
    Json,
    MaxSlowdown,
    ObjectiveName,
    Prepare,
    Root,
    Seed,
    Simulate,
    User,
    Workload,
)

if TYPE_CHECKING:
    from hwtune.cli.host import OpenHost
    from hwtune.cli.tuning import Tuning


def tune(
    command: Annotated[
        list[str] | None, typer.Argument(metavar="-- CMD [ARG]...", help="The work to tune for.", show_default=False)
    ] = None,
    objective: Annotated[
        ObjectiveName | None, typer.Option("--objective", help="What to minimise.  [default: edp]")
    ] = None,
    max_slowdown: MaxSlowdown = None,
    max_power: Annotated[
        float | None, typer.Option("--max-power", metavar="W", min=0.0, help="Largest mean power accepted, in watts.")
    ] = None,
    budget: Annotated[
        int | None,
        typer.Option(
            "--budget", min=1, help="Settings to measure, the default included, the receipt not.  [default: 14]"
        ),
    ] = None,
    budget_time: Annotated[
        str | None,
        typer.Option("--budget-time", metavar="TIME", help="Begin no setting after this time: 90s, 10m, 1h."),
    ] = None,
    knob_names: Annotated[
        str | None,
        typer.Option(
            "--knobs", metavar="LIST", help="Knobs to turn, separated by commas.  [default: all but tunables]"
        ),
    ] = None,
    runs: Annotated[int | None, typer.Option("--runs", min=1, help="Runs of each setting.  [default: 3]")] = None,
    max_latency: MaxLatency = None,
    max_pressure: MaxPressure = None,
    abandon: Abandon = None,
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
    latency: Latency = None,
    latency_unit: LatencyUnit = "s",
    window: Window = None,
    pyperf: Annotated[
        Path | None, typer.Option("--pyperf", metavar="FILE", help="Write the receipt's runs as pyperf JSON.")
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the setting applied if it proves a gain.")] = False,
    dry_run: DryRun = False,
    simulate: Simulate = None,
    workload: Workload = None,
    root: Root = None,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Find the setting at which this work runs best, prove it, and put the machine back.

    The search starts from the machine's present settings. What it finds is kept (--keep) only if interleaved runs
    against the default show a gain; otherwise it says so. Ctrl-C restores and prints what was learned so far.
    """
    from hwtune.cli.command import Command, check_words
    from hwtune.cli.host import open_host
    from hwtune.cli.metric import MetricWish
    from hwtune.cli.tuning import Wish, open_tuning

    words = tuple(command or ())
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
        max_latency=tuple(max_latency or ()),
        latency=latency,
        latency_unit=latency_unit,
        max_pressure=tuple(max_pressure or ()),
    )
    check_words(words, simulate=simulate, root=root, dry_run=dry_run, keep=keep, window=window, metric=measured)
    wish = Wish(
        command=Command(words=words, prepare=prepare, cwd=cwd, user=user, metric=measured, window=window),
        max_power_w=max_power,
        budget_time=budget_time,
        seed=seed,
    )
    flags = {
        "tune.objective": None if objective is None else objective.value,
        "tune.max_slowdown": max_slowdown,
        "tune.budget": budget,
        "tune.runs": runs,
        "tune.knobs": knob_names,
        "tune.abandon": abandon,
        "tune.on_exit": "keep" if keep else None,
        "tune.competing": competing,
    }
    with (
        open_host(root=root, dry_run=dry_run, simulate=simulate, workload=workload, seed=seed, flags=flags) as opened,
        open_tuning(opened, wish, spoken=not as_json) as tuning,
    ):
        status = tuning.run()
    _print(opened, tuning, as_json=as_json, pyperf=pyperf)
    if status:
        raise typer.Exit(status)


def _print(opened: OpenHost, tuning: Tuning, *, as_json: bool, pyperf: Path | None) -> None:
    if pyperf is not None:
        from hwtune.cli.tune_json import save_pyperf

        save_pyperf(pyperf, opened, tuning)
    if as_json:
        from hwtune.cli.tune_json import document

        print(document(opened, tuning).model_dump_json())
    else:
        from hwtune.cli.tune_table import print_result

        print_result(opened, tuning)
