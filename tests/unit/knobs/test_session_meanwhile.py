"""A whole session on a fake machine while things happen to it: edits, sleep, hotplug, firmware that does not obey."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from bench import CPUFREQ, Bench, acpi, intel

from hwtune.domain.errors import ForeignEdit
from hwtune.domain.objective import Objective
from hwtune.domain.problem import Problem
from hwtune.domain.trial import Proposal, Reason, Run, Trial, TrialStatus
from hwtune.knobs.cpufreq import CpufreqBackend
from hwtune.knobs.effective import LimitCheck
from hwtune.knobs.transaction import Transaction
from hwtune.session import Budget, Session

P1 = f"{CPUFREQ}/policy1"


class Work:
    """Takes as long as its cores are slow; `during` happens in the middle of the n-th measurement."""

    status = TrialStatus.OK
    warnings: tuple[str, ...] = ()

    def __init__(self, kernel: Bench, during: dict[int, Callable[[], None]]) -> None:
        self._kernel = kernel
        self._during = during
        self.measured = 0

    def warm_up(self) -> Run:
        return self.measure(1)[0]

    def measure(self, repeats: int, give_up_s: float | None = None) -> tuple[Run, ...]:
        self.measured += 1
        self._during.get(self.measured, lambda: None)()
        khz = max(self._kernel.kernel.current_khz(policy) for policy in self._kernel.policies)
        return (Run(time_s=1e6 / khz, energy_j=None),) * repeats


class Script:
    def __init__(self, *settings: dict[str, Any]) -> None:
        self.spaces: list[tuple[str, ...]] = []
        self._settings = list(settings)

    def suggest(self, problem: Problem, trials: Sequence[Trial]) -> Proposal:
        self.spaces.append(problem.space.names)
        values = self._settings.pop(0)
        turned = {knob: value for knob, value in values.items() if knob in problem.space.names}
        return Proposal(setting=problem.space.default | turned, reason=Reason.EXPLORE)

    def recommend(self, problem: Problem, trials: Sequence[Trial]) -> Proposal:
        return Proposal(setting=problem.space.default, reason=Reason.EXPLOIT)


class Silent:
    def proposed(self, *_: Any) -> None: ...
    def decided(self, *_: Any) -> None: ...
    def verifying(self, *_: Any) -> None: ...


def tuned(
    kernel: Bench,
    place: Path,
    *settings: dict[str, Any],
    during: dict[int, Callable[[], None]] | None = None,
    **more: Any,
) -> tuple[Session, Work, Script]:
    """The default is the second measurement, for the first warms up; what is suggested begins with the third."""
    backend = CpufreqBackend(kernel, sleep=lambda _s: None)
    work, planner = Work(kernel, during or {}), Script(*settings)
    fake = kernel.kernel
    clocks = LimitCheck(backend, lambda: {fake.directory(each): fake.current_khz(each) for each in fake.policies})
    with Transaction(
        backend, run_dir=place / "run", verb="tune", files=kernel, state_dir=place / "state", **more
    ) as transaction:
        names = ("governor", "max", "min")
        session = Session(
            problem=Problem(space=backend.space.subset(names), objective=Objective.TIME),
            transaction=transaction,
            work=work,
            planner=planner,
            budget=Budget(evaluations=len(settings) + 1, runs=1, verify_blocks=1),
            now_ns=lambda: 0,
            watcher=Silent(),
            limits=clocks,
        )
        session.explore()
    return session, work, planner


def test_firmware_that_does_not_obey_is_reported_and_learned_from(tmp_path: Path) -> None:
    kernel = acpi()
    start = kernel.texts()
    kernel.kernel.ignore_limits = True
    session, _, planner = tuned(kernel, tmp_path, {"max": 1_600_000}, {"governor": "performance"})
    trial = session.decisions[1].trial
    assert trial.requested["max"] == 1_600_000
    assert int(trial.setting["max"]) > 3_000_000
    (notice,) = session.notices
    assert (notice.kind, notice.knob) == ("ignored", "max")
    assert "max" in planner.spaces[0] and "max" not in planner.spaces[1]
    assert kernel.texts() == start


def test_firmware_that_obeys_is_not_suspected(tmp_path: Path) -> None:
    kernel = acpi()
    session, _, _ = tuned(kernel, tmp_path, {"max": 1_600_000}, {"max": 800_000}, {"max": 3_200_000})
    assert session.notices == ()
    assert [int(decision.trial.setting["max"]) for decision in session.decisions[1:]] == [1_600_000, 800_000, 3_200_000]


def test_somebody_sets_our_knob_in_the_middle(tmp_path: Path) -> None:
    kernel = acpi()
    start = kernel.texts()
    session, work, _ = tuned(
        kernel,
        tmp_path,
        {"max": 1_600_000, "governor": "powersave"},
        {"governor": "performance"},
        {"governor": "powersave"},
        during={3: lambda: kernel.kernel.somebody(f"{P1}/scaling_max_freq", "2800000")},
    )
    assert work.measured == 6  # the disturbed one was measured again; then the default anew
    assert [(notice.kind, notice.knob) for notice in session.notices] == [("yielded", "max")]
    assert session.decisions[2].proposal.reason is Reason.DEFAULT
    assert kernel.texts() == {**start, f"{P1}/scaling_max_freq": "2800000"}


def test_somebody_sets_our_knob_and_that_is_to_end_it(tmp_path: Path) -> None:
    kernel = acpi()
    start = kernel.texts()
    with pytest.raises(ForeignEdit) as caught:
        tuned(
            kernel,
            tmp_path,
            {"max": 1_600_000, "governor": "powersave"},
            during={3: lambda: kernel.kernel.somebody(f"{P1}/scaling_max_freq", "2800000")},
            on_foreign="stop",
        )
    assert caught.value.exit_status == 6
    assert kernel.texts() == {**start, f"{P1}/scaling_max_freq": "2800000"}


def test_the_machine_sleeps_in_the_middle(tmp_path: Path) -> None:
    kernel = intel()
    start = kernel.texts()
    slept = [0.0]

    def sleep() -> None:
        slept[0] += 60.0
        for policy in kernel.policies:
            policy.max_request = policy.cpuinfo_max

    session, work, _ = tuned(kernel, tmp_path, {"max": 2_000_000}, during={3: sleep}, slept_s=lambda: slept[0])
    assert work.measured == 4
    assert session.decisions[1].trial.setting["max"] == 2_000_000
    assert session.notices == ()
    assert kernel.texts() == start


def test_cpus_go_and_come_back_in_the_middle(tmp_path: Path) -> None:
    kernel = acpi()
    start = kernel.texts()
    session, _, _ = tuned(
        kernel,
        tmp_path,
        {"max": 1_600_000},
        {"max": 2_000_000},
        {"max": 2_400_000},
        during={3: lambda: kernel.plug(1, False), 5: lambda: kernel.plug(1, True)},
    )
    assert [int(decision.trial.setting["max"]) for decision in session.decisions[1:]] == [
        1_600_000, 2_000_000, 2_400_000,
    ]  # fmt: skip
    assert session.notices == ()
    assert kernel.texts() == start
    assert not (tmp_path / "run/journal.json").exists()
