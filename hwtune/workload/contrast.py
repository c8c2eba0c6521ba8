"""What blocks of two arms say about one figure: the log ratio in each block, and how these scatter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import copysign, fsum, sqrt
from statistics import median

from hwtune.workload.disturbed import limited
from hwtune.workload.student import FARTHEST, as_normal

RUNS = 4  # of a block


@dataclass(frozen=True, kw_only=True)
class Contrasts:
    """Log ratios B over A of some figure, one for each block."""

    each: tuple[float, ...]

    @cached_property
    def mean(self) -> float:
        """Their mean: the log of the typical ratio."""
        return fsum(self.each) / len(self.each)

    @cached_property
    def sd(self) -> float:
        """Their standard deviation; two are the least."""
        return sqrt(fsum((each - self.mean) ** 2 for each in self.each) / self.degrees)

    @property
    def degrees(self) -> int:
        """Degrees of freedom of the deviation."""
        return len(self.each) - 1

    @property
    def error(self) -> float:
        """Standard error of the mean."""
        return self.sd / sqrt(len(self.each))

    def deviation(self, supposed: float = 0.0) -> float:
        """The normal deviation that is as improbable as this mean where the true one is as supposed."""
        if self.error == 0.0:
            return copysign(FARTHEST, self.mean - supposed) if self.mean != supposed else 0.0
        return as_normal((self.mean - supposed) / self.error, self.degrees)

    def along(self, other: Contrasts) -> float:
        """Pearson's correlation with another figure of the same blocks; 0 where one of them does not vary."""
        together = fsum((a - self.mean) * (b - other.mean) for a, b in zip(self.each, other.each, strict=True))
        apart = self.sd * other.sd * self.degrees
        return max(-1.0, min(1.0, together / apart)) if apart else 0.0


def contrasts(arms: Sequence[str], logs: Sequence[float]) -> Contrasts:
    """B less A in each block of four runs, no run further from those around it than the limit.

    How far a run stands out is told without the difference of the arms, and that difference by what is left when
    nothing stands out too far: twice in turn.

    Args:
        arms: `A` or `B` of each run, in order, two of each in a block.
        logs: of the figure.
    """
    of_b = [arm == "B" for arm in arms]
    shift = median(value for value, b in zip(logs, of_b, strict=True) if b) - median(
        value for value, b in zip(logs, of_b, strict=True) if not b
    )
    found = Contrasts(each=(shift,))
    for _ in range(2):
        alike = limited([value - found.mean if b else value for value, b in zip(logs, of_b, strict=True)])
        halves = [value / 2 if b else -value / 2 for value, b in zip(alike, of_b, strict=True)]
        blocks = [fsum(halves[at : at + RUNS]) for at in range(0, len(halves), RUNS)]
        found = Contrasts(each=tuple(found.mean + block for block in blocks))
    return found
