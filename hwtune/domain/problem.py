"""What the planner is asked to solve."""

from __future__ import annotations

from dataclasses import dataclass, field

from hwtune.domain.knob import KnobSpace
from hwtune.domain.objective import Bound, Objective


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """A space of knobs, what to minimise in it and what must hold.

    Args:
        space: the knobs that may be turned.
        objective: the figure to minimise.
        bound: what must hold of what is recommended.
        max_risk: largest accepted probability that a recommended setting breaks the bound.
        seed: of every random choice the planner makes.
    """

    space: KnobSpace
    objective: Objective
    bound: Bound = field(default_factory=Bound)
    max_risk: float = 0.05
    seed: int = 0
