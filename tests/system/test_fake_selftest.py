"""`hwtune selftest --hardware` and `hwtune capture` on true paths: a fake kernel whole, and nothing left of it."""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake.faults import Fault
from fake.namespace import Machine, why_not

HWTUNE = [sys.executable, "-m", "hwtune"]
SELFTEST = [*HWTUNE, "selftest", "--hardware", "--yes", "--json"]
# What a machine says of itself, whether it runs or not.
ITSELF = ("cpufreq", "energy", "pressure", "temperature", "idle")


@pytest.fixture
def machine() -> Iterator[Machine]:
    if reason := why_not():
        pytest.skip(reason)
    with Machine("amd_pstate_epp") as machine:
        yield machine


def test_every_knob_is_turned_and_put_back(machine: Machine) -> None:
    before = machine.control.state()
    result = machine.run(SELFTEST)
    assert result.returncode == 0, result.stderr
    receipt = json.loads(result.stdout)
    assert receipt["results"].keys() == {"applied"}
    assert receipt["restored"] is True
    assert receipt["machine"]["drivers"] == ["amd-pstate-epp"]
    assert machine.control.writes()
    assert machine.control.state() == before


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_in_the_middle_puts_everything_back(machine: Machine, number: int, status: int) -> None:
    before = machine.control.state()
    process = machine.start(SELFTEST)
    while len(machine.control.writes()) < 6 and process.poll() is None:
        time.sleep(0.005)
    process.send_signal(number)
    said, errors = process.communicate(timeout=60)
    assert process.returncode == status, errors
    receipt = json.loads(said)
    assert receipt["interrupted"] is True
    assert receipt["restored"] is True
    assert machine.control.state() == before


def test_what_a_killed_selftest_leaves_is_put_back(machine: Machine) -> None:
    before = machine.control.state()
    machine.control.faults([Fault(action="kill_after", skip=6)])
    assert machine.run(SELFTEST).returncode == -signal.SIGKILL
    machine.control.faults([])
    assert machine.control.state() != before
    assert machine.run([*HWTUNE, "restore"]).returncode == 0
    assert machine.control.state() == before


def test_the_live_machine_and_its_capture_say_the_same(machine: Machine, tmp_path: Path) -> None:
    file = str(tmp_path / "capture.tar.gz")
    assert machine.run([*HWTUNE, "capture", file]).returncode == 0
    live, captured = (
        json.loads(machine.run([*HWTUNE, "probe", "--json", *more]).stdout) for more in ([], ["--root", file])
    )
    for part in ITSELF:
        for document in (live, captured):  # what to do about a "no" depends on where one stands
            document[part].pop("why")
            document[part].pop("hint")
        assert captured[part] == live[part], part
    assert live["cpufreq"]["knobs"]
    assert captured["machine"]["cpu"] == live["machine"]["cpu"]
    assert machine.control.writes() == []
