"""Student's t and the normal distribution, in plain Python: what a resident process judges windows with."""

from __future__ import annotations

from functools import lru_cache
from math import atan, copysign, cos, pi, sin, sqrt
from statistics import NormalDist

NORMAL = NormalDist()
FARTHEST = 7.0  # normal deviations; beyond it tails are below what double precision tells from 0


def t_central(t: float, degrees: int) -> float:
    """Probability of -t to t under Student's t.

    For whole degrees of freedom that is a finite sum (Abramowitz and Stegun, 26.7.3 and 26.7.4).
    """
    angle = atan(t / sqrt(degrees))
    term = total = cos(angle) if degrees % 2 else 1.0
    for k in range(3 if degrees % 2 else 2, degrees, 2):
        term *= cos(angle) ** 2 * (k - 1) / k
        total += term
    if degrees == 1:
        return 2 * angle / pi
    return 2 / pi * (angle + sin(angle) * total) if degrees % 2 else sin(angle) * total


@lru_cache(maxsize=256)
def t_quantile(central: float, degrees: int) -> float:
    """The t for which -t to t holds this share of Student's t, by bisection.

    Args:
        central: 0 to 1 (0.95 for the usual two-sided interval).
        degrees: of freedom, at least 1.
    """
    low, high = 0.0, 2.0
    while t_central(high, degrees) < central and high < 1e12:
        low, high = high, 2 * high
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if t_central(middle, degrees) < central else (low, middle)
    return (low + high) / 2


def as_normal(t: float, degrees: int) -> float:
    """The normal deviation that is as improbable as this t; at most 7 either way."""
    central = t_central(abs(t), degrees)
    deviation = NORMAL.inv_cdf((1 + central) / 2) if central < 1.0 else FARTHEST
    return copysign(min(deviation, FARTHEST), t)


def as_t(deviation: float, degrees: int) -> float:
    """The t that is as improbable as this normal deviation; the inverse of `as_normal`."""
    bounded = min(abs(deviation), FARTHEST)
    return copysign(t_quantile(2 * NORMAL.cdf(bounded) - 1, degrees), deviation)
