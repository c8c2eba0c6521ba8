"""How much of the simulated machines' headroom `hwtune tune` finds, against random search with the same budget.

    python benchmarks/closed_loop.py [--seeds 5] [--first-seed 0] [--budget 14] [--objective edp] [--json]

Each run is the whole program (`hwtune tune --simulate=… --json`), scored on the plant's noise-free figures of what it
finally recommends: log(default / recommended) / log(default / oracle). Everything here is simulated.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from typing import Any

from hwtune.domain.knob import ChoiceKnob, KnobSpace, Setting
from hwtune.domain.objective import Objective
from hwtune.knobs.cpufreq import CpufreqBackend
from hwtune.sim.machine import SimulatedMachine

MACHINES = ("laptop", "server", "biglittle")
WORKLOADS = ("compute", "memory", "mixed")


def tuned(machine: str, workload: str, objective: str, budget: int, seed: int) -> dict[str, Any]:
    """The document of one run, in a state directory of its own."""
    with tempfile.TemporaryDirectory() as state:
        words = f"tune --simulate={machine} --workload {workload} --objective {objective}"
        result = subprocess.run(
            [sys.executable, "-m", "hwtune", *words.split(), "--budget", str(budget), "--seed", str(seed), "--json"],
            env={**os.environ, "HWTUNE_PATHS_STATE_DIR": state, "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            check=True,
        )
    document: dict[str, Any] = json.loads(result.stdout)
    return document


def cost(figures: dict[str, float], objective: str) -> float:
    """Log of the objective."""
    return math.log(Objective(objective).value_of(figures["time_s"], figures["energy_j"]))


def scores(document: dict[str, Any]) -> tuple[float, float]:
    """(log headroom, share of it that the final recommendation has)."""
    objective = document["objective"]
    default = cost(document["evaluated"][0]["true"], objective)
    headroom = default - cost(document["oracle"], objective)
    return headroom, (default - cost(document["recommended"][-1]["true"], objective)) / headroom


def drawn(space: KnobSpace, source: random.Random) -> Setting:
    """A legal setting, uniformly."""
    while True:
        setting = Setting(
            {
                knob.name: source.choice(knob.choices if isinstance(knob, ChoiceKnob) else knob.levels or (knob.low,))
                for knob in space.knobs
            }
        )
        if space.legal(setting):
            return space.canonical(setting)


def random_share(document: dict[str, Any], seed: int, *, noise: float = 0.025) -> float:
    """Random search on the same machine: the best of `budget` as measured with the plant's kind of noise."""
    objective = document["objective"]
    machine = SimulatedMachine(
        document["machine"].split()[-1], workload=document["workload"], seed=seed, run_dir=Path(tempfile.gettempdir())
    )
    space = CpufreqBackend(machine.host.files).space
    space = space.subset(tuple(knob.name for knob in space.knobs if knob.role != "other"))
    source = random.Random(seed)
    settings = [space.default, *(drawn(space, source) for _ in range(document["budget"] - 1))]
    truth = [cost(dict(zip(("time_s", "energy_j"), machine.true(s), strict=True)), objective) for s in settings]
    best = min(range(len(settings)), key=lambda i: truth[i] + source.gauss(0.0, noise))
    headroom, _ = scores(document)
    return (truth[0] - truth[best]) / headroom


def main() -> None:
    """Run and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--budget", type=int, default=14)
    parser.add_argument("--objective", default="edp", choices=[objective.value for objective in Objective])
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    cells = [(machine, workload) for machine in MACHINES for workload in WORKLOADS]
    seeds = range(options.first_seed, options.first_seed + options.seeds)
    runs = [(*cell, options.objective, options.budget, seed) for cell in cells for seed in seeds]
    with ThreadPoolExecutor(options.jobs) as pool:
        documents = list(pool.map(lambda run: tuned(*run), runs))
    rows: dict[str, dict[str, Any]] = {}
    for (machine, workload, *_, seed), document in zip(runs, documents, strict=True):
        row = rows.setdefault(f"{machine} {workload}", {"headroom": 0.0, "shares": [], "random": []})
        headroom, share = scores(document)
        row["headroom"] = 1.0 - math.exp(-headroom)
        row["shares"].append(share)
        row["random"].extend(random_share(document, 1000 * seed + draw) for draw in range(20))
    shares = [share for row in rows.values() for share in row["shares"]]
    summary = {"median": median(shares), "worst": min(shares), "runs": len(shares), "simulated": True, "cells": rows}
    if options.json:
        print(json.dumps(summary))
        return
    print(f"{'simulated cell':<20} {'headroom':>8}  share: median (worst … best)  random: median")
    for name, row in rows.items():
        spread = f"{median(row['shares']):.2f} ({min(row['shares']):.2f} … {max(row['shares']):.2f})"
        print(f"{name:<20} {row['headroom']:>8.1%}  {spread:<29}  {median(row['random']):.2f}")
    print(f"median of all {len(shares)} runs: {summary['median']:.3f}; worst {summary['worst']:.3f}")


if __name__ == "__main__":
    main()
