"""How often a sensor is refreshed, learned by watching it: battery gauges and most power meters do not say."""

from __future__ import annotations

from collections import deque
from itertools import pairwise
from statistics import median

# So many changes before anything is believed, and of so many the last are kept.
_ENOUGH = 4
_KEPT = 9


class RefreshWatch:
    """Watches one sensor through the readings that are taken anyway.

    Between two readings that differ lies a refresh, at an unknown moment. So the time from one to the next is known
    from both sides: at least from the later side of the first change to the earlier side of the second, at most from
    outer side to outer side. A refresh that happens to show the same value is missed, which makes the sensor look
    slower than it is, and windows longer than they must be.
    """

    def __init__(self) -> None:
        self._seen: tuple[int, int] | None = None
        self._changes: deque[tuple[int, int]] = deque(maxlen=_KEPT)
        self._most_ns: float = float("inf")  # by the closest look so far

    def see(self, t_ns: int, value: int | None) -> None:
        """Take a reading into account; one that failed, or is not later than the last, is left out."""
        if value is None:
            return
        before, self._seen = self._seen, (t_ns, value)
        if before is not None and t_ns > before[0] and value != before[1]:
            if self._changes:
                self._most_ns = min(self._most_ns, t_ns - self._changes[-1][0])
            self._changes.append((before[0], t_ns))

    @property
    def update_s(self) -> float | None:
        """Time between refreshes, rather too long than too short; None until enough were seen."""
        if len(self._changes) < _ENOUGH:
            return None
        least_ns = median(max(after[0] - before[1], 0) for before, after in pairwise(self._changes))
        return max(least_ns, self._most_ns) / 1e9
