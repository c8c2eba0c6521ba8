"""What a person sees while a session runs: a live line on a terminal, plain lines elsewhere, nothing with --json.

All of it goes to standard error; standard output is for the result.
"""

from __future__ import annotations

import sys
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID

    from hwtune.domain.trial import Proposal
    from hwtune.session import Decision


class Quiet:
    """A watcher that says nothing."""

    def proposed(self, number: int, proposal: Proposal) -> None:
        """See `session.Watcher.proposed`."""

    def decided(self, number: int, decision: Decision) -> None:
        """See `session.Watcher.decided`."""

    def verifying(self, done: int, total: int) -> None:
        """See `session.Watcher.verifying`."""

    def __enter__(self) -> Quiet:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing to end."""


class Spoken(Quiet):
    """A watcher for people: one line per measured setting, and on a terminal a bar below them.

    Args:
        evaluations: the budget, for the bar.
    """

    def __init__(self, *, evaluations: int) -> None:
        self._evaluations = evaluations
        self._console: Console | None = None
        self._progress: Progress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> Spoken:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        self._console = Console(file=sys.stderr, highlight=False)
        if self._console.is_terminal:
            self._progress = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                TextColumn("{task.completed}/{task.total}"),
                TimeElapsedColumn(),
                console=self._console,
                transient=True,
            )
            self._task = self._progress.add_task("measuring the default", total=self._evaluations)
            self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._progress is not None:
            self._progress.stop()

    def _bar(self, description: str, completed: int, total: int) -> None:
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, description=description, completed=completed, total=total)

    def proposed(self, number: int, proposal: Proposal) -> None:
        """The bar says what is being measured."""
        self._bar(f"measuring {proposal.reason}", number - 1, self._evaluations)

    def decided(self, number: int, decision: Decision) -> None:
        """One line per setting: what it was, and time and energy as measured (predicted, in a dry run)."""
        from hwtune.cli.outcome import setting_text

        trial = decision.trial
        energy = "" if trial.energy_j is None else f"  {trial.energy_j:9.3f} J"
        if self._console is not None and trial.status != "predicted":
            self._console.print(
                f"{number:3d} {trial.reason:<8} {trial.time_s:9.3f} s{energy}  {setting_text(trial.setting)}",
                soft_wrap=True,
                markup=False,
            )
        self._bar("learning", number, self._evaluations)

    def verifying(self, done: int, total: int) -> None:
        """The bar counts the interleaved runs; elsewhere one line announces them."""
        self._bar("verifying against the default", done, total)
        if done == 0 and self._progress is None and self._console is not None:
            self._console.print(f"verifying against the default: {total} interleaved runs", markup=False)
