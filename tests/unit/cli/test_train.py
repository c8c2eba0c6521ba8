"""`hwtune train` from end to end on small tables and stores made here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hwtune.cli.prior import refreshed_prior
from hwtune.cli.train_evaluate import LeftOut
from hwtune.cli.train_run import Trained, write_prior
from hwtune.cli.train_sources import groups_of, machines_of, store_sources, table_sources
from hwtune.cli.train_text import print_training
from hwtune.config import load_config
from hwtune.domain.errors import UsageError
from hwtune.domain.knob import KnobSpace, RangeKnob, Setting
from hwtune.domain.objective import Objective
from hwtune.domain.problem import Problem
from hwtune.domain.trial import Proposal, Reason, Run, Trial, TrialStatus
from hwtune.planner.prior_file import dumps, loads, shipped_prior
from hwtune.store.database import Store
from hwtune.store.records import Fingerprint

SIDECAR = """\
[table]
about = "an invented chip"
source = "made here"
licence = "none needed"
workload = "workload"
time_s = "time_s"
energy_j = "energy_j"
features = ["heat"]
[knobs.freq]
unit = "GHz"
role = "frequency"
"""
LEVELS = (0.8, 1.0, 1.2, 1.4, 1.6, 1.8, 2.0, 2.2, 2.4, 2.6)


def rows(name: str, memory: float, leak: float) -> list[str]:
    found = []
    for freq in LEVELS:
        time_s = (1 - memory) * 2.6 / freq + memory
        energy_j = time_s * (leak + 8 * (freq / 2.6) ** 2.5)
        found.append(f"{name},{freq},{time_s:.6g},{energy_j:.6g},50")
    return found


def put_table(folder: Path, name: str, *lines: str) -> Path:
    path = folder / f"{name}.csv"
    path.write_text("\n".join(["workload,freq,time_s,energy_j,heat", *lines]) + "\n")
    path.with_suffix(".toml").write_text(SIDECAR)
    return path


@pytest.fixture
def tables(tmp_path: Path) -> Path:
    folder = tmp_path / "measured"
    folder.mkdir()
    put_table(folder, "alpha", *rows("sort/1", 0.2, 3.0), *rows("sort/2", 0.25, 3.0), *rows("stream/1", 0.8, 3.0))
    put_table(folder, "beta", *rows("sort", 0.15, 1.0), *rows("stream", 0.7, 1.0))
    (folder / "notes.csv").write_text("not a table\n")
    return folder


def environment(state: Path) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("HWTUNE_")}
    return {**clean, "HWTUNE_PATHS_STATE_DIR": str(state), "COLUMNS": "200"}


def train(state: Path, *words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "hwtune", "train", *map(str, words)],
        env=environment(state),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def trained(state: Path, *words: object) -> dict[str, Any]:
    result = train(state, *words, "--json")
    assert (result.returncode, result.stderr) == (0, ""), result.stderr
    document: dict[str, Any] = json.loads(result.stdout)
    return document


def test_tables_become_a_prior_in_the_state_directory(tables: Path, tmp_path: Path) -> None:
    state = tmp_path / "new" / "state"
    found = trained(state, "--tables", tables, "--no-shipped")
    assert found["path"] == str(state / "prior.json")
    assert [(each["name"], each["workloads"], each["settings"]) for each in found["trained_on"]] == [
        ("alpha", 3, 30),
        ("beta", 2, 20),
    ]
    assert [each["label"] for each in found["components"]] == [
        "alpha",
        "alpha/sort",
        "alpha/stream",
        "beta",
        "beta/sort",
        "beta/stream",
    ]
    written = loads((state / "prior.json").read_text())
    assert written.made.command == "hwtune train --tables measured --no-shipped"
    assert str(tmp_path) not in (state / "prior.json").read_text()
    assert written.trained_on[0].source == "made here"
    assert os.listdir(state) == ["prior.json"]


def test_what_ships_is_kept_but_for_what_is_learned_anew(tables: Path, tmp_path: Path) -> None:
    shipped = loads(shipped_prior())
    known = shipped.trained_on[0].name
    put_table(tables, known, *rows("coremark", 0.1, 2.0))
    (tables / "beta.csv").unlink()
    found = trained(tmp_path, "--tables", tables)
    labels = [each["label"] for each in found["components"]]
    others = [each.label for each in shipped.components if each.label.split("/")[0] != known]
    assert labels == [*others, "alpha", "alpha/sort", "alpha/stream", known]
    assert [each["name"] for each in found["trained_on"]] == [
        *(each.name for each in shipped.trained_on if each.name != known),
        "alpha",
        known,
    ]


def test_machines_are_foretold_from_the_others(
    tables: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "other.json"
    found = trained(tmp_path, "--tables", tables, "--no-shipped", "--evaluate", "--out", out)
    assert [(each["name"], each["machines"], each["workloads"]) for each in found["evaluation"]] == [
        ("alpha", 1, 3),
        ("beta", 1, 2),
    ]
    for each in found["evaluation"]:
        for stage in ("before", "after"):
            for way in ("learned", "without"):
                assert 0.0 <= each[stage][way]["held_90"] <= 1.0
        # The invented chips are alike: the other one says more than physics alone.
        assert each["before"]["learned"]["log_density"] != each["before"]["without"]["log_density"]
        assert each["after"]["learned"]["median_log_density"] > each["before"]["learned"]["median_log_density"]
    assert out.exists() and not (tmp_path / "prior.json").exists()
    evaluation = tuple(LeftOut.model_validate(each) for each in found["evaluation"])
    print_training(Trained(prior=loads(out.read_text()), unused=(("beta", "[x]"),), evaluation=evaluation), out)
    said = capsys.readouterr().out
    assert "foretold from the others" in said and "beta: [x] taught nothing" in said
    assert said.count(f"{evaluation[0].after.learned.log_density:+.2f}")


KNOB = RangeKnob(name="max", role="frequency", unit="kHz", low=800_000, high=2_400_000, default=2_400_000, step=200_000)
SPACE = KnobSpace(knobs=(KNOB,))


def fill(state: Path, name: str, **facts: Any) -> None:
    machine = Fingerprint(name=name, hwtune_version="0.1.0", **{"simulated": False, "energy_source": "rapl", **facts})
    with Store(state / "hwtune.sqlite") as store:
        problem = Problem(space=SPACE, objective=Objective.EDP)
        number = store.begin_session(machine, verb="tune", workload="./run 1", argv=("./run", "1"), problem=problem)
        for level in (2_400_000, 1_600_000, 800_000):
            setting = Setting(max=level)
            proposal = Proposal(setting=setting, reason=Reason.EXPLORE)
            run = Run(time_s=2.4e6 / level, energy_j=30.0, features={"ipc": 1.0})
            trial = Trial(setting=setting, requested=setting, runs=(run, run), context={"ipc": 1.0})
            store.record_decision(number, proposal, trial, None)
        stopped = (Run(time_s=1.5, energy_j=9.0, censored=True),)
        early = replace(trial, runs=stopped, status=TrialStatus.CENSORED)
        store.record_decision(number, proposal, early, None)


def test_sessions_of_the_store_are_learned_from(tmp_path: Path) -> None:
    fill(tmp_path, "mine", cpu_model="Chip 9")
    fill(tmp_path, "laptop", simulated=True)
    fill(tmp_path, "rig", energy_source="emulated meter")
    found = trained(tmp_path, "--no-shipped")
    assert [(each["name"], each["source"], each["workloads"], each["settings"]) for each in found["trained_on"]] == [
        ("mine (Chip 9)", "the local store", 1, 3)
    ]
    assert [each["label"] for each in found["components"]] == ["mine (Chip 9)"]
    (source,) = store_sources(tmp_path / "hwtune.sqlite", simulated=True)
    assert (source.name, source.source) == ("laptop", "the local store, simulated")
    assert {trial.status for trial in source.histories[0].trials} == {TrialStatus.OK}
    assert all(not run.features for trial in source.histories[0].trials for run in trial.runs)


def test_what_teaches_nothing_is_named(tables: Path, tmp_path: Path) -> None:
    path = put_table(tables, "gamma", *rows("sort", 0.2, 1.0))
    twice = SIDECAR.replace('features = ["heat"]', "") + '[knobs.heat]\nrole = "frequency"\n'
    path.with_suffix(".toml").write_text(twice)
    found = trained(tmp_path, "--tables", path, "--tables", tables / "beta.csv", "--no-shipped")
    assert found["unused"] == [{"source": "gamma", "workload": "sort"}]
    assert [each["name"] for each in found["trained_on"]] == ["beta"]


def test_wrong_words_are_refused(tables: Path, tmp_path: Path) -> None:
    for words, said in (
        ((), "nothing to learn from"),
        (("--simulated",), "--out"),
        (("--tables", tmp_path / "none.csv"), "cannot read"),
        (("--tables", tables / "notes.csv"), "no sidecar"),
        (("--tables", tables, "--tables", tables / "beta.csv"), "two tables are named beta"),
        (("--tables", tables / "beta.csv", "--evaluate"), "one machine alone"),
        (("--tables", tables / "beta.csv", "--out", tables / "notes.csv" / "x"), "cannot write"),
    ):
        result = train(tmp_path, *words)
        assert result.returncode == 2, (words, result.stderr)
        assert result.stderr.startswith("error: ") and said in result.stderr and "\nhint: " in result.stderr
        assert "Traceback" not in result.stderr
    assert not (tmp_path / "prior.json").exists()


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "prior.json"
    path.write_text("before")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UsageError, match="No space left"):
        write_prior(path, loads(shipped_prior()))
    assert path.read_text() == "before"
    assert os.listdir(tmp_path) == ["prior.json"]


def test_a_bad_refreshed_prior_is_reported_and_the_shipped_one_used(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = load_config(tmp_path, {"HWTUNE_PATHS_STATE_DIR": str(tmp_path)})
    assert refreshed_prior(config) is None
    assert capsys.readouterr().err == ""
    text = dumps(loads(shipped_prior()).model_copy(update={"components": ()}))
    (tmp_path / "prior.json").write_text(text)
    assert refreshed_prior(config) == text
    (tmp_path / "prior.json").write_text("{}")
    assert refreshed_prior(config) is None
    said = capsys.readouterr().err
    assert said.startswith(f"warning: {tmp_path}/prior.json: ") and "shipped prior is used" in said


def test_like_workloads_and_machines_are_told_by_name() -> None:
    assert groups_of(["a/1@x", "a/2@x", "b/1@y"]) == ("a", "a", "b")
    assert groups_of(["c@s1.big", "c@s1.little", "c@s2.big"]) == ("s1", "s1", "s2")
    assert groups_of(["one", "/two"]) == ("one", "/two")
    assert machines_of(["c@s1.big", "c@s1.little"]) == ()
    assert machines_of(["c@s1", "d@s2"]) == ()
    assert machines_of(["c@s1.big", "c@s2"]) == ("s1", "s2")


def test_a_table_of_several_machines_is_left_out_machine_by_machine(tables: Path) -> None:
    path = put_table(tables, "many", *(line for chip in ("s1", "s2") for line in rows(f"c@{chip}.big", 0.1, 1.0)))
    (source,) = table_sources([path])
    assert source.machines == ("s1", "s2")
    assert [history.group for history in source.histories] == ["s1", "s2"]
    assert all(history.space.allowed is None for history in source.histories)
