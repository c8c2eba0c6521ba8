"""Whether a run that is under way will be far too slow, by how it gets on.

The work of a run is cut into pieces, and each piece compared with what the same piece took at the default: a program
that warms up or has phases does so there as well. What is tested is the median of these ratios, without a word of how
they are distributed: below the k-th smallest of n ratios it lies with the probability that fewer than k of n tosses of
a coin show heads (David and Nagaraja, Order Statistics, 2003, section 7.1). That is looked at again after each piece,
so each look may err only by its part of the whole risk (a union bound with weights 1 / n (n + 1)).
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from math import comb

from hwtune.workload.heartbeat import Progress

_PIECES = 60  # of a run at the default: sure at the earliest after a quarter of it
_RISK = 0.01  # of stopping a run whose median piece is not too slow


class Pace:
    """How runs at the default get on; what others are compared with.

    Args:
        progress: of a run at the default, to its end.
    """

    def __init__(self, progress: Progress) -> None:
        rising = [point for n, point in enumerate(progress) if n == 0 or point[1] > progress[n - 1][1]]
        self._done = [done for _, done in rising]
        self._at_ns = [t_ns for t_ns, _ in rising]

    @property
    def known(self) -> bool:
        """Whether there is anything to compare with."""
        return len(self._done) >= 2

    def slowdown(self, progress: Progress) -> float | None:
        """How many times as slow a run surely is at least (the median of its pieces); None as long as nothing is sure.

        Args:
            progress: of the run, as far as it has got.
        """
        ratios = sorted(self._ratios(progress))
        rank = _surely(len(ratios))
        return ratios[rank - 1] if rank else None

    def _ratios(self, progress: Progress) -> list[float]:
        """Time of each piece over the default's time for it. A piece ends with a word of progress, as few as come."""
        if not self.known or not progress:
            return []
        piece = (self._done[-1] - self._done[0]) / _PIECES
        ratios: list[float] = []
        start_ns, before = progress[0]
        for t_ns, done in progress[1:]:
            if done - before < piece:
                continue
            expected_ns = self._when(done) - self._when(before)
            if done > self._done[-1] or expected_ns <= 0.0:
                break  # the default never got so far
            ratios.append((t_ns - start_ns) / expected_ns)
            start_ns, before = t_ns, done
        return ratios

    def _when(self, done: float) -> float:
        """When the default had got so far, in ns, by the words before and after."""
        index = min(max(bisect_left(self._done, done), 1), len(self._done) - 1)
        low, high = self._done[index - 1], self._done[index]
        share = (done - low) / (high - low)
        return self._at_ns[index - 1] + share * (self._at_ns[index] - self._at_ns[index - 1])


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """What is too slow.

    Args:
        pace: of a run at the default.
        time: what that run took, by whatever measure.
        worst: what a run may take, by the same.
    """

    pace: Pace
    time: float
    worst: float

    def broken_by(self, progress: Progress) -> float | None:
        """What a run with this progress surely takes at least, if that is more than it may; else None."""
        slowdown = self.pace.slowdown(progress)
        return slowdown * self.time if slowdown is not None and slowdown * self.time > self.worst else None


def _surely(count: int) -> int:
    """The rank, counting from 1, of the ratio that the median surely is not below; 0 where there is none."""
    allowed = _RISK / (count * (count + 1)) if count else 0.0
    rank, below = 0, 0.0
    while rank < count and (below := below + comb(count, rank) / 2.0**count) <= allowed:
        rank += 1
    return rank
