"""What a reading of shared counters is worth.

A PMU has a few counters only. Where more events are wanted the kernel takes turns, and says how long each group was
wanted (enabled) and how long it was on the PMU (running). The rest is extrapolated, as perf does; but what was seen for
too small a part of the time is not reported at all: work has phases, and what ran in the meantime is not known.
"""

from __future__ import annotations

from collections.abc import Sequence

ENOUGH = 0.8
"""Least share of the time on the PMU with which a count is believed."""


def believed(enabled_ns: int, running_ns: int) -> bool:
    """Whether events were on the PMU for long enough; they are, if they were not wanted at all."""
    return running_ns >= ENOUGH * enabled_ns


def growth(before: Sequence[int], now: Sequence[int]) -> tuple[float, ...]:
    """What was counted from one reading (time enabled, time running, values) to the next, scaled to the whole time.

    Nothing where the events were not on the PMU; never negative.
    """
    enabled, running = now[0] - before[0], now[1] - before[1]
    if running <= 0:
        return (0.0,) * (len(now) - 2)
    scale = max(enabled, running) / running  # both are read while they grow
    return tuple(max(b - a, 0) * scale for a, b in zip(before[2:], now[2:], strict=True))
