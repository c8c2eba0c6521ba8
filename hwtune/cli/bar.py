"""What a person sees while something runs: lines, and on a terminal a bar below them.

All of it goes to standard error; standard output is for the result.
"""

from __future__ import annotations

import sys
from types import TracebackType
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID


class Bar:
    """Lines and a bar; may be told by several threads at once.

    Args:
        spoken: whether to say anything.
    """

    def __init__(self, *, spoken: bool) -> None:
        self._spoken = spoken
        self._console: Console | None = None
        self._progress: Progress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        if self._spoken:
            from rich.console import Console

            self._console = Console(file=sys.stderr, highlight=False)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._progress is not None:
            self._progress.stop()

    @property
    def drawn(self) -> bool:
        """Whether there is a bar."""
        return self._progress is not None

    def say(self, line: str) -> None:
        """One line."""
        if self._console is not None:
            self._console.print(line, soft_wrap=True, markup=False)

    def draw(self, description: str, total: int, *, remaining: bool = False) -> None:
        """Begin the bar where there is a terminal; `remaining` has it estimate the time that is left."""
        if self._console is None or not self._console.is_terminal:
            return
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(elapsed_when_finished=True) if remaining else TimeElapsedColumn(),
            console=self._console,
            transient=True,
        )
        self._task = self._progress.add_task(description, total=total)
        self._progress.start()

    def move(self, description: str, completed: int, total: int) -> None:
        """What is being done, and how far it is."""
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, description=description, completed=completed, total=total)

    def advance(self, count: int) -> None:
        """So many more are done."""
        if self._progress is not None and self._task is not None:
            self._progress.advance(self._task, count)
