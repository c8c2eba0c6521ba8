"""`hwtune report` and `hwtune why` on a made-up store."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from report_values import BOX, STEPS, replace, write_session
from typer.testing import CliRunner

from hwtune.cli import report, why
from hwtune.domain.errors import StoreError, UsageError

app = typer.Typer()
app.command()(why.why)
app.command()(report.report)


@pytest.fixture(autouse=True)
def store(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("HWTUNE_PATHS_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "state" / "hwtune.sqlite"


def run(*arguments: str) -> str:
    return CliRunner().invoke(app, list(arguments), catch_exceptions=False).output


def test_report_writes_the_last_session(store, tmp_path):
    write_session(store, workload="one")
    write_session(store, workload="two")
    assert run("report") == "hwtune-report.html\n"
    assert "two" in (tmp_path / "hwtune-report.html").read_text()
    assert run("report", "1", "--output", "-").startswith("<!DOCTYPE html>")
    listed = run("report", "--list").splitlines()
    assert len(listed) == 2 and "one" in listed[0] and "measured" in listed[0]


def test_report_without_anything_to_report(store):
    for arguments in (("report",), ("report", "--list"), ("why",)):
        with pytest.raises(StoreError, match="no store") as error:
            run(*arguments)
        assert error.value.hint
    assert not store.exists()  # looking makes nothing
    write_session(store, steps=0, verified=False)
    with pytest.raises(StoreError, match="came to no decision"):
        run("why")
    with pytest.raises(UsageError, match="no session 5"):
        run("report", "5")


def test_an_output_that_cannot_be_written(store, tmp_path):
    write_session(store)
    with pytest.raises(UsageError, match="cannot write") as error:
        run("report", "--output", str(tmp_path / "no" / "page.html"))
    assert error.value.hint


def test_why_lists_all_and_explains_the_last(store):
    write_session(store, machine=replace(BOX, energy_source="emulated meter x"))
    text = run("why")
    assert "time measured, energy emulated meter" in text
    lines = text.splitlines()
    assert [line.split()[0] for line in lines if "J·s" in line and "known" not in line] == [
        str(number) for number in range(1, len(STEPS) + 1)
    ]
    assert "decision 7 of 7" in text
    assert "decision 1 of 7" in run("why", "1")


def test_why_tells_inside_from_outside(store):
    write_session(store)
    second, last = run("why", "2"), run("why", "7")
    assert "OUTSIDE the 90 % interval" in second
    assert "OUTSIDE" not in last and last.count("inside the 90 % interval") == 2
    assert "6 measured settings; best so far: epp power, max 2200 MHz (EDP 153.5 J·s)" in last
    assert "holds with probability 0.97 (at most 40 % slower)" in last
    bars = [line.count("█") for line in last.splitlines() if "█" in line]
    assert bars == sorted(bars, reverse=True) and len(bars) == 2
    assert run("why", "1").count("predicted") == 0


def test_why_says_when_a_run_was_stopped(store):
    """A lower bound is outside what was predicted for certain where it is above, and never inside for certain."""
    write_session(store, give_up_s=4.35)
    text = run("why", "2")
    time, energy = (next(line for line in text.splitlines() if line.startswith(word)) for word in ("time", "energy"))
    assert time.endswith("), stopped after 4.35 s")
    assert energy.endswith("measured at least 54.0 J: OUTSIDE the 90 % interval")
    document = json.loads(run("why", "2", "--json"))
    assert document["stopped_after_s"] == 4.35
    assert [figure["inside"] for figure in document["figures"]] == [None, False]
    assert json.loads(run("why", "4", "--json"))["stopped_after_s"] is None


def test_the_list_says_when_runs_were_stopped(store):
    write_session(store, give_up_s=2.9)
    listed = run("why").splitlines()[2:9]
    assert [line.split()[0] for line in listed if "stopped after 2.90 s" in line] == ["2", "3"]
    assert {line.index("epp power") for line in listed if "epp power" in line} == {37}


def test_why_as_json(store):
    write_session(store)
    document = json.loads(run("why", "2", "--json"))
    assert document["schema_version"] == 1
    assert (document["decision"], document["decisions"], document["known_trials"]) == (2, 7, 1)
    assert document["proposed"] == {"epp": "power", "max": 1200000}
    assert document["best_so_far"]["setting"] == {"epp": "performance", "max": 3200000}
    time, energy = document["figures"]
    assert (time["quantity"], energy["quantity"]) == ("time", "energy")
    low, high = energy["predicted_90"]
    assert low < energy["predicted"] < high
    assert energy["inside"] is (low <= energy["observed"] <= high) is False
    first = json.loads(run("why", "1", "--json"))
    assert first["best_so_far"] is None and first["figures"][0]["predicted"] is None


def test_why_of_a_decision_that_is_not_there(store):
    write_session(store)
    with pytest.raises(UsageError, match="no decision 8") as error:
        run("why", "8")
    assert "1 to 7" in (error.value.hint or "")


def test_why_without_energy(store):
    from report_values import PROBLEM

    from hwtune.domain.objective import Objective

    write_session(store, energy=False, problem=replace(PROBLEM, objective=Objective.TIME))
    text = run("why", "3")
    assert "energy" not in text and "predicted" in text


def test_what_is_stored_of_a_machine_names_its_meter():
    from hwtune.cli.host import open_host
    from hwtune.cli.record import fingerprint
    from hwtune.sensors.collector import Collector

    with open_host(simulate="laptop") as opened:
        energy = Collector(opened.host).energy
        machine = fingerprint(opened, energy)
    assert machine.simulated and machine.energy_source == energy.name
