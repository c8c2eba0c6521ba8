"""After how much work a search has paid for itself, by what the receipt says is saved each time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

from hwtune.domain.trial import Run
from hwtune.workload.verdict import Interval95, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Payback:
    """When a cost is made good.

    Args:
        after: so many runs, or units of work by the work's own measure.
        after_95: from its interval of the saving: at the earliest, and at the latest or None: perhaps never.
    """

    after: float
    after_95: tuple[float, float | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Paybacks:
    """In energy and in time; None for never, or where it is not known.

    Args:
        unit: what is counted: `run`, or a unit of work.
        energy: until the energy of the search is saved.
        time: until its time is.
    """

    unit: str
    energy: Payback | None
    time: Payback | None


def paybacks(
    verdict: Verdict, default_runs: Sequence[Run], *, energy_j: float | None, time_s: float
) -> Paybacks | None:
    """When the search has paid for itself, if the chosen setting is kept.

    Args:
        verdict: of a proven gain.
        default_runs: what each piece of work takes without it; at least one.
        energy_j: of the whole search, None where it is not known.
        time_s: of the whole search.

    Returns:
        None where the work's own measure is no time: then nothing says what a piece of work takes.
    """
    unit = _unit_of_work(default_runs[0].unit)
    if unit is None:
        return None
    energy = None
    if energy_j is not None and verdict.energy_ratio is not None and verdict.energy_ratio_95 is not None:
        each_j = _typical(default_runs, lambda run: run.energy_j or 0.0)
        energy = pay_back(energy_j, each_j, verdict.energy_ratio, verdict.energy_ratio_95)
    each_s = _typical(default_runs, lambda run: run.time_s)
    return Paybacks(unit=unit, energy=energy, time=pay_back(time_s, each_s, verdict.time_ratio, verdict.time_ratio_95))


def pay_back(cost: float, each: float, ratio: float, ratio_95: Interval95) -> Payback | None:
    """When what is saved each time adds up to the cost; None when nothing is.

    Args:
        cost: of the search.
        each: what a piece of work takes without it, in the same unit, positive.
        ratio: with over without.
        ratio_95: its interval.
    """
    if ratio >= 1.0:
        return None
    latest = cost / (each * (1.0 - ratio_95[1])) if ratio_95[1] < 1.0 else None
    return Payback(after=cost / (each * (1.0 - ratio)), after_95=(cost / (each * (1.0 - ratio_95[0])), latest))


def _typical(runs: Sequence[Run], figure: Callable[[Run], float]) -> float:
    return median(map(figure, runs))


def _unit_of_work(unit: str) -> str | None:
    """`run` of a time in `s`, `transaction` of `s/transaction`."""
    seconds, _, work = unit.partition("/")
    return (work or "run") if seconds == "s" else None
