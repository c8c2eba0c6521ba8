"""The loop of a comparison on a machine of numbers: what it sets, how it plans, when it ends, what disturbs it."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest

from hwtune.compare import Compare, Pilot, typical
from hwtune.domain.errors import ForeignEdit, KnobError, Rejected, Unsupported
from hwtune.domain.knob import Setting
from hwtune.domain.objective import Objective
from hwtune.domain.trial import Run, TrialStatus
from hwtune.host.fs import LinuxFS
from hwtune.knobs.changes import Changes
from hwtune.knobs.outcome import Outcome
from hwtune.sensors.noise import NoiseMeter
from hwtune.workload.comparison import Comparison

SETTINGS = {"A": Setting(max=4, epp="low"), "B": Setting(max=8, epp="low")}


class Machine:
    """Transaction and work in one. A run takes 8 / max, times noise; `during[n]` is what the n-th look at it finds."""

    status = TrialStatus.OK
    warnings: tuple[str, ...] = ()

    def __init__(
        self,
        *,
        noise: float = 0.002,
        ceiling: int = 8,
        cold: tuple[float, ...] = (),
        energy_j: float | None = 1.0,
        during: dict[int, Callable[[], Changes]] | None = None,
        outcomes: tuple[Outcome, ...] = (),
    ) -> None:
        self.backend = self
        self.now = Setting()
        self.measured: list[Setting] = []
        self._looks = 0
        self._random = Random(1)
        self._noise, self._ceiling, self._cold = noise, ceiling, cold
        self._energy_j, self._during, self._outcomes = energy_j, during or {}, outcomes

    def apply(self, setting: Setting) -> Any:
        self.now = setting | {"max": min(int(setting["max"]), self._ceiling)}
        return SimpleNamespace(effective=self.now, outcomes=self._outcomes)

    def snapshot(self) -> dict[str, str]:
        return {name: str(value) for name, value in self.now.items()}

    def look(self) -> Changes:
        self._looks += 1
        happens = self._during.get(self._looks)
        return Changes() if happens is None else happens()

    def warm_up(self) -> Run:
        raise AssertionError("settling is the warm-up")

    def measure(self, repeats: int, give_up_s: float | None = None) -> tuple[Run, ...]:
        assert repeats == 1
        cold = self._cold[len(self.measured)] if len(self.measured) < len(self._cold) else 1.0
        self.measured.append(self.now)
        time_s = cold * 8 / int(self.now.get("max", 8)) * (1.0 + self._random.gauss(0.0, self._noise))
        return (Run(time_s=time_s, energy_j=self._energy_j),)


class Told:
    """A watcher that remembers."""

    def __init__(self) -> None:
        self.pilot: Pilot | None = None
        self.arms: list[str] = []
        self.decided: list[str | None] = []

    def settling(self, runs: int) -> None:
        assert self.pilot is None

    def planned(self, pilot: Pilot) -> None:
        self.pilot = pilot

    def measuring(self, arm: str, runs: int, max_runs: int) -> None:
        assert runs < max_runs
        self.arms.append(arm)

    def compared(self, comparison: Comparison) -> None:
        self.decided.append(comparison.decided)


def compare(machine: Machine, told: Told | None = None, **more: Any) -> Compare:
    options: dict[str, Any] = {
        "settings": SETTINGS,
        "transaction": machine,
        "objective": Objective.TIME,
        "margin": 0.01,
        "max_runs": 20,
        "seed": 0,
    }
    meter = NoiseMeter(LinuxFS("/nowhere"), dict)
    return Compare(work=machine, meter=meter, watcher=told or Told(), **{**options, **more})


def test_a_difference_is_found_soon_and_the_arms_took_turns() -> None:
    machine, told = Machine(), Told()
    comparing = compare(machine, told)
    comparing.run()
    assert comparing.comparison is not None and comparing.pilot is not None
    assert comparing.comparison.decided == "difference"
    assert comparing.comparison.verdict().time_ratio == pytest.approx(0.5, rel=0.01)
    settling = len(comparing.pilot.warm_up) + len(comparing.pilot.runs)
    assert machine.measured[:settling] == [SETTINGS["A"]] * settling, "the pilot is A's"
    assert machine.measured[settling:] == [SETTINGS[arm] for arm in told.arms]
    assert all(told.arms[at : at + 4] in [["A", "B", "B", "A"], ["B", "A", "A", "B"]] for at in (0, 4, 8))
    assert told.decided == [None, None, "difference"]
    assert {arm: len(runs) for arm, runs in comparing.runs.items()} == {"A": 6, "B": 6}
    assert comparing.effective == SETTINGS
    assert not comparing.same


def test_the_plan_has_the_runs_that_the_margin_takes() -> None:
    quiet, noisy = compare(Machine(noise=0.002)), compare(Machine(noise=0.05))
    for each in (quiet, noisy):
        each.run()
        assert each.pilot is not None
        assert each.pilot.plans[0].runs == 6
        assert each.pilot.plans[-1].runs == each.pilot.max_runs
    assert quiet.pilot is not None and noisy.pilot is not None
    assert quiet.pilot.max_runs < noisy.pilot.max_runs == 20
    assert quiet.pilot.plans[-1].effect <= 0.01 < noisy.pilot.plans[-1].effect
    assert quiet.pilot.longest_s == pytest.approx(2 * quiet.pilot.max_runs * 2.0, rel=0.01), "the plan is of A's runs"


def test_the_first_cold_runs_are_not_counted() -> None:
    comparing = compare(Machine(cold=(3.0, 2.9)))
    comparing.run()
    assert comparing.pilot is not None
    assert [round(run.time_s) for run in comparing.pilot.warm_up] == [6, 6]
    assert len(comparing.pilot.runs) == 8 and comparing.pilot.settled


def test_the_same_twice_is_equivalent_within_the_margin() -> None:
    machine = Machine()
    comparing = compare(machine, settings={"A": Setting(), "B": Setting()}, transaction=None, margin=0.02)
    comparing.run()
    assert comparing.comparison is not None
    assert comparing.comparison.decided == "equivalent"
    assert not comparing.same and comparing.effective == {}


def test_what_is_hopeless_is_given_up_and_the_budget_is_kept() -> None:
    comparing = compare(Machine(noise=0.2, ceiling=4), max_runs=40)
    comparing.run()
    assert comparing.comparison is not None
    assert comparing.comparison.decided in ("futile", "budget")
    assert comparing.same, "both are clamped to the same"
    assert comparing.comparison.blocks <= 20


@pytest.mark.parametrize("max_runs", [4, 5, 7])
def test_few_runs_are_as_many_as_was_said(max_runs: int) -> None:
    machine = Machine(noise=0.1)
    comparing = compare(machine, max_runs=max_runs, settings={"A": Setting(max=8), "B": Setting(max=8)})
    comparing.run()
    assert comparing.comparison is not None and comparing.pilot is not None
    assert 2 * comparing.comparison.blocks <= max_runs
    assert comparing.pilot.max_runs == max_runs - max_runs % 2
    assert len(comparing.pilot.runs) == 4


def test_a_block_that_somebody_disturbs_is_made_again() -> None:
    told = Told()
    machine = Machine(during={2: lambda: Changes(lost={"/sys/max": "9"}), 5: lambda: Changes(foreign={"/sys/x": "9"})})
    comparing = compare(machine, told)
    comparing.run()
    assert told.arms[:2] == told.arms[2:4] == told.arms[5:7], "after two runs, and three, the block begins again"
    assert {len(runs) for runs in comparing.runs.values()} == {2 * len(told.decided)}


def test_a_machine_that_is_never_left_alone_ends_it() -> None:
    during = {number: lambda: Changes(lost={"/sys/max": "9"}) for number in range(1, 40)}
    with pytest.raises(ForeignEdit, match="3 times in a row"):
        compare(Machine(during=during)).run()


@pytest.mark.parametrize(
    ("result", "error"), [("rejected", Rejected), ("quarantined", KnobError), ("yielded", ForeignEdit)]
)
def test_a_knob_that_is_compared_and_cannot_be_turned_ends_it(result: Any, error: type[KnobError]) -> None:
    outcome = Outcome(knob="max", result=result, wanted="8", effective="4", errno=22)
    with pytest.raises(error) as raised:
        compare(Machine(outcomes=(outcome,))).run()
    assert raised.value.hint
    assert type(raised.value) is error
    other = Outcome(knob="epp", result=result, wanted="low")
    compare(Machine(outcomes=(other,))).run()


def test_an_objective_of_energy_needs_energies() -> None:
    with pytest.raises(Unsupported, match="did not move"):
        compare(Machine(energy_j=None), objective=Objective.ENERGY).run()


def test_an_interruption_leaves_what_was_known() -> None:
    def ends() -> Changes:
        raise KeyboardInterrupt

    comparing = compare(Machine(noise=0.05, during={10: ends}))
    with pytest.raises(KeyboardInterrupt):
        comparing.run()
    assert comparing.comparison is not None
    assert comparing.comparison.blocks == 2
    assert comparing.comparison.verdict().runs == 4


def test_the_typical_value_is_the_geometric_mean() -> None:
    middle, (low, high) = typical([1.0, 4.0])
    assert middle == pytest.approx(2.0)
    assert low * high == pytest.approx(4.0)
    assert typical([3.0, 3.0, 3.0])[1] == pytest.approx((3.0, 3.0))
