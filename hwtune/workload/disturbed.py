"""Runs that something else has disturbed: they count, but no more than the worst of the others.

Another program takes the machine for a second, and one run of twenty lasts a fifth longer. As it is, that run would
decide the whole comparison, or rather keep it from being decided. Leaving out what looks wrong would be a choice made
after the fact; limiting how far any run may stand out from the runs around it is not (Hampel's identifier: Pearson,
"Outliers in process modeling and identification", IEEE Transactions on Control Systems Technology 10, 2002; limited
values in place of the measured ones: Huber, Robust Statistics, 1981, chapter 7).
"""

from __future__ import annotations

from collections.abc import Sequence

AROUND = 4  # runs to either side that tell the level at which a run should be
LIMIT = 3.0  # deviations
_UPPER_QUARTILE = 1.1503  # of a normal deviate's size


def limited(values: Sequence[float]) -> list[float]:
    """The values, those far from the values around them brought back to the limit.

    The deviation is taken from the upper quartile of the distances, so that it takes a quarter of the runs to be
    disturbed before the limit moves with them; nothing is limited where that quartile is 0 (a coarse meter).
    """
    levels = [_level(values, at) for at in range(len(values))]
    distances = sorted(abs(value - level) for value, level in zip(values, levels, strict=True))
    limit = LIMIT * distances[(3 * len(distances)) // 4] / _UPPER_QUARTILE
    if limit == 0.0:
        return list(values)
    return [min(max(value, level - limit), level + limit) for value, level in zip(values, levels, strict=True)]


def _level(values: Sequence[float], at: int) -> float:
    """The median of the other runs around, of fewer towards the ends: as many on either side, so that drift cancels.

    Without the run itself, which in a steep drift is the middle one of those around it and would be no distance away.
    The first and the last one have nobody on one side, and are taken as they are.
    """
    reach = min(AROUND, at, len(values) - 1 - at)
    if reach == 0:
        return values[at]
    near = sorted([*values[at - reach : at], *values[at + 1 : at + reach + 1]])
    return (near[reach - 1] + near[reach]) / 2
