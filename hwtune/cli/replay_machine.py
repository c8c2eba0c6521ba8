"""The machine that a measured workload stands for: its knobs as a backend of the transaction, its rows as the work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import takewhile

from hwtune.domain.knob import KnobSpace, Setting
from hwtune.domain.trial import Run, TrialStatus
from hwtune.knobs.attributes import Write
from hwtune.knobs.ownership import Ours
from hwtune.sim.table import MeasuredWorkload


class RowKnobs:
    """A `KnobBackend` in memory: one attribute for each knob, named as the column, its value as text.

    Every write is taken as it is. Which combinations there are rows for is the business of the space and of `RowWork`.

    Args:
        space: the knobs; they stand at their defaults.
    """

    def __init__(self, space: KnobSpace) -> None:
        self.space = space
        self._texts = {knob.name: str(knob.default) for knob in space.knobs}

    def snapshot(self) -> dict[str, str]:
        """See `KnobBackend.snapshot`."""
        return dict(self._texts)

    def plan(self, setting: Setting) -> tuple[Write, ...]:
        """See `KnobBackend.plan`."""
        return self.restore_plan({knob: str(value) for knob, value in setting.items()})

    def effective(self) -> Setting:
        """See `KnobBackend.effective`."""
        return Setting({knob: int(text) for knob, text in self._texts.items()})

    def restore_plan(self, snapshot: Mapping[str, str]) -> tuple[Write, ...]:
        """See `Restorable.restore_plan`."""
        return tuple(
            Write(knob=knob, path=knob, value=text)
            for knob, text in snapshot.items()
            if self._texts.get(knob, text) != text
        )

    def read(self, path: str) -> str | None:
        """See `Restorable.read`."""
        return self._texts.get(path)

    def write(self, path: str, value: str) -> None:
        """See `Restorable.write`."""
        self._texts[path] = value

    def settle(self, writes: Sequence[Write]) -> None:
        """Nothing to wait for."""

    def accepts(self, path: str, wanted: str, text: str) -> bool:
        """What was written is what is read."""
        return text == wanted

    def explains(self, path: str, text: str, *, ours: Ours, original: Mapping[str, str]) -> bool:
        """Nobody else writes here."""
        return text in ours.get(path, ())


class RowWork:
    """The work of a replay: what was measured under the setting that is applied now.

    Args:
        workload: the rows.
        knobs: says what is applied.
    """

    status = TrialStatus.OK
    warnings: tuple[str, ...] = ()

    def __init__(self, workload: MeasuredWorkload, knobs: RowKnobs) -> None:
        self._workload = workload
        self._knobs = knobs

    def warm_up(self) -> Run:
        """A row has no first run that differs from the others, and costs nothing."""
        return self.measure(1)[0]

    def measure(self, repeats: int, give_up_s: float | None = None) -> tuple[Run, ...]:
        """Every repetition that the table has of the setting; the same one over again where it has only that.

        On this machine the same run really does give the same figures again, and that is what the model is told.
        A row slower than `give_up_s` is one that was stopped then, and the last: a table does not say what it used by
        when, so its energy is in proportion.
        """
        rows = self._workload.runs[self._knobs.effective()]
        runs = rows * repeats if len(rows) == 1 else rows
        whole = tuple(takewhile(lambda run: give_up_s is None or run.time_s <= give_up_s, runs))
        if give_up_s is None or len(whole) == len(runs):
            return runs
        return (*whole, _stopped(runs[len(whole)], give_up_s))


def _stopped(run: Run, after_s: float) -> Run:
    energy_j = None if run.energy_j is None else run.energy_j * after_s / run.time_s
    return replace(run, time_s=after_s, energy_j=energy_j, censored=True)
