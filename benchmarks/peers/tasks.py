"""A task: one workload of a measured table and one objective. What an optimiser does in it is a trace of rows.

Tables are read by hwtune's own reader, so the tasks are those of `hwtune replay`: every workload with a row for its
default setting and at least ten settings, after the sidecar's filter; repetitions of a setting count as their median.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwtune.domain.errors import UsageError
from hwtune.domain.knob import Setting
from hwtune.domain.objective import Objective
from hwtune.domain.trial import common_features
from hwtune.sim.table import MeasuredTable, MeasuredWorkload, read_table

MAX_SLOWDOWN = 0.05  # of energy; the other objectives weigh time themselves
LEAST_HEADROOM = 0.02  # in log cost; where there is less to gain, its share says nothing

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Task:
    """One workload and one objective, as `n` rows.

    Args:
        table: the table's name.
        workload: the workload's name.
        objective: what to minimise.
        settings: what each row is set to.
        points: the same in the table's numbers, `n x d`.
        clock: the column of `points` that is a clock of compute; None without one.
        time_s: median run time of each row.
        energy_j: median energy of each row.
        default: the row of the default setting.
        features: what was sensed at the default.
    """

    table: str
    workload: str
    objective: Objective
    settings: tuple[Setting, ...]
    points: Array
    clock: int | None
    time_s: Array
    energy_j: Array
    default: int
    features: Mapping[str, float]

    @cached_property
    def row_of(self) -> dict[Setting, int]:
        """Setting → row."""
        return {setting: row for row, setting in enumerate(self.settings)}

    @cached_property
    def row_at(self) -> dict[tuple[float, ...], int]:
        """The table's numbers → row."""
        return {tuple(point): row for row, point in enumerate(self.points.tolist())}

    @cached_property
    def slowdown(self) -> Array:
        """Run time of each row relative to the default's, less one."""
        return self.time_s / self.time_s[self.default] - 1.0

    @cached_property
    def cost(self) -> Array:
        """Log of the objective, row by row."""
        pairs = zip(self.time_s.tolist(), self.energy_j.tolist(), strict=True)
        return np.log([self.objective.value_of(time_s, energy_j) for time_s, energy_j in pairs])

    @property
    def bound(self) -> float | None:
        """Largest slowdown accepted."""
        return bound_of(self.objective)

    @cached_property
    def excess(self) -> Array | None:
        """Log of the run time over the longest accepted: what must not be above 0. None without a bound."""
        return None if self.bound is None else np.log((1.0 + self.slowdown) / (1.0 + self.bound))

    @cached_property
    def feasible(self) -> NDArray[np.bool_]:
        """Whether each row holds the bound."""
        return np.ones(len(self.settings), bool) if self.excess is None else self.excess <= 1e-12

    @property
    def headroom(self) -> float:
        """Log cost from the default to the best row within the bound."""
        return float(self.cost[self.default] - self.cost[self.feasible].min())


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """What one run of an optimiser did.

    Args:
        rows: measured, in order; the default first.
        recommended: after each of them, the row to keep.
        held: for each interval given beforehand, whether the table's figure lies in it.
    """

    rows: tuple[int, ...]
    recommended: tuple[int, ...]
    held: tuple[bool, ...] = ()


def keeping_the_best(task: Task, rows: Sequence[int]) -> Trace:
    """The trace of an optimiser that recommends the best it has measured within the bound."""
    recommended, best = [], task.default
    for row in rows:
        if task.feasible[row] and task.cost[row] < task.cost[best]:
            best = row
        recommended.append(best)
    return Trace(rows=tuple(rows), recommended=tuple(recommended))


def bound_of(objective: Objective) -> float | None:
    """The slowdown accepted with an objective."""
    return MAX_SLOWDOWN if objective is Objective.ENERGY else None


def read_tables(folder: Path) -> list[tuple[Path, MeasuredTable]]:
    """Every table of a folder, by name: each CSV that has a sidecar.

    Raises:
        UsageError: there is no such folder, no table in it, or one that cannot be read.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder} is not a folder", hint="give a folder of measured tables (docs/replay.md)")
    paths = sorted(side.with_suffix(".csv") for side in folder.glob("*.toml"))
    if not paths:
        raise UsageError(f"no table in {folder}", hint="a table is NAME.csv with NAME.toml beside it (docs/replay.md)")
    return [(path, read_table(path)) for path in paths]


def tasks_of(table: MeasuredTable, objective: Objective) -> list[Task]:
    """Every workload of a table, also those with nothing to gain: others learn from them."""
    return [_task(table, workload, objective) for workload in table.workloads]


def select(tasks: Sequence[Sequence[Task]], most: int | None) -> set[str]:
    """The workloads of one table to be scored, at most so many, drawn the same way every time.

    Args:
        tasks: all of the table's tasks, for each objective.
        most: how many workloads; None for all that have something to gain with one of the objectives.
    """
    names = [column[0].workload for column in zip(*tasks, strict=True) if any(map(worthwhile, column))]
    if most is None or len(names) <= most:
        return set(names)
    return set(random.Random(0).sample(names, most))


def worthwhile(task: Task) -> bool:
    """Whether there is enough to gain for its share to mean something."""
    return task.headroom >= LEAST_HEADROOM


def _task(table: MeasuredTable, workload: MeasuredWorkload, objective: Objective) -> Task:
    settings = tuple(workload.runs)
    figures = np.array([workload.figures(setting) for setting in settings])
    numbers: list[Any] = [[table.numbers(setting)[knob.name] for knob in table.knobs] for setting in settings]
    default = settings.index(workload.space.default)
    return Task(
        table=table.name,
        workload=workload.name,
        objective=objective,
        settings=settings,
        points=np.array(numbers, float),
        clock=next((at for at, knob in enumerate(table.knobs) if knob.role == "frequency"), None),
        time_s=figures[:, 0],
        energy_j=figures[:, 1],
        default=default,
        features=common_features([run.features for run in workload.runs[settings[default]]]),
    )
