"""Replaying workloads of a measured table, several at once, each through a session of its own."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from tempfile import TemporaryDirectory

from hwtune.cli.replay_machine import RowKnobs, RowWork
from hwtune.cli.replay_progress import ReplayProgress
from hwtune.domain.errors import PlannerError
from hwtune.domain.objective import Bound, Objective
from hwtune.domain.problem import Donor, Problem
from hwtune.domain.trial import Proposal
from hwtune.host.fs import LinuxFS
from hwtune.knobs.transaction import Transaction
from hwtune.planner.client import Planner
from hwtune.session import Budget, Decision, Planning, Session, Watcher
from hwtune.sim.table import MeasuredTable, MeasuredWorkload

RUNS = 3  # of each setting, where the table has one row of it


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayWish:
    """What the options ask for.

    Args:
        objective: the figure to minimise.
        max_slowdown: largest run time relative to the default, less one, or None.
        max_risk: largest accepted probability that the bound is broken.
        budget: settings to evaluate in each workload, the default included.
        seed: of every random choice.
        warm: whether the table's other workloads are known history.
        jobs: workloads replayed at once.
        abandon: whether a probe is stopped once it is far beyond the bound.
    """

    objective: Objective
    max_slowdown: float | None
    max_risk: float
    budget: int
    seed: int
    warm: bool
    jobs: int
    abandon: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """A workload with the session that ran over it."""

    workload: MeasuredWorkload
    session: Session


class _StoppedError(Exception):
    """Another workload failed, or the user has had enough."""


class _Watch:
    """Tells the progress, and ends the session at its next step once everything is to stop."""

    def __init__(self, stop: threading.Event, progress: ReplayProgress) -> None:
        self._stop = stop
        self._progress = progress

    def proposed(self, number: int, proposal: Proposal) -> None:
        """See `session.Watcher.proposed`."""
        if self._stop.is_set():
            raise _StoppedError

    def decided(self, number: int, decision: Decision) -> None:
        """See `session.Watcher.decided`."""
        self._progress.evaluated()

    def verifying(self, done: int, total: int) -> None:
        """See `session.Watcher.verifying`; a table needs no receipt."""


def replay_all(
    table: MeasuredTable,
    workloads: Sequence[MeasuredWorkload],
    wish: ReplayWish,
    *,
    command: Sequence[str] | None,
    timeout_s: float,
    prior: str | None = None,
    progress: ReplayProgress,
) -> list[Replayed]:
    """Replay these workloads of a table; the result is in their order and the same for any number of jobs.

    A planner process keeps nothing between two questions, so each thread's serves one workload after the other.

    Args:
        table: all of it, for the donors.
        workloads: which to replay.
        wish: how.
        command: of the planner, or None for our own.
        timeout_s: longest wait for one answer of the planner.
        prior: text of a prior file; None for the one that ships.
        progress: told of every evaluation.

    Raises:
        PlannerError: the planner died, hung, or could not answer.
    """
    donors = [workload.donor() for workload in table.workloads] if wish.warm else []
    stop, idle = threading.Event(), SimpleQueue[Planner]()
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(TemporaryDirectory(prefix="hwtune-", dir=memory())))
        jobs = min(wish.jobs, len(workloads))
        for _ in range(jobs):
            idle.put(stack.enter_context(Planner(command=command, timeout_s=timeout_s, prior=prior)))

        def replay(number: int, workload: MeasuredWorkload) -> Replayed:
            planner = idle.get()
            try:
                problem = _problem(workload, donors, wish)
                budget = Budget(evaluations=wish.budget, runs=RUNS, verify_blocks=0, abandon=wish.abandon)
                watch = _Watch(stop, progress)
                with open_session(workload, problem, budget, planner, scratch / str(number), watch) as session:
                    session.explore()
            except PlannerError as error:
                raise PlannerError(f"{workload.name}: {error}", hint=error.hint) from error
            finally:
                idle.put(planner)
            progress.finished(workload.name, session)
            return Replayed(workload=workload, session=session)

        pool = stack.enter_context(ThreadPoolExecutor(jobs))
        stack.callback(stop.set)  # first on the way out: leaving the pool waits for its threads
        futures = [pool.submit(replay, number, workload) for number, workload in enumerate(workloads)]
        for future in wait(futures, return_when=FIRST_EXCEPTION).done:
            future.result()
        return [future.result() for future in futures]


def _problem(workload: MeasuredWorkload, donors: Sequence[Donor], wish: ReplayWish) -> Problem:
    return Problem(
        space=workload.space,
        objective=wish.objective,
        bound=Bound(max_slowdown=wish.max_slowdown),
        max_risk=wish.max_risk,
        seed=wish.seed,
        donors=tuple(donor for donor in donors if donor.label != workload.name),
    )


@contextmanager
def open_session(
    workload: MeasuredWorkload, problem: Problem, budget: Budget, planner: Planning, run_dir: Path, watcher: Watcher
) -> Iterator[Session]:
    """A session over one workload of a table, which is to be explored; what a table says needs no receipt."""
    knobs = RowKnobs(workload.space)
    with Transaction(knobs, run_dir=run_dir, verb="replay", files=LinuxFS(run_dir)) as transaction:
        yield Session(
            problem=problem,
            transaction=transaction,
            work=RowWork(workload, knobs),
            planner=planner,
            budget=budget,
            now_ns=time.monotonic_ns,
            watcher=watcher,
        )


def memory() -> str | None:
    """A file system in memory, where the journal's fsync costs nothing; None where there is none."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK | os.X_OK) else None
