"""Options that say how good work was: what counts instead of the run time, and bounds that only a measurement shows."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class BetterName(StrEnum):
    """Words of --metric-better."""

    HIGHER = "higher"
    LOWER = "lower"


_PANEL = "What counts instead of the run time"

Metric = Annotated[
    str | None,
    typer.Option(
        "--metric",
        metavar="REGEX",
        rich_help_panel=_PANEL,
        help="A number in the command's output, or in --metric-file; the last match counts: 'tps=([0-9.]+)'.",
    ),
]
MetricFile = Annotated[
    Path | None,
    typer.Option(
        "--metric-file", metavar="PATH", rich_help_panel=_PANEL, help="The number on the last line of a file."
    ),
]
MetricHeartbeat = Annotated[
    bool,
    typer.Option(
        "--metric-heartbeat",
        rich_help_panel=_PANEL,
        help='Progress that the work writes as lines {"done": 12} to the Unix socket $HWTUNE_HEARTBEAT.',
    ),
]
MetricPrometheus = Annotated[
    str | None,
    typer.Option(
        "--metric-prometheus", metavar="URL", rich_help_panel=_PANEL, help="A Prometheus to ask, with --query."
    ),
]
Query = Annotated[
    str | None,
    typer.Option("--query", metavar="EXPR", rich_help_panel=_PANEL, help="What to ask it: one number."),
]
MetricInstructions = Annotated[
    bool,
    typer.Option(
        "--metric-instructions",
        rich_help_panel=_PANEL,
        help="Instructions per second of the whole machine: a stand-in where nothing counts the work.",
    ),
]
MetricBetter = Annotated[
    BetterName | None,
    typer.Option(
        "--metric-better",
        rich_help_panel=_PANEL,
        help="Which way the metric gets better: a rate is higher, a latency lower.  [default: higher]",
        show_default=False,
    ),
]
MetricUnit = Annotated[
    str | None,
    typer.Option(
        "--metric-unit",
        metavar="UNIT",
        rich_help_panel=_PANEL,
        help="What a rate counts (transaction), or the unit of a cost (ms).",
    ),
]
MetricGrowing = Annotated[
    bool,
    typer.Option(
        "--metric-growing",
        rich_help_panel=_PANEL,
        help="The number of the file or query counts up: its growth per second is the rate.",
    ),
]
Window = Annotated[
    str | None,
    typer.Option(
        "--window",
        metavar="TIME",
        rich_help_panel=_PANEL,
        help="Instead of a command: windows of what this machine runs all the time, of this length: 10s.",
    ),
]
MaxLatency = Annotated[
    list[str] | None,
    typer.Option(
        "--max-latency",
        metavar="PNN=TIME",
        help="Largest latency accepted: p99=20ms. The latencies come by heartbeat or --latency.",
    ),
]
Latency = Annotated[
    str | None,
    typer.Option("--latency", metavar="REGEX", help="Every match in the command's output is a latency."),
]
LatencyUnit = Annotated[
    str, typer.Option("--latency-unit", metavar="UNIT", help="Unit of what --latency matches: s, ms, us, ns.")
]
MaxPressure = Annotated[
    list[str] | None,
    typer.Option(
        "--max-pressure",
        metavar="NAME=SHARE",
        help="Largest share of the time in which tasks may stall: cpu_some=0.2, io_full=5%.",
    ),
]
