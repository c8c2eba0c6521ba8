"""Options that mean the same for every verb that has them."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

Root = Annotated[
    Path | None,
    typer.Option("--root", metavar="DIR", help="A machine laid out from this directory or tar archive, instead of /."),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Keep every write in memory; show what would have been written.")
]
Simulate = Annotated[
    str | None,
    typer.Option(
        "--simulate",
        metavar="[=MACHINE]",
        help="An imaginary machine instead of this one: laptop (default), server, biglittle, vm.",
    ),
]
Workload = Annotated[
    str | None,
    typer.Option("--workload", metavar="NAME", help="What the imaginary machine runs: compute, memory, mixed, bursty."),
]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output, and nothing else.")]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Seed of every random choice.")]
MaxSlowdown = Annotated[
    str | None,
    typer.Option("--max-slowdown", metavar="PERCENT", help="Longest run time accepted, over the default: 5% or 0.05."),
]
Abandon = Annotated[
    bool | None,
    typer.Option(
        "--abandon/--no-abandon",
        help="Stop a probe that is far slower than --max-slowdown allows. A command that is killed half-way may leave "
        "something half done.  [default: no-abandon]",
        show_default=False,
    ),
]
Prepare = Annotated[
    str | None,
    typer.Option("--prepare", metavar="CMD", help="Shell command before each run, not measured: make clean."),
]
Cwd = Annotated[str | None, typer.Option("--cwd", metavar="DIR", help="Directory of the command.")]
User = Annotated[
    str | None, typer.Option("--user", help="Who runs the command.  [default: under sudo, the calling user]")
]


class CompetingName(StrEnum):
    """Words of --competing."""

    REFUSE = "refuse"
    YIELD = "yield"
    IGNORE = "ignore"


Competing = Annotated[
    CompetingName | None,
    typer.Option(
        "--competing",
        help="Another tuner is at work: refuse to start, yield it its knobs, or ignore it.  [default: refuse]",
        show_default=False,
    ),
]


class ObjectiveName(StrEnum):
    """Words of --objective; the domain's own enumeration is loaded when a verb runs."""

    ENERGY = "energy"
    EDP = "edp"
    ED2P = "ed2p"
    TIME = "time"


def check_abandon(abandon: bool, max_slowdown: float | None, *, progresses: bool = True) -> None:
    """Refuse to stop what is too slow where nothing says what too slow is, or that something is.

    Args:
        abandon: whether that is wanted.
        max_slowdown: what is too slow.
        progresses: whether it shows before its end how a run gets on.

    Raises:
        UsageError: with what to add.
    """
    from hwtune.domain.errors import UsageError

    if abandon and max_slowdown is None:
        raise UsageError("to abandon probes needs a slowdown bound", hint="add --max-slowdown 5%, or --no-abandon")
    if abandon and not progresses:
        raise UsageError(
            "this metric says nothing before the end of a run, which would be too late to abandon it",
            hint="--metric-heartbeat tells of progress; or --no-abandon",
        )


def listed(text: str | None) -> tuple[str, ...] | None:
    """The words of a list separated by commas; None where the option was not given."""
    return None if text is None else tuple(word.strip() for word in text.split(",") if word.strip())


def spread_optional_values(arguments: list[str]) -> list[str]:
    """Give a bare `--simulate` its default machine, which the option parser cannot.

    Words after `--` belong to the command that is measured and stay as they are.
    """
    end = arguments.index("--") if "--" in arguments else len(arguments)
    ours = ["--simulate=laptop" if word == "--simulate" else word for word in arguments[:end]]
    return ours + arguments[end:]
