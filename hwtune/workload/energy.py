"""The energy of one run, out of the readings of the meter around and during it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from hwtune.domain.interval import Interval
from hwtune.domain.sample import Sample


def energy_of_run_j(readings: Sequence[Sample], time_s: float) -> float | None:
    """Energy of the run itself out of the slightly longer time between the readings around it.

    The mean power of the bracket is taken for that of the run. None without a source, and where the meter did not move:
    a run shorter than its update period (1 ms for RAPL) has not been measured, and 0 J would be a lie.
    """
    later = [b for a, b in pairwise(readings) if b.t_ns > a.t_ns]
    bracket = Interval.over([readings[0], *later])
    if bracket.energy_j is None or bracket.energy_j <= 0.0:
        return None
    return bracket.energy_j * min(time_s / bracket.duration_s, 1.0)
