"""Two arms, A and B, measured in turns until it is decided which is better, or that there is no more to be seen.

A block is four runs, ABBA or BAAB: a machine that drifts steadily drifts alike in both arms. Of every two blocks one
has this order and one the other, and a coin says which comes first: what drift, neighbours and runs that resemble the
one before leave in a block's contrast falls on either arm alike, and something that comes round every four runs
cancels. So blocks may be judged as a sample of independent contrasts, while the runs in them may not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum
from math import copysign, exp, fsum, inf, log, log1p, sqrt
from random import Random
from statistics import median

from hwtune.domain.objective import Objective
from hwtune.domain.trial import Run
from hwtune.workload.disturbed import limited
from hwtune.workload.power import Noise, detectable
from hwtune.workload.sequential import after_stop, spending_bounds
from hwtune.workload.student import NORMAL, as_normal, as_t
from hwtune.workload.verdict import Interval95, Verdict, paired_ratio

ORDERS = (("A", "B", "B", "A"), ("B", "A", "A", "B"))
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
        alpha: share of the comparisons without a difference in which one is found, whenever they stop.
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
        alpha: float = 0.05,
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
        self._bounds = spending_bounds(max_blocks, alpha, early=early)
        # Two one-sided tests of alpha each (Schuirmann 1987), repeated as Jennison and Turnbull 1993 do.
        self._within = spending_bounds(max_blocks, 2 * alpha, early=early)
        self._margin = margin
        self._aim = aim
        self._random = Random(seed)
        self._blocks: list[list[tuple[str, Run]]] = []
        self._order: tuple[str, ...] = ()

    @property
    def blocks(self) -> int:
        """Blocks that are complete."""
        return len(self._blocks) - (len(self._blocks) > 0 and len(self._blocks[-1]) < 4)

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
            ValueError: it is not this arm's turn, or the objective needs energy and the run has none.
        """
        if not self._blocks or len(self._blocks[-1]) == 4 or self._order[len(self._blocks[-1])] != arm:
            raise ValueError(f"it is not the turn of {arm}")
        self.objective.value_of(run.time_s, run.energy_j)
        self._blocks[-1].append((arm, run))
        if len(self._blocks[-1]) == 4:
            self.decided = self._decide()

    def noise(self) -> Noise | None:
        """How much the blocks scatter; None with fewer than two."""
        contrasts = self._contrasts(self._value)
        return Noise(sd_log=_sd(contrasts), degrees=len(contrasts) - 1) if len(contrasts) > 1 else None

    def verdict(self) -> Verdict:
        """What is known by now.

        Raises:
            ValueError: no block is complete.
        """
        if not self.blocks:
            raise ValueError("nothing is compared yet")
        objective_ratio, objective_ratio_95 = self._ratio(self._value)
        time_ratio, time_ratio_95 = self._ratio(lambda run: run.time_s)
        everywhere = all(run.energy_j is not None for arm in "AB" for run in self.runs(arm))
        energy_ratio, energy_ratio_95 = self._ratio(lambda run: run.energy_j or 0.0) if everywhere else (None, None)
        noise = self.noise()
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
            equivalent=self.decided is Decided.EQUIVALENT,
            decided=None if self.decided is None else self.decided.value,
            detectable=None if noise is None else detectable(noise, 2 * self.max_blocks),
        )

    def _value(self, run: Run) -> float:
        return self.objective.value_of(run.time_s, run.energy_j)

    def _contrasts(self, figure: Callable[[Run], float]) -> list[float]:
        """Log ratio B over A of each block, disturbed runs limited."""
        runs = [each for block in self._blocks[: self.blocks] for each in block]
        return contrasts([arm for arm, _ in runs], [log(figure(run)) for _, run in runs])

    def _decide(self) -> Decided | None:
        contrasts = self._contrasts(self._value)
        blocks, last = len(contrasts), len(contrasts) == self.max_blocks
        if blocks == last == 1:
            low, high = self._ratio(self._value)[1]
            return Decided.BUDGET if low <= 1.0 <= high else Decided.DIFFERENCE
        if blocks > 1:
            middle, error = _mean(contrasts), _sd(contrasts) / sqrt(blocks)
            if abs(_deviation(middle, error, blocks)) >= self._bounds.at(blocks):
                return Decided.DIFFERENCE
            if self._margin is not None:
                room = log1p(self._margin) - abs(middle)
                if _deviation(room, error, blocks) >= self._within.at(blocks):
                    return Decided.EQUIVALENT
            if not last and self._hopeless(middle, _sd(contrasts), blocks):
                return Decided.FUTILE
        return Decided.BUDGET if last else None

    def _hopeless(self, middle: float, sd: float, blocks: int) -> bool:
        """Whether even a true difference of the aim, in the direction seen, would rarely be found in what is left.

        Stochastic curtailment (Lan, Simon and Halperin 1982): it costs the power at most 5 % of what it lacks of 1.
        """
        if self._aim is None or self._bounds.at(blocks) == inf:
            return False
        left = self.max_blocks - blocks
        needed = as_t(self._bounds.deviations[-1], self.max_blocks - 1) * sd * sqrt(self.max_blocks)
        expected = abs(middle) * blocks + log1p(self._aim) * left
        return expected - needed < NORMAL.inv_cdf(_HOPELESS) * sd * sqrt(left)

    def _ratio(self, figure: Callable[[Run], float]) -> tuple[float, Interval95]:
        """Typical ratio B over A of a figure and its interval, by how the comparison has ended."""
        contrasts = self._contrasts(figure)
        blocks = len(contrasts)
        if blocks == 1:
            return paired_ratio([(figure(a), figure(b)) for a, b in zip(self.runs("A"), self.runs("B"), strict=True)])
        middle, error = _mean(contrasts), _sd(contrasts) / sqrt(blocks)
        above, shift, below = (as_t(each, blocks - 1) * error for each in self._reach(contrasts))
        return exp(middle - shift), (exp(middle - above), exp(middle - below))

    def _reach(self, contrasts: Sequence[float]) -> tuple[float, ...]:
        """How many normal deviations the interval reaches down, its middle lies down, and it reaches up (negative).

        For another figure than the one that decided, the ends move by as much as its contrasts go along with those
        (Whitehead, "Supplementary analysis at the conclusion of a sequential clinical trial", Biometrics 42, 1986).
        """
        if self.decided in (Decided.EQUIVALENT, Decided.FUTILE):
            # Ended for another reason than the bound: a repeated interval holds whatever the reason.
            widest = self._bounds.at(len(contrasts))
            return (widest, 0.0, -widest)
        primary = self._contrasts(self._value)
        blocks = len(primary)
        ends = after_stop(self._bounds, blocks, _deviation(_mean(primary), _sd(primary) / sqrt(blocks), blocks))
        along = _correlation(primary, contrasts)
        if along < 0.0:
            ends = (-ends[2], -ends[1], -ends[0])
        usual = -NORMAL.inv_cdf(self._bounds.spent / 2)
        return tuple(each + abs(along) * (end - each) for each, end in zip((usual, 0.0, -usual), ends, strict=True))


def _deviation(middle: float, error: float, blocks: int) -> float:
    """The normal deviation that is as improbable as a mean so many standard errors from 0."""
    if error == 0.0:
        return copysign(inf, middle) if middle else 0.0
    return as_normal(middle / error, blocks - 1)


def _mean(values: Sequence[float]) -> float:
    return fsum(values) / len(values)


def _sd(values: Sequence[float]) -> float:
    mean = _mean(values)
    return sqrt(fsum((value - mean) ** 2 for value in values) / (len(values) - 1))


def _correlation(a: Sequence[float], b: Sequence[float]) -> float:
    """Pearson's; 0 where one of them does not vary."""
    mean_a, mean_b = _mean(a), _mean(b)
    spread = _sd(a) * _sd(b) * (len(a) - 1)
    together = fsum((x - mean_a) * (y - mean_b) for x, y in zip(a, b, strict=True))
    return max(-1.0, min(1.0, together / spread)) if spread else 0.0


def contrasts(arms: Sequence[str], values: Sequence[float]) -> list[float]:
    """B less A of each block of four.

    How far a run stands out is told without the difference of the arms, and that difference by what is left when
    nothing stands out too far: twice in turn.
    """
    shift = median(v for a, v in zip(arms, values, strict=True) if a == "B") - median(
        v for a, v in zip(arms, values, strict=True) if a == "A"
    )
    for _ in range(2):
        alike = limited([v - shift if a == "B" else v for a, v in zip(arms, values, strict=True)])
        signed = [v / 2 if a == "B" else -v / 2 for a, v in zip(arms, alike, strict=True)]
        found = [shift + sum(signed[at : at + 4]) for at in range(0, len(signed), 4)]
        shift = _mean(found)
    return found
