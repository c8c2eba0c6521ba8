"""Two arms, A and B, measured in turns until it is decided which is better, or that there is no more to be seen.

A block is four runs, ABBA or BAAB: a machine that drifts steadily drifts alike in both arms. Of every two blocks one
has this order and one the other, and a coin says which comes first: what drift, neighbours and runs that resemble the
one before leave in a block's contrast falls on either arm alike, and something that comes round every four runs
cancels. So blocks may be judged as a sample of independent contrasts, while the runs in them may not.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from math import exp, inf, log, log1p, sqrt
from random import Random

from hwtune.domain.objective import Objective
from hwtune.domain.trial import Run
from hwtune.workload.contrast import RUNS, Contrasts, contrasts
from hwtune.workload.power import ALPHA, Noise, detectable
from hwtune.workload.sequential import after_stop, spending_bounds
from hwtune.workload.student import NORMAL, as_t
from hwtune.workload.verdict import Interval95, Verdict, paired_ratio

ORDERS = (("A", "B", "B", "A"), ("B", "A", "A", "B"))
_LARGEST = 700.0
_HOPELESS = 0.05  # power that is left, below which it is not worth going on


class Decided(StrEnum):
    """Why a comparison has ended."""

    DIFFERENCE = "difference"  # one arm is better
    EQUIVALENT = "equivalent"  # they differ by less than the margin
    FUTILE = "futile"  # the difference looked for would not be found any more
    BUDGET = "budget"  # all blocks are measured, and there is no telling


class Comparison:
    """One comparison in blocks, with its bounds for stopping early.

    Use: run the arms of `next_block()` in that order, `add` each run, until `decided`.

    Args:
        objective: the figure that is compared, run by run.
        max_blocks: when to stop at the latest; two runs of each arm in a block.
        margin: relative difference below which the arms are as good as equal (0.01 = 1 %); None for no such claim.
        aim: relative difference that is looked for; once it would not be found any more the comparison ends.
        early: whether to stop before `max_blocks`.
        seed: of the order of the blocks.

    Raises:
        ValueError: no blocks, or a margin or aim that is not positive.
    """

    def __init__(
        self,
        objective: Objective,
        *,
        max_blocks: int,
        margin: float | None = None,
        aim: float | None = None,
        early: bool = True,
        seed: int = 0,
    ) -> None:
        if any(each is not None and each <= 0.0 for each in (margin, aim)):
            raise ValueError("a margin and an aim are positive")
        self.objective = objective
        self.max_blocks = max_blocks
        self.decided: Decided | None = None
        self._bounds = spending_bounds(max_blocks, ALPHA, early=early)
        # Two one-sided tests of alpha each (Schuirmann 1987), repeated as Jennison and Turnbull 1993 do.
        self._within = spending_bounds(max_blocks, 2 * ALPHA, early=early)
        self._margin = margin
        self._aim = aim
        self._equivalent = False
        self._random = Random(seed)
        self._blocks: list[list[tuple[str, Run]]] = []
        self._order: tuple[str, ...] = ()

    @property
    def blocks(self) -> int:
        """Blocks that are complete."""
        return len(self._blocks) - (len(self._blocks) > 0 and len(self._blocks[-1]) < RUNS)

    def runs(self, arm: str) -> tuple[Run, ...]:
        """The runs of one arm in complete blocks, in order."""
        return tuple(run for block in self._blocks[: self.blocks] for whose, run in block if whose == arm)

    def next_block(self) -> tuple[str, ...]:
        """The arms to run next, in this order.

        Raises:
            ValueError: the last block is not complete, or all are.
        """
        if self.blocks < len(self._blocks) or self.blocks == self.max_blocks:
            raise ValueError("no block to begin")
        if self.blocks % 2:
            self._order = ORDERS[self._order == ORDERS[0]]
        else:
            self._order = self._random.choice(ORDERS)
        self._blocks.append([])
        return self._order

    def add(self, arm: str, run: Run) -> None:
        """The next run of the block.

        Raises:
            ValueError: it is not this arm's turn, or the run has no (positive) figure of the objective.
        """
        if not self._blocks or len(self._blocks[-1]) == RUNS or self._order[len(self._blocks[-1])] != arm:
            raise ValueError(f"it is not the turn of {arm}")
        if self._value(run) <= 0.0:
            raise ValueError("a ratio needs positive figures")
        self._blocks[-1].append((arm, run))
        if len(self._blocks[-1]) == RUNS:
            self.decided = self._decide()

    def noise(self) -> Noise | None:
        """How much the blocks scatter; None with fewer than two."""
        if self.blocks < 2:
            return None
        found = self._contrasts(self._value)
        return Noise(sd_log=found.sd, degrees=found.degrees)

    def verdict(self) -> Verdict:
        """What is known by now.

        Raises:
            ValueError: no block is complete.
        """
        if not self.blocks:
            raise ValueError("nothing is compared yet")
        primary, noise = self._contrasts(self._value), self.noise()
        reach = self._reach(primary)
        objective_ratio, objective_ratio_95 = self._ratio(self._value, primary, reach)
        time_ratio, time_ratio_95 = self._ratio(lambda run: run.time_s, primary, reach)
        energy_ratio, energy_ratio_95 = None, None
        if all(run.energy_j for arm in "AB" for run in self.runs(arm)):
            energy_ratio, energy_ratio_95 = self._ratio(lambda run: run.energy_j or 0.0, primary, reach)
        different = self.decided is Decided.DIFFERENCE
        return Verdict(
            time_ratio=time_ratio,
            time_ratio_95=time_ratio_95,
            energy_ratio=energy_ratio,
            energy_ratio_95=energy_ratio_95,
            objective_ratio=objective_ratio,
            objective_ratio_95=objective_ratio_95,
            significant=different and objective_ratio < 1.0,
            runs=2 * self.blocks,
            different=different,
            equivalent=self._equivalent,
            decided=None if self.decided is None else self.decided.value,
            detectable=None if noise is None else detectable(noise, 2 * self.max_blocks),
        )

    def _value(self, run: Run) -> float:
        return self.objective.value_of(run.time_s, run.energy_j)

    def _contrasts(self, figure: Callable[[Run], float]) -> Contrasts:
        runs = [each for block in self._blocks[: self.blocks] for each in block]
        return contrasts([arm for arm, _ in runs], [log(figure(run)) for _, run in runs])

    def _pairs(self, figure: Callable[[Run], float]) -> list[tuple[float, float]]:
        return [(figure(a), figure(b)) for a, b in zip(self.runs("A"), self.runs("B"), strict=True)]

    def _decide(self) -> Decided | None:
        last = self.blocks == self.max_blocks
        if self.blocks == 1:
            # The least there is to judge by: the two pairs of a single block.
            low, high = paired_ratio(self._pairs(self._value))[1]
            found = Decided.BUDGET if low <= 1.0 <= high else Decided.DIFFERENCE
            return found if last else None
        now = self._contrasts(self._value)
        if self._margin is not None:
            sides = now.deviation(-log1p(self._margin)), -now.deviation(log1p(self._margin))
            self._equivalent = min(sides) >= self._within.at(self.blocks)
        if abs(now.deviation()) >= self._bounds.at(self.blocks):
            return Decided.DIFFERENCE
        if self._equivalent:
            return Decided.EQUIVALENT
        if last:
            return Decided.BUDGET
        return Decided.FUTILE if self._hopeless(now) else None

    def _hopeless(self, now: Contrasts) -> bool:
        """Whether even a true difference of the aim, in the direction seen, would rarely be found in what is left.

        Stochastic curtailment (Lan, Simon and Halperin, "Stochastically curtailed tests in long-term clinical trials",
        Sequential Analysis 1, 1982): what would be missed anyway grows by a twentieth of itself at most.
        """
        if self._aim is None or self._bounds.at(self.blocks) == inf:
            return False
        left = self.max_blocks - self.blocks
        needed = as_t(self._bounds.deviations[-1], self.max_blocks - 1) * now.sd * sqrt(self.max_blocks)
        expected = abs(now.mean) * self.blocks + log1p(self._aim) * left
        return expected - needed < NORMAL.inv_cdf(_HOPELESS) * now.sd * sqrt(left)

    def _reach(self, primary: Contrasts) -> tuple[float, float, float]:
        """Normal deviations from the mean to the interval's lower end, its middle and its upper end, downwards."""
        if self.blocks == 1:
            return (0.0, 0.0, 0.0)
        return after_stop(self._bounds, self.blocks, primary.deviation())

    def _ratio(
        self, figure: Callable[[Run], float], primary: Contrasts, reach: tuple[float, float, float]
    ) -> tuple[float, Interval95]:
        """Typical ratio B over A of a figure and its interval, by how the comparison has ended.

        For another figure than the one that decided, the ends move by as much as its contrasts go along with those
        (Whitehead, "Supplementary analysis at the conclusion of a sequential clinical trial", Biometrics 42, 1986).
        """
        if self.blocks == 1:
            return paired_ratio(self._pairs(figure))
        found = self._contrasts(figure)
        along = found.along(primary)
        ends = reach if along >= 0.0 else (-reach[2], -reach[1], -reach[0])
        usual = -NORMAL.inv_cdf(self._bounds.spent / 2)
        below, middle, above = (
            as_t(each + abs(along) * (end - each), found.degrees) * found.error
            for each, end in zip((usual, 0.0, -usual), ends, strict=True)
        )
        return _exp(found.mean - middle), (_exp(found.mean - below), _exp(found.mean - above))


def _exp(logarithm: float) -> float:
    """What is beyond all floating point numbers is as large or small as they get."""
    return exp(max(-_LARGEST, min(logarithm, _LARGEST)))
