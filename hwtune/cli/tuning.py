"""Putting a tuning session together from what the options, the configuration and the machine say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace

from hwtune.cli.command import Command, parse_duration_s
from hwtune.cli.host import OpenHost, open_knobs, open_transaction
from hwtune.cli.options import check_abandon
from hwtune.cli.prior import refreshed_prior
from hwtune.cli.problem import check_energy, problem_of
from hwtune.cli.progress import SessionProgress
from hwtune.cli.record import open_store
from hwtune.cli.signals import Terminated, exit_status
from hwtune.domain.breach import breaches
from hwtune.domain.measure import Measure
from hwtune.domain.trial import TrialStatus
from hwtune.knobs.cpufreq import CpufreqBackend
from hwtune.knobs.effective import LimitCheck
from hwtune.knobs.transaction import Transaction
from hwtune.planner.client import Planner
from hwtune.sensors.collector import Collector
from hwtune.sensors.energy import EnergySource
from hwtune.session import Budget, Session, Work
from hwtune.workload.predicted import PredictedWork


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What only the command line can ask for; the rest is configuration, flags included."""

    command: Command
    max_power_w: float | None
    budget_time: str | None
    seed: int


@dataclass(slots=True, kw_only=True)
class Tuning:
    """A session with everything it stands on, and how it ended.

    Args:
        session: the loop.
        transaction: what it writes through.
        backend: the machine's knobs.
        collector: what samples the machine, and adds up what the session costs.
        label: the work, as one would type it.
        budget: settings it may measure.
        keep: whether a proven setting stays.
        before: path → text of every attribute at the start.
        work: what is measured.
        measure: by what.
        kept: whether the setting stayed.
        restored: whether every attribute reads as at the start, once everything is closed.
        would_write: in a dry run, path → text of what would have changed.
    """

    session: Session
    transaction: Transaction
    backend: CpufreqBackend
    collector: Collector
    label: str
    budget: int
    keep: bool
    before: Mapping[str, str]
    work: Work
    measure: Measure
    kept: bool = False
    restored: bool = False
    would_write: dict[str, str] | None = None

    @property
    def energy(self) -> EnergySource:
        """Where energy figures come from."""
        return self.collector.energy

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is odd about the runs, in words for people, and which bounds the default itself breaks."""
        session = self.session
        first = session.decisions[0].trial.runs if session.decisions else ()
        broken = breaches(session.problem.bound, first)
        return (*self.work.warnings, *(f"the defaults themselves break a bound: {what}" for what in broken))

    def run(self) -> int:
        """Explore and verify; 0, or the exit status of the signal that ended it early."""
        try:
            self.session.explore()
            if self.work.status is TrialStatus.PREDICTED:
                self._imagine()
            self.session.verify()
            if self.keep and self.session.proven:
                self.transaction.apply(self.session.kept)
                self.transaction.keep()
                self.kept = True
        except (KeyboardInterrupt, Terminated) as ending:
            self.session.stopped = "interrupted"
            return exit_status(ending)
        finally:
            self.collector.sample()  # until here it is the session's time and energy
        return 0

    def _imagine(self) -> None:
        self.transaction.apply(self.session.chosen)
        now = self.backend.snapshot()
        self.would_write = {path: text for path, text in now.items() if self.before.get(path) != text}

    def look_again(self) -> None:
        """Compare the machine with how it was found, behind the end of the transaction."""
        self.restored = self.transaction.is_back(self.before)


@contextmanager
def open_tuning(opened: OpenHost, wish: Wish, *, spoken: bool) -> Iterator[Tuning]:
    """Everything a session needs, undone in reverse when it ends.

    Raises:
        Unsupported: no cpufreq, or no energy sensor for an energy objective.
        UsageError: unknown knobs or values, or probes to stop without a bound.
        Locked: another writer holds the machine.
    """
    host, wanted = opened.host, opened.config.tune
    check_abandon(wanted.abandon, wanted.max_slowdown, progresses=wish.command.progresses)
    with ExitStack() as stack:
        backend = open_knobs(opened)
        collector = Collector(host)
        problem = problem_of(opened, backend, seed=wish.seed, max_power_w=wish.max_power_w)
        problem = replace(problem, bound=wish.command.metric.bound(problem.bound))
        if not opened.dry:
            check_energy(collector.energy, problem.objective, needed=problem.needs_energy)
        budget = Budget(
            evaluations=wanted.budget,
            runs=wanted.runs,
            verify_blocks=wanted.verify_blocks,
            abandon=wanted.abandon,
            until_ns=None
            if wish.budget_time is None
            else host.clock.monotonic_ns() + round(parse_duration_s(wish.budget_time) * 1e9),
        )
        collector.sample()  # from here on it is the session's time and energy
        planner = stack.enter_context(
            Planner(
                command=opened.config.planner.command,
                timeout_s=opened.config.planner.timeout_s,
                prior=refreshed_prior(opened.config),
                # In virtual time nothing happens while the planner thinks.
                meanwhile=(lambda: None) if host.simulated else collector.meter,
            )
        )
        collector.own.add(planner.cpu_ns)
        ended = stack.enter_context(ExitStack())  # closed behind the transaction
        transaction = stack.enter_context(open_transaction(opened, backend, verb="tune", on_foreign=wanted.on_foreign))
        work: Work
        if opened.dry:
            space = problem.space
            work = PredictedWork(
                effective=lambda: space.canonical(backend.effective().only(space.names)),
                predict=lambda setting: planner.predict(problem, [], [setting])[0],
            )
        else:
            collector.clocks.watching = True
            work = stack.enter_context(wish.command.working(opened, collector, needs_energy=problem.needs_energy))
        watcher = stack.enter_context(SessionProgress(evaluations=budget.evaluations, spoken=spoken))
        label, argv = wish.command.label(opened), wish.command.words
        recorder = (
            None
            if opened.dry
            else stack.enter_context(
                open_store(opened, problem, workload=label, argv=argv, energy=collector.energy, watcher=watcher)
            )
        )
        session = Session(
            problem=problem,
            transaction=transaction,
            work=work,
            planner=planner,
            budget=budget,
            now_ns=host.clock.monotonic_ns,
            watcher=recorder or watcher,
            limits=None if opened.dry else LimitCheck(backend, collector.clocks.take),
            settle=(lambda: None) if host.simulated or opened.dry else planner.settle,
        )
        tuning = Tuning(
            session=session,
            transaction=transaction,
            backend=backend,
            before=backend.snapshot(),
            work=work,
            measure=wish.command.metric.measure,
            collector=collector,
            label=label,
            budget=budget.evaluations,
            keep=wanted.on_exit == "keep",
        )
        ended.callback(tuning.look_again)
        if recorder is not None:
            stack.callback(recorder.end, session)
        yield tuning
