"""hwtune itself, as its users run it: `hwtune replay --json`, once for a table.

What it claims to have measured is not looked at: time and energy are the table's. The prior that ships has been learned
from tables that others have published. Where one of those is scored, `--prior others` gives a fair figure for machines
that nobody has seen: for each table, a prior learned by `hwtune train` from the other tables of the folder and nothing
else.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from peers.tasks import Task, Trace, bound_of

from hwtune.domain.errors import PlannerError, UsageError
from hwtune.domain.objective import Objective


def replayed(
    path: Path,
    workloads: Collection[str],
    *,
    objective: Objective,
    budget: int,
    seed: int,
    warm: bool,
    jobs: int | None,
    state: Path,
) -> dict[str, Any]:
    """Workload → its entry in the document of one replay.

    Args:
        path: the table.
        workloads: which of it.
        objective: what to minimise, under its bound.
        budget: evaluations.
        seed: of every random choice.
        warm: whether the table's other workloads are known.
        jobs: workloads at once; None for as many as there are CPUs.
        state: the state directory, whose prior is used if it has one.

    Raises:
        PlannerError: it failed.
    """
    bound = bound_of(objective)
    words = [str(path), "--objective", objective.value, "--budget", str(budget), "--seed", str(seed), "--json"]
    words += [f"--workload={name}" for name in workloads]
    words += [] if bound is None else ["--max-slowdown", str(bound)]
    words += ["--warm", "table"] if warm else []
    words += [] if jobs is None else ["--jobs", str(jobs)]
    document = json.loads(_hwtune(["replay", *words], state))
    return {entry["workload"]: entry for entry in document["workloads"]}


def learn_prior(others: Sequence[Path], state: Path) -> None:
    """Put a prior into a state directory that knows these tables and nothing else.

    Raises:
        UsageError: there is no other table.
        PlannerError: it failed.
    """
    if not others:
        raise UsageError("--prior others needs a second table to learn from", hint="add a table, or leave it out")
    words = [f"--tables={path}" for path in others]
    _hwtune(["train", *words, "--no-store", "--no-shipped", "--out", str(state / "prior.json")], state)


def trace_of(task: Task, entry: Mapping[str, Any], knobs: Sequence[str]) -> Trace:
    """The trace in an entry, its intervals held against the table's own figures.

    Raises:
        PlannerError: the first evaluation is not the default, or a recommendation is missing.
    """

    def row(setting: Mapping[str, float]) -> int:
        return task.row_at[tuple(float(setting[knob]) for knob in knobs)]

    rows = tuple(row(each["setting"]) for each in entry["evaluated"])
    recommended = tuple(map(row, entry["recommended"]))
    if rows[0] != task.default or len(rows) != len(recommended):
        raise PlannerError(f"{task.table}, {task.workload}: the replay is not one", hint="please report it")
    held = []
    for each, at in zip(entry["evaluated"][1:], rows[1:], strict=True):
        for name, figures in (("time_s_90", task.time_s), ("energy_j_90", task.energy_j)):
            low, high = each["predicted"][name]
            held.append(bool(low <= figures[at] <= high))
    return Trace(rows=rows, recommended=recommended, held=tuple(held))


def _hwtune(words: Sequence[str], state: Path) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HWTUNE_")}
    result = subprocess.run(
        [sys.executable, "-m", "hwtune", *words],
        env={**environment, "HWTUNE_PATHS_STATE_DIR": str(state), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode:
        said = (result.stderr.strip().splitlines() or ["nothing"])[0]
        raise PlannerError(f"hwtune {words[0]} failed (exit {result.returncode})", hint=f"it said: {said}")
    return result.stdout
