"""`benchmarks/replay.py` from end to end, and what it refuses."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from made_tables import rows, write_table

SCRIPT = Path(__file__).resolve().parents[3] / "benchmarks" / "replay.py"


def replay(*words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(SCRIPT), *map(str, words)], capture_output=True, text=True, timeout=120, check=False
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tables = tmp_path / "tables"
    tables.mkdir()
    write_table(tables / "made.csv", [*rows("stream", 0.9), *rows("sort", 0.6)])
    return tables


def test_hwtune_and_others_on_one_table(folder: Path, tmp_path: Path) -> None:
    words = ("--methods", "hwtune,random,static", "--objective", "energy", "--budget", 3, "--jobs", 1)
    found = replay(folder, *words, "--json", tmp_path / "out.json")
    assert found.returncode == 0, found.stderr
    lines = found.stdout.splitlines()
    assert lines[0].startswith("energy at no more than 5% slowdown: 2 tasks, budget 3")
    assert [line.split()[0] for line in lines[2:5]] == ["hwtune", "random", "static"]
    scores = json.loads((tmp_path / "out.json").read_text())["scores"]
    pairs = [(each["method"], each["workload"]) for each in scores]
    assert pairs == [(method, name) for method in ("hwtune", "random", "static") for name in ("stream", "sort")]
    assert all(len(each["share"]) == 3 and each["share"][0] == 0.0 for each in scores)
    own = [each for each in scores if each["method"] == "hwtune"]
    assert all(0.0 <= each["held"] <= 1.0 for each in own if each["evaluations"] > 1)
    assert max(each["share"][-1] for each in own) > 0.5


def test_random_rows_are_drawn_for_every_seed_and_a_static_setting_once(folder: Path, tmp_path: Path) -> None:
    words = ("--methods", "random,static", "--seeds", 3, "--per-table", 1)
    found = replay(folder, *words, "--json", tmp_path / "out.json")
    assert found.returncode == 0, found.stderr
    scores = json.loads((tmp_path / "out.json").read_text())["scores"]
    for objective in ("edp", "energy"):
        seeds = [(each["method"], each["seed"]) for each in scores if each["objective"] == objective]
        assert seeds == [("random", 0), ("random", 1), ("random", 2), ("static", 0)]
    assert len({each["workload"] for each in scores}) == 1


def test_a_folder_without_tables_is_refused(tmp_path: Path) -> None:
    for folder, said in ((tmp_path, "no table in"), (tmp_path / "none", "is not a folder")):
        found = replay(folder, "--methods", "random")
        assert (found.returncode, found.stdout) == (2, "")
        assert found.stderr.startswith("error: ") and said in found.stderr
        assert found.stderr.splitlines()[1].startswith("hint: ")


def test_a_bad_table_and_bad_words_are_refused(folder: Path) -> None:
    with (folder / "made.csv").open("a") as file:
        file.write("sort,1000,nan,5\n")
    found = replay(folder, "--methods", "random")
    assert found.returncode == 2
    assert "line 24: time_s is 'nan'" in found.stderr
    found = replay(folder, "--methods", "radnom")
    assert found.returncode == 2
    assert "'radnom' is none of hwtune, random" in found.stderr
    found = replay(folder, "--json", folder / "none" / "out.json")
    assert found.returncode == 2
    assert "no folder for" in found.stderr


def test_the_prior_of_other_tables_needs_another_table(folder: Path) -> None:
    found = replay(folder, "--methods", "hwtune", "--prior", "others")
    assert found.returncode == 2
    assert "needs a second table" in found.stderr
