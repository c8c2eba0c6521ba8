"""When a comparison may stop early: group-sequential bounds, and what they do to its interval.

Looking again and again at a test of 5 % finds a difference in far more than 5 % of the comparisons without one
(Armitage, McPherson and Rowe, "Repeated significance tests on accumulating data", JRSS A 132, 1969). So the 5 % are
spent bit by bit: by the look after a share t of the blocks, alpha · t^RHO are used up (Lan and DeMets, "Discrete
sequential boundaries for clinical trials", Biometrika 70, 1983; the power family is Kim and DeMets, "Design and
analysis of group sequential tests based on the type I error spending rate function", Biometrika 74, 1987). Bounds are
for normal deviations; the deviation of few blocks is estimated, so that a bound is the t as improbable as it (the
significance-level approach: Jennison and Turnbull, Group Sequential Methods with Applications to Clinical Trials,
2000, chapter 11).

After a look that stopped it, the usual interval is too far out and too narrow. The interval here orders outcomes by
when they came and then by size (Tsiatis, Rosner and Mehta, "Exact confidence intervals following a group sequential
test", Biometrics 40, 1984): the ends are those true differences under which so early or so large an outcome has 2.5 %.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from math import cos, erfc, exp, fsum, inf, pi, sqrt

RHO = 2.0
FIRST_LOOK = 3  # blocks: with two, the deviation is one difference


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """One look and what leads to it.

    Args:
        blocks: measured by then.
        deviation: the normal deviation from which on a difference is found.
        sums: where the sum of the blocks (each of deviation 1) may be while nothing was found, as quadrature nodes.
        density: its density there without a difference, times the nodes' weights.
    """

    blocks: int
    deviation: float
    sums: tuple[float, ...]
    density: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """The looks of one design, in order; the last one is at its end."""

    looks: tuple[Look, ...]

    @property
    def deviations(self) -> tuple[float, ...]:
        """The bound of each look."""
        return tuple(look.deviation for look in self.looks)

    def at(self, blocks: int) -> float:
        """The bound after so many blocks; infinite where nobody looks."""
        return next((look.deviation for look in self.looks if look.blocks == blocks), inf)


@cache
def spending_bounds(blocks: int, alpha: float = 0.05, *, early: bool = True) -> Bounds:
    """Two-sided bounds for at most so many blocks, looked at after each from the third on.

    Args:
        blocks: at most.
        alpha: share of the comparisons without a difference in which one is found.
        early: False for a single look, at the end.

    Raises:
        ValueError: no blocks.
    """
    if blocks < 1:
        raise ValueError("a design has at least one block")
    looks: list[Look] = []
    at = 0
    sums: tuple[float, ...] = (0.0,)
    density: tuple[float, ...] = (1.0,)
    for count in range(min(FIRST_LOOK, blocks) if early else blocks, blocks + 1):
        spent = alpha * ((count / blocks) ** RHO - (at / blocks) ** RHO) / 2
        step = sqrt(count - at)

        def crossing(deviation: float) -> float:
            return _beyond(deviation * sqrt(count), step, sums, density)  # noqa: B023

        deviation = _root(crossing, spent, 0.0, 8.0)
        nodes, weights = _nodes(deviation * sqrt(count), 24 + 6 * round(sqrt(count)))
        reached = tuple(
            weight
            * fsum(mass * exp(-(((node - before) / step) ** 2) / 2) for before, mass in zip(sums, density, strict=True))
            / (step * sqrt(2 * pi))
            for node, weight in zip(nodes, weights, strict=True)
        )
        at, sums, density = count, nodes, reached
        looks.append(Look(blocks=count, deviation=deviation, sums=sums, density=density))
    return Bounds(looks=tuple(looks))


def after_stop(bounds: Bounds, blocks: int, deviation: float, shares: tuple[float, ...]) -> tuple[float, ...]:
    """How far the observed deviation lies above the true ones under which an outcome as far out has these shares.

    Args:
        bounds: of the design.
        blocks: when it ended.
        deviation: the normal deviation that was observed then.
        shares: 0.025, 0.5 and 0.975 give the ends of the 95 % interval and its middle.
    """
    before = [look for look in bounds.looks if look.blocks < blocks]

    def as_far(true: float) -> float:
        """Probability of having stopped above before, or of an outcome as large now, under this true deviation."""
        drift, chance = true / sqrt(blocks), 0.0
        at = 0
        sums: tuple[float, ...] = (0.0,)
        density: tuple[float, ...] = (1.0,)
        for look in [*before, None]:
            count = look.blocks if look else blocks
            reach = (look.deviation if look else deviation) * sqrt(count)
            tilted = [mass * exp(drift * total - drift**2 * at / 2) for total, mass in zip(sums, density, strict=True)]
            chance += _beyond(reach - drift * (count - at), sqrt(count - at), sums, tilted)
            if look:
                at, sums, density = look.blocks, look.sums, look.density
        return chance

    return tuple(
        deviation - _root(lambda true: -as_far(true), -share, deviation - 9, deviation + 9) for share in shares
    )


def _beyond(reach: float, step: float, sums: tuple[float, ...], density: tuple[float, ...] | list[float]) -> float:
    """Probability that one more normal step of this deviation leads beyond `reach`."""
    scale = step * sqrt(2)
    return fsum(mass * erfc((reach - total) / scale) for total, mass in zip(sums, density, strict=True)) / 2


def _root(falling: Callable[[float], float], value: float, low: float, high: float) -> float:
    """Where a falling function passes a value, by bisection."""
    while high - low > 1e-6:
        middle = (low + high) / 2
        low, high = (middle, high) if falling(middle) > value else (low, middle)
    return (low + high) / 2


def _nodes(reach: float, count: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Gauss-Legendre nodes and weights from -reach to reach (Abramowitz and Stegun, 25.4.29; Newton's method)."""
    nodes, weights = [], []
    for index in range(count):
        x, slope = cos(pi * (index + 0.75) / (count + 0.5)), 1.0
        for _ in range(8):
            previous, value = 1.0, x
            for k in range(2, count + 1):
                previous, value = value, ((2 * k - 1) * x * value - (k - 1) * previous) / k
            slope = count * (x * value - previous) / (x * x - 1)
            x -= value / slope
        nodes.append(reach * x)
        weights.append(reach * 2 / ((1 - x * x) * slope * slope))
    return tuple(nodes), tuple(weights)
