"""hwtune's own session over one workload of a table, with the planner in this process.

So that a planner with a part taken out goes the way of the whole one: the same proposals' loop, the same rows, the same
stop. With the whole study and the prior of a `hwtune train` it does what `hwtune replay` does, row by row.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from peers.ablations import Ablated
from peers.ensemble import best_measured, drawn
from peers.held_out import Prior
from peers.tasks import Task, Trace

from hwtune.cli.outcome import Z90
from hwtune.cli.replay_run import RUNS, memory, open_session
from hwtune.domain.objective import Bound
from hwtune.domain.problem import Problem
from hwtune.domain.trial import Proposal, Trial
from hwtune.session import Budget, Decision
from hwtune.sim.table import MeasuredWorkload
from hwtune.tuner.propose import recommend, suggest
from hwtune.tuner.study import Study


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """A way to learn.

    Args:
        study: makes a study of what was measured.
        starts: trials before the first study is asked, the default's among them; the others are drawn at random.
        least: score (a log expected improvement) of a proposal below which the search has converged, where `suggest`
            itself knows no end.
    """

    study: Callable[[Problem, Sequence[Trial], Prior], Study]
    starts: int = 1
    least: float = -math.inf


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What a variant did in a task, how it ended, and whether the gate refused, obeyed or not."""

    trace: Trace
    ended: str
    refused: bool


class InProcess:
    """What a session asks, answered from studies of a variant; each study is asked both questions.

    Args:
        variant: makes them, and says when they are asked.
        prior: what earlier trials taught.

    Attributes:
        refused: whether the gate refused, obeyed or not.
    """

    def __init__(self, variant: Variant, prior: Prior) -> None:
        self._variant, self._prior = variant, prior
        self._last: tuple[list[Trial], Study] | None = None
        self.refused = False

    def suggest(self, problem: Problem, trials: Sequence[Trial]) -> Proposal:
        """See `session.Planning.suggest`."""
        if len(trials) < self._variant.starts:
            return drawn(problem, trials)
        proposal = suggest(self._study(problem, trials))
        if proposal.score is not None and proposal.score < self._variant.least:
            return replace(proposal, status="converged")
        return proposal

    def recommend(self, problem: Problem, trials: Sequence[Trial]) -> Proposal:
        """See `session.Planning.recommend`."""
        if len(trials) < self._variant.starts:
            return best_measured(problem, trials)
        study = self._study(problem, trials)
        proposal = recommend(study)
        self.refused |= proposal.status == "distrusted" or (isinstance(study, Ablated) and study.refused)
        return proposal

    def _study(self, problem: Problem, trials: Sequence[Trial]) -> Study:
        if self._last is None or self._last[0] != trials:
            self._last = list(trials), self._variant.study(problem, trials, self._prior)
        return self._last[1]


class _Silent:
    def proposed(self, number: int, proposal: Proposal) -> None:
        """Nobody looks."""

    def decided(self, number: int, decision: Decision) -> None:
        """Nobody looks."""

    def verifying(self, done: int, total: int) -> None:
        """A table needs no receipt."""


def played(task: Task, workload: MeasuredWorkload, variant: Variant, prior: Prior, *, budget: int, seed: int) -> Run:
    """What a variant does in a task.

    A model that cannot be computed ends the session as `failed`, with what it recommended last.
    """
    problem = Problem(space=workload.space, objective=task.objective, bound=Bound(max_slowdown=task.bound), seed=seed)
    planner, most = InProcess(variant, prior), Budget(evaluations=budget, runs=RUNS, verify_blocks=0)
    with (
        TemporaryDirectory(prefix="hwtune-", dir=memory()) as name,
        open_session(workload, problem, most, planner, Path(name), _Silent()) as session,
    ):
        try:
            session.explore()
            ended = session.stopped
        except torch.linalg.LinAlgError as error:
            if not session.decisions:
                raise
            ended = f"failed: {error}"
    return Run(trace=trace_of(task, session.decisions), ended=ended, refused=planner.refused)


def trace_of(task: Task, decisions: Sequence[Decision]) -> Trace:
    """The trace of a session, its 90 % intervals held against the table's own figures."""
    rows = tuple(task.row_of[decision.trial.setting] for decision in decisions)
    held = []
    for row, decision in zip(rows, decisions, strict=True):
        if (predicted := decision.proposal.predicted) is None:
            continue
        for figure, said in ((task.time_s[row], predicted.time_s), (task.energy_j[row], predicted.energy_j)):
            if said is not None:
                held.append(bool(abs(math.log(figure) - said.mean_log) <= Z90 * said.sd_log))
    return Trace(
        rows=rows,
        recommended=tuple(task.row_of[decision.recommended.setting] for decision in decisions),
        held=tuple(held),
    )
