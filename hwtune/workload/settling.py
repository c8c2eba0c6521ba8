"""When a machine has settled: the runs after the last change of level, not a fixed number of warm-up runs.

Caches fill, a turbo budget is used up, a fan comes on: the first runs are on another level than the rest, and how many
there are nobody knows beforehand; some commands change their level late, some never settle (Barrett et al., "Virtual
machine warmup blows hot and cold", OOPSLA 2017, who find the changes as is done here). The runs are cut into
stretches of constant level so that squared deviations plus a penalty for each cut are least: optimal partitioning
(Jackson et al., "An algorithm for optimal partitioning of data on an interval", IEEE Signal Processing Letters 12,
2005), exact and quick enough for two dozen runs. The penalty is Yao's (Statistics & Probability Letters 6, 1988),
doubled twice for a deviation that is known from few runs only.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise
from math import log
from statistics import median

from hwtune.domain.objective import Objective
from hwtune.domain.trial import Run

_PENALTY = 4.0  # times variance times log n
_SD_OF_DIFFERENCES = 1.4826 / 2**0.5  # deviation of the values over the median size of their differences


class Settling:
    """Runs of one arm in a row, until the last of them are on one level.

    Args:
        objective: the figure that has to settle.
        steady: how many runs have to be on one level.
        most: runs after which it is given up.
    """

    def __init__(self, objective: Objective, *, steady: int = 8, most: int = 24) -> None:
        self._objective = objective
        self._steady = steady
        self._most = most
        self._runs: list[Run] = []
        self._start = 0

    def add(self, run: Run) -> None:
        """The next run.

        Raises:
            ValueError: the objective needs energy and the run has none.
        """
        self._objective.value_of(run.time_s, run.energy_j)
        self._runs.append(run)
        values = [log(self._objective.value_of(each.time_s, each.energy_j)) for each in self._runs]
        self._start = level_since(values)

    @property
    def settled(self) -> bool:
        """Whether enough runs are on one level."""
        return len(self._runs) - self._start >= self._steady

    @property
    def done(self) -> bool:
        """Whether it is settled, or given up."""
        return self.settled or len(self._runs) >= self._most

    @property
    def warm_up(self) -> tuple[Run, ...]:
        """The runs that do not count."""
        return tuple(self._runs[: len(self._runs) - len(self.steady)])

    @property
    def steady(self) -> tuple[Run, ...]:
        """The runs on the last level; where it has not settled, as many of the last ones as should have been."""
        return tuple(self._runs[self._start :] if self.settled else self._runs[-self._steady :])


def level_since(values: Sequence[float]) -> int:
    """The index from which on the values are on the last of their levels."""
    if len(values) < 3:
        return 0
    sd = _SD_OF_DIFFERENCES * median(abs(b - a) for a, b in pairwise(values))
    penalty = _PENALTY * sd**2 * log(len(values))
    # Sums from the start on tell the squared deviations of every stretch; about the median, lest they cancel out.
    middle = median(values)
    sums = list(accumulate((value - middle for value in values), initial=0.0))
    squares = list(accumulate(((value - middle) ** 2 for value in values), initial=0.0))
    best, since = [-penalty], [0]
    for end in range(1, len(values) + 1):
        costs = [
            best[start] + squares[end] - squares[start] - (sums[end] - sums[start]) ** 2 / (end - start) + penalty
            for start in range(end)
        ]
        best.append(min(costs))
        since.append(costs.index(best[-1]))
    return since[-1]
