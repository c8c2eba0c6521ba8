"""Two settings under one command: settle, tell what can be seen, then run them in turns until it is decided.

What is set goes through the same transaction as everything else. Where both arms are the machine as it was found there
is nothing to set, and the comparison measures the machine's own noise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import exp, log, sqrt
from statistics import fmean, stdev
from typing import Protocol

from hwtune.domain.errors import ForeignEdit, KnobError, Rejected
from hwtune.domain.knob import Setting
from hwtune.domain.objective import Objective
from hwtune.domain.trial import Run
from hwtune.knobs.outcome import Outcome
from hwtune.knobs.transaction import Transaction
from hwtune.sensors.noise import DisturbedRun, NoiseMeter
from hwtune.session import Work
from hwtune.workload.comparison import Comparison
from hwtune.workload.power import Noise, Plan, noise_of_runs, plans, runs_needed
from hwtune.workload.settling import Settling
from hwtune.workload.student import t_quantile
from hwtune.workload.verdict import Interval95

ARMS = ("A", "B")
# How often a block that somebody has disturbed is made again.
_TRIES = 3
_BLOCK_RUNS = 2  # of each arm in a block
_FEWEST = 6  # runs of each arm: three blocks, so that one odd run does not decide
_STEADY = 8  # runs of a pilot
_STUCK = ("rejected", "quarantined", "yielded")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pilot:
    """What runs of A in a row tell before anything is compared.

    Args:
        warm_up: runs until the machine was on one level.
        runs: those on it.
        settled: whether it came to one level.
        noise: how much a block will scatter.
        plans: what can be seen with how many runs of each arm.
        max_runs: runs of each arm that will be made at most.
    """

    warm_up: tuple[Run, ...]
    runs: tuple[Run, ...]
    settled: bool
    noise: Noise
    plans: tuple[Plan, ...]
    max_runs: int

    @property
    def longest_s(self) -> float:
        """How long the comparison takes if nothing is decided early, preparations left out."""
        return 2 * self.max_runs * fmean(run.wall_s for run in self.runs)


class Watcher(Protocol):
    """Told of every step, for progress."""

    def settling(self, runs: int) -> None:
        """Runs of the pilot so far."""

    def planned(self, pilot: Pilot) -> None:
        """The pilot is over."""

    def measuring(self, arm: str, runs: int, max_runs: int) -> None:
        """A run of an arm begins; so many are done, of both arms."""

    def compared(self, comparison: Comparison) -> None:
        """A block is over."""


class Compare:
    """The comparison of two settings.

    Args:
        settings: by arm, for every knob that either of them changes.
        transaction: entered by the caller; None where nothing can be set, and both settings are empty.
        work: what is measured.
        meter: what disturbs it.
        objective: what is compared.
        margin: the smallest difference that matters (0.01 = 1 %): what is planned for, and below which arms are equal.
        max_runs: runs of each arm, at most.
        seed: of the order of the arms.
        watcher: told of every step.
    """

    def __init__(
        self,
        *,
        settings: Mapping[str, Setting],
        transaction: Transaction | None,
        work: Work,
        meter: NoiseMeter,
        objective: Objective,
        margin: float,
        max_runs: int,
        seed: int,
        watcher: Watcher,
    ) -> None:
        self.objective = objective
        self.margin = margin
        self.pilot: Pilot | None = None
        self.comparison: Comparison | None = None
        self.runs: dict[str, list[DisturbedRun]] = {arm: [] for arm in ARMS}
        self.effective: dict[str, Setting] = {}
        self._settings = settings
        self._transaction = transaction
        self._work = work
        self._meter = meter
        self._max_runs = max_runs - max_runs % _BLOCK_RUNS
        self._seed = seed
        self._watcher = watcher
        self._texts: dict[str, Mapping[str, str]] = {}

    @property
    def same(self) -> bool:
        """Whether the kernel has made the same of both settings."""
        return len(self._texts) == len(ARMS) and self._texts["A"] == self._texts["B"]

    def run(self) -> None:
        """Settle, plan, and measure block by block until it is decided.

        Raises:
            Unsupported: the energy meter cannot tell what a run used, and the objective needs it.
            Rejected: the kernel refuses a value.
            KnobError: a knob is in quarantine.
            ForeignEdit: somebody else sets what is compared.
        """
        self.pilot = self._settle()
        self._watcher.planned(self.pilot)
        in_reach = any(plan.effect <= self.margin for plan in self.pilot.plans)
        self.comparison = Comparison(
            self.objective,
            max_blocks=self.pilot.max_runs // _BLOCK_RUNS,
            margin=self.margin,
            # What is too small to be seen here is not waited for; larger differences are.
            aim=None if in_reach else self.margin,
            seed=self._seed,
        )
        while self.comparison.decided is None:
            order = self.comparison.next_block()
            for arm, run in zip(order, self._block(order), strict=True):
                self.runs[arm].append(run)
                self.comparison.add(arm, run.run)
            self._watcher.compared(self.comparison)

    def _settle(self) -> Pilot:
        steady = _STEADY if self._max_runs >= _STEADY else _STEADY // 2
        settling = Settling(self.objective, steady=steady, most=3 * steady)
        self._watcher.settling(0)
        while not settling.done:
            settling.add(self._measure("A").run)
            self._watcher.settling(len(settling.warm_up) + len(settling.steady))
        noise = noise_of_runs(settling.steady, self.objective)
        assert noise is not None  # four runs are enough for it, and `steady` has at least as many
        needed = runs_needed(noise, self.margin, most=self._max_runs)
        max_runs = min(self._max_runs, max(_FEWEST, needed or self._max_runs))
        return Pilot(
            warm_up=settling.warm_up,
            runs=settling.steady,
            settled=settling.settled,
            noise=noise,
            plans=plans(noise, sorted({min(_FEWEST, max_runs), max_runs}), ()),
            max_runs=max_runs,
        )

    def _block(self, order: Sequence[str]) -> list[DisturbedRun]:
        """The runs of a block; made again when somebody, or a suspend, came in between."""
        for _ in range(_TRIES):
            runs: list[DisturbedRun] = []
            for arm in order:
                done = sum(map(len, self.runs.values())) + len(runs)
                self._watcher.measuring(arm, done, 2 * (self.pilot.max_runs if self.pilot else 0))
                runs.append(self._measure(arm))
                if self._disturbed():
                    break
            else:
                return runs
        raise ForeignEdit(
            f"what is set keeps changing while it is measured ({_TRIES} times in a row)",
            knob="",
            hint="another tuner at work? `hwtune probe` names those it knows",
        )

    def _measure(self, arm: str) -> DisturbedRun:
        self._apply(arm)
        self._meter.begin()
        (run,) = self._work.measure(1)
        if self.objective.needs_energy:
            run.metered_j()
        return self._meter.end(run)

    def _apply(self, arm: str) -> None:
        if self._transaction is None:
            return
        applied = self._transaction.apply(self._settings[arm])
        a, b = (self._settings[each] for each in ARMS)
        differ = a.diff(b) | b.diff(a)
        stuck = [each for each in applied.outcomes if each.result in _STUCK and each.knob in differ]
        if stuck:
            raise _stuck(stuck[0])
        self.effective[arm] = applied.effective
        self._texts.setdefault(arm, self._transaction.backend.snapshot())

    def _disturbed(self) -> bool:
        if self._transaction is None:
            return False
        changes = self._transaction.look()
        return bool(changes.foreign or changes.lost)


def _stuck(outcome: Outcome) -> KnobError:
    """Why a knob that is compared cannot be turned."""
    if outcome.result == "rejected":
        return Rejected(
            knob=outcome.knob,
            wanted=outcome.wanted,
            errno=outcome.errno,
            hint="`hwtune probe` shows what this machine takes",
        )
    if outcome.result == "quarantined":
        return KnobError(
            str(outcome), knob=outcome.knob, hint=f"`hwtune quarantine clear {outcome.knob}` allows it again"
        )
    return ForeignEdit(
        str(outcome), knob=outcome.knob, hint="another tuner at work? `hwtune probe` names those it knows"
    )


def typical(values: Sequence[float]) -> tuple[float, Interval95]:
    """Geometric mean of positive values and its 95 % interval, as far as they are independent; at least two.

    A machine that drifts makes neighbours alike, and the interval too narrow; the ratio of the arms is free of that.
    """
    logs = [log(value) for value in values]
    middle = fmean(logs)
    half = t_quantile(0.95, len(logs) - 1) * stdev(logs) / sqrt(len(logs))
    return exp(middle), (exp(middle - half), exp(middle + half))
