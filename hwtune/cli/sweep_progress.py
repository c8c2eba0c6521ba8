"""What a person sees while a sweep runs: a bar on a terminal, a few plain lines elsewhere, nothing with --json.

All of it goes to standard error; standard output is for the result.
"""

from __future__ import annotations

import sys
from types import TracebackType
from typing import TYPE_CHECKING, Self

from hwtune.cli.outcome import setting_text

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as Bar
    from rich.progress import TaskID

    from hwtune.domain.knob import Setting
    from hwtune.workload.sweep_table import Row


class Progress:
    """A watcher of a sweep.

    Args:
        spoken: whether it says anything.
    """

    def __init__(self, *, spoken: bool) -> None:
        self._spoken = spoken
        self._console: Console | None = None
        self._bar: Bar | None = None
        self._task: TaskID | None = None
        self._total = 0
        self._pass = 0

    def __enter__(self) -> Self:
        if self._spoken:
            from rich.console import Console

            self._console = Console(file=sys.stderr, highlight=False)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def say(self, line: str) -> None:
        """One line."""
        if self._console is not None:
            self._console.print(line, markup=False, soft_wrap=True)

    def estimated(self, run_s: float, left: int) -> None:
        """See `sweep.Watcher.estimated`; the bar starts here."""
        self._total = left
        self.say(
            f"one run at the default takes {run_s:.3g} s: {left} runs take about {duration(run_s * left)}, "
            "longer as far as settings are slower"
        )
        if self._console is not None and self._console.is_terminal:
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
            from rich.progress import Progress as Bar

            self._bar = Bar(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeRemainingColumn(elapsed_when_finished=True),
                console=self._console,
                transient=True,
            )
            self._task = self._bar.add_task("measuring", total=left)
            self._bar.start()

    def clamped(self, wanted: Setting, effective: Setting) -> None:
        """See `sweep.Watcher.clamped`."""
        changed = wanted.diff(effective)
        asked = setting_text(wanted.only(changed))
        self.say(f"{asked} reads back as {setting_text(changed)}: that is what is measured, once in a pass")

    def measured(self, row: Row, left: int) -> None:
        """See `sweep.Watcher.measured`."""
        if self._bar is not None and self._task is not None:
            self._bar.update(
                self._task, completed=self._total - left, description=f"pass {row.number}: {setting_text(row.setting)}"
            )
        elif row.number != self._pass:
            self.say(f"pass {row.number}, {left + 1} runs left")
        self._pass = row.number


def duration(seconds: float) -> str:
    """A duration for people, in the unit that suits it."""
    for unit, length in (("h", 3600.0), ("min", 60.0)):
        if seconds >= 2.0 * length:
            return f"{seconds / length:.3g} {unit}"
    return f"{seconds:.3g} s"
