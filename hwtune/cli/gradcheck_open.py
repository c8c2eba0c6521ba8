"""Putting a gradient check together: what to learn from, where to look, what to measure."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field

from hwtune.cli.command import Command
from hwtune.cli.host import OpenHost, open_knobs, open_transaction
from hwtune.cli.prior import refreshed_prior
from hwtune.cli.problem import check_energy, problem_of
from hwtune.cli.progress import SessionProgress
from hwtune.domain.errors import UsageError
from hwtune.domain.knob import RangeKnob, Setting, Value
from hwtune.domain.problem import Problem
from hwtune.domain.slope import Contrast, Slope
from hwtune.gradients import Measured, contrasts, measure
from hwtune.knobs.keys import parse_assignments
from hwtune.knobs.transaction import Transaction
from hwtune.planner.client import Planner
from hwtune.sensors.collector import Collector
from hwtune.session import Budget, Session
from hwtune.workload.command import CommandWorkload


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What the command line asks for; the rest is configuration, flags included."""

    command: Command
    at: tuple[str, ...] | None
    budget: int
    blocks: int
    seed: int
    spoken: bool


@dataclass(slots=True, kw_only=True)
class Checked:
    """What was found.

    Args:
        problem: the knobs, and what the session minimised.
        label: the work, as one would type it; None where the prior alone was checked.
        energy: where energy figures come from.
        at: where the steps are.
        session: what the model learned from, None for nothing.
        steps: with what the surrogate says of each, in the same order.
        measured: what the machine says of each; None for a step that was not measured or is none there.
        restored: whether every attribute reads as at the start.
    """

    problem: Problem
    label: str | None
    energy: str
    at: Setting
    session: Session | None = None
    steps: tuple[tuple[Contrast, Slope], ...] = ()
    measured: list[Measured | None] = field(default_factory=list)
    restored: bool = True


def check_gradients(opened: OpenHost, wish: Wish) -> Checked:
    """Learn, look, measure; everything is put back however it ends.

    Raises:
        Unsupported: no cpufreq, or no energy sensor for an energy objective.
        UsageError: unknown knobs or values, or a place without any step.
        Locked: another writer holds the machine.
        PlannerError: the planner died, hung, or could not answer.
    """
    host, wanted = opened.host, opened.config.tune
    backend = open_knobs(opened)
    label = wish.command.label(opened) or None
    problem = problem_of(opened, backend, seed=wish.seed, measuring=bool(label))
    collector = Collector(host)
    place = None if wish.at is None else _place(problem, parse_assignments(wish.at, backend))
    with ExitStack() as stack:
        planner = stack.enter_context(
            Planner(
                command=opened.config.planner.command,
                timeout_s=opened.config.planner.timeout_s,
                prior=refreshed_prior(opened.config),
            )
        )
        collector.own.add(planner.cpu_ns)
        found = Checked(problem=problem, label=label, energy=collector.energy.name, at=place or problem.space.default)
        if label is None:
            _look(found, planner)
            return found
        check_energy(collector.energy, problem.objective, needed=problem.needs_energy)
        before = backend.snapshot()
        with (
            open_transaction(opened, backend, verb="gradcheck", on_foreign=wanted.on_foreign) as transaction,
            SessionProgress(evaluations=wish.budget, spoken=wish.spoken) as watcher,
        ):
            found.session = Session(
                problem=problem,
                transaction=transaction,
                work=wish.command.work(opened, collector),
                planner=planner,
                budget=Budget(evaluations=wish.budget, runs=wanted.runs, verify_blocks=0),
                now_ns=host.clock.monotonic_ns,
                watcher=watcher,
                settle=(lambda: None) if host.simulated else planner.settle,
            )
            found.session.explore()
            found.at = place or found.session.chosen
            _look(found, planner)
            _measure(found, transaction, wish.command.work(opened, collector), wish)
        found.restored = transaction.is_back(before)
    return found


def _place(problem: Problem, asked: Mapping[str, Value]) -> Setting:
    """A setting of the space, on its levels.

    Raises:
        UsageError: a knob that is not checked.
    """
    space = problem.space
    for name in asked:
        if name not in space.names:
            raise UsageError(
                f"{name} is not among the knobs that are checked", hint=f"they are {', '.join(space.names)}"
            )
    knobs = {name: space[name] for name in asked}
    return space.canonical(
        space.default
        | {
            name: knob.nearest(int(asked[name])) if isinstance(knob, RangeKnob) else asked[name]
            for name, knob in knobs.items()
        }
    )


def _look(found: Checked, planner: Planner) -> None:
    """What the surrogate says of each step."""
    steps = contrasts(found.problem.space, found.at)
    if not steps:
        raise UsageError("no knob has a step to make there", hint="look somewhere else: --at governor=… or max=…")
    trials = [] if found.session is None else [decision.trial for decision in found.session.decisions]
    found.steps = tuple(zip(steps, planner.slopes(found.problem, trials, steps), strict=True))


def _measure(found: Checked, transaction: Transaction, work: CommandWorkload, wish: Wish) -> None:
    """What the machine says of each step."""
    space = found.problem.space
    for number, (step, _) in enumerate(found.steps, start=1):
        if not wish.blocks:
            found.measured.append(None)
            continue
        if wish.spoken:
            first, second = (space[step.knob].text(setting[step.knob]) for setting in (step.first, step.second))
            print(
                f"step {number} of {len(found.steps)}: {step.knob} {first} → {second}, "
                f"{4 * wish.blocks} interleaved runs",
                file=sys.stderr,
            )
        found.measured.append(
            measure(
                step,
                space=space,
                transaction=transaction,
                work=work,
                objective=found.problem.objective,
                blocks=wish.blocks,
            )
        )
