"""`hwtune train`: what measured tables and the store teach, written as the prior of later sessions."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hwtune.cli.options import Json


def train(
    tables: Annotated[
        list[Path] | None,
        typer.Option("--tables", metavar="DIR|CSV", help="Measured tables to learn from; may be repeated."),
    ] = None,
    store: Annotated[bool, typer.Option("--store/--no-store", help="Learn from this machine's own sessions.")] = True,
    simulated: Annotated[
        bool, typer.Option("--simulated", help="Take the store's simulated sessions, and only them; needs --out.")
    ] = False,
    shipped: Annotated[
        bool, typer.Option("--shipped/--no-shipped", help="Keep what the shipped prior knows of other machines.")
    ] = True,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="The file.  [default: prior.json in the state directory]"),
    ] = None,
    evaluate: Annotated[
        bool, typer.Option("--evaluate", help="Foretell each machine from the others alone, and say how well.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Learn what machines and workloads have in common, so that later sessions begin with it.

    Nothing is run and no knob is touched. What is written replaces what an earlier `hwtune train` wrote.
    """
    from hwtune.cli.prior import prior_path
    from hwtune.cli.record import store_path
    from hwtune.cli.train_run import Training, train_all, write_prior
    from hwtune.cli.train_sources import store_sources, table_sources
    from hwtune.cli.train_text import Told, document, print_training
    from hwtune.config import load_config
    from hwtune.domain.errors import UsageError
    from hwtune.planner.client import Planner

    if simulated and out is None:
        raise UsageError("simulated sessions teach nothing about this machine", hint="write to another file with --out")
    config = load_config()
    sources = table_sources(tables or ())
    if store:
        sources += store_sources(store_path(config), simulated=simulated)
    if not sources:
        raise UsageError(
            "there is nothing to learn from", hint="`hwtune tune` fills the store; --tables takes measured tables"
        )
    wish = Training(
        sources=tuple(sources),
        shipped=shipped,
        evaluate=evaluate,
        command=command_line(tables or (), store=store, simulated=simulated, shipped=shipped),
    )
    path = out or prior_path(config)
    with (
        Planner(command=config.planner.command, timeout_s=config.planner.timeout_s) as planner,
        Told(not as_json) as to,
    ):
        trained = train_all(wish, planner, tell=to.tell)
    write_prior(path, trained.prior)
    if as_json:
        print(document(trained, path).model_dump_json())
    else:
        print_training(trained, path)


def command_line(tables: tuple[Path, ...] | list[Path], *, store: bool, simulated: bool, shipped: bool) -> str:
    """What was asked for, as the file will say it: names of tables without where they lie on this machine."""
    words = ["hwtune train", *(f"--tables {path.name}" for path in tables)]
    words += [] if store else ["--no-store"]
    words += ["--simulated"] if simulated else []
    words += [] if shipped else ["--no-shipped"]
    return " ".join(words)[:2000]
