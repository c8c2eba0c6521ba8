"""What a comparison of two arms says; and the verdict on a fixed number of runs, judged pair by pair.

A machine drifts: it warms up, its neighbours come and go. Two runs next to each other drift alike, so the ratio within
a pair is what is judged here, and the order turns round in every other pair so that what drift is left cancels. What
may end early is judged block by block, in `comparison.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, log, sqrt
from statistics import fmean, stdev

from hwtune.domain.objective import Objective
from hwtune.domain.trial import Run
from hwtune.workload.student import t_quantile

Interval95 = tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """B over A, chosen over default; below 1 is better. Intervals hold the true ratio in 95 of 100 comparisons.

    Args:
        time_ratio: typical ratio of the run times.
        time_ratio_95: its interval.
        energy_ratio: typical ratio of the energies, None where a run has no energy.
        energy_ratio_95: its interval.
        objective_ratio: typical ratio of the objective.
        objective_ratio_95: its interval.
        significant: whether it is proven that the objective is lower.
        runs: runs of each arm.
        different: whether it is proven that the objective is lower or higher.
        equivalent: whether it is proven that the objectives differ by less than the margin.
        decided: `difference`, `equivalent`, `futile` or `budget`; None when it was ended before, or with no such rule.
        detectable: relative difference that all blocks would have shown in 95 of 100 comparisons, by their scatter.
    """

    time_ratio: float
    time_ratio_95: Interval95
    energy_ratio: float | None
    energy_ratio_95: Interval95 | None
    objective_ratio: float
    objective_ratio_95: Interval95
    significant: bool
    runs: int
    different: bool = False
    equivalent: bool = False
    decided: str | None = None
    detectable: float | None = None


def abba(blocks: int) -> tuple[str, ...]:
    """The order of the arms, `A` the default and `B` the chosen one: ABBA, once for each block."""
    return ("A", "B", "B", "A") * blocks


def judge(default: Sequence[Run], chosen: Sequence[Run], objective: Objective) -> Verdict:
    """Compare two arms whose runs were interleaved; the n-th run of one is paired with the n-th of the other.

    Raises:
        ValueError: arms of different length, fewer than two pairs, or an energy objective without energy.
    """
    pairs = list(zip(default, chosen, strict=True))
    time_ratio, time_ratio_95 = paired_ratio([(a.time_s, b.time_s) for a, b in pairs])
    energies = [(a.energy_j, b.energy_j) for a, b in pairs if a.energy_j is not None and b.energy_j is not None]
    energy_ratio, energy_ratio_95 = paired_ratio(energies) if len(energies) == len(pairs) else (None, None)
    objective_ratio, objective_ratio_95 = paired_ratio(
        [(objective.value_of(a.time_s, a.energy_j), objective.value_of(b.time_s, b.energy_j)) for a, b in pairs]
    )
    return Verdict(
        time_ratio=time_ratio,
        time_ratio_95=time_ratio_95,
        energy_ratio=energy_ratio,
        energy_ratio_95=energy_ratio_95,
        objective_ratio=objective_ratio,
        objective_ratio_95=objective_ratio_95,
        significant=objective_ratio_95[1] < 1.0,
        different=not objective_ratio_95[0] <= 1.0 <= objective_ratio_95[1],
        runs=len(pairs),
    )


def paired_ratio(pairs: Sequence[tuple[float, float]]) -> tuple[float, Interval95]:
    """Typical ratio b / a of positive pairs (a, b), and its 95 % interval.

    Student's t on the logarithms of the ratios: with four to eight pairs a percentile bootstrap is too narrow (the
    spread of resampled means is short of the true one by sqrt((n - 1) / n), and it knows no heavier tails than the
    sample's; Hesterberg, "What Teachers Should Know About the Bootstrap", The American Statistician 69(4), 2015).

    From eight pairs on, the largest and the smallest ratio are trimmed, so that one disturbed run neither makes nor
    breaks a result: mean of the rest, deviation of the winsorised sample (Tukey and McLaughlin, "Less vulnerable
    confidence and significance procedures for location based on a single sample", Sankhyā A 25, 1963). With nothing
    trimmed it is the plain t interval.

    Raises:
        ValueError: with fewer than two pairs.
    """
    if len(pairs) < 2:
        raise ValueError("an interval needs two pairs")
    ratios = sorted(log(b / a) for a, b in pairs)
    trimmed = 1 if len(ratios) >= 8 else 0
    kept = ratios[trimmed : len(ratios) - trimmed]
    winsorised = [kept[0]] * trimmed + kept + [kept[-1]] * trimmed
    error = stdev(winsorised) * sqrt(len(ratios)) / len(kept)
    middle, half = fmean(kept), t_quantile(0.95, len(kept) - 1) * error
    return exp(middle), (exp(middle - half), exp(middle + half))
