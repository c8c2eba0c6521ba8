"""What a comparison can see, told before it is made: from the noise of a few runs, with the doubt about that noise.

"With 6 runs you can see 2.1 %; 14 for 1 %" is a promise that holds in 95 of 100 comparisons, whatever the pilot runs
happened to look like: the deviation of a handful of runs is itself known to a third at best, and a plan that takes it
at its word falls short (Browne, "On the use of a pilot sample for sample size determination", Statistics in Medicine
14, 1995; Julious and Owen, "Sample size calculations for clinical studies allowing for uncertainty about the variance",
Pharmaceutical Statistics 5, 2006). So the power here is averaged over what the true deviation may be.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import erfc, exp, expm1, fsum, inf, log, sqrt

from hwtune.domain.objective import Objective
from hwtune.domain.trial import Run
from hwtune.workload.disturbed import limited
from hwtune.workload.sequential import spending_bounds
from hwtune.workload.student import as_t

POWER = 0.95
ALPHA = 0.05  # share of comparisons without a difference that find one all the same
MOST_BLOCKS = 64
# What a pilot of a few runs has hardly seen, and a comparison of a few blocks could not bear: this share of blocks is
# disturbed, by so many deviations (runs that stand out further are limited). And no plan is so short that one
# disturbance of a few runs is a quarter of them all, from where on it is not limited any more.
DISTURBED = 0.05
FAR = 3.0
FEWEST_BLOCKS = 5
_LARGEST = 700.0  # log of what a floating point number holds
_CELLS = 32  # of the distribution of a deviation


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise:
    """How much a block's contrast scatters when there is no difference.

    Args:
        sd_log: standard deviation of one block's contrast, of log figures (0.01 is 1 %).
        degrees: of freedom behind it.
    """

    sd_log: float
    degrees: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Runs of each arm and the relative difference that they show with the power promised (0.01 = 1 %)."""

    runs: int
    effect: float


def noise_of_runs(runs: Sequence[Run], objective: Objective) -> Noise | None:
    """The noise of runs of one arm in a row, cut into windows of four as a block is; None with fewer than four.

    Within a window three contrasts are free of its level: the one that a comparison takes, and the two straight ones
    beside it (orthogonal polynomials of degree 1 to 3). A trend common to all windows is left out of the first, as
    blocks cancel it. Neighbouring runs that are alike make the linear one too large and the cubic one too small.

    Raises:
        ValueError: the objective needs energy and a run has none.
    """
    figures = [log(objective.value_of(run.time_s, run.energy_j)) for run in runs]
    if len(figures) < 4:
        return None
    figures = limited(figures[len(figures) % 4 :])  # the last ones are the best settled
    windows = [figures[at : at + 4] for at in range(0, len(figures), 4)]
    linear = [(-3 * a - b + c + 3 * d) / sqrt(20) for a, b, c, d in windows]
    others = [(b + c - a - d) / 2 for a, b, c, d in windows]
    others += [(-a + 3 * b - 3 * c + d) / sqrt(20) for a, b, c, d in windows]
    trend = fsum(linear) / len(linear)
    squares = fsum(each**2 for each in others) + fsum((each - trend) ** 2 for each in linear)
    degrees = 3 * len(windows) - 1
    return Noise(sd_log=sqrt(squares / degrees), degrees=degrees)


def detectable(noise: Noise, runs: int, *, power: float = POWER) -> float:
    """The relative difference that so many runs of each arm find with this power (0.021 = 2.1 %); inf below four runs.

    Args:
        noise: of one block.
        runs: of each arm, two in a block.
        power: share of comparisons that find it.
    """
    blocks = runs // 2
    if blocks < 2:
        return inf
    seen = _needed(blocks, noise.degrees, power) * noise.sd_log / sqrt(blocks)
    return expm1(seen) if seen < _LARGEST else inf


def runs_needed(noise: Noise, effect: float, *, power: float = POWER, most: int = 2 * MOST_BLOCKS) -> int | None:
    """Runs of each arm that find this relative difference with this power; None when `most` are not enough.

    Ten are the fewest that are planned; a comparison that is decided earlier ends earlier.

    Raises:
        ValueError: the effect is not positive.
    """
    if effect <= 0.0:
        raise ValueError("an effect to be found is positive")
    low, high = min(FEWEST_BLOCKS, most // 2) - 1, most // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if detectable(noise, 2 * middle, power=power) <= effect else (middle, high)
    return 2 * high if detectable(noise, 2 * high, power=power) <= effect else None


@lru_cache(maxsize=256)
def _needed(blocks: int, degrees: int, power: float) -> float:
    """Mean over its pilot's standard error that is found with this power.

    Found is what passes the last bound; what passes an earlier one only comes on top. Where blocks are disturbed it is
    reckoned with one, off to the wrong side.
    """
    bound = as_t(spending_bounds(blocks, ALPHA).deviations[-1], blocks - 1)
    pilot, own = _deviations(degrees), _deviations(blocks - 1)
    cells = [(sd, estimate, share * portion) for sd, share in pilot for estimate, portion in own]
    undisturbed = (1.0 - DISTURBED) ** blocks
    off, wider = FAR / sqrt(blocks), FAR**2 / blocks

    def found(shift: float) -> float:
        calm = fsum(share * _below(shift * sd - bound * estimate) for sd, estimate, share in cells)
        rough = fsum(
            share * _below(shift * sd - off - bound * sqrt(estimate**2 + wider)) for sd, estimate, share in cells
        )
        return undisturbed * calm + (1.0 - undisturbed) * rough

    low, high = 0.0, 2.0
    while found(high) < power:
        low, high = high, 2 * high
    for _ in range(12):
        middle = (low + high) / 2
        low, high = (middle, high) if found(middle) < power else (low, middle)
    return high


def _below(deviation: float) -> float:
    """Probability that a normal deviate is smaller."""
    return erfc(-deviation / sqrt(2)) / 2


@lru_cache(maxsize=256)
def _deviations(degrees: int) -> tuple[tuple[float, float], ...]:
    """Estimate over truth of a normal sample's deviation, as cells (value, probability): chi over its degrees."""
    widest = 1.0 + 5.0 / sqrt(2 * degrees)
    values = [(cell + 0.5) * widest / _CELLS for cell in range(_CELLS)]
    weights = [exp((degrees - 1) * log(value) - degrees * (value**2 - 1) / 2) for value in values]
    total = fsum(weights)
    return tuple((value, weight / total) for value, weight in zip(values, weights, strict=True))


def plans(noise: Noise, runs: Sequence[int], effects: Sequence[float]) -> tuple[Plan, ...]:
    """What may be announced: what these numbers of runs see, and the runs that these effects need."""
    seen = [Plan(runs=count, effect=detectable(noise, count)) for count in runs]
    needed = [(runs_needed(noise, effect), effect) for effect in effects]
    return (*seen, *(Plan(runs=count, effect=effect) for count, effect in needed if count is not None))


def announcement(plans: Sequence[Plan]) -> str:
    """Plans in one line: what is to be seen with how many runs."""
    parts = [f"{plan.runs} runs of each you can see {100 * plan.effect:.2g} %" for plan in plans]
    return "with " + "; with ".join(parts)
