"""What the planner is asked to solve."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from hwtune.domain.knob import KnobSpace
from hwtune.domain.objective import Bound, Objective
from hwtune.domain.trial import Trial


@dataclass(frozen=True, slots=True, kw_only=True)
class Donor:
    """What is known of another workload on the same machine.

    Args:
        label: the workload, as one would type it.
        trials: settings in the same knobs; their levels need not be those of the problem's space.
    """

    label: str
    trials: tuple[Trial, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """A space of knobs, what to minimise in it and what must hold.

    Args:
        space: the knobs that may be turned.
        objective: the figure to minimise.
        bound: what must hold of what is recommended.
        max_risk: largest accepted probability that a recommended setting breaks the bound.
        seed: of every random choice the planner makes.
        donors: other workloads to learn from.
    """

    # For readers of stored problems: a setting is a mapping of its own kind, which a schema takes only when told to.
    __pydantic_config__: ClassVar[Mapping[str, bool]] = {"arbitrary_types_allowed": True}

    space: KnobSpace
    objective: Objective
    bound: Bound = field(default_factory=Bound)
    max_risk: float = 0.05
    seed: int = 0
    donors: tuple[Donor, ...] = ()

    @property
    def needs_energy(self) -> bool:
        """Whether it cannot be judged without an energy sensor."""
        return self.objective.needs_energy or self.bound.max_power_w is not None
