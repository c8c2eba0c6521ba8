"""Bad input: one line, a hint, the right exit status, and nothing written. Each case is a process of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TREE = Path(__file__).resolve().parents[2] / "trees" / "laptop"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    copy = tmp_path / "tree"
    shutil.copytree(TREE, copy, symlinks=True)
    return copy


def contents(directory: Path) -> dict[str, str]:
    return {
        str(path.relative_to(directory)): path.read_text(errors="replace")
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }


def hwtune(tmp_path: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    places = {"HWTUNE_PATHS_STATE_DIR": str(tmp_path / "state"), "HWTUNE_PATHS_RUN_DIR": str(tmp_path / "run")}
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("HWTUNE_")}
    return subprocess.run(
        [sys.executable, "-m", "hwtune", *words],
        env=inherited | places | environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def refused(result: subprocess.CompletedProcess[str], status: int, *words: str) -> None:
    said = result.stderr.splitlines()
    assert result.returncode == status, result.stderr
    assert [line.split(":")[0] for line in said[:2]] == ["error", "hint"], result.stderr
    assert "Traceback" not in result.stderr
    for word in words:
        assert word in said[0]
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["apply", "turbo=1"], 2, "turbo"),
        (["apply", "max=99GHz"], 2, "max"),
        (["apply", "max=fast"], 2, "fast"),
        (["apply", "min=3GHz", "max=1GHz"], 2, "min"),
        (["apply", "governor=warp"], 2, "governor"),
        (["apply", "max"], 2, "max"),
        (["apply"], 2, ""),
        (["tune", "--dry-run"], 2, "no command"),
        (["tune", "--dry-run", "--knobs", "turbo", "--", "true"], 2, "turbo"),
        (["tune", "--dry-run", "--budget", "-3", "--", "true"], 2, "--budget"),
        (["tune", "--dry-run", "--max-slowdown", "fast", "--", "true"], 2, "max_slowdown"),
        (["tune", "--dry-run", "--abandon", "--", "true"], 2, "slowdown bound"),
        (["tune", "--dry-run", "--objective", "speed", "--", "true"], 2, "--objective"),
        (["tune", "--dry-run", "--budget-time", "soon", "--", "true"], 2, "soon"),
    ],
)
def test_words_that_do_not_fit(tmp_path: Path, tree: Path, words: list[str], status: int, message: str) -> None:
    before = contents(tree)
    result = hwtune(tmp_path, words[0], "--root", str(tree), *words[1:])
    refused(result, status, message)
    assert contents(tree) == before
    assert not (tmp_path / "state").exists()


def test_a_root_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no archive")
    for root in ("/nowhere", str(tmp_path / "text")):
        refused(hwtune(tmp_path, "probe", "--root", root), 1, root)


def test_a_simulated_machine_runs_no_command(tmp_path: Path) -> None:
    refused(hwtune(tmp_path, "tune", "--simulate", "--", "make"), 2, "simulated")


def test_no_energy_sensor_for_an_energy_objective(tmp_path: Path) -> None:
    refused(hwtune(tmp_path, "tune", "--simulate=vm"), 3)


def test_a_corrupt_journal_is_left_for_a_person(tmp_path: Path, tree: Path) -> None:
    journal = tree / "run/hwtune/journal.json"
    journal.parent.mkdir(parents=True)
    journal.write_text('{"schema_version": 1, "boot_id"')
    before = contents(tree)
    for words in (["apply", "max=2GHz"], ["restore"]):
        refused(hwtune(tmp_path, words[0], "--root", str(tree), *words[1:]), 1, "journal")
    assert contents(tree) | {"run/hwtune/lock": ""} == before | {"run/hwtune/lock": ""}


def test_a_full_disk_for_the_journal(tmp_path: Path, tree: Path) -> None:
    """A file-size limit of 0 answers every write of a byte as a full disk does, before the first knob is written."""
    before = contents(tree)
    program = f"ulimit -f 0; trap '' XFSZ; exec {sys.executable} -m hwtune apply --root {tree} max=2GHz"
    result = subprocess.run(["bash", "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 1, result.stderr
    assert result.stderr.startswith("error: ")
    assert "hint: " in result.stderr
    knobs = {path: text for path, text in contents(tree).items() if not path.startswith("run/")}
    assert knobs == before


def test_a_corrupt_store_is_left_as_it_is(tmp_path: Path) -> None:
    store = tmp_path / "state" / "hwtune.sqlite"
    store.parent.mkdir()
    store.write_bytes(b"SQLite format 3\0" + b"\x7f" * 5000)
    before = store.read_bytes()
    for words in (["why"], ["report"], ["tune", "--simulate"]):
        refused(hwtune(tmp_path, *words), 1, "hwtune.sqlite")
    assert store.read_bytes() == before


def test_a_planner_that_is_no_planner(tmp_path: Path) -> None:
    result = hwtune(tmp_path, "tune", "--simulate", "--json", HWTUNE_PLANNER_COMMAND="false")
    refused(result, 1, "planner")


def test_an_unknown_variable(tmp_path: Path) -> None:
    result = hwtune(tmp_path, "tune", "--simulate", HWTUNE_TUNE_BUDGTE="3")
    refused(result, 2, "HWTUNE_TUNE_BUDGTE")


def test_two_tuners_at_once(tmp_path: Path, tree: Path) -> None:
    """The lock is held by a live process: the second one is refused and names the first."""
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys, pathlib; from hwtune.knobs.lock import Lock;"
            f"lock = Lock(pathlib.Path({str(tree / 'run/hwtune')!r}), verb='tune'); lock.acquire();"
            "print('held', flush=True); sys.stdin.read()",
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    before = contents(tree)
    result = hwtune(tmp_path, "apply", "--root", str(tree), "max=2GHz")
    refused(result, 7, "tune", str(holder.pid))
    assert contents(tree) == before
    holder.communicate("")
