"""What a session has cost, in words: never more than is known, and never mixed with what is simulated."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from hwtune.cli.cost import (
    cost_entry,
    cost_lines,
    disturbances,
    duration_text,
    energy_text,
    measured_runs,
    own_entry,
    paybacks_entry,
)
from hwtune.domain.knob import Setting
from hwtune.domain.trial import Run, Trial
from hwtune.sensors.own import Cost
from hwtune.workload.verdict import Verdict


def cost(**changes):
    usual = {
        "time_s": 812.0,
        "energy_j": 14_100.0,
        "busy_s": 1000.0,
        "own_cpu_s": 2.0,
        "helpers_cpu_s": 8.0,
        "same_machine": True,
    }
    return Cost(**(usual | changes))


def run(own_cpu_s=None, cpu_time_s=1.0, energy_j=100.0, unit="s"):
    return Run(time_s=1.0, energy_j=energy_j, cpu_time_s=cpu_time_s, own_cpu_s=own_cpu_s, unit=unit)


def trial(*runs):
    return Trial(setting=Setting(), requested=Setting(), runs=runs)


def session(*runs, proven=True, energy_ratio=0.9, receipt=True):
    verdict = Verdict(
        time_ratio=1.0,
        time_ratio_95=(0.9, 1.1),
        energy_ratio=energy_ratio,
        energy_ratio_95=(energy_ratio - 0.1, energy_ratio + 0.05),
        objective_ratio=0.9,
        objective_ratio_95=(0.8, 0.95),
        significant=proven,
        runs=2,
    )
    arms = SimpleNamespace(default_runs=runs or (run(),), chosen_runs=runs or (run(),), verdict=verdict)
    decisions = [SimpleNamespace(trial=trial(*(runs or (run(),))))]
    return SimpleNamespace(receipt=arms if receipt else None, proven=proven and receipt, decisions=decisions)


def test_everything_is_known():
    spent, payback = cost_lines(session(), cost(), nature="measured")
    assert spent == (
        "Search and receipt took 13.5 min and 14.1 kJ (measured); hwtune itself used 10 s of CPU time (8 s to plan): "
        "1.0% of all CPU time, to which 141 J are attributed (not measured)."
    )
    assert payback == "It pays back in energy after 1,410 (705 … 2,820) runs (measured)."


def test_a_simulated_machine_has_no_part_in_our_cpu_time():
    imaginary = cost(same_machine=False)
    spent, payback = cost_lines(session(), imaginary, nature="simulated")
    assert "14.1 kJ (simulated)" in spent and "no part of these figures" in spent and "attributed" not in spent
    assert payback.endswith("runs (simulated).")
    entry = cost_entry(imaginary)
    assert (entry.own_cpu_s, entry.planner_cpu_s, entry.own_share, entry.attributed_energy_j) == (None,) * 4


def test_without_a_sensor_there_is_no_word_of_energy():
    for line in cost_lines(session(run(energy_j=None)), cost(energy_j=None), nature="measured"):
        assert "J" not in line and "energy after" not in line


@pytest.mark.parametrize(
    ("ended", "said"),
    [
        (session(proven=False), "It never pays back: no gain is proven."),
        (session(receipt=False), "It never pays back: no gain is proven."),
        (session(energy_ratio=1.2), "It never pays back in energy or in time."),
        (session(energy_ratio=0.96), "It pays back in energy after 3,520 (1,010 … perhaps never) runs (measured)."),
        (
            session(run(unit="s/transaction")),
            "It pays back in energy after 1,410 (705 … 2,820) transactions (measured).",
        ),
        (session(run(unit="frames")), "When it pays back is not known: the work's measure is no time."),
    ],
)
def test_when_it_pays_back(ended, said):
    assert cost_lines(ended, cost(), nature="measured")[1] == said


def test_nothing_proven_is_no_payback_in_the_document():
    assert paybacks_entry(session(proven=False), cost()) is None
    entry = paybacks_entry(session(), cost())
    assert entry is not None and entry.energy is not None and entry.time is None
    assert entry.energy.after_95 == pytest.approx((705.0, 2820.0))


def test_runs_that_hwtune_disturbs_are_named():
    assert disturbances([run(0.005), run(0.009)]) == []
    assert disturbances([run(None), run(0.5, cpu_time_s=None)]) == []
    (said,) = disturbances(measured_runs(session(run(0.001), run(1.0), receipt=False)))
    assert said.startswith("1 of 2 measured runs") and "(up to 50.0%)" in said
    (said,) = disturbances(measured_runs(session(run(1.0))))
    assert said.startswith("3 of 3 measured runs")  # those of the receipt, too


def test_the_share_of_an_evaluation_is_that_of_its_runs_together():
    assert own_entry(trial(run(1.0, cpu_time_s=1.0), run(0.0, cpu_time_s=2.0))) == {"own_cpu_share": 0.25}
    assert own_entry(trial(run(None))) == own_entry(trial(run(0.0, cpu_time_s=0.0))) == {}


@pytest.mark.parametrize(("time_s", "text"), [(0.5, "0.5 s"), (119.0, "119 s"), (600.0, "10 min"), (9000.0, "2.5 h")])
def test_durations(time_s, text):
    assert duration_text(time_s) == text


@pytest.mark.parametrize(("energy_j", "text"), [(0.5, "0.5 J"), (14_100.0, "14.1 kJ"), (3.2e6, "3.2 MJ")])
def test_energies(energy_j, text):
    assert energy_text(energy_j) == text
