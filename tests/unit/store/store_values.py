"""A session as the store sees it, for the tests of this room."""

from __future__ import annotations

from hwtune.domain.knob import Activity, ChoiceKnob, KnobSpace, RangeKnob, Setting
from hwtune.domain.objective import Bound, Objective
from hwtune.domain.problem import Problem
from hwtune.domain.trial import LogNormal, Prediction, Proposal, Reason, Run, Trial
from hwtune.store.records import Fingerprint

BOX = Fingerprint(name="box", simulated=False, hwtune_version="0.1.0", cpu_model="CPU", driver="acpi-cpufreq")
IMAGINED = Fingerprint(name="simulated laptop", simulated=True, hwtune_version="0.1.0")

SPACE = KnobSpace(
    knobs=(
        ChoiceKnob(name="governor", role="governor", choices=("performance", "1"), default="performance"),
        RangeKnob(
            name="max",
            role="frequency",
            unit="kHz",
            low=800000,
            high=2000000,
            default=2000000,
            levels=(800000, 1400000, 2000000),
            scope=(0, 4),
            active_when=(Activity(knob="governor", values=("performance", 3)),),
        ),
    ),
    ordered_pairs=(("max", "max"),),
)
PROBLEM = Problem(
    space=SPACE,
    objective=Objective.EDP,
    bound=Bound(max_slowdown=0.05),
    max_risk=0.1,
    seed=123456789012345678901234567890,
)
DEFAULT = Proposal(setting=SPACE.default, reason=Reason.DEFAULT)
EXPLORE = Proposal(
    setting=Setting(governor="1", max=1400000),
    reason=Reason.EXPLORE,
    predicted=Prediction(time_s=LogNormal(mean_log=0.1, sd_log=0.2), energy_j=LogNormal(mean_log=2.0, sd_log=0.3)),
    probability_feasible=0.93,
    score=float("-inf"),
    importance={"max": 0.4, "governor": 0.0},
)
TIME_ONLY = Proposal(
    setting=SPACE.default,
    reason=Reason.VERIFY,
    predicted=Prediction(time_s=LogNormal(mean_log=0.0, sd_log=0.1), energy_j=None),
    status="converged",
)
TRIAL = Trial(
    setting=Setting(governor="1", max=1400000),
    requested=Setting(governor="1", max=1500000),
    runs=(
        Run(time_s=1.25, energy_j=10.5, cpu_time_s=0.9, features={"ipc": 1.5, "busy_ratio": 1.0}),
        Run(time_s=1.5, energy_j=None),
    ),
    context={"work": 3.0},
    reason=Reason.EXPLORE,
)
