"""Options that mean the same for every verb."""

from __future__ import annotations

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


def spread_optional_values(arguments: list[str]) -> list[str]:
    """Give a bare `--simulate` its default machine, which the option parser cannot.

    Words after `--` belong to the command that is measured and stay as they are.
    """
    end = arguments.index("--") if "--" in arguments else len(arguments)
    ours = ["--simulate=laptop" if word == "--simulate" else word for word in arguments[:end]]
    return ours + arguments[end:]
