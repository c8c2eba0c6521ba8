"""What a person sees while a sweep runs: a bar on a terminal, a few plain lines elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hwtune.cli.bar import Bar
from hwtune.cli.outcome import setting_text

if TYPE_CHECKING:
    from hwtune.domain.knob import Setting
    from hwtune.workload.sweep_table import Row


class SweepProgress(Bar):
    """A watcher of a sweep.

    Args:
        spoken: whether to say anything.
    """

    def __init__(self, *, spoken: bool) -> None:
        super().__init__(spoken=spoken)
        self._total = 0
        self._pass = 0

    def estimated(self, run_s: float, left: int) -> None:
        """See `sweep.Watcher.estimated`; the bar starts here."""
        self._total = left
        self.say(
            f"one run at the default takes {run_s:.3g} s: {left} runs take about {duration(run_s * left)}, "
            "longer as far as settings are slower"
        )
        self.draw("measuring", left, remaining=True)

    def clamped(self, wanted: Setting, effective: Setting) -> None:
        """See `sweep.Watcher.clamped`."""
        changed = wanted.diff(effective)
        asked = setting_text(wanted.only(changed))
        self.say(f"{asked} reads back as {setting_text(changed)}: that is what is measured, once in a pass")

    def measured(self, row: Row, left: int) -> None:
        """See `sweep.Watcher.measured`."""
        self.move(f"pass {row.number}: {setting_text(row.setting)}", self._total - left, self._total)
        if row.number != self._pass and not self.drawn:
            self.say(f"pass {row.number}, {left + 1} runs left")
        self._pass = row.number


def duration(seconds: float) -> str:
    """A duration for people, in the unit that suits it."""
    for unit, length in (("h", 3600.0), ("min", 60.0)):
        if seconds >= 2.0 * length:
            return f"{seconds / length:.3g} {unit}"
    return f"{seconds:.3g} s"
