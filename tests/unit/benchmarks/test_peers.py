"""The other ways to find a setting: a static one, EAR's model, random rows. None of them needs a library here."""

from __future__ import annotations

from pathlib import Path

import pytest
from made_tables import SIDECAR, Row, tasks_in, write_table
from peers.general import random_search
from peers.known import ear, projected, static

from hwtune.domain.objective import Objective

CLOCKS = tuple(range(1000, 2000, 100))
TOP = CLOCKS[-1]


def job(name: str, cpi: float, tpi: float, power_w: float) -> list[tuple[object, ...]]:
    """A program that follows EAR's equations to the letter, with coefficients for each clock."""
    found: list[tuple[object, ...]] = []
    for mhz in CLOCKS:
        down = 1 - mhz / TOP
        power = (0.3 + 0.7 * (mhz / TOP) ** 4) * power_w + 2000 * down * tpi + 3 * down
        cycles = (1 - 0.2 * down) * cpi - 300 * down * tpi - 0.1 * down
        time_s = 10.0 * cycles / cpi * TOP / mhz
        found.append((name, mhz, time_s, power * time_s, 1 / cpi, tpi))
    return found


JOBS = [
    job("a", 0.5, 0.000, 50.0),
    job("b", 0.8, 0.001, 70.0),
    job("c", 1.1, 0.0005, 60.0),
    job("d", 1.6, 0.0015, 40.0),
    job("e", 0.7, 0.0004, 90.0),
    job("f", 2.0, 0.002, 55.0),
    job("own", 1.3, 0.0012, 65.0),
]
WITH_COUNTERS = SIDECAR.replace('"f_*"', '["ipc", "cache-misses_per_instruction"]')
HEAD = "workload,mhz,time_s,energy_j,ipc,cache-misses_per_instruction"


@pytest.mark.parametrize("objective", [Objective.EDP, Objective.ENERGY])
def test_ear_projects_exactly_what_follows_its_model_and_finds_its_optimum(
    tmp_path: Path, objective: Objective
) -> None:
    write_table(tmp_path / "made.csv", [row for each in JOBS for row in each], WITH_COUNTERS, HEAD)  # type: ignore[misc]
    tasks = tasks_in(tmp_path, objective)
    own = tasks.pop("own")
    time_s, energy_j = projected(own, list(tasks.values()))
    assert time_s == pytest.approx(own.time_s)
    assert energy_j == pytest.approx(own.energy_j)
    found = ear(own, list(tasks.values()), 20)
    best = min((row for row in range(len(CLOCKS)) if own.feasible[row]), key=lambda row: own.cost[row])
    assert best != own.default
    assert found.rows == found.recommended == (own.default, best)


def test_ear_goes_back_to_the_default_when_the_measurement_says_so(tmp_path: Path) -> None:
    liar = [(*row[:3], row[3] * (1 if row[1] == TOP else 5), *row[4:]) for row in JOBS[-1]]  # type: ignore[operator]
    rows = [row for each in [*JOBS[:-1], liar] for row in each]
    write_table(tmp_path / "made.csv", rows, WITH_COUNTERS, HEAD)  # type: ignore[arg-type]
    tasks = tasks_in(tmp_path, Objective.EDP)
    own = tasks.pop("own")
    found = ear(own, list(tasks.values()), 20)
    assert len(found.rows) == 2
    assert found.recommended == (own.default, own.default)


def alone(times: dict[int, float], energies: dict[int, float]) -> list[Row]:
    return [("own", mhz, times[mhz], energies[mhz]) for mhz in CLOCKS]


def test_ear_without_a_model_walks_down_until_it_is_no_better(tmp_path: Path) -> None:
    times = {mhz: 10.0 + 0.1 * (TOP - mhz) / 100 for mhz in CLOCKS}
    energies = {mhz: 50.0 + abs(mhz - 1600) / 10 for mhz in CLOCKS}
    write_table(tmp_path / "made.csv", alone(times, energies))
    own = tasks_in(tmp_path, Objective.ENERGY)["own"]
    clocks = [own.points[row, 0] for row in ear(own, [], 20).rows]
    assert clocks == [1900, 1800, 1700, 1600, 1500]
    assert own.points[ear(own, [], 20).recommended[-1], 0] == 1600
    assert [own.points[row, 0] for row in ear(own, [], 3).rows] == [1900, 1800, 1700]


def test_static_takes_the_best_mean_of_the_others_that_is_safe_in_most(tmp_path: Path) -> None:
    times = dict.fromkeys(CLOCKS, 10.0)
    energies = dict.fromkeys(CLOCKS, 100.0)
    slow = {**times, 1100: 11.0}
    others = {
        "a": (slow, {**energies, 1100: 30.0, 1500: 60.0, 1700: 95.0}),
        "b": (slow, {**energies, 1100: 30.0, 1500: 70.0, 1700: 40.0}),
    }
    rows = [("own", mhz, times[mhz], 100.0 if mhz != 1000 else 90.0) for mhz in CLOCKS]
    rows += [(name, mhz, t[mhz], e[mhz]) for name, (t, e) in others.items() for mhz in CLOCKS]
    write_table(tmp_path / "made.csv", rows)
    for objective, mhz in ((Objective.ENERGY, 1700), (Objective.EDP, 1100)):
        tasks = tasks_in(tmp_path, objective)
        own = tasks.pop("own")
        found = static(own, list(tasks.values()), 20)
        assert [own.points[row, 0] for row in found.rows] == [1900, mhz]
        assert found.recommended == found.rows  # whatever was measured
    assert static(own, [], 20).rows == (own.default,)


def test_random_measures_the_default_first_and_every_row_once(tmp_path: Path) -> None:
    times = dict.fromkeys(CLOCKS, 10.0)
    write_table(tmp_path / "made.csv", alone(times, {mhz: float(mhz) for mhz in CLOCKS}))
    own = tasks_in(tmp_path, Objective.ENERGY)["own"]
    found = [random_search(own, 10, seed) for seed in (0, 0, 1)]
    assert found[0] == found[1] != found[2]
    assert found[0].rows[0] == own.default
    assert sorted(found[0].rows) == list(range(10))
    assert found[0].recommended[-1] == int(own.cost.argmin())
