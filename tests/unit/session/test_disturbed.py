"""Measurements that somebody disturbs, knobs that are held, limits that are not obeyed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from hwtune.domain.errors import ForeignEdit
from hwtune.domain.knob import Activity, ChoiceKnob, KnobSpace, RangeKnob, Setting
from hwtune.domain.objective import Objective
from hwtune.domain.problem import Problem
from hwtune.domain.trial import Proposal, Reason, Run, Trial, TrialStatus
from hwtune.knobs.changes import Changes
from hwtune.knobs.effective import Ignored
from hwtune.knobs.outcome import Outcome
from hwtune.session import Budget, Session

SPACE = KnobSpace(
    knobs=(
        ChoiceKnob(name="governor", role="governor", choices=("eco", "fast"), default="fast"),
        RangeKnob(name="max", role="frequency", unit="kHz", low=1, high=8, default=8, levels=tuple(range(1, 9))),
        ChoiceKnob(
            name="epp",
            role="epp",
            choices=("low", "high"),
            default="high",
            active_when=(Activity(knob="governor", values=("eco",)),),
        ),
    )
)


class Machine:
    """Transaction, work and limits in one; `during[n]` happens in the n-th measurement."""

    status = TrialStatus.OK
    warnings: tuple[str, ...] = ()

    def __init__(self, **during: Callable[[Machine], None]) -> None:
        self.now = dict(SPACE.default)
        self.held: dict[str, Outcome] = {}
        self.measured: list[Setting] = []
        self.found = Changes()
        self.ignored: tuple[Ignored, ...] = ()
        self._during = during

    def apply(self, setting: Setting) -> Any:
        self.now |= {knob: value for knob, value in setting.items() if knob not in self.held}
        return SimpleNamespace(effective=Setting(self.now))

    def look(self) -> Changes:
        found, self.found = self.found, Changes()
        return found

    def begin(self) -> None:
        self.ignored = ()

    def end(self) -> Sequence[Ignored]:
        return self.ignored

    def foreign(self, knob: str, value: Any) -> None:
        self.now[knob] = value
        self.held[knob] = Outcome(knob=knob, result="yielded", wanted="", effective=str(value))
        self.found = Changes(foreign={f"/sys/{knob}": str(value)})

    def warm_up(self) -> Run:
        return Run(time_s=1.0, energy_j=1.0)

    def measure(self, repeats: int, give_up_s: float | None = None) -> tuple[Run, ...]:
        self.measured.append(Setting(self.now))
        if happens := self._during.get(f"run{len(self.measured)}"):
            happens(self)
        return (Run(time_s=8 / int(self.now["max"]), energy_j=float(len(self.measured))),) * repeats


class Script:
    """A planner that follows a script, in the knobs that it is asked about."""

    def __init__(self, *settings: dict[str, Any]) -> None:
        self.asked: list[tuple[tuple[str, ...], int]] = []
        self._settings = list(settings)

    def _said(self, problem: Problem, trials: Sequence[Trial]) -> None:
        names = set(problem.space.names)
        assert all(trial.setting.keys() == names == trial.requested.keys() for trial in trials)
        assert problem.space.default in [trial.requested for trial in trials]

    def suggest(self, problem: Problem, trials: Sequence[Trial]) -> Proposal:
        self._said(problem, trials)
        self.asked.append((problem.space.names, len(trials)))
        values = self._settings.pop(0) if self._settings else {}
        setting = problem.space.default | {k: v for k, v in values.items() if k in problem.space.names}
        return Proposal(setting=setting, reason=Reason.EXPLORE, status="ok" if values else "exhausted")

    def recommend(self, problem: Problem, trials: Sequence[Trial]) -> Proposal:
        self._said(problem, trials)
        return Proposal(setting=trials[-1].setting, reason=Reason.EXPLOIT)


class Silent:
    def proposed(self, *_: Any) -> None: ...
    def decided(self, *_: Any) -> None: ...
    def verifying(self, *_: Any) -> None: ...


def explored(machine: Machine, planner: Script, evaluations: int = 4) -> Session:
    it = Session(
        problem=Problem(space=SPACE, objective=Objective.TIME),
        transaction=machine,  # type: ignore[arg-type]
        work=machine,
        planner=planner,
        budget=Budget(evaluations=evaluations, runs=1, verify_blocks=1),
        now_ns=lambda: 0,
        watcher=Silent(),
        limits=machine,
    )
    it.explore()
    return it


def test_a_trial_that_somebody_disturbs_is_measured_again_and_their_knob_is_left_out() -> None:
    machine = Machine(run2=lambda it: it.foreign("governor", "eco"))
    planner = Script({"max": 4}, {"max": 6})
    it = explored(machine, planner, evaluations=4)
    # 2 was disturbed; 3 is the same again; then the default anew, for nothing speaks of this machine any more.
    assert [(run["governor"], run["max"]) for run in machine.measured] == [
        ("fast", 8), ("fast", 4), ("eco", 4), ("eco", 8), ("eco", 6),
    ]  # fmt: skip
    assert [decision.trial.setting["governor"] for decision in it.decisions] == ["fast", "eco", "eco", "eco"]
    assert [decision.proposal.reason for decision in it.decisions][2] is Reason.DEFAULT
    assert planner.asked[0] == (("governor", "max", "epp"), 1)
    # The EPP does something under their governor, so it is still turned.
    assert planner.asked[1] == (("max", "epp"), 2)
    assert [(notice.kind, notice.knob) for notice in it.notices] == [("yielded", "governor")]
    assert it.decisions[1].recommended.setting == SPACE.default


def test_what_a_suspend_has_undone_is_measured_again_and_stays_ours() -> None:
    def slept(it: Machine) -> None:
        it.now["max"] = 8
        it.found = Changes(lost={"/sys/max": "8"})

    machine = Machine(run2=slept)
    it = explored(machine, Script({"max": 4}), evaluations=2)
    assert [run["max"] for run in machine.measured] == [8, 4, 4]
    assert it.decisions[1].trial.setting["max"] == 4
    assert it.notices == ()


def test_who_keeps_disturbing_ends_it() -> None:
    def edit(it: Machine) -> None:
        it.found = Changes(foreign={"/sys/max": "3"})

    with pytest.raises(ForeignEdit) as caught:
        explored(Machine(run2=edit, run3=edit, run4=edit), Script({"max": 4}))
    assert caught.value.exit_status == 6
    assert caught.value.hint is not None


def test_a_limit_that_is_ignored_teaches_no_lie() -> None:
    def ignore(it: Machine) -> None:
        it.ignored = (Ignored(knob="max", limit_khz=2, measured_khz=7, level=7),)

    machine = Machine(run2=ignore)
    planner = Script({"max": 2}, {"governor": "eco"})
    it = explored(machine, planner, evaluations=3)
    assert it.decisions[1].trial.requested["max"] == 2
    assert it.decisions[1].trial.setting["max"] == 7
    assert planner.asked[1] == (("governor", "epp"), 2)
    # Who knows when the firmware begins to obey: it is set back.
    assert machine.measured[2]["max"] == 8
    (notice,) = it.notices
    assert (notice.kind, notice.knob) == ("ignored", "max")
    assert "accepted but ignored" in notice.text


def test_what_is_in_quarantine_is_never_proposed() -> None:
    machine = Machine()
    machine.held = {"max": Outcome(knob="max", result="quarantined", wanted="8")}
    planner = Script({"governor": "eco"})
    explored(machine, planner, evaluations=2)
    assert planner.asked == [(("governor", "epp"), 1)]


def test_with_nothing_left_to_turn_it_ends() -> None:
    machine = Machine()
    machine.held = {name: Outcome(knob=name, result="quarantined", wanted="") for name in SPACE.names}
    it = explored(machine, Script({"max": 3}))
    assert (it.stopped, len(it.decisions)) == ("nothing to turn", 1)
    assert it.chosen == SPACE.default


def test_a_knob_that_goes_to_somebody_in_the_receipt_makes_it_begin_anew() -> None:
    machine = Machine(run4=lambda it: it.foreign("governor", "eco"))
    it = explored(machine, Script({"max": 4}), evaluations=2)
    receipt = it.verify()
    assert receipt is not None
    # Runs 3 and 4 of the first attempt, 4 once more, then the rest of it; and all of it again.
    assert [run["max"] for run in machine.measured[-4:]] in ([8, 4, 4, 8], [4, 8, 8, 4])
    assert {run["governor"] for run in machine.measured[-4:]} == {"eco"}
    assert len(receipt.default_runs) == len(receipt.chosen_runs) == 2
