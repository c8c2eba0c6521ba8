"""A model that may not act stops a session: every verb says so, with the reason that its planner gave."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

WHY = "power falls [from 1 to 2 GHz]"
# The default is measured and kept; nothing else is ever proposed.
PLANNER = f"""
import json, sys
for text in filter(str.strip, sys.stdin):
    request = json.loads(text)
    setting = request["trials"][0]["setting"]
    ending = {{"status": "distrusted", "why": {WHY!r}}} if request["ask"] == "suggest" else {{"status": "ok"}}
    print(json.dumps({{"version": 1, "id": request["id"], "proposal": {{"setting": setting, "reason": "default",
        "predicted": None, "probability_feasible": None, "score": None, "importance": {{}}, **ending}}}}), flush=True)
"""


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "small.csv"
    path.write_text("w,cap,s,j\n" + "".join(f"sort,{cap},{20 - cap},{cap}\n" for cap in range(1, 13)))
    path.with_suffix(".toml").write_text(
        '[table]\nworkload = "w"\ntime_s = "s"\nenergy_j = "j"\n[knobs.cap]\nrole = "power_cap"\n'
    )
    return path


def hwtune(tmp_path: Path, *words: object) -> str:
    planner = tmp_path / "planner.py"
    planner.write_text(PLANNER)
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("HWTUNE_")}
    result = subprocess.run(
        [sys.executable, "-m", "hwtune", *map(str, words)],
        env={
            **inherited,
            "HWTUNE_PATHS_STATE_DIR": str(tmp_path / "state"),
            "HWTUNE_PLANNER_COMMAND": f"{sys.executable} -u {planner}",
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_tune_says_why(tmp_path: Path) -> None:
    said = json.loads(hwtune(tmp_path, "tune", "--simulate=laptop", "--json"))
    assert (said["stopped"], said["why_stopped"], said["verdict"]) == ("distrusted", WHY, None)
    assert len(said["evaluated"]) == 1
    said = json.loads(hwtune(tmp_path, "tune", "--simulate=laptop", "--budget", 1, "--json"))
    assert (said["stopped"], said["why_stopped"]) == ("budget", None)
    assert f"not trusted to go on: {WHY}." in hwtune(tmp_path, "tune", "--simulate=laptop")


def test_replay_says_why(tmp_path: Path, table: Path) -> None:
    (said,) = json.loads(hwtune(tmp_path, "replay", table, "--json"))["workloads"]
    assert (said["stopped"], said["why_stopped"], len(said["evaluated"])) == ("distrusted", WHY, 1)
    (said,) = json.loads(hwtune(tmp_path, "replay", table, "--budget", 1, "--json"))["workloads"]
    assert (said["stopped"], said["why_stopped"]) == ("budget", None)
    assert f"sort: the model was not trusted to go on: {WHY}\n" in hwtune(tmp_path, "replay", table)
