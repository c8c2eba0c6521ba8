"""Tasks and scores of the benchmark on a table whose answers are known by hand."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_tables import Row, tasks_in, write_table
from peers.ours import trace_of
from peers.scoring import score, summaries
from peers.tasks import Task, Trace, keeping_the_best, select

from hwtune.domain.errors import PlannerError
from hwtune.domain.objective import Objective

# At 1000 + 100·i MHz; the last one is the default, (10 s, 100 J).
TIMES = (20.0, 18.0, 16.0, 14.0, 12.0, 11.0, 10.8, 10.4, 10.2, 10.0)
ENERGIES = (100.0, 90.0, 80.0, 70.0, 50.0, 60.0, 65.0, 80.0, 90.0, 100.0)
SLOW, BEST_EDP, AT_BOUND, DEFAULT = 0, 4, 7, 9


def rows(name: str = "sort") -> list[Row]:
    return [
        (name, 1000.0 + 100 * i, time_s, energy_j)
        for i, (time_s, energy_j) in enumerate(zip(TIMES, ENERGIES, strict=True))
    ]


def task(folder: Path, objective: Objective = Objective.ENERGY) -> Task:
    # Repetitions: the median of 1, the figure itself and 1000 is the figure.
    wild = [(name, mhz, figure, figure) for name, mhz, _, _ in rows() for figure in (1.0, 1000.0)]
    write_table(folder / "made.csv", [*wild, *rows()])
    return tasks_in(folder, objective)["sort"]


def test_a_task_is_medians_with_the_bound_of_its_objective(tmp_path: Path) -> None:
    energy, edp = task(tmp_path), task(tmp_path, Objective.EDP)
    order = np.argsort(energy.points[:, 0])
    assert energy.time_s[order].tolist() == list(TIMES)
    assert energy.energy_j[order].tolist() == list(ENERGIES)
    assert energy.points[energy.default].tolist() == [1900.0]
    assert energy.feasible[order].tolist() == [False] * 7 + [True] * 3
    assert edp.feasible.all()
    assert energy.headroom == pytest.approx(math.log(100 / 80))
    assert edp.headroom == pytest.approx(math.log(1000 / 600))


def trace(it: Task, *measured: int, recommended: tuple[int, ...] | None = None) -> Trace:
    order = np.argsort(it.points[:, 0]).tolist()
    kept = keeping_the_best(it, [order[i] for i in measured])
    return kept if recommended is None else Trace(rows=kept.rows, recommended=tuple(order[i] for i in recommended))


def test_a_peer_keeps_the_best_it_has_measured_within_the_bound(tmp_path: Path) -> None:
    it = task(tmp_path)
    found = score(it, trace(it, DEFAULT, SLOW, BEST_EDP, 8, AT_BOUND), method="m", seed=0, budget=7)
    part = math.log(100 / 90) / math.log(100 / 80)
    assert found.share == pytest.approx((0, 0, 0, part, 1, 1, 1))
    assert found.to_enough == 5
    assert found.evaluations == 5
    assert found.unsafe == pytest.approx(2 / 5)  # 20 s and 12 s are beyond 11 s, 11 s itself would not be
    assert found.held is None


def test_exactly_twice_the_slowdown_is_not_unsafe(tmp_path: Path) -> None:
    it = task(tmp_path)
    assert score(it, trace(it, DEFAULT, 5), method="m", seed=0, budget=2).unsafe == 0.0
    assert score(it, trace(it, DEFAULT, BEST_EDP), method="m", seed=0, budget=2).unsafe == 0.5


def test_what_breaks_the_bound_captures_nothing_and_what_is_worse_costs(tmp_path: Path) -> None:
    energy, edp = task(tmp_path), task(tmp_path, Objective.EDP)
    broken = trace(energy, DEFAULT, BEST_EDP, recommended=(DEFAULT, BEST_EDP))
    assert score(energy, broken, method="m", seed=0, budget=3).share == (0.0, 0.0, 0.0)
    worse = trace(edp, DEFAULT, SLOW, recommended=(DEFAULT, SLOW))
    found = score(edp, worse, method="m", seed=0, budget=2)
    assert found.share == pytest.approx((0.0, -math.log(2000 / 1000) / math.log(1000 / 600)))
    assert (found.to_enough, found.unsafe) == (None, None)


def entry(*clocks: float, intervals: tuple[float, float] = (10.1, 10.3)) -> dict[str, Any]:
    """A workload of `hwtune replay --json`; what it says it measured is wrong throughout."""
    evaluated: list[dict[str, Any]] = [
        {"setting": {"mhz": mhz}, "measured": {"time_s": 1.0, "energy_j": 1.0}} for mhz in clocks
    ]
    for each in evaluated[1:]:
        each["predicted"] = {"time_s_90": intervals, "energy_j_90": (85.0, 95.0)}
    return {"evaluated": evaluated, "recommended": [{"mhz": mhz} for mhz in clocks]}


def test_a_replay_is_read_by_its_settings_alone_and_its_intervals_are_held_against_the_table(tmp_path: Path) -> None:
    it = task(tmp_path)
    found = trace_of(it, entry(1900, 1800, 1700), ["mhz"])
    assert [it.points[row, 0] for row in found.rows] == [1900, 1800, 1700]
    assert found.recommended == found.rows
    assert found.held == (True, True, False, False)  # 10.2 s and 90 J; 10.4 s and 80 J


def test_a_replay_that_is_none_is_refused(tmp_path: Path) -> None:
    it = task(tmp_path)
    with pytest.raises(PlannerError):
        trace_of(it, entry(1800, 1900), ["mhz"])
    short = entry(1900, 1800)
    short["recommended"].pop()
    with pytest.raises(PlannerError):
        trace_of(it, short, ["mhz"])


def test_the_summary_counts_never_as_never(tmp_path: Path) -> None:
    it = task(tmp_path)
    quick, lost = trace(it, DEFAULT, AT_BOUND), trace(it, DEFAULT, SLOW)
    held = Trace(rows=quick.rows, recommended=quick.recommended, held=(True, False))
    scores = [
        score(it, each, method="m", seed=seed, budget=4) for seed, each in enumerate([held, *[quick] * 7, lost, lost])
    ]
    (found,) = summaries(scores)
    assert found.share == {4: pytest.approx(0.8)}
    assert (found.to_enough, found.to_enough_p90) == (2, math.inf)
    assert found.unsafe == pytest.approx(2 * 0.5 / 10)
    assert found.held == 0.5
    assert found.tasks == 1


def test_selection_passes_over_what_has_nothing_to_gain_and_repeats_itself(tmp_path: Path) -> None:
    flat: list[Row] = [("flat", 1000.0 + 100 * i, 20.0 - i, 10.0 + 10 * i) for i in range(10)]
    flat = [(name, mhz, time_s, 1000.0 / time_s) for name, mhz, time_s, _ in flat]
    many = [row for name in "abcdef" for row in rows(name)]
    write_table(tmp_path / "made.csv", [*flat, *many])
    tasks = list(tasks_in(tmp_path, Objective.EDP).values())
    assert select([tasks], None) == set("abcdef")
    assert len(select([tasks], 2)) == 2
    assert select([tasks], 2) == select([tasks], 2) < set("abcdef")
