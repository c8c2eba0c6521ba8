"""Scores as a table for people."""

from __future__ import annotations

import math
from collections.abc import Sequence

from peers.scoring import Score, summaries
from peers.tasks import bound_of

from hwtune.domain.objective import Objective


def table_text(scores: Sequence[Score], objective: Objective, *, heading: str) -> str:
    """The table of one objective, a line for each method."""
    rows = summaries([each for each in scores if each.objective == objective.value])
    counts = list(rows[0].share)
    bound = bound_of(objective)
    title = objective.value if bound is None else f"{objective.value} at no more than {bound:.0%} slowdown"
    head = f"{'method':<12}" + "".join(f"{f'share@{count}':>9}" for count in counts)
    head += f"{'to 90 %: median':>17}{'p90':>7}{'evaluations':>13}{'unsafe':>8}{'intervals':>11}"
    lines = [f"{title}: {rows[0].tasks} tasks, {heading}", head]
    for each in rows:
        line = f"{each.method:<12}" + "".join(f"{each.share[count]:>9.2f}" for count in counts)
        line += f"{_count(each.to_enough):>17}{_count(each.to_enough_p90):>7}{each.evaluations:>13.1f}"
        lines.append(line + f"{_ratio(each.unsafe):>8}{_ratio(each.held):>11}")
    return "\n".join(lines)


def _count(number: float) -> str:
    return "never" if math.isinf(number) else f"{number:g}"


def _ratio(number: float | None) -> str:
    return "-" if number is None else f"{number:.2f}"
