from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from hwtune.domain.errors import Unsupported, WorkloadError
from hwtune.domain.knob import KnobSpace, RangeKnob, Setting
from hwtune.domain.objective import Bound, Objective
from hwtune.domain.problem import Problem
from hwtune.domain.trial import LogNormal, Prediction, Proposal, Reason, Run, Trial, TrialStatus
from hwtune.knobs.changes import Changes
from hwtune.session import Budget, Decision, Session

SPACE = KnobSpace(
    knobs=(RangeKnob(name="max", role="frequency", unit="kHz", low=1, high=8, default=8, levels=tuple(range(1, 9))),)
)


class Machine:
    """A transaction and its work in one: time 8 / max, energy lowest in the middle; `ceiling` clamps silently."""

    status = TrialStatus.OK
    warnings: tuple[str, ...] = ()

    @property
    def held(self) -> dict[str, Any]:
        return {}

    def look(self) -> Changes:
        return Changes()

    def __init__(self, *, ceiling: int = 8, fails_at: int | None = None) -> None:
        self.max = 8
        self.applied: list[int] = []
        self.patience: list[tuple[int, float | None]] = []
        self._ceiling = ceiling
        self._fails_at = fails_at
        self._noise = 0

    def apply(self, setting: Setting) -> Any:
        self.max = min(int(setting["max"]), self._ceiling)
        self.applied.append(self.max)
        return SimpleNamespace(effective=Setting(max=self.max, other=1))

    def warm_up(self) -> Run:
        return self.measure(1)[0]

    def measure(self, repeats: int, give_up_s: float | None = None) -> tuple[Run, ...]:
        if self.max == self._fails_at:
            raise WorkloadError("make failed")
        self.patience.append((self.max, give_up_s))
        self._noise += 1
        shake = 1.0 + 0.001 * (self._noise % 3)
        time_s = 8 / self.max * shake
        power_w = 1.0 + (self.max / 4) ** 3
        if give_up_s is not None and time_s > give_up_s:
            return (Run(time_s=give_up_s, energy_j=power_w * give_up_s, censored=True),)
        return (Run(time_s=time_s, energy_j=power_w * time_s),) * repeats


class Script:
    """A planner that follows a script and recommends what was measured best."""

    def __init__(self, *values: int, end: str = "exhausted") -> None:
        self.asked: list[int] = []
        self._values = list(values)
        self._end = end

    def suggest(self, problem: Problem, trials: Sequence[Trial]) -> Proposal:
        self.asked.append(len(trials))
        if not self._values:
            return Proposal(setting=problem.space.default, reason=Reason.VERIFY, status=self._end)
        expected = LogNormal(mean_log=0.0, sd_log=0.1)
        return Proposal(
            setting=Setting(max=self._values.pop(0)),
            reason=Reason.EXPLORE,
            predicted=Prediction(time_s=expected, energy_j=expected),
        )

    def recommend(self, problem: Problem, trials: Sequence[Trial]) -> Proposal:
        best = min(trials, key=lambda trial: problem.objective.value_of(trial.time_s, trial.energy_j))
        return Proposal(setting=best.setting, reason=Reason.EXPLOIT)


class Notes:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def proposed(self, number: int, proposal: Proposal) -> None:
        self.lines.append(f"{number} {proposal.reason}")

    def decided(self, number: int, decision: Decision) -> None:
        self.lines.append(f"{number} measured {decision.trial.setting['max']}")

    def verifying(self, done: int, total: int) -> None:
        self.lines.append(f"verify {done}/{total}")


def session(machine: Machine, planner: Script, *, objective: Objective = Objective.ENERGY, **more: Any) -> Session:
    return Session(
        problem=Problem(space=SPACE, objective=objective, bound=Bound(max_slowdown=more.get("max_slowdown"))),
        transaction=machine,  # type: ignore[arg-type]
        work=machine,
        planner=planner,
        budget=Budget(
            evaluations=more.get("evaluations", 4),
            runs=2,
            verify_blocks=more.get("verify_blocks", 2),
            until_ns=more.get("until_ns"),
            abandon=more.get("abandon", False),
        ),
        now_ns=lambda: len(machine.applied),
        watcher=more.get("watcher", Notes()),
        settle=more.get("settle", lambda: None),
    )


def test_the_default_comes_first_and_the_budget_is_kept() -> None:
    machine, planner = Machine(), Script(4, 2, 6, 5)
    it = session(machine, planner)
    it.explore()
    assert machine.applied == [8, 4, 2, 6]
    assert planner.asked == [1, 2, 3]
    assert it.decisions[0].proposal == Proposal(setting=SPACE.default, reason=Reason.DEFAULT)
    assert it.stopped == "budget"


def test_what_we_have_started_is_at_rest_before_anything_counts() -> None:
    machine, measured = Machine(), []
    session(machine, Script(4), settle=lambda: measured.append(len(machine.patience))).explore()
    assert measured == [1]  # once: behind the warm-up, before the default


def test_the_search_ends_when_the_planner_has_nothing_more() -> None:
    it = session(Machine(), Script(4, end="converged"))
    it.explore()
    assert len(it.decisions) == 2
    assert it.stopped == "converged"


class Distrusted(Script):
    def suggest(self, problem: Problem, trials: Sequence[Trial]) -> Proposal:
        return replace(super().suggest(problem, trials), why="power falls" if self.asked == [1, 2] else "")


def test_a_model_that_may_not_act_ends_it_with_the_reason() -> None:
    machine = Machine()
    it = session(machine, Distrusted(4, end="distrusted"))
    it.explore()
    assert machine.applied == [8, 4]
    assert (it.stopped, it.why_stopped) == ("distrusted", "power falls")


def test_no_setting_is_begun_after_the_time_is_up() -> None:
    it = session(Machine(), Script(4, 2, 6), until_ns=2)
    it.explore()
    assert len(it.decisions) == 2


def test_the_model_learns_what_the_kernel_made_of_a_setting() -> None:
    it = session(Machine(ceiling=5), Script(7))
    it.explore()
    trial = it.decisions[1].trial
    assert trial.requested == Setting(max=7)
    assert trial.setting == Setting(max=5)


def test_a_proven_gain_is_kept_and_the_arms_are_interleaved() -> None:
    machine, notes = Machine(), Notes()
    it = session(machine, Script(4), evaluations=2, watcher=notes)
    it.explore()
    receipt = it.verify()
    blocks = [machine.applied[2:6], machine.applied[6:]]
    assert all(block in ([8, 4, 4, 8], [4, 8, 8, 4]) for block in blocks)
    assert notes.lines[-1] == "verify 8/8"
    assert receipt is not None
    assert receipt.verdict.significant
    assert it.proven
    assert it.kept == Setting(max=4)


def test_the_receipt_stops_when_it_is_decided() -> None:
    machine, notes = Machine(), Notes()
    it = session(machine, Script(4), evaluations=2, watcher=notes, verify_blocks=10)
    it.explore()
    receipt = it.verify()
    assert receipt is not None
    assert (receipt.verdict.decided, receipt.verdict.significant) == ("difference", True)
    assert len(receipt.default_runs) == len(receipt.chosen_runs) == receipt.verdict.runs < 20
    assert len(machine.applied) == 2 + 2 * receipt.verdict.runs
    assert notes.lines[-2] == f"verify {2 * receipt.verdict.runs - 1}/40"
    assert notes.lines[-1] == f"verify {2 * receipt.verdict.runs}/{2 * receipt.verdict.runs}"


def test_a_gain_beyond_the_slowdown_bound_is_not_kept() -> None:
    it = session(Machine(), Script(4), evaluations=2, max_slowdown=0.5)
    it.explore()
    it.verify()
    assert not it.proven
    assert it.kept == SPACE.default


def test_nothing_is_verified_when_the_default_is_best() -> None:
    it = session(Machine(), Script(4, 2), objective=Objective.TIME)
    it.explore()
    assert it.verify() is None
    assert it.kept == SPACE.default
    assert not it.proven


def test_without_a_receipt_nothing_is_proven() -> None:
    it = session(Machine(), Script(4))
    it.explore()
    assert it.chosen == Setting(max=4)
    assert it.kept == SPACE.default


def test_a_command_that_fails_ends_the_session() -> None:
    it = session(Machine(fails_at=4), Script(4, 2))
    with pytest.raises(WorkloadError):
        it.explore()
    assert it.stopped == "interrupted"
    assert len(it.decisions) == 1


class Blind(Machine):
    """A meter too slow for the work."""

    def measure(self, repeats: int, give_up_s: float | None = None) -> tuple[Run, ...]:
        return tuple(Run(time_s=run.time_s, energy_j=None) for run in super().measure(repeats, give_up_s))


def test_a_run_without_an_energy_figure_is_no_ground_for_an_energy_objective() -> None:
    with pytest.raises(Unsupported, match="did not move"):
        session(Blind(), Script(4)).explore()
    it = session(Blind(), Script(4), objective=Objective.TIME)
    it.explore()
    assert it.decisions[0].trial.energy_j is None


class Imagined(Machine):
    status = TrialStatus.PREDICTED


def test_predictions_are_never_learned_from_nor_verified() -> None:
    planner = Script(4, 2, 6)
    it = session(Imagined(), planner)
    it.explore()
    assert set(planner.asked) == {0}
    assert [decision.trial.status for decision in it.decisions] == [TrialStatus.PREDICTED] * 2
    assert it.chosen == Setting(max=4)
    assert it.expected is not None
    assert it.verify() is None
    assert it.stopped == "nothing measured"


def test_a_probe_far_beyond_the_bound_is_stopped_and_what_it_told_is_kept() -> None:
    """The default takes 1.002 s; 20 % slower is allowed, five times that is 2.004 s. At 4 it takes 2 s, at 3 2.67 s."""
    machine, planner = Machine(), Script(4, 3, 8, 6)
    it = session(machine, planner, evaluations=5, abandon=True, max_slowdown=0.2)
    it.explore()
    limit = pytest.approx(2.004)
    assert machine.patience == [(8, None), (8, None), (4, limit), (3, limit), (8, None), (6, limit)]
    assert [decision.trial.status for decision in it.decisions] == [
        TrialStatus.OK, TrialStatus.OK, TrialStatus.CENSORED, TrialStatus.OK, TrialStatus.OK,
    ]  # fmt: skip
    (run,) = it.decisions[2].trial.runs
    assert run.censored and run.time_s == limit
    assert planner.asked == [1, 2, 3, 4], "it counts as known"


@pytest.mark.parametrize(("abandon", "max_slowdown"), [(False, 0.2), (True, None)])
def test_nothing_is_stopped_unless_it_is_allowed_and_bounded(abandon: bool, max_slowdown: float | None) -> None:
    machine = Machine()
    it = session(machine, Script(1, 2), abandon=abandon, max_slowdown=max_slowdown)
    it.explore()
    assert {patience for _, patience in machine.patience} == {None}
    assert {decision.trial.status for decision in it.decisions} == {TrialStatus.OK}


def test_the_receipt_is_measured_to_its_end() -> None:
    machine = Machine()
    it = session(machine, Script(4), evaluations=2, abandon=True, max_slowdown=0.3)
    it.explore()
    assert it.chosen == Setting(max=4)
    before = len(machine.patience)
    assert it.verify() is not None
    assert sorted(machine.patience[before:]) == [(4, None)] * 4 + [(8, None)] * 4


def test_what_the_kernel_makes_the_default_of_is_measured_to_its_end() -> None:
    machine = Machine()
    space = KnobSpace(knobs=(*SPACE.knobs, RangeKnob(name="other", role="other", unit="", low=1, high=2, default=1)))
    it = session(machine, Script(8), evaluations=2, abandon=True, max_slowdown=0.2)
    it.problem = replace(it.problem, space=space)
    it.explore()
    asked, effective = it.decisions[1].trial.requested, it.decisions[1].trial.setting
    assert asked != effective == space.default
    assert machine.patience[-1] == (8, None)
