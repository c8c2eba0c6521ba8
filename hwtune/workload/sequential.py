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
from functools import lru_cache
from math import cos, erfc, exp, fsum, inf, pi, sqrt

RHO = 2.0
# Of alpha is spent where there is more than one look: t's of few blocks pass such bounds a little oftener than normal
# deviations do (5.6 to 6.0 instead of 5 in 100 with 4 to 40 blocks, by simulation). So it is 4.3 to 4.9, and noise that
# is not quite normal has some room.
SPENT = 0.80
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
    """The looks of one design.

    Args:
        looks: in order; the last one is at its end.
        spent: share of the comparisons without a difference in which a normal deviation passes one of the bounds.
    """

    looks: tuple[Look, ...]
    spent: float

    @property
    def deviations(self) -> tuple[float, ...]:
        """The bound of each look."""
        return tuple(look.deviation for look in self.looks)

    def at(self, blocks: int) -> float:
        """The bound after so many blocks; infinite where nobody looks."""
        return next((look.deviation for look in self.looks if look.blocks == blocks), inf)


@lru_cache(maxsize=256)
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
    counts = range(min(FIRST_LOOK, blocks) if early else blocks, blocks + 1)
    spent = alpha if len(counts) == 1 else SPENT * alpha
    looks: list[Look] = []
    at = 0
    sums: tuple[float, ...] = (0.0,)
    density: tuple[float, ...] = (1.0,)
    for count in counts:
        now = spent * ((count / blocks) ** RHO - (at / blocks) ** RHO) / 2
        step = sqrt(count - at)

        def crossing(deviation: float) -> float:
            return _beyond(deviation * sqrt(count), step, sums, density)  # noqa: B023

        deviation = _root(crossing, now, 0.0, 8.0)
        reach = deviation * sqrt(count)
        nodes = _nodes(24 + 6 * round(sqrt(count)))
        reached = tuple(reach * node for node, _ in nodes)
        density = tuple(
            weight
            * reach
            * fsum(mass * exp(-(((node - before) / step) ** 2) / 2) for before, mass in zip(sums, density, strict=True))
            / (step * sqrt(2 * pi))
            for node, (_, weight) in zip(reached, nodes, strict=True)
        )
        at, sums = count, reached
        looks.append(Look(blocks=count, deviation=deviation, sums=sums, density=density))
    return Bounds(looks=tuple(looks), spent=spent)


def after_stop(bounds: Bounds, blocks: int, deviation: float) -> tuple[float, float, float]:
    """How far the observed deviation lies above the lower end of the interval, its middle and its upper end.

    Under the lower end, outcomes as far up have half of what the bounds spend; under the middle they have one half.
    So the interval leaves out 0 just when a bound was passed, and what a t and the bounds of normal deviations do not
    agree about concerns both alike.

    Args:
        bounds: of the design.
        blocks: when it ended.
        deviation: the normal deviation that was observed then.
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

    below, middle, above = (
        deviation - _root(lambda true: -as_far(true), -share, deviation - 9, deviation + 9)
        for share in (bounds.spent / 2, 0.5, 1 - bounds.spent / 2)
    )
    return below, middle, above


def _beyond(reach: float, step: float, sums: tuple[float, ...], density: tuple[float, ...] | list[float]) -> float:
    """Probability that one more normal step of this deviation leads beyond `reach`."""
    scale = step * sqrt(2)
    return fsum(mass * erfc((reach - total) / scale) for total, mass in zip(sums, density, strict=True)) / 2


def _root(falling: Callable[[float], float], value: float, low: float, high: float) -> float:
    """Where a falling function passes a value between low and high, by false position (the Illinois variant)."""
    above, below = falling(low) - value, falling(high) - value
    side = 0
    while high - low > 1e-6:
        guess = (low * below - high * above) / (below - above)
        if not low + 5e-7 < guess < high - 5e-7:
            guess = (low + high) / 2
        found = falling(guess) - value
        if found > 0.0:
            low, above, below = guess, found, below / 2 if side > 0 else below
            side = 1
        else:
            high, below, above = guess, found, above / 2 if side < 0 else above
            side = -1
        if abs(found) < 1e-9:
            return guess
    return (low + high) / 2


@lru_cache(maxsize=32)
def _nodes(count: int) -> tuple[tuple[float, float], ...]:
    """Gauss-Legendre nodes and weights from -1 to 1 (Abramowitz and Stegun, 25.4.29; Newton's method)."""
    found = []
    for index in range(count):
        x, slope = cos(pi * (index + 0.75) / (count + 0.5)), 1.0
        for _ in range(5):
            previous, value = 1.0, x
            for k in range(2, count + 1):
                previous, value = value, ((2 * k - 1) * x * value - (k - 1) * previous) / k
            slope = count * (x * value - previous) / (x * x - 1)
            x -= value / slope
        found.append((x, 2 / ((1 - x * x) * slope * slope)))
    return tuple(found)
