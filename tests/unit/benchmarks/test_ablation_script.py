"""`benchmarks/ablation.py` from end to end, and what it refuses."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import ablation
import pytest
from made_tables import rows, write_table
from peers.scoring import Score
from peers.sessions import Run
from peers.tasks import Trace

from hwtune.domain.objective import Objective

SCRIPT = Path(__file__).resolve().parents[3] / "benchmarks" / "ablation.py"


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    def called(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["ablation.py", *map(str, words)])
        status = ablation.main()
        return status, *capsys.readouterr()

    return called


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tables = tmp_path / "tables"
    tables.mkdir()
    write_table(tables / "pair.csv", [*rows("stream", 0.9), *rows("sort", 0.6)])
    write_table(tables / "single.csv", rows("fft", 0.7))
    return tables


def test_classes_are_told_apart_and_what_takes_no_prior_is_the_same_in_both(
    folder: Path, tmp_path: Path, run: Callable[..., tuple[int, str, str]]
) -> None:
    words = ("--methods", "no-prior,no-safety", "--budget", 2, "--json", tmp_path / "out.json")
    status, out, _ = run(folder, *words)
    assert status == 0
    tables = [block.splitlines() for block in out.strip().split("\n\n")]
    assert [lines[0] for lines in tables] == [
        "edp: 2 tasks, known machine, budget 2",
        "energy at no more than 5% slowdown: 2 tasks, known machine, budget 2",
        "edp: 3 tasks, new machine, budget 2",
        "energy at no more than 5% slowdown: 3 tasks, new machine, budget 2",
    ]
    # Without a bound there is no safety to leave out.
    methods = [[line.split()[0] for line in lines[2:]] for lines in tables]
    assert methods == [["no-prior"], ["no-prior", "no-safety"]] * 2
    runs = json.loads((tmp_path / "out.json").read_text())["runs"]
    assert {each["score"]["workload"] for each in runs if each["machine"] == "known"} == {"stream", "sort"}
    told: dict[str, list[object]] = {"known": [], "new": []}
    for each in runs:
        if each["score"]["method"] == "no-prior" and each["score"]["table"] == "pair":
            told[each["machine"]].append(each["score"])
    assert told["known"] == told["new"] and len(told["new"]) == 4


def test_a_run_is_played_again_only_where_it_could_differ() -> None:
    trace = Trace(rows=(0,), recommended=(0,))
    free, refused = (Run(trace=trace, ended="budget", refused=each) for each in (False, True))
    done = {("full", "known", 0): free, ("full", "new", 0): refused, ("neural", "known", 1): free}
    assert ablation._same(done, "no-gate", "known", 0) is free
    assert ablation._same(done, "no-gate", "new", 0) is None
    assert ablation._same(done, "no-gate", "known", 1) is None
    assert ablation._same(done, "neural", "new", 1) is free
    assert ablation._same(done, "neural", "new", 0) is None
    assert ablation._same(done, "no-physics", "known", 0) is None


def test_the_script_plays_several_workloads_at_once(folder: Path, tmp_path: Path) -> None:
    words = ("--methods", "no-prior", "--classes", "new", "--objective", "edp", "--budget", 1, "--tables", "pair")
    found = subprocess.run(
        [sys.executable, str(SCRIPT), str(folder), *map(str, words), "--jobs", "2", "--json", str(tmp_path / "o.json")],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert found.returncode == 0, found.stderr
    runs = json.loads((tmp_path / "o.json").read_text())["runs"]
    ends = [(each["machine"], each["ended"], each["score"]["workload"]) for each in runs]
    assert ends == [("new", "budget", "stream"), ("new", "budget", "sort")]
    assert found.stderr.splitlines() == ["1 of 2: pair, stream", "2 of 2: pair, sort"]


def test_what_cannot_be_done_is_refused(
    folder: Path, tmp_path: Path, run: Callable[..., tuple[int, str, str]], capsys: pytest.CaptureFixture[str]
) -> None:
    alone = tmp_path / "alone"
    alone.mkdir()
    write_table(alone / "one.csv", rows("sort", 0.6))
    for words, said in (
        ((alone,), "held-out priors need a second table"),
        ((folder, "--tables", "none"), "no table 'none' in"),
        ((folder, "--json", folder / "none" / "out.json"), "no folder for"),
    ):
        status, out, err = run(*words)
        assert (status, out) == (2, "")
        assert err.startswith("error: ") and said in err
        assert err.splitlines()[1].startswith("hint: ")
    with pytest.raises(SystemExit):
        run(folder, "--methods", "no-pysics")
    assert "'no-pysics' is none of full, no-gate, no-physics" in capsys.readouterr().err


def test_a_table_says_where_the_gate_refused_and_what_could_not_be_computed() -> None:
    wish = ablation.Wish(
        methods=("full", "neural"), classes=("new",), objectives=(Objective.EDP,), budget=2, seeds=1, per_table=None
    )
    own = Score(
        table="t",
        workload="w",
        objective="edp",
        method="full",
        seed=0,
        settings=10,
        headroom=0.1,
        share=(0.0, 1.0),
        to_enough=2,
        evaluations=2,
        unsafe=None,
        held=0.5,
    )
    runs = [
        ablation.Played(machine="new", ended="budget", refused=False, score=own),
        ablation.Played(machine="new", ended="failed: singular", refused=True, score=replace(own, method="neural")),
        ablation.Played(machine="known", ended="distrusted", refused=True, score=own),
    ]
    lines = ablation.text_of(runs, "new", Objective.EDP, wish).splitlines()
    assert lines[0] == "edp: 1 tasks, new machine, budget 2"
    assert lines[-2:] == ["refused by the gate: neural 1 of 1", "not computable to the end: neural 1 of 1"]
