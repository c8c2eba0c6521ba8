"""A probe that is far too slow is stopped: the whole program, with a planner that proposes one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

# The lowest limit, which makes the work several times slower; then nothing more. It keeps the default.
PLANNER = """
import json, sys
for text in filter(str.strip, sys.stdin):
    request = json.loads(text)
    default, last = request["trials"][0]["setting"], request["trials"][-1]
    (knob,) = request["problem"]["space"]["knobs"]
    slow = {"max": knob["low"]}
    assert [run["censored"] for run in last["runs"]].count(True) == (last["status"] == "censored")
    probing = request["ask"] == "suggest"
    answer = {"setting": slow if probing else default,
              "status": "converged" if probing and len(request["trials"]) > 1 else "ok"}
    print(json.dumps({"version": 1, "id": request["id"], "proposal": {**answer, "reason": "explore",
        "predicted": None, "probability_feasible": None, "score": None, "importance": {}}}), flush=True)
"""


def hwtune(tmp_path: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    planner = tmp_path / "planner.py"
    planner.write_text(PLANNER)
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("HWTUNE_")}
    ours = {
        "HWTUNE_PATHS_STATE_DIR": str(tmp_path / "state"),
        "HWTUNE_PLANNER_COMMAND": f"{sys.executable} -u {planner}",
        "HWTUNE_TUNE_KNOBS": "max",
    }
    return subprocess.run(
        [sys.executable, "-m", "hwtune", *words],
        env=inherited | ours | environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def tuned(tmp_path: Path, *words: str, **environment: str) -> Any:
    result = hwtune(tmp_path, "tune", "--simulate=laptop", "--max-slowdown", "5%", "--json", *words, **environment)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def test_a_probe_that_is_far_too_slow_is_stopped(tmp_path: Path) -> None:
    found = tuned(tmp_path, "--abandon")
    default, probe = found["evaluated"]
    assert "censored" not in default
    assert probe["censored"] is True
    limit = 1.25 * default["measured"]["time_s"]
    assert probe["measured"]["time_s"] == pytest.approx(limit, rel=1e-3)
    assert probe["true"]["time_s"] > 2.0 * limit
    slowest = probe["true"]["energy_j"] / probe["true"]["time_s"]
    assert probe["measured"]["energy_j"] / probe["measured"]["time_s"] == pytest.approx(slowest, rel=0.2)
    assert found["recommended"][-1]["max"] == default["setting"]["max"]
    assert (found["verdict"], found["restored"]) == (None, True)
    told = hwtune(tmp_path, "why").stdout
    assert told.count("stopped after ") == 2  # in the list, and of the last decision
    hwtune(tmp_path, "report", "--output", str(tmp_path / "page.html"))
    assert ">stopped after " in (tmp_path / "page.html").read_text()


def test_unasked_nothing_is_stopped(tmp_path: Path) -> None:
    for words, environment in (((), {}), (("--no-abandon",), {"HWTUNE_TUNE_ABANDON": "true"})):
        _, probe = tuned(tmp_path, *words, **environment)["evaluated"]
        assert "censored" not in probe
        assert probe["measured"]["time_s"] == pytest.approx(probe["true"]["time_s"], rel=0.1)


def test_the_configuration_may_ask_for_it(tmp_path: Path) -> None:
    assert tuned(tmp_path, HWTUNE_TUNE_ABANDON="true")["evaluated"][1]["censored"] is True


def test_people_are_told_when(tmp_path: Path) -> None:
    said = hwtune(tmp_path, "tune", "--simulate=laptop", "--max-slowdown", "5%", "--abandon").stderr
    assert "2 explore" in said and "stopped after " in said
