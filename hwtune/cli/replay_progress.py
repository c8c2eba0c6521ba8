"""What a person sees while a table is replayed: a bar on a terminal, a line for each workload that has ended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from hwtune.cli.bar import Bar

if TYPE_CHECKING:
    from hwtune.session import Session


class ReplayProgress(Bar):
    """Told by several threads at once.

    Args:
        workloads: how many there are.
        budget: evaluations of each.
        spoken: whether to say anything.
    """

    def __init__(self, *, workloads: int, budget: int, spoken: bool) -> None:
        super().__init__(spoken=spoken)
        self._total = workloads * budget
        self._budget = budget

    def __enter__(self) -> Self:
        super().__enter__()
        self.draw("replaying", self._total)
        return self

    def evaluated(self) -> None:
        """One setting of any workload."""
        self.advance(1)

    def finished(self, workload: str, session: Session) -> None:
        """A workload has ended; what it left of its budget is done too."""
        count = len(session.decisions)
        self.advance(self._budget - count)
        self.say(f"{workload}: {count} evaluations, stopped: {session.stopped}")
