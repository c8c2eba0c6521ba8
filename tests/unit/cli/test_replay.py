"""`hwtune replay` from end to end on a small table made here."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hwtune.cli.replay_json import ReplayDocument

SIDECAR = """\
[table]
workload = "workload"
time_s = "time_s"
energy_j = "energy_j"
features = "ctr_*"
[knobs.freq]
unit = "GHz"
role = "frequency"
[knobs.threads]
unit = "1"
role = "active_cpus"
"""


def rows(name: str, memory: float) -> list[str]:
    found = []
    for freq in (1.2, 1.6, 2.0, 2.4, 2.8, 3.2):
        for threads in (1, 2, 4):
            time_s = (1 - memory) * 3.2 / freq * 4 / threads + memory
            energy_j = time_s * (6 + 2 * threads * (freq / 3.2) ** 3)
            found.append(f"{name},{freq},{threads},{time_s:.6g},{energy_j:.6g},{memory}")
    return found


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "small.csv"
    lines = ["workload,freq,threads,time_s,energy_j,ctr_memory", *rows("stream", 0.8), *rows("sort", 0.2)]
    path.write_text("\n".join([*lines, *rows("short", 0.5)[:4]]) + "\n")
    path.with_suffix(".toml").write_text(SIDECAR)
    return path


def start(*words: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "hwtune", "replay", *map(str, words)],
        env={name: value for name, value in os.environ.items() if not name.startswith("HWTUNE_")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def replay(*words: object) -> tuple[int, str, str]:
    with start(*words) as process:
        said, errors = process.communicate(timeout=120)
    return process.returncode, said, errors


def test_the_document_and_the_same_for_the_same_seed(table: Path) -> None:
    words = (table, "--budget", 4, "--objective", "energy", "--max-slowdown", "5%", "--seed", 3, "--json")
    status, said, errors = replay(*words, "--jobs", 2)
    assert (status, errors) == (0, "")
    assert replay(*words, "--jobs", 1)[1] == said
    found = json.loads(said)
    ReplayDocument.model_validate(found)
    assert {key: found[key] for key in found if key not in {"workloads", "skipped"}} == {
        "schema_version": 1,
        "table": "small",
        "objective": "energy",
        "max_slowdown": 0.05,
        "seed": 3,
        "warm": "none",
    }
    assert found["skipped"] == [{"workload": "short", "why": "it has 4 settings, fewer than 10"}]
    assert [each["workload"] for each in found["workloads"]] == ["stream", "sort"]
    measured = {tuple(line.split(",")[:3]): line.split(",")[3:5] for line in table.read_text().splitlines()[1:]}
    for each in found["workloads"]:
        assert each["budget"] == 4
        assert 1 <= len(each["evaluated"]) == len(each["recommended"]) <= 4
        assert each["stopped"] == "budget" or len(each["evaluated"]) < 4
        assert each["evaluated"][0]["setting"] == {"freq": 3.2, "threads": 4}
        assert each["evaluated"][0]["reason"] == "default"
        assert "predicted" not in each["evaluated"][0]
        for at, evaluated in enumerate(each["evaluated"]):
            row = measured[
                each["workload"], f"{float(evaluated['setting']['freq'])}", f"{evaluated['setting']['threads']}"
            ]
            assert evaluated["measured"] == {"time_s": float(row[0]), "energy_j": float(row[1])}
            if at:
                predicted = evaluated["predicted"]
                for name in ("time_s", "energy_j"):
                    low, high = predicted[f"{name}_90"]
                    assert low < predicted[name] < high
        for setting in each["recommended"]:
            assert (each["workload"], f"{float(setting['freq'])}", f"{setting['threads']}") in measured


def test_for_people_there_is_a_table(table: Path) -> None:
    status, said, errors = replay(table, "--budget", 2, "--workload", "sort")
    assert status == 0
    assert "sort: 2 evaluations, stopped: budget" in errors
    assert "2 of 18" in said and "replayed from measured rows" in said
    assert "stream" not in said + errors and "skipped" not in said


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        (["--workload", "make"], "error: small has no workload 'make'", "hint: it has: stream, sort, short"),
        (["--workload", "short"], "error: short cannot be replayed: it has 4 settings", "hint: leave --workload out"),
        (["--max-slowdown", "-1"], "error: '-1' is not a share", "hint: "),
        (["--abandon"], "error: to abandon probes needs a slowdown bound", "hint: add --max-slowdown"),
        (["--max-risk", "1"], "error: --max-risk 1 is no probability", "hint: "),
        (["--objective", "fps"], "error: ", "hint: "),
        (["--budget", "0"], "error: ", "hint: "),
        (["--warm", "hot"], "error: ", "hint: "),
    ],
)
def test_words_that_are_off(table: Path, words: list[str], message: str, hint: str) -> None:
    status, said, errors = replay(table, *words)
    assert (status, said) == (2, "")
    first, second = errors.splitlines()
    assert first.startswith(message) and second.startswith(hint)


def test_a_bad_table_is_refused_with_its_line(table: Path) -> None:
    table.write_text(table.read_text() + "sort,1.0,1,fast,3,1\n")
    status, said, errors = replay(table, "--json")
    assert (status, said) == (2, "")
    assert errors.startswith(f"error: {table}: line 42: time_s is 'fast', not a number\nhint: ")
    assert replay(table.with_name("none.csv"))[0] == 2


def alive(stat: Path) -> bool:
    """Whether that process still runs, by the third field of its `/proc/<pid>/stat`."""
    try:
        return stat.read_text().rpartition(")")[2].split()[0] not in {"Z", "X"}
    except OSError:
        return False


def test_interrupted_it_ends_with_130_and_leaves_nothing(table: Path) -> None:
    with start(table) as process:
        # Its planner is running, so the session is too.
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        deadline = time.monotonic() + 60
        while not children.read_text() and time.monotonic() < deadline:
            time.sleep(0.01)
        planners = [Path(f"/proc/{pid}/stat") for pid in children.read_text().split()]
        process.send_signal(signal.SIGINT)
        said, errors = process.communicate(timeout=120)
    assert process.returncode == 130
    assert said == "" and "Traceback" not in errors
    assert planners
    # One that was being started just then is not ours to end yet: it ends by itself when nobody is left to ask it.
    while any(map(alive, planners)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(alive, planners))
