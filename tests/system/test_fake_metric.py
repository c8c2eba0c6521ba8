"""`hwtune tune` by a metric on true paths: real processes, a real socket, knobs that make the work faster or slower."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fake.namespace import Machine, why_not

HWTUNE = [sys.executable, "-m", "hwtune"]
# Works at the pace that the limit in force allows, tells its progress and prints its rate.
WORKER = """
import json, os, socket, sys, time
limit = int(open("/sys/devices/system/cpu/cpufreq/policy0/scaling_max_freq").read())
top = int(open("/sys/devices/system/cpu/cpufreq/policy0/cpuinfo_max_freq").read())
pause_s = 0.01 * top / limit
where = os.environ.get("HWTUNE_HEARTBEAT")
peer = socket.socket(socket.AF_UNIX) if where else None
if peer:
    peer.connect(where)
begun = time.monotonic()
for done in range(101):
    if peer:
        peer.sendall(json.dumps({"done": done}).encode() + b"\\n")
    time.sleep(max(0.0, begun + (done + 1) * pause_s - time.monotonic()))
print("rate=%.3f" % (100 / (time.monotonic() - begun)))
"""
# A low limit, then nothing more; it keeps the default.
PLANNER = """
import json, sys
for text in filter(str.strip, sys.stdin):
    request = json.loads(text)
    default = request["trials"][0]["setting"]
    low = {**default, **{k["name"]: 3 * k["low"] for k in request["problem"]["space"]["knobs"]}}
    probing = request["ask"] == "suggest"
    answer = {"setting": low if probing else default,
              "status": "converged" if probing and len(request["trials"]) > 1 else "ok"}
    print(json.dumps({"version": 1, "id": request["id"], "proposal": {**answer, "reason": "explore",
        "predicted": None, "probability_feasible": None, "score": None, "importance": {}}}), flush=True)
"""


@pytest.fixture
def machine() -> Iterator[Machine]:
    if reason := why_not():
        pytest.skip(reason)
    with Machine("intel_pstate_hwp") as machine:
        yield machine


def tuned(machine: Machine, tmp_path: Path, *words: str) -> Any:
    planner = tmp_path / "planner.py"
    planner.write_text(PLANNER)
    asked = [*HWTUNE, "tune", "--json", "--objective", "time", "--knobs", "max", "--runs", "1", "--competing", "ignore"]
    command = f"{sys.executable} -u {planner}"
    result = machine.run(
        ["env", f"HWTUNE_PLANNER_COMMAND={command}", *asked, *words, "--", sys.executable, "-c", WORKER]
    )
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


@pytest.mark.parametrize("metric", [["--metric", "rate=([0-9.]+)"], ["--metric-heartbeat"]])
def test_the_rate_follows_the_limit_and_the_machine_is_put_back(
    machine: Machine, tmp_path: Path, metric: list[str]
) -> None:
    before = machine.control.state()
    found = tuned(machine, tmp_path, *metric, "--metric-unit", "item")
    default, low = found["evaluated"]
    assert found["measure"]["time_unit"] == "s/item"
    assert default["measured"]["time_s"] >= 0.0099
    slowdown = default["setting"]["max"] / low["setting"]["max"]
    assert low["measured"]["time_s"] == pytest.approx(0.01 * slowdown, rel=0.2)
    assert found["restored"] is True
    assert machine.control.state() == before


def test_a_real_process_that_gets_on_too_slowly_is_stopped(machine: Machine, tmp_path: Path) -> None:
    words = ("--metric-heartbeat", "--metric-unit", "item", "--abandon", "--max-slowdown", "5%")
    default, low = tuned(machine, tmp_path, *words)["evaluated"]
    assert "censored" not in default
    assert low["censored"] is True
    assert low["measured"]["time_s"] > 1.25 * default["measured"]["time_s"]
