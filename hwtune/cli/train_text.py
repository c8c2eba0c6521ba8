"""The end of `hwtune train`: a document, or tables for people."""

from __future__ import annotations

import sys
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from pydantic import BaseModel

from hwtune.cli.train_evaluate import LeftOut, Score
from hwtune.cli.train_run import Trained
from hwtune.planner.prior_file import SourceEntry

if TYPE_CHECKING:
    from rich.status import Status


class LearnedComponent(BaseModel):
    """A component without its numbers."""

    label: str
    roles: tuple[str, ...]
    weight: float


class Unused(BaseModel):
    """A workload that taught nothing."""

    source: str
    workload: str


class TrainDocument(BaseModel):
    """What `hwtune train --json` prints."""

    schema_version: int = 1
    path: str
    trained_on: tuple[SourceEntry, ...]
    components: tuple[LearnedComponent, ...]
    unused: tuple[Unused, ...]
    evaluation: tuple[LeftOut, ...] | None


def document(trained: Trained, path: Path) -> TrainDocument:
    """The document of a training."""
    return TrainDocument(
        path=str(path),
        trained_on=trained.prior.trained_on,
        components=tuple(
            LearnedComponent(label=entry.label, roles=entry.roles, weight=entry.weight)
            for entry in trained.prior.components
        ),
        unused=tuple(Unused(source=source, workload=workload) for source, workload in trained.unused),
        evaluation=trained.evaluation,
    )


class Told:
    """What is being done, on standard error while it is a terminal.

    Args:
        spoken: whether to say anything.
    """

    def __init__(self, spoken: bool) -> None:
        self._spoken = spoken
        self._status: Status | None = None

    def __enter__(self) -> Self:
        if self._spoken:
            from rich.console import Console

            console = Console(file=sys.stderr, highlight=False)
            if console.is_terminal:
                self._status = console.status("starting the planner")
                self._status.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._status is not None:
            self._status.stop()

    def tell(self, what: str) -> None:
        """The next thing that is done."""
        if self._status is not None:
            from rich.markup import escape

            self._status.update(escape(what))


def print_training(trained: Trained, path: Path) -> None:
    """The result on standard output."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    grid = Table(title="learned from", title_justify="left")
    for name in ("source", "machine"):
        grid.add_column(name, overflow="fold")
    for name in ("workloads", "settings"):
        grid.add_column(name, justify="right")
    for entry in trained.prior.trained_on:
        grid.add_row(Text(entry.name), Text(entry.machine), str(entry.workloads), str(entry.settings))
    console.print(grid)
    for source, workload in trained.unused:
        console.print(f"{source}: {workload} taught nothing", markup=False, soft_wrap=True)
    if trained.evaluation is not None:
        console.print(_evaluation(trained.evaluation))
        console.print(
            "Mean and median log density of a log figure (more is better) and the share of 90 % intervals that hold, "
            "with the prior learned from the other machines and without any; 3 settings are known beside the default.",
            soft_wrap=True,
        )
    console.print(f"{path}: {len(trained.prior.components)} components", markup=False, soft_wrap=True)


def _evaluation(found: tuple[LeftOut, ...]) -> object:
    from rich.table import Table
    from rich.text import Text

    grid = Table(title="each machine foretold from the others", title_justify="left")
    grid.add_column("source", overflow="fold")
    grid.add_column("known")
    for name in ("learned: mean", "median", "held", "without: mean", "median", "held"):
        grid.add_column(name, justify="right")
    for each in found:
        for known, stage in (("nothing", each.before), ("3 settings", each.after)):
            grid.add_row(Text(each.name), known, *_words(stage.learned), *_words(stage.without))
    return grid


def _words(score: Score) -> tuple[str, str, str]:
    return f"{score.log_density:+.2f}", f"{score.median_log_density:+.2f}", f"{score.held_90:.0%}"
