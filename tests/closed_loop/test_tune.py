"""The whole program on simulated machines: what it finds, that it says it twice, that a dry run touches nothing."""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from typing import Any

import pytest

TREE = Path(__file__).resolve().parents[1] / "trees" / "laptop"
CELLS = [(machine, work) for machine in ("laptop", "server", "biglittle") for work in ("compute", "memory", "mixed")]


def hwtune(state: Path, *words: str, status: int = 0) -> str:
    result = subprocess.run(
        [sys.executable, "-m", "hwtune", *words],
        env={**os.environ, "HWTUNE_PATHS_STATE_DIR": str(state), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert result.returncode == status, result.stderr
    return result.stdout


def tuned(state: Path, machine: str, workload: str, *more: str) -> Any:
    words = ("tune", f"--simulate={machine}", "--workload", workload, "--objective", "edp", "--json", *more)
    return json.loads(hwtune(state, *words))


def edp(figures: dict[str, float]) -> float:
    return math.log(figures["time_s"] * figures["energy_j"])


def share(document: Any) -> float:
    default = edp(document["evaluated"][0]["true"])
    return (default - edp(document["recommended"][-1]["true"])) / (default - edp(document["oracle"]))


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    state = tmp_path_factory.mktemp("state")
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(lambda cell: tuned(state / "-".join(cell), *cell, "--seed", "3"), CELLS))


def test_most_of_the_headroom_is_found_and_nothing_is_made_worse(documents: list[Any]) -> None:
    """A guard against a broken tuner: the median of nine single runs swings from 0.79 to 0.95 between seeds.

    The figure itself is that of 45 runs, `benchmarks/closed_loop.py`; random search has a median of about 0.6.
    """
    shares = {"/".join(cell): round(share(document), 3) for cell, document in zip(CELLS, documents, strict=True)}
    assert median(shares.values()) >= 0.75, shares
    assert min(shares.values()) >= 0.0, shares


def test_the_document_has_its_form(documents: list[Any]) -> None:
    for document in documents:
        assert document["simulated"] is True
        assert document["restored"] is True
        assert document["kept"] is False
        assert len(document["evaluated"]) == len(document["recommended"]) <= document["budget"] == 14
        first, *rest = document["evaluated"]
        assert (first["reason"], first["predicted"]) == ("default", None)
        for entry in rest:
            low, high = entry["predicted"]["time_s_90"]
            assert low < entry["predicted"]["time_s"] < high
            assert entry["measured"]["energy_j"] > 0
        if document["verdict"] is not None:
            low, high = document["verdict"]["objective_ratio_95"]
            assert low < document["verdict"]["objective_ratio"] < high


def test_a_session_costs_more_than_its_runs_and_pays_back_by_its_verdict(documents: list[Any]) -> None:
    for document in documents:
        cost, payback, verdict = document["cost"], document["payback"], document["verdict"]
        for figure in ("time_s", "energy_j"):
            assert cost[figure] > 3 * sum(entry["measured"][figure] for entry in document["evaluated"])
        assert cost["own_cpu_s"] is None and cost["attributed_energy_j"] is None  # real seconds, imaginary joules
        if payback is None:
            continue
        each_j = document["evaluated"][0]["measured"]["energy_j"]
        expected = cost["energy_j"] / (each_j * (1 - verdict["energy_ratio"]))
        assert payback["energy"]["after"] == pytest.approx(expected, rel=0.2)  # the receipt has measured it anew
        assert (payback["time"] is None) == (verdict["time_ratio"] >= 1.0)
    assert any(document["payback"] for document in documents)


def test_predictions_hold_about_as_often_as_they_say(documents: list[Any]) -> None:
    """90 % intervals over some 230 measurements: far from never and far from always being missed."""
    held = [
        entry["predicted"][f"{figure}_90"][0] <= entry["measured"][figure] <= entry["predicted"][f"{figure}_90"][1]
        for document in documents
        for entry in document["evaluated"][1:]
        for figure in ("time_s", "energy_j")
    ]
    assert len(held) > 100
    assert 0.75 <= sum(held) / len(held) <= 0.99


def test_the_same_seed_gives_the_same_output(tmp_path: Path) -> None:
    words = ("tune", "--simulate=laptop", "--workload", "bursty", "--budget", "5", "--seed", "11", "--json")
    first = hwtune(tmp_path / "a", *words)
    assert hwtune(tmp_path / "b", *words) == first
    other = hwtune(tmp_path / "c", *words[:-2], "12", "--json")
    assert json.loads(other)["evaluated"][0]["measured"] != json.loads(first)["evaluated"][0]["measured"]


def test_a_slowdown_bound_is_kept(tmp_path: Path) -> None:
    words = ("tune", "--simulate=laptop", "--workload", "memory", "--objective", "energy", "--max-slowdown", "5%")
    document = json.loads(hwtune(tmp_path, *words, "--json", "--seed", "2"))
    default = document["evaluated"][0]["true"]["time_s"]
    assert document["recommended"][-1]["true"]["time_s"] <= 1.06 * default
    too_slow = [entry for entry in document["evaluated"] if entry["true"]["time_s"] > 1.1 * default]
    assert len(too_slow) <= 3


def test_why_and_report_tell_of_the_session(tmp_path: Path) -> None:
    hwtune(tmp_path, "tune", "--simulate=server", "--workload", "memory", "--budget", "4", "--seed", "5")
    assert "decision 4 of 4" in hwtune(tmp_path, "why")
    said = json.loads(hwtune(tmp_path, "why", "2", "--json"))
    assert said["simulated"] is True
    page = tmp_path / "page.html"
    hwtune(tmp_path, "report", "--output", str(page))
    assert "simulated" in page.read_text()


@pytest.mark.parametrize("archive", [False, True])
def test_a_dry_run_touches_nothing_and_teaches_nothing(tmp_path: Path, archive: bool) -> None:
    tree = tmp_path / "tree"
    shutil.copytree(TREE, tree, symlinks=True)
    root = Path(shutil.make_archive(str(tmp_path / "tree"), "gztar", tree)) if archive else tree
    before = {path: path.read_bytes() for path in sorted(tree.rglob("*")) if path.is_file()}
    state = tmp_path / "state"
    said = json.loads(hwtune(state, "tune", "--dry-run", "--root", str(root), "--json", "--", "true"))
    assert said["dry_run"] is True
    assert said["would_write"]
    assert said["expected"]["time_s_90"][0] < said["expected"]["time_s"]
    assert all(entry["measured"] is None for entry in said["evaluated"])
    text = hwtune(state, "tune", "--dry-run", "--root", str(root), "--", "true")
    assert "would write" in text
    assert "predicted, not measured" in text
    assert {path: path.read_bytes() for path in sorted(tree.rglob("*")) if path.is_file()} == before
    assert not state.exists()


def test_the_receipt_is_read_by_pyperf(tmp_path: Path) -> None:
    file = tmp_path / "receipt.json"
    hwtune(tmp_path, "tune", "--simulate=server", "--workload", "memory", "--budget", "6", "--pyperf", str(file))
    stats = subprocess.run(
        [sys.executable, "-m", "pyperf", "stats", str(file)], capture_output=True, text=True, check=True
    ).stdout
    assert "simulated" in stats
