"""Putting a tuning session together from what the options, the configuration and the machine say."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from hwtune.cli.host import OpenHost
from hwtune.cli.prior import refreshed_prior
from hwtune.cli.progress import Quiet, Spoken
from hwtune.cli.record import open_store
from hwtune.cli.signals import Terminated, exit_status
from hwtune.domain.errors import Unsupported, UsageError
from hwtune.domain.knob import KnobSpace
from hwtune.domain.objective import Bound
from hwtune.domain.problem import Problem
from hwtune.domain.trial import TrialStatus
from hwtune.knobs.cpufreq import CpufreqBackend
from hwtune.knobs.journal import baseline
from hwtune.knobs.transaction import Transaction
from hwtune.planner.client import Planner
from hwtune.sensors.collector import Collector
from hwtune.sensors.energy import EnergySource
from hwtune.session import Budget, Session, Work
from hwtune.workload.command import CommandWorkload, calling_user
from hwtune.workload.predicted import PredictedWork

_SECONDS = {"s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What only the command line can ask for; the rest is configuration, flags included."""

    command: tuple[str, ...]
    max_power_w: float | None
    budget_time: str | None
    prepare: str | None
    cwd: str | None
    user: str | None
    seed: int


@dataclass(slots=True, kw_only=True)
class Tuning:
    """A session with everything it stands on, and how it ended.

    Args:
        session: the loop.
        transaction: what it writes through.
        backend: the machine's knobs.
        energy: where energy figures come from.
        label: the work, as one would type it.
        budget: settings it may measure.
        keep: whether a proven setting stays.
        before: path → text of every attribute at the start.
        work: what is measured.
        kept: whether the setting stayed.
        restored: whether every attribute reads as at the start, once everything is closed.
        would_write: in a dry run, path → text of what would have changed.
    """

    session: Session
    transaction: Transaction
    backend: CpufreqBackend
    energy: EnergySource
    label: str
    budget: int
    keep: bool
    before: Mapping[str, str]
    work: Work
    kept: bool = False
    restored: bool = False
    would_write: dict[str, str] | None = None

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is odd about the runs, in words for people."""
        return self.work.warnings

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
        return 0

    def _imagine(self) -> None:
        self.transaction.apply(self.session.chosen)
        now = self.backend.snapshot()
        self.would_write = {path: text for path, text in now.items() if self.before.get(path) != text}

    def look_again(self) -> None:
        """Compare the machine with how it was found, behind the end of the transaction."""
        self.restored = self.backend.snapshot() == self.before


def check_words(command: Sequence[str], *, simulate: str | None, root: Path | None, dry_run: bool, keep: bool) -> None:
    """Refuse options that contradict each other before anything is opened.

    Raises:
        UsageError: with what to do instead.
    """
    if simulate is not None and command:
        raise UsageError(
            "a command cannot run on a simulated machine",
            hint="leave the command out and choose --workload compute, memory, mixed or bursty",
        )
    if simulate is None and not command:
        raise UsageError("no command to tune for", hint="hwtune tune -- make -j8, or --simulate to try it out")
    if root is not None and not dry_run:
        raise UsageError(
            "a machine under --root cannot be measured from here", hint="add --dry-run to see what would be written"
        )
    if keep and dry_run:
        raise UsageError("--keep has nothing to keep in a dry run", hint="leave one of them out")


def parse_duration_s(text: str) -> float:
    """`90s`, `10m`, `1.5h` or plain seconds.

    Raises:
        UsageError: anything else, and durations that are not positive.
    """
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)\s*(s|m|min|h)?", text.strip())
    if match is None or float(match[1]) == 0:
        raise UsageError(f"{text!r} is not a duration", hint="write 90s, 10m or 1h")
    return float(match[1]) * _SECONDS[match[2] or "s"]


def choose_knobs(space: KnobSpace, words: Sequence[str] | None) -> KnobSpace:
    """The knobs to turn: all but governor tunables, or those that are named.

    A name without a policy (`max`) stands for that knob of every cluster.

    Raises:
        UsageError: a name that is no knob here, or nothing left to turn.
    """
    if words is None:
        names = tuple(knob.name for knob in space.knobs if knob.role != "other")
    else:
        names = tuple(name for word in words for name in _named(space, word))
    chosen = space.subset(names)
    if not chosen.knobs:
        raise UsageError("no knob to turn", hint=f"this machine has: {', '.join(space.names)}")
    return chosen


def _named(space: KnobSpace, word: str) -> tuple[str, ...]:
    """The knob of that name, or of that name in every cluster; the word itself when there is neither."""
    everywhere = tuple(name for name in space.names if name == word or name.endswith(f".{word}"))
    return (word,) if word in space.names or not everywhere else everywhere


@contextmanager
def open_tuning(opened: OpenHost, wish: Wish, *, spoken: bool) -> Iterator[Tuning]:
    """Everything a session needs, undone in reverse when it ends.

    Raises:
        Unsupported: no cpufreq, or no energy sensor for an energy objective.
        UsageError: unknown knobs or values.
        Locked: another writer holds the machine.
    """
    host, wanted = opened.host, opened.config.tune
    with ExitStack() as stack:
        backend = CpufreqBackend(host.files, baseline(host.run_dir, host.files), host.clock.sleep)
        collector = Collector(host)
        problem = Problem(
            space=choose_knobs(backend.space, wanted.knobs),
            objective=wanted.objective,
            bound=Bound(max_slowdown=wanted.max_slowdown, max_power_w=wish.max_power_w),
            max_risk=wanted.max_risk,
            seed=wish.seed,
        )
        if not opened.dry:
            _check_energy(collector.energy, problem)
        budget = Budget(
            evaluations=wanted.budget,
            runs=wanted.runs,
            verify_blocks=wanted.verify_blocks,
            until_ns=None
            if wish.budget_time is None
            else host.clock.monotonic_ns() + round(parse_duration_s(wish.budget_time) * 1e9),
        )
        planner = stack.enter_context(
            Planner(
                command=opened.config.planner.command,
                timeout_s=opened.config.planner.timeout_s,
                prior=refreshed_prior(opened.config),
            )
        )
        ended = stack.enter_context(ExitStack())  # closed behind the transaction
        transaction = stack.enter_context(Transaction(backend, run_dir=host.run_dir, verb="tune", files=host.files))
        work: Work
        if opened.dry:
            space = problem.space
            work = PredictedWork(
                effective=lambda: space.canonical(backend.effective().only(space.names)),
                predict=lambda setting: planner.predict(problem, [], [setting])[0],
            )
        else:
            work = command_work(
                opened, collector, command=wish.command, prepare=wish.prepare, cwd=wish.cwd, user=wish.user
            )
        watcher = stack.enter_context(Spoken(evaluations=budget.evaluations) if spoken else Quiet())
        label = opened.workload or shlex.join(wish.command)
        recorder = (
            None
            if opened.dry
            else stack.enter_context(
                open_store(opened, problem, workload=label, argv=wish.command, energy=collector.energy, watcher=watcher)
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
        )
        tuning = Tuning(
            session=session,
            transaction=transaction,
            backend=backend,
            before=backend.snapshot(),
            work=work,
            energy=collector.energy,
            label=label,
            budget=budget.evaluations,
            keep=wanted.on_exit == "keep",
        )
        ended.callback(tuning.look_again)
        if recorder is not None:
            stack.callback(recorder.end, session)
        yield tuning


def _check_energy(energy: EnergySource, problem: Problem) -> None:
    needs = problem.objective.needs_energy or problem.bound.max_power_w is not None
    if needs and energy.quality == "none":
        raise Unsupported(
            f"--objective {problem.objective} needs an energy sensor, and this machine offers none",
            hint=f"{energy.why}; `--objective time` works without one",
        )


def command_work(
    opened: OpenHost,
    collector: Collector,
    *,
    command: Sequence[str],
    prepare: str | None,
    cwd: str | None,
    user: str | None,
) -> CommandWorkload:
    """The command that a verb measures, on the machine that was opened; a simulated one runs its own workload."""
    host = opened.host
    return CommandWorkload(
        runner=host.runner,
        clock=host.clock,
        sample=collector.sample,
        sample_energy=collector.sample_energy,
        period_s=collector.energy.period_s,
        command=command or ("simulated",),
        prepare=prepare,
        cwd=cwd,
        user=user or (calling_user() if opened.simulated is None else None),
    )
