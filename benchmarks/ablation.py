"""What each part of hwtune's learning is worth: measured tables replayed with one part taken out at a time.

    python benchmarks/ablation.py TABLES_DIR [--methods full,no-gate,no-physics,no-prior,no-residual,no-safety,neural]
        [--classes known,new] [--objective edp,energy] [--tables NAME,…] [--budget 20] [--seeds 1] [--per-table N]
        [--jobs N] [--json FILE]

The parts: `peers/ablations.py` and `peers/ensemble.py`; what the prior has seen in the two classes, which are never
averaged: `peers/held_out.py`; tasks and scores: those of `replay.py`. All methods run in this process through hwtune's
own session, with the same tasks, seeds and first evaluation. What takes no part of the prior does the same in both
classes and is played once; `no-safety` has nothing to leave out where there is no bound.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import cache
from itertools import product
from multiprocessing import get_context
from pathlib import Path

# Before numpy and torch are loaded.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from peers import ablations
from peers.ensemble import STARTS, neural
from peers.held_out import CLASSES, prior_for
from peers.progress import Progress
from peers.scoring import Score, score
from peers.script import ended, positive, words
from peers.sessions import Run, Variant, played
from peers.table import table_text
from peers.tasks import bound_of, read_tables, select, tasks_of, worthwhile

from hwtune.domain.errors import UsageError
from hwtune.domain.objective import Objective
from hwtune.sim.table import MeasuredTable, read_table
from hwtune.tuner.propose import NOTHING
from hwtune.tuner.study import Study

VARIANTS = {
    "full": Variant(study=Study),
    "no-gate": Variant(study=ablations.Ablated),
    "no-physics": Variant(study=ablations.no_physics),
    "no-prior": Variant(study=ablations.no_prior),
    "no-residual": Variant(study=ablations.no_residual),
    "no-safety": Variant(study=ablations.no_safety, least=NOTHING),
    "neural": Variant(study=neural, starts=STARTS),
}
WITHOUT_PRIOR = ("no-prior", "neural")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What the options ask for."""

    methods: tuple[str, ...]
    classes: tuple[str, ...]
    objectives: tuple[Objective, ...]
    budget: int
    seeds: int
    per_table: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """One run: the class it counts in, how it ended, whether the gate refused, and what it is worth."""

    machine: str
    ended: str
    refused: bool
    score: Score


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One workload, with every method, objective and seed."""

    path: Path
    workload: str
    others: tuple[Path, ...]
    wish: Wish


def jobs_of(tables: Sequence[tuple[Path, MeasuredTable]], names: Sequence[str], wish: Wish) -> Iterator[Job]:
    """The workloads that have something to gain, of the tables with these names, or of all."""
    for path, table in tables:
        if names and table.name not in names:
            continue
        found = select([tasks_of(table, objective) for objective in wish.objectives], wish.per_table)
        others = tuple(other for other, _ in tables if other != path)
        for workload in table.workloads:
            if workload.name in found:
                yield Job(path=path, workload=workload.name, others=others, wish=wish)


def play(job: Job) -> list[Played]:
    """All runs of one workload."""
    torch.set_num_threads(1)
    wish, table = job.wish, _table(job.path)
    workload = next(each for each in table.workloads if each.name == job.workload)
    priors = {name: prior_for(name, job.path, job.workload, job.others) for name in wish.classes}
    found = []
    for objective in wish.objectives:
        task = next(each for each in tasks_of(table, objective) if each.workload == job.workload)
        done: dict[tuple[str, str, int], Run] = {}
        for method in wish.methods if worthwhile(task) else ():
            if method == "no-safety" and bound_of(objective) is None:
                continue
            for seed, (machine, prior) in product(range(wish.seeds), priors.items()):
                if prior is None:
                    continue
                run = _same(done, method, machine, seed) or played(
                    task, workload, VARIANTS[method], prior, budget=wish.budget, seed=seed
                )
                done[method, machine, seed] = run
                own = score(task, run.trace, method=method, seed=seed, budget=wish.budget)
                found.append(Played(machine=machine, ended=run.ended, refused=run.refused, score=own))
    return found


def _same(done: Mapping[tuple[str, str, int], Run], method: str, machine: str, seed: int) -> Run | None:
    """A run that this one would repeat step by step."""
    if method in WITHOUT_PRIOR:
        return next((done[key] for name in CLASSES if (key := (method, name, seed)) in done), None)
    full = done.get(("full", machine, seed))
    return full if method == "no-gate" and full is not None and not full.refused else None


@cache
def _table(path: Path) -> MeasuredTable:
    return read_table(path)


def all_played(jobs: Sequence[Job], at_once: int, to: Progress) -> Iterator[list[Played]]:
    """Every job's runs, in the jobs' order."""
    if at_once == 1:
        yield from _told(jobs, map(play, jobs), to)
        return
    with ProcessPoolExecutor(at_once, mp_context=get_context("spawn")) as pool:
        try:
            yield from _told(jobs, pool.map(play, jobs), to)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _told(jobs: Sequence[Job], results: Iterator[list[Played]], to: Progress) -> Iterator[list[Played]]:
    for number, job in enumerate(jobs, 1):
        what = f"{number} of {len(jobs)}: {job.path.stem}, {job.workload}"
        to.step(what)
        yield next(results)
        to.say(what)


def text_of(runs: Sequence[Played], machine: str, objective: Objective, wish: Wish) -> str:
    """The table of one class and objective, and how often the gate would have ended a run, or a model failed."""
    own = [each for each in runs if (each.machine, each.score.objective) == (machine, objective.value)]
    text = table_text([each.score for each in own], objective, heading=f"{machine} machine, budget {wish.budget}")
    count = Counter(each.score.method for each in own)
    for what, among in (
        ("refused by the gate", [each for each in own if each.refused]),
        ("not computable to the end", [each for each in own if each.ended.startswith("failed")]),
    ):
        said = Counter(each.score.method for each in among)
        if said:
            text += f"\n{what}: " + ", ".join(f"{method} {times} of {count[method]}" for method, times in said.items())
    return text


def save(path: Path, wish: Wish, runs: Sequence[Played]) -> None:
    """Write all that is known so far."""
    document = {"schema_version": 1, **asdict(wish), "runs": [asdict(each) for each in runs]}
    path.write_text(json.dumps(document) + "\n")


def run(folder: Path, names: Sequence[str], wish: Wish, *, at_once: int, json_file: Path | None, to: Progress) -> None:
    """Play, print, write; what is known when it is interrupted is printed and written all the same.

    Raises:
        HwtuneError: there is nothing to play, nothing to learn from, or a table that cannot be read.
    """
    if json_file is not None and not json_file.absolute().parent.is_dir():
        raise UsageError(f"no folder for {json_file}", hint="make it first")
    tables = read_tables(folder)
    if len(tables) < 2:
        raise UsageError("held-out priors need a second table to learn from", hint=f"add a table to {folder}")
    known = [table.name for _, table in tables]
    if strange := [name for name in names if name not in known]:
        raise UsageError(f"no table {strange[0]!r} in {folder}", hint=f"it has: {', '.join(known)}")
    jobs = list(jobs_of(tables, names, wish))
    if not jobs:
        raise UsageError(f"no workload in {folder} has 2 % to gain", hint="other tables, or another --objective")
    runs: list[Played] = []
    try:
        for found in all_played(jobs, at_once, to):
            runs += found
            if json_file is not None:
                save(json_file, wish, runs)
    finally:
        for machine in wish.classes:
            for objective in wish.objectives:
                if any((each.machine, each.score.objective) == (machine, objective.value) for each in runs):
                    print(text_of(runs, machine, objective, wish), end="\n\n")


def main() -> int:
    """Read the options, run, say what is wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", metavar="TABLES_DIR", type=Path)
    parser.add_argument("--methods", type=words(tuple(VARIANTS)), default=tuple(VARIANTS))
    parser.add_argument("--classes", type=words(CLASSES), default=CLASSES)
    parser.add_argument("--objective", type=words([each.value for each in Objective]), default=("edp", "energy"))
    parser.add_argument("--tables", metavar="NAME,…", help="play these alone; priors learn from the others too")
    parser.add_argument("--budget", type=positive, default=20)
    parser.add_argument("--seeds", type=positive, default=1)
    parser.add_argument("--per-table", type=positive, metavar="N")
    parser.add_argument("--jobs", type=positive, default=1, help="workloads at once")
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    to = Progress()
    wish = Wish(
        methods=options.methods,
        classes=options.classes,
        objectives=tuple(map(Objective, options.objective)),
        budget=options.budget,
        seeds=options.seeds,
        per_table=options.per_table,
    )
    names = options.tables.split(",") if options.tables else []
    return ended(lambda: run(options.folder, names, wish, at_once=options.jobs, json_file=options.json, to=to), to)


if __name__ == "__main__":
    sys.exit(main())
