"""A made-up session in a store, for the tests of this room: a quadratic bowl in one frequency, with noise-free runs."""

from __future__ import annotations

from dataclasses import asdict, replace
from math import log
from pathlib import Path

from hwtune.domain.knob import ChoiceKnob, KnobSpace, RangeKnob, Setting
from hwtune.domain.objective import Bound, Objective
from hwtune.domain.problem import Problem
from hwtune.domain.trial import LogNormal, Prediction, Proposal, Reason, Run, Trial, TrialStatus
from hwtune.store.database import Store
from hwtune.store.records import Fingerprint
from hwtune.workload.verdict import judge

BOX = Fingerprint(
    name="box", simulated=False, hwtune_version="0.1.0", cpu_model="A CPU", energy_source="RAPL package-0"
)
SPACE = KnobSpace(
    knobs=(
        ChoiceKnob(name="epp", role="epp", choices=("performance", "power"), default="performance"),
        RangeKnob(name="max", role="frequency", unit="kHz", low=800000, high=3200000, step=100000, default=3200000),
    )
)
PROBLEM = Problem(space=SPACE, objective=Objective.EDP, bound=Bound(max_slowdown=0.4), seed=7)
# Order of evaluation: EPP, MHz, reason.
STEPS = (
    ("performance", 3200, Reason.DEFAULT),
    ("power", 1200, Reason.EXPLORE),
    ("performance", 2000, Reason.EXPAND),
    ("power", 2200, Reason.EXPLOIT),
    ("power", 2500, Reason.EXPLOIT),
    ("performance", 2400, Reason.EXPLORE),
    ("power", 2400, Reason.EXPLOIT),
)


def run_of(setting: Setting, energy: bool = True) -> Run:
    """Half of the work scales with the frequency; power grows with its cube."""
    ghz = int(setting["max"]) / 1e6
    time_s = 4.0 / ghz + 1.0 + (0.05 if setting["epp"] == "power" else 0.0)
    power_w = 12.0 + 0.7 * ghz**3 - (0.8 if setting["epp"] == "power" else 0.0)
    return Run(time_s=time_s, energy_j=time_s * power_w if energy else None)


def proposal(setting: Setting, reason: Reason, *, energy: bool, off: float = 0.0) -> Proposal:
    """A prediction that is `off` by so much in the logarithm."""
    run = run_of(setting)
    assert run.energy_j is not None
    return Proposal(
        setting=setting,
        reason=reason,
        predicted=None
        if reason is Reason.DEFAULT
        else Prediction(
            time_s=LogNormal(mean_log=log(run.time_s) + off / 2, sd_log=0.05),
            energy_j=LogNormal(mean_log=log(run.energy_j) + off, sd_log=0.08) if energy else None,
        ),
        probability_feasible=None if reason is Reason.DEFAULT else 0.97,
        score=None if reason is Reason.DEFAULT else -1.5,
        importance={} if reason is Reason.DEFAULT else {"max": 0.62, "epp": 0.11},
    )


def write_session(
    path: Path,
    *,
    machine: Fingerprint = BOX,
    problem: Problem = PROBLEM,
    workload: str = "make -j8",
    steps: int = len(STEPS),
    energy: bool = True,
    verified: bool = True,
    gain: float = 1.0,
    never_run: Setting | None = None,
    give_up_s: float | None = None,
) -> int:
    """Write a session of so many steps.

    `gain` is a factor on the energy of the receipt's chosen arm; `never_run` is recommended at the end, unmeasured;
    runs longer than `give_up_s` were stopped then.
    """
    with Store(path, now_s=lambda: 1_800_000_000.0) as store:
        number = store.begin_session(machine, verb="tune", workload=workload, argv=(), problem=problem)
        best: tuple[float, Setting] | None = None
        for index, (epp, mhz, reason) in enumerate(STEPS[:steps]):
            setting = Setting({"epp": epp, "max": mhz * 1000})
            run = run_of(setting, energy)
            value = problem.objective.value_of(run.time_s, run.energy_j)
            early = give_up_s is not None and run.time_s > give_up_s
            best = (value, setting) if best is None or (value < best[0] and not early) else best
            runs = (_stopped(run, give_up_s),) if give_up_s is not None and early else (run, run, run)
            status = TrialStatus.CENSORED if early else TrialStatus.OK
            store.record_decision(
                number,
                proposal(setting, reason, energy=energy, off=(-1) ** index * 0.3 / (index + 1)),
                Trial(setting=setting, requested=setting, runs=runs, reason=reason, status=status),
                proposal(never_run if never_run and index == steps - 1 else best[1], Reason.VERIFY, energy=energy),
            )
        verdict = None
        if verified and best is not None:
            default, chosen = run_of(SPACE.default, energy), run_of(best[1], energy)
            arms = [
                [_noisy(run, factor) for factor in (0.99, 1.0, 1.01, 1.0)]
                for run in (default, _noisy(chosen, 1.0, gain))
            ]
            verdict = asdict(judge(arms[0], [*arms[1][1:], arms[1][0]], problem.objective)) | {
                "default_time_s": default.time_s,
                "default_energy_j": default.energy_j,
                "chosen_time_s": chosen.time_s,
                "chosen_energy_j": None if chosen.energy_j is None else chosen.energy_j * gain,
            }
        store.end_session(number, "budget" if verdict is None else "gain proven", verdict)
    return number


def _stopped(run: Run, after_s: float) -> Run:
    energy_j = None if run.energy_j is None else run.energy_j * after_s / run.time_s
    return replace(run, time_s=after_s, energy_j=energy_j, censored=True)


def _noisy(run: Run, factor: float, energy_factor: float = 1.0) -> Run:
    energy_j = None if run.energy_j is None else run.energy_j * factor * energy_factor
    return replace(run, time_s=run.time_s * factor, energy_j=energy_j)
