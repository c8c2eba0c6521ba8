"""The one path of a decision: suggest → apply → measure → observe, then the receipt.

`tune` on this machine, a dry run and a simulated machine all come through here; what differs is what lies below.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Protocol

from hwtune.domain.breach import breaches, outcome_of
from hwtune.domain.errors import ForeignEdit
from hwtune.domain.knob import Setting
from hwtune.domain.problem import Problem
from hwtune.domain.trial import Prediction, Proposal, Reason, Run, Trial, TrialStatus, common_features
from hwtune.knobs.effective import Ignored
from hwtune.knobs.held import Held, Notice
from hwtune.knobs.transaction import Transaction
from hwtune.workload.comparison import Comparison
from hwtune.workload.verdict import Verdict

# How often a measurement that somebody has disturbed is made again.
_TRIES = 3


class Work(Protocol):
    """What is being run: a command, an imaginary workload, or in a dry run the model's own expectation."""

    status: TrialStatus

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is odd about the runs so far, in words for people."""

    def warm_up(self) -> Run:
        """One run that does not count, so that caches are warm and the first measured run is like the rest."""

    def measure(self, repeats: int, give_up_s: float | None = None) -> tuple[Run, ...]:
        """Runs under the setting that is applied now; one that has lasted `give_up_s` is stopped, and is the last."""


class Planning(Protocol):
    """The part of the planner that a session uses."""

    def suggest(self, problem: Problem, trials: Sequence[Trial]) -> Proposal:
        """The setting to measure next."""

    def recommend(self, problem: Problem, trials: Sequence[Trial]) -> Proposal:
        """The setting to keep."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """One turn of the loop: what was proposed, what came of it, what would be kept now."""

    proposal: Proposal
    trial: Trial
    recommended: Proposal


class Watcher(Protocol):
    """Told of every step, for progress, for the store."""

    def proposed(self, number: int, proposal: Proposal) -> None:
        """A setting is about to be applied and measured; `number` counts from 1."""

    def decided(self, number: int, decision: Decision) -> None:
        """It has been."""

    def verifying(self, done: int, total: int) -> None:
        """Interleaved runs of the receipt: `done` of at most `total`, and of as many as it took when it is decided."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """When to stop.

    Args:
        evaluations: settings to measure, the default included, the receipt not.
        until_ns: clock after which no further setting is begun, or None.
        runs: measured runs of each setting.
        verify_blocks: ABBA blocks of the receipt at most (two runs of each arm in each).
        abandon: whether a probe is stopped once it is far beyond the slowdown bound.
    """

    evaluations: int
    runs: int
    verify_blocks: int
    until_ns: int | None = None
    abandon: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """The interleaved comparison of the default with the chosen setting."""

    default_runs: tuple[Run, ...]
    chosen_runs: tuple[Run, ...]
    verdict: Verdict


class Limits(Protocol):
    """Whether the cores obey the limits that read as set."""

    def begin(self) -> None:
        """A measurement begins."""

    def end(self) -> Sequence[Ignored]:
        """It has ended: the limits that were clearly exceeded under load."""


class Session:
    """Explore, learn, choose, verify.

    Args:
        problem: the space, the objective and the bound.
        transaction: entered by the caller, who also decides whether its setting is kept.
        work: what is measured.
        planner: where proposals come from.
        budget: when to stop.
        now_ns: the machine's clock.
        watcher: told of every step.
        limits: checks limits against the measured frequency; None where nothing real is measured.
        settle: waits, behind the warm-up, until what we have started ourselves is at rest.
    """

    def __init__(
        self,
        *,
        problem: Problem,
        transaction: Transaction,
        work: Work,
        planner: Planning,
        budget: Budget,
        now_ns: Callable[[], int],
        watcher: Watcher,
        limits: Limits | None = None,
        settle: Callable[[], object] = lambda: None,
    ) -> None:
        self.problem = problem
        self.decisions: list[Decision] = []
        self.stopped = "interrupted"
        self.why_stopped = ""
        self.receipt: Receipt | None = None
        self._transaction = transaction
        self._work = work
        self._planner = planner
        self._budget = budget
        self._now_ns = now_ns
        self._watcher = watcher
        self._limits = limits
        self._settle = settle
        self._held = Held(transaction, problem.space.default)

    @property
    def notices(self) -> tuple[Notice, ...]:
        """What became of knobs that are not turned any more, once for each."""
        return self._held.notices

    @property
    def default(self) -> Setting:
        """Where the search starts and what everything is compared with."""
        return self.problem.space.default

    @property
    def chosen(self) -> Setting:
        """What the learned model recommends so far, before any receipt."""
        return self.decisions[-1].recommended.setting if self.decisions else self.default

    @property
    def expected(self) -> Prediction | None:
        """The prediction for what is recommended so far."""
        return self.decisions[-1].recommended.predicted if self.decisions else None

    @property
    def proven(self) -> bool:
        """Whether the receipt shows a gain within the bound; without a receipt nothing is proven."""
        if self.receipt is None or not self.receipt.verdict.significant:
            return False
        if breaches(self.problem.bound, self.receipt.chosen_runs):
            return False
        slowest = self.problem.bound.max_slowdown
        return slowest is None or self.receipt.verdict.time_ratio <= 1.0 + slowest

    @property
    def kept(self) -> Setting:
        """The outcome: the chosen setting when the receipt shows its gain, else the default."""
        return self.chosen if self.proven else self.default

    def step(self, proposal: Proposal) -> Decision:
        """Apply, measure, and learn what to think of it.

        Raises:
            ForeignEdit: somebody else keeps setting knobs while it is measured, or sets one and that is to end it.
        """
        number = len(self.decisions) + 1
        self._watcher.proposed(number, proposal)
        # What everything is compared with is always measured to its end, whoever asks for it.
        patience = None if proposal.setting == self.default else self._give_up_s()
        setting, runs = self._undisturbed(proposal.setting, self._budget.runs, patience)
        trial = Trial(
            setting=setting,
            requested=proposal.setting,
            runs=runs,
            context=common_features([run.features for run in runs]),
            reason=proposal.reason,
            status=outcome_of(self.problem.bound, runs, self._work.status),
        )
        decision = Decision(proposal=proposal, trial=trial, recommended=self._recommended(proposal, trial))
        self.decisions.append(decision)
        self._watcher.decided(number, decision)
        return decision

    def _undisturbed(self, wanted: Setting, repeats: int, patience_s: float | None) -> tuple[Setting, tuple[Run, ...]]:
        """What was really in force, and the runs under it; made again when somebody, or a suspend, came in between."""
        space = self.problem.space
        for _ in range(_TRIES):
            effective = self._transaction.apply(wanted).effective
            setting = space.canonical(wanted | effective.only(space.names))
            self._held.note(setting, len(self._known()))
            if self._limits is not None:
                self._limits.begin()
            runs = self._measure(repeats, None if setting == self.default else patience_s)
            found = self._transaction.look()
            if not found.foreign and not found.lost:
                return self._obeyed(setting), runs
        raise ForeignEdit(
            f"what is set keeps changing while it is measured ({_TRIES} times in a row)",
            knob="",
            hint="another tuner at work? `hwtune probe` names those it knows",
        )

    def _obeyed(self, setting: Setting) -> Setting:
        """The setting with what the machine has made of limits that it does not obey."""
        for each in () if self._limits is None else self._limits.end():
            self._held.ignore(each)
            if each.knob in setting:
                setting = setting | {each.knob: each.level}
        return setting

    def _whole(self, problem: Problem, proposal: Proposal) -> Proposal:
        """A proposal in the knobs that can be turned, with the others where they were found."""
        if problem is self.problem:
            return proposal
        return replace(proposal, setting=self.problem.space.canonical(self.default | proposal.setting))

    def _recommended(self, proposal: Proposal, trial: Trial) -> Proposal:
        """What would be kept now; a prediction is no ground for that: a dry run ends with what would be tried first."""
        if trial.status is TrialStatus.PREDICTED:
            return proposal
        problem, trials = self._held.question(self.problem, [*self._known(), trial])
        if not problem.space.knobs or not _has_default(problem, trials):
            return Proposal(setting=self.default, reason=Reason.DEFAULT)
        return self._whole(problem, self._planner.recommend(problem, trials))

    def explore(self) -> None:
        """Spend the budget: the default first, then what the planner suggests, until there is no more to learn."""
        self._work.warm_up()
        self._settle()
        for proposal in self._proposals():
            self.step(proposal)

    def _proposals(self) -> Iterator[Proposal]:
        yield Proposal(setting=self.default, reason=Reason.DEFAULT)
        while len(self.decisions) < self._budget.evaluations:
            if self._budget.until_ns is not None and self._now_ns() >= self._budget.until_ns:
                break
            problem, trials = self._held.question(self.problem, self._known())
            if not problem.space.knobs:
                self.stopped = "nothing to turn"
                return
            if self._known() and not _has_default(problem, trials):
                # Since then somebody has changed the machine under us: there is nothing to compare with.
                yield Proposal(setting=self.default, reason=Reason.DEFAULT)
                continue
            proposal = self._whole(problem, self._planner.suggest(problem, trials))
            if proposal.status != "ok":
                self.stopped, self.why_stopped = proposal.status, proposal.why
                return
            if self._work.status is TrialStatus.PREDICTED and len(self.decisions) > 1:
                # Predictions teach nothing, so the next proposal would be the same one.
                self.stopped = "nothing measured"
                return
            yield proposal
        self.stopped = "budget"

    def verify(self) -> Receipt | None:
        """The receipt: default against chosen, interleaved so that drift hits both alike.

        None when the default itself is recommended, or when nothing is measured.
        """
        if self.chosen == self.default or self._work.status is TrialStatus.PREDICTED:
            return None
        for _ in range(_TRIES):
            held = set(self._transaction.held)
            comparison = self._interleaved({"A": self.default, "B": self.chosen})
            if held == set(self._transaction.held):
                break
            # A knob went to somebody else in between: the first runs speak of another machine.
        self.receipt = Receipt(
            default_runs=comparison.runs("A"), chosen_runs=comparison.runs("B"), verdict=comparison.verdict()
        )
        return self.receipt

    def _interleaved(self, settings: Mapping[str, Setting]) -> Comparison:
        """Blocks of both arms until it is decided."""
        most = self._budget.verify_blocks
        comparison = Comparison(self.problem.objective, max_blocks=most, seed=self.problem.seed)
        while comparison.decided is None:
            for position, arm in enumerate(comparison.next_block()):
                self._watcher.verifying(4 * comparison.blocks + position, 4 * most)
                (run,) = self._undisturbed(settings[arm], 1, None)[1]
                comparison.add(arm, run)
        self._watcher.verifying(4 * comparison.blocks, 4 * comparison.blocks)
        return comparison

    def _give_up_s(self) -> float | None:
        """How long a run of a probe may last, by what the default took; None for as long as it likes."""
        problem, trials = self._held.question(self.problem, self._known())
        times = [run.time_s for trial in trials if trial.requested == problem.space.default for run in trial.runs]
        return self.problem.bound.give_up_s(median(times)) if self._budget.abandon and times else None

    def _measure(self, repeats: int, give_up_s: float | None = None) -> tuple[Run, ...]:
        """Runs, with an energy figure wherever the objective needs one.

        Raises:
            Unsupported: the meter cannot tell what a run used.
        """
        runs = self._work.measure(repeats, give_up_s)
        for run in runs if self.problem.objective.needs_energy else ():
            run.metered_j()
        return runs

    def _known(self) -> list[Trial]:
        """What was measured; a prediction is never learned from."""
        return [decision.trial for decision in self.decisions if decision.trial.status is not TrialStatus.PREDICTED]


def _has_default(problem: Problem, trials: Sequence[Trial]) -> bool:
    return any(trial.requested == problem.space.default for trial in trials)
