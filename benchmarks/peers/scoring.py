"""How much a trace is worth, and many of them together.

With J the log of the objective, x₀ the default, x* the best row within the bound, and rₖ what is recommended after k
evaluations (the default being the first):

    share(k) = (J(x₀) - J(rₖ)) / (J(x₀) - J(x*))         0 where rₖ breaks the bound

A search that ends early keeps its last recommendation. Evaluations to 90 % are the first k with share(k) ≥ 0.9.
An evaluation is unsafe when it takes longer than 1 + 2·slowdown times the default's time, `slowdown` being what is
allowed. A 90 % interval holds when the table's median time or energy lies in it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, median

from peers.tasks import Task, Trace

ENOUGH = 0.9
SHOWN = (4, 10, 20)  # evaluations after which the table gives the share; and after all of them


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """One run in one task.

    Args:
        table: the table's name.
        workload: the workload's name.
        objective: what was minimised.
        method: the optimiser.
        seed: of its random choices.
        settings: how many rows there are.
        headroom: J(x₀) - J(x*).
        share: after 1, 2, … evaluations, as many as the budget has.
        to_enough: evaluations to 90 %; None for never.
        evaluations: how many it made.
        unsafe: share of them that were unsafe; None without a bound.
        held: share of its 90 % intervals that hold; None without any.
    """

    table: str
    workload: str
    objective: str
    method: str
    seed: int
    settings: int
    headroom: float
    share: tuple[float, ...]
    to_enough: int | None
    evaluations: int
    unsafe: float | None
    held: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """The runs of one method with one objective.

    Args:
        method: the optimiser.
        tasks: how many tasks.
        share: mean share after so many evaluations.
        to_enough: median of the evaluations to 90 %, infinite for never.
        to_enough_p90: what nine tenths of the runs need at most.
        evaluations: mean number made.
        unsafe: mean share of unsafe ones; None without a bound.
        held: mean share of intervals that hold; None without any.
    """

    method: str
    tasks: int
    share: dict[int, float]
    to_enough: float
    to_enough_p90: float
    evaluations: float
    unsafe: float | None
    held: float | None


def score(task: Task, trace: Trace, *, method: str, seed: int, budget: int) -> Score:
    """What a trace is worth."""
    shares = share_curve(task, trace.recommended, budget)
    return Score(
        table=task.table,
        workload=task.workload,
        objective=task.objective.value,
        method=method,
        seed=seed,
        settings=len(task.settings),
        headroom=task.headroom,
        share=shares,
        to_enough=evaluations_to(shares, ENOUGH),
        evaluations=len(trace.rows),
        unsafe=unsafe_share(task, trace.rows),
        held=fmean(trace.held) if trace.held else None,
    )


def share_curve(task: Task, recommended: Sequence[int], budget: int) -> tuple[float, ...]:
    """Share of the headroom after 1 … `budget` evaluations."""
    gains = [
        float(task.cost[task.default] - task.cost[row]) / task.headroom if task.feasible[row] else 0.0
        for row in recommended[:budget]
    ]
    return tuple(gains + gains[-1:] * (budget - len(gains)))


def evaluations_to(shares: Sequence[float], enough: float) -> int | None:
    """The first number of evaluations with this share."""
    return next((count for count, share in enumerate(shares, 1) if share >= enough), None)


def unsafe_share(task: Task, rows: Sequence[int]) -> float | None:
    """Share of evaluations more than twice as much slower than allowed."""
    bound = task.bound
    return None if bound is None else fmean(bool(task.slowdown[row] > 2.0 * bound + 1e-12) for row in rows)


def summaries(scores: Sequence[Score]) -> list[Summary]:
    """One for each method, in the order they come in; of one objective."""
    methods = dict.fromkeys(each.method for each in scores)
    return [_summary(method, [each for each in scores if each.method == method]) for method in methods]


def _summary(method: str, scores: Sequence[Score]) -> Summary:
    needed = sorted(math.inf if each.to_enough is None else each.to_enough for each in scores)
    budget = len(scores[0].share)
    counts = [*(count for count in SHOWN if count < budget), budget]
    unsafe = [each.unsafe for each in scores if each.unsafe is not None]
    held = [each.held for each in scores if each.held is not None]
    return Summary(
        method=method,
        tasks=len({(each.table, each.workload) for each in scores}),
        share={count: fmean(each.share[count - 1] for each in scores) for count in counts},
        to_enough=median(needed),
        to_enough_p90=needed[math.ceil(0.9 * len(needed)) - 1],
        evaluations=fmean(each.evaluations for each in scores),
        unsafe=fmean(unsafe) if unsafe else None,
        held=fmean(held) if held else None,
    )
