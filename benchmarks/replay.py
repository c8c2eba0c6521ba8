"""How much of what measured tables have to gain hwtune finds with each evaluation, against other ways to find it.

    python benchmarks/replay.py TABLES_DIR [--methods hwtune,random,tpe,optuna-gp,botorch,smac,static,ear]
        [--objective edp,energy] [--budget 20] [--seeds 1] [--per-table N] [--prior shipped|others] [--jobs N]
        [--json FILE] [--plot FILE.svg]

Energy is minimised at no more than 5 % slowdown, EDP without a bound. Scores, with formulas: `peers/scoring.py`; which
workloads count: `peers/tasks.py`; the other methods: `peers/general.py` and `peers/known.py`. One whose library is
missing is left out with a note. The method `hwtune-warm` is `hwtune replay --warm table`.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

# Before numpy and torch are loaded: the peers get one thread each, as hwtune's planner does.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from peers import general, known, ours, picture
from peers.progress import Progress
from peers.scoring import Score, score
from peers.script import ended, positive, words
from peers.table import table_text
from peers.tasks import Task, Trace, read_tables, select, tasks_of, worthwhile

from hwtune.domain.errors import UsageError
from hwtune.domain.objective import Objective
from hwtune.sim.table import MeasuredTable

OURS = ("hwtune", "hwtune-warm")
WITH_OTHERS: dict[str, Callable[[Task, Sequence[Task], int], Trace]] = {
    "static": known.static,
    "ear": known.ear,
}
SEARCHES: dict[str, Callable[[Task, int, int], Trace]] = {
    "random": general.random_search,
    "tpe": general.tpe,
    "optuna-gp": general.optuna_gp,
    "botorch": general.botorch,
    "smac": general.smac,
}
LIBRARIES = {
    "tpe": ("optuna",),
    "optuna-gp": ("optuna", "torch"),
    "botorch": ("torch", "botorch"),
    "smac": ("ConfigSpace", "smac"),
}
METHODS = ("hwtune", *SEARCHES, *WITH_OTHERS, "hwtune-warm")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What the options ask for."""

    methods: tuple[str, ...]
    objectives: tuple[Objective, ...]
    budget: int
    seeds: int
    per_table: int | None
    prior: str
    jobs: int | None


def play(tables: Sequence[tuple[Path, MeasuredTable]], wish: Wish, to: Progress) -> Iterator[Score]:
    """The scores of every table, in turn.

    Raises:
        HwtuneError: hwtune's own replay failed.
    """
    for path, table in tables:
        columns = [tasks_of(table, objective) for objective in wish.objectives]
        names = select(columns, wish.per_table)
        if not names:
            to.say(f"{table.name}: nothing to gain")
            continue
        with TemporaryDirectory(prefix="hwtune-") as state:
            if wish.prior == "others" and set(OURS) & set(wish.methods):
                to.say(f"{table.name}: learning a prior from the other tables")
                ours.learn_prior([other for other, _ in tables if other != path], Path(state))
            for tasks in columns:
                scored = [task for task in tasks if task.workload in names and worthwhile(task)]
                for method in wish.methods if scored else ():
                    yield from _scores(path, table, tasks, scored, method, wish, Path(state), to)


def _scores(
    path: Path,
    table: MeasuredTable,
    tasks: Sequence[Task],
    scored: Sequence[Task],
    method: str,
    wish: Wish,
    state: Path,
    to: Progress,
) -> Iterator[Score]:
    """One method on all tasks of one table and objective."""
    began = time.monotonic()
    objective = scored[0].objective
    for seed in range(1 if method in WITH_OTHERS else wish.seeds):
        if method in OURS:
            to.step(f"{table.name}, {objective.value}: {method}, seed {seed}")
            entries = ours.replayed(
                path,
                [task.workload for task in scored],
                objective=objective,
                budget=wish.budget,
                seed=seed,
                warm=method == "hwtune-warm",
                jobs=wish.jobs,
                state=state,
            )
        for task in scored:
            to.step(f"{table.name}, {objective.value}: {method}, seed {seed}, {task.workload}")
            if method in OURS:
                trace = ours.trace_of(task, entries[task.workload], [knob.name for knob in table.knobs])
            elif method in WITH_OTHERS:
                trace = WITH_OTHERS[method](task, [other for other in tasks if other is not task], wish.budget)
            else:
                trace = SEARCHES[method](task, min(wish.budget, len(task.settings)), seed)
            yield score(task, trace, method=method, seed=seed, budget=wish.budget)
    to.say(f"{table.name}, {objective.value}: {method}, {len(scored)} workloads, {time.monotonic() - began:.1f} s")


def available(methods: Sequence[str], to: Progress) -> tuple[str, ...]:
    """The methods whose libraries are there.

    Raises:
        UsageError: none of them.
    """
    found = []
    for method in methods:
        try:
            for library in LIBRARIES.get(method, ()):
                importlib.import_module(library)
        except ImportError as error:
            to.say(f"{method} is left out: {error}")
        else:
            found.append(method)
    if not found:
        raise UsageError("no method is left", hint="pip install -e '.[bench]'; SMAC3: pip install smac")
    return tuple(found)


def save(path: Path, wish: Wish, scores: Sequence[Score]) -> None:
    """Write all that is known so far."""
    document = {"schema_version": 1, **asdict(wish), "scores": [asdict(each) for each in scores]}
    path.write_text(json.dumps(document) + "\n")


def run(folder: Path, wish: Wish, *, json_file: Path | None, plot: Path | None, to: Progress) -> None:
    """Play, print, write; what is known when it is interrupted is printed and written all the same.

    Raises:
        HwtuneError: nothing can be scored, or hwtune's own replay failed.
    """
    for file in (json_file, plot):
        if file is not None and not file.absolute().parent.is_dir():
            raise UsageError(f"no folder for {file}", hint="make it first")
    if plot is not None and importlib.util.find_spec("matplotlib") is None:
        raise UsageError("--plot needs matplotlib", hint="pip install -e '.[bench]'")
    tables = read_tables(folder)
    wish = replace(wish, methods=available(wish.methods, to))
    scores: list[Score] = []
    heading = f"budget {wish.budget}, prior: {wish.prior}"
    try:
        for each in play(tables, wish, to):
            scores.append(each)
    finally:
        if scores and json_file is not None:
            save(json_file, wish, scores)
        if scores and plot is not None:
            picture.draw(scores, plot)
        for objective in wish.objectives:
            if any(each.objective == objective.value for each in scores):
                print(table_text(scores, objective, heading=heading), end="\n\n")
    if not scores:
        raise UsageError(f"no workload in {folder} has 2 % to gain", hint="other tables, or another --objective")


def main() -> int:
    """Read the options, run, say what is wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", metavar="TABLES_DIR", type=Path)
    parser.add_argument("--methods", type=words(METHODS), default=METHODS[:-1])
    parser.add_argument("--objective", type=words([each.value for each in Objective]), default=("edp", "energy"))
    parser.add_argument("--budget", type=positive, default=20)
    parser.add_argument("--seeds", type=positive, default=1)
    parser.add_argument("--per-table", type=positive, metavar="N")
    parser.add_argument("--prior", choices=("shipped", "others"), default="shipped")
    parser.add_argument("--jobs", type=positive, help="workloads hwtune replays at once")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--plot", type=Path, metavar="FILE.svg")
    options = parser.parse_args()
    to = Progress()
    wish = Wish(
        methods=options.methods,
        objectives=tuple(map(Objective, options.objective)),
        budget=options.budget,
        seeds=options.seeds,
        per_table=options.per_table,
        prior=options.prior,
        jobs=options.jobs,
    )
    return ended(lambda: run(options.folder, wish, json_file=options.json, plot=options.plot, to=to), to)


if __name__ == "__main__":
    sys.exit(main())
