"""The end of `hwtune tune` for machines: the JSON document, and the receipt's runs for pyperf."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from hwtune.cli.cost import cost_entry, disturbances, measured_runs, paybacks_entry
from hwtune.cli.energy_entry import energy_entry
from hwtune.cli.host import OpenHost
from hwtune.cli.outcome import (
    Outcome,
    evaluated_entries,
    measure_entry,
    predicted_figures,
    recommended_entries,
    verdict_entry,
)
from hwtune.cli.tuning import Tuning
from hwtune.workload.results import Arm, write_pyperf


def document(opened: OpenHost, tuning: Tuning) -> Outcome:
    """Everything the session did, for machines; see docs/tune-json.md."""
    session, machine = tuning.session, opened.simulated
    truth = None if machine is None else machine.true
    cost = None if opened.dry else tuning.collector.cost()
    outcome = Outcome(
        machine=opened.host.name,
        simulated=opened.host.simulated,
        dry_run=opened.dry,
        energy_source=tuning.energy.name,
        energy=energy_entry(tuning.energy, measured_runs(session)),
        workload=tuning.label,
        measure=measure_entry(tuning.measure),
        objective=session.problem.objective.value,
        max_slowdown=session.problem.bound.max_slowdown,
        max_power_w=session.problem.bound.max_power_w,
        max_latency_s=dict(session.problem.bound.max_latency_s),
        max_pressure=dict(session.problem.bound.max_pressure),
        seed=session.problem.seed,
        budget=tuning.budget,
        evaluated=evaluated_entries(session, truth),
        recommended=recommended_entries(session, truth),
        stopped=session.stopped,
        why_stopped=session.why_stopped or None,
        verdict=None if session.receipt is None else verdict_entry(session.receipt.verdict),
        expected=predicted_figures(session.expected) if opened.dry and session.expected is not None else None,
        would_write=tuning.would_write,
        noticed=[asdict(notice) for notice in session.notices],
        warnings=[*tuning.warnings, *disturbances(measured_runs(session))],
        cost=None if cost is None else cost_entry(cost),
        payback=None if cost is None else paybacks_entry(session, cost),
        kept=tuning.kept,
        restored=tuning.restored,
    )
    if machine is None or opened.dry:
        return outcome
    setting, time_s, energy_j = machine.oracle(session.problem.space, session.problem.objective, session.problem.bound)
    best = {"setting": dict(setting), "time_s": time_s, "energy_j": energy_j}
    return outcome.model_copy(update={"oracle": best})


def save_pyperf(path: Path, opened: OpenHost, tuning: Tuning) -> None:
    """Write the runs of the receipt, or the default's alone where there is none.

    Raises:
        WorkloadError: when the file cannot be written.
    """
    session = tuning.session
    if session.receipt is not None:
        arms = [
            Arm(name="default", setting=session.default, runs=session.receipt.default_runs),
            Arm(name="chosen", setting=session.chosen, runs=session.receipt.chosen_runs),
        ]
    else:
        arms = [Arm(name="default", setting=session.default, runs=session.decisions[0].trial.runs)]
    write_pyperf(path, arms, command=tuning.label, machine=opened.host.name, simulated=opened.host.simulated)
