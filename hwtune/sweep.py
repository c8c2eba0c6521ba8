"""Measuring a grid: pass by pass, each in an order of its own, each row on the disk before the next run begins.

The same transaction and the same work as in a session; only who decides what comes next is another.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Protocol

from hwtune.domain.knob import KnobSpace, Setting
from hwtune.knobs.transaction import Transaction
from hwtune.session import Work
from hwtune.workload.grid import Grid
from hwtune.workload.sweep_table import Row


class Table(Protocol):
    """Where rows go."""

    def begin(self, features: Sequence[str]) -> None:
        """Make ready for rows; a new table gets columns for these features."""

    def append(self, row: Row) -> None:
        """Add a row, for good."""

    def measured(self, number: int) -> set[Setting]:
        """The effective settings that a pass has a row of."""


class Watcher(Protocol):
    """Told of every step, for progress."""

    def estimated(self, run_s: float, left: int) -> None:
        """One run under the default took so long, its preparation included; so many runs are left."""

    def clamped(self, wanted: Setting, effective: Setting) -> None:
        """The kernel made something else of a setting; said once for each."""

    def measured(self, row: Row, left: int) -> None:
        """A row is in the table; at most so many runs are left."""


class Sweep:
    """A grid, measured.

    Args:
        whole: all knobs of the machine; those that are not swept are held where they were found.
        space: the knobs that are swept.
        grid: the settings to visit.
        passes: how often.
        seed: of the orders.
        transaction: entered by the caller.
        work: what is measured.
        table: where rows go; it knows those of an earlier, interrupted sweep.
        now_ns: the machine's clock.
        watcher: told of every step.
    """

    def __init__(
        self,
        *,
        whole: KnobSpace,
        space: KnobSpace,
        grid: Grid,
        passes: int,
        seed: int,
        transaction: Transaction,
        work: Work,
        table: Table,
        now_ns: Callable[[], int],
        watcher: Watcher,
    ) -> None:
        self.finished = False
        self.seed = seed
        self.clamped: dict[Setting, Setting] = {}
        self._whole = whole
        self._space = space
        self._grid = grid
        self._passes = passes
        self._transaction = transaction
        self._work = work
        self._table = table
        self._now_ns = now_ns
        self._watcher = watcher

    def left(self) -> list[tuple[int, Setting]]:
        """(pass, setting) of the runs that are missing, in their order, as far as is known before they are made."""
        missing = []
        for number in range(1, self._passes + 1):
            done = self._table.measured(number)
            missing += [(number, each) for each in self._grid.order(self.seed, number) if each not in done]
        return missing

    def run(self) -> None:
        """Measure what is missing.

        Raises:
            WorkloadError: the command fails, or a row cannot be written; the rows so far stay.
            Unsupported: the energy meter cannot tell what a run used.
        """
        missing = self.left()
        if missing:
            self._begin(len(missing))
        else:
            self._table.begin(())  # there is a table; a torn line behind its rows goes
        for index, (number, setting) in enumerate(missing):
            self._visit(number, setting, len(missing) - index - 1)
        self.finished = True

    def _begin(self, runs: int) -> None:
        """The first run of the default: it warms caches, tells how long one takes and which features there are."""
        self._transaction.apply(self._whole.default)
        start_ns = self._now_ns()
        first = self._work.warm_up()
        first.metered_j()
        self._table.begin(tuple(first.features))
        self._watcher.estimated((self._now_ns() - start_ns) / 1e9, runs)

    def _visit(self, number: int, setting: Setting, left: int) -> None:
        done = self._table.measured(number)
        if self.clamped.get(setting, setting) in done:
            return
        # The knobs that are held are asked for as well: another one's change may have moved them.
        now = self._transaction.apply(self._whole.default | setting).effective.only(self._space.names)
        effective = self._space.canonical(setting | now)
        if effective != setting and setting not in self.clamped:
            self.clamped[setting] = effective
            self._watcher.clamped(setting, effective)
        if effective in done:
            return
        (run,) = self._work.measure(1)
        changed = self._transaction.look()
        if changed.foreign or changed.lost:
            # Not measured at this setting: somebody has set something else meanwhile, or the machine has slept.
            self._visit(number, setting, left)
            return
        features = {name: value for name, value in run.features.items() if math.isfinite(value)}
        row = Row(number=number, setting=effective, time_s=run.time_s, energy_j=run.metered_j(), features=features)
        self._table.append(row)
        self._watcher.measured(row, left)
