"""What a person sees while a table is replayed: a bar on a terminal, a line for each workload that has ended."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID

    from hwtune.session import Session


class ReplayProgress:
    """Told by several threads at once; says everything on standard error.

    Args:
        workloads: how many there are.
        budget: evaluations of each.
        spoken: whether to say anything.
    """

    def __init__(self, *, workloads: int, budget: int, spoken: bool) -> None:
        self._total = workloads * budget
        self._budget = budget
        self._spoken = spoken
        self._console: Console | None = None
        self._progress: Progress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        if not self._spoken:
            return self
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        self._console = Console(file=sys.stderr, highlight=False)
        if self._console.is_terminal:
            self._progress = Progress(
                TextColumn("replaying"),
                BarColumn(),
                TextColumn("{task.completed}/{task.total}"),
                TimeElapsedColumn(),
                console=self._console,
                transient=True,
            )
            self._task = self._progress.add_task("replaying", total=self._total)
            self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._progress is not None:
            self._progress.stop()

    def evaluated(self) -> None:
        """One setting of any workload."""
        self._advance(1)

    def finished(self, workload: str, session: Session) -> None:
        """A workload has ended; what it left of its budget is done too."""
        count = len(session.decisions)
        self._advance(self._budget - count)
        if self._console is not None:
            self._console.print(
                f"{workload}: {count} evaluations, stopped: {session.stopped}", soft_wrap=True, markup=False
            )

    def _advance(self, count: int) -> None:
        if self._progress is not None and self._task is not None:
            self._progress.advance(self._task, count)
