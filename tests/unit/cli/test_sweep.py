"""`hwtune sweep` on simulated machines: the files it writes, how it goes on, what it leaves behind when it is ended."""

from __future__ import annotations

import csv
import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer

from hwtune.cli.sweep import sweep
from hwtune.domain.errors import Rejected, Unsupported, UsageError, WorkloadError
from hwtune.host.runner import Completed
from hwtune.knobs.cpufreq import CpufreqBackend
from hwtune.sim.machine import SimulatedRunner
from hwtune.sim.table import read_table

TREE = Path(__file__).resolve().parents[2] / "trees" / "laptop"
LEVELS = {400_000, 1_600_000, 2_800_000, 4_000_000, 5_200_000}
FILES = {"t.csv", "t.toml", "t.sweep.json"}


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def swept(capsys: pytest.CaptureFixture[str], **more: Any) -> Any:
    options: dict[str, Any] = {"out": Path("t.csv"), "simulate": "laptop", "workload": "compute", "knob_names": "max"}
    options |= {"levels": 5, "runs": 2, "as_json": True} | more
    try:
        sweep(**options)
    finally:
        said = capsys.readouterr()
        assert said.err == ""
    return json.loads(said.out)


def rows(path: str = "t.csv") -> list[dict[str, str]]:
    with Path(path).open(newline="") as file:
        return list(csv.DictReader(file))


def keys(path: str = "t.csv") -> list[tuple[int, int]]:
    return [(int(row["pass"]), int(row["max"])) for row in rows(path)]


def ends_at(monkeypatch: pytest.MonkeyPatch, runs: int, how: BaseException | Completed) -> None:
    """Let the simulated command end otherwise, once, after so many good runs."""
    run, done = SimulatedRunner.run, [0]

    def counted(self: SimulatedRunner, *words: Any, **more: Any) -> Completed:
        done[0] += 1
        if done[0] != runs + 1:
            return run(self, *words, **more)
        if isinstance(how, BaseException):
            raise how
        return how

    monkeypatch.setattr(SimulatedRunner, "run", counted)


def test_the_files_have_the_form_of_a_measured_table(capsys: pytest.CaptureFixture[str]) -> None:
    said = swept(capsys)
    assert {path.name for path in Path().iterdir()} == FILES
    found = rows()
    assert list(found[0])[:5] == ["workload", "max", "pass", "time_s", "energy_j"]
    assert {row["workload"] for row in found} == {"compute"}
    orders = [[level for number, level in keys() if number == wanted] for wanted in (1, 2)]
    assert all(set(order) == LEVELS and len(order) == 5 for order in orders)
    assert orders[0] != orders[1]
    side = tomllib.loads(Path("t.toml").read_text())
    assert side["knobs"] == {"max": {"unit": "kHz", "role": "frequency", "default": 5_200_000}}
    assert {name: side["table"][name] for name in ("workload", "time_s", "energy_j")} == {
        "workload": "workload",
        "time_s": "time_s",
        "energy_j": "energy_j",
    }
    assert {"ipc", "busy_ratio"} < set(side["table"]["features"]) <= set(found[0])
    assert "SIMULATED" in side["table"]["about"]
    assert "governor=powersave" in side["table"]["about"]
    slow, fast = (next(float(row["time_s"]) for row in found if row["max"] == level) for level in ("400000", "5200000"))
    assert slow > 3 * fast
    assert (said["rows"], said["measured"], said["left"], said["stopped"]) == (10, 10, 0, "finished")
    assert said["simulated"] is said["restored"] is True
    assert said["default"]["setting"] == {"max": 5_200_000}
    assert said["best"]["time"]["time_s"] <= said["default"]["time_s"]


def test_replay_reads_what_was_swept(capsys: pytest.CaptureFixture[str]) -> None:
    swept(capsys, simulate="biglittle", workload="memory", knob_names=None, levels=4, runs=1)
    table = read_table(Path("t.csv"))
    (workload,) = table.workloads
    assert workload.name == "memory"
    assert table.numbers(workload.space.default) == {"policy0.max": 1_800_000, "policy4.max": 2_400_000}
    assert len(workload.runs) == 16
    assert all("ipc" in run.features for runs in workload.runs.values() for run in runs)


def test_choices_are_swept_when_they_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    said = swept(capsys, knob_names="governor,epp,boost", levels=None, runs=1)
    assert said["rows"] == 10, "one EPP under performance, four under powersave, each with and without boost"
    table = read_table(Path("t.csv"))
    assert table.numbers(table.workloads[0].space.default) == {"governor": 2, "epp": 2, "boost": 1}
    assert said["best"]["energy"]["setting"]["governor"] == "powersave"


def test_ctrl_c_restores_and_the_same_command_line_goes_on(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched, pytest.raises(typer.Exit) as ending:
        ends_at(patched, 4, KeyboardInterrupt())
        sweep(out=Path("t.csv"), simulate="laptop", workload="compute", knob_names="max", levels=5, runs=2)
    assert ending.value.exit_code == 130
    said = capsys.readouterr()
    assert "3 rows are in t.csv, 7 runs are left: the same command line goes on from there." in said.out
    assert "Everything is back as it was." in said.out
    assert "10 runs take about" in said.err
    before = keys()
    with Path("t.csv").open("ab") as file:
        file.write(b"compute,400000,1,38.5")  # what a loss of power may leave
    said = swept(capsys)
    assert (said["rows"], said["measured"], said["torn_bytes"]) == (10, 7, 21)
    assert keys()[:3] == before
    assert sorted(keys()) == sorted((number, level) for number in (1, 2) for level in LEVELS)
    again = Path("t.csv").read_bytes()
    assert swept(capsys)["measured"] == 0
    assert Path("t.csv").read_bytes() == again


def test_a_command_that_fails_is_told_with_its_words(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = Completed(exit_status=2, start_ns=0, end_ns=1, cpu_time_s=0.0, stderr_tail="cc: no such file")
    before: list[dict[str, str]] = []
    leave = CpufreqBackend.snapshot
    monkeypatch.setattr(CpufreqBackend, "snapshot", lambda self: before.append(leave(self)) or before[-1])
    ends_at(monkeypatch, 3, failed)
    with pytest.raises(WorkloadError, match="exit status 2") as error:
        sweep(out=Path("t.csv"), simulate="laptop", workload="compute", knob_names="max", levels=5, runs=2)
    assert "cc: no such file" in str(error.value.hint)
    assert "2 rows are in t.csv, 8 runs are left" in capsys.readouterr().err
    assert len(rows()) == 2
    assert any(texts != before[0] for texts in before), "something was set meanwhile"
    assert before[-1] == before[0]


def test_a_command_that_fails_at_once_leaves_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    ends_at(monkeypatch, 0, Completed(exit_status=1, start_ns=0, end_ns=1, cpu_time_s=0.0, stderr_tail=""))
    with pytest.raises(WorkloadError):
        sweep(out=Path("t.csv"), simulate="laptop", levels=5, as_json=True)
    assert list(Path().iterdir()) == []


def test_a_value_that_the_kernel_refuses_is_no_row_of_its_own(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write = CpufreqBackend.write

    def refusing(self: CpufreqBackend, path: str, value: str) -> None:
        if value == "power":
            raise Rejected(knob="epp", wanted=value, errno=22)
        write(self, path, value)

    monkeypatch.setattr(CpufreqBackend, "write", refusing)
    said = swept(capsys, knob_names="epp", levels=None, runs=1)
    # Once refused the knob stays as it was then, and nothing is measured twice.
    assert said["stopped"] == "finished"
    assert said["rows"] == len({row["epp"] for row in rows()}) < 4
    assert said["clamped"][0]["wanted"] == {"epp": "power"}
    assert said["restored"] is True


@pytest.mark.parametrize(
    ("change", "word"),
    [({"seed": 1}, "seed"), ({"levels": 4}, "values.max"), ({"workload": "memory"}, "workload")],
)
def test_another_sweep_is_not_mixed_in(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, change: dict[str, Any], word: str
) -> None:
    swept(capsys, runs=1)
    before = {path.name: path.read_bytes() for path in Path().iterdir()}
    with pytest.raises(UsageError, match=word) as error:
        sweep(**{"out": Path("t.csv"), "simulate": "laptop", "workload": "compute", "levels": 5} | change)
    assert error.value.exit_status == 2
    assert {path.name: path.read_bytes() for path in Path().iterdir()} == before


@pytest.mark.parametrize("root", [None, TREE])
def test_a_dry_run_writes_and_runs_nothing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, root: Path | None
) -> None:
    ends_at(monkeypatch, 0, AssertionError("a run"))
    where: dict[str, Any] = {"simulate": "laptop"} if root is None else {"root": root, "command": ["make", "-j8"]}
    sweep(**where, levels=5, runs=2, dry_run=True)
    said = capsys.readouterr().out
    assert "5 settings, 2 passes: 10 runs" in said
    assert "nothing was written" in said
    assert list(Path().iterdir()) == []
    sweep(**where, levels=5, runs=2, dry_run=True, as_json=True)
    document = json.loads(capsys.readouterr().out)
    assert (document["dry_run"], document["rows"], document["left"]) == (True, 0, 10)


def test_what_cannot_be_swept_is_refused_before_anything_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    ends_at(monkeypatch, 0, AssertionError("a run"))
    with pytest.raises(UsageError, match="no command"):
        sweep()
    with pytest.raises(UsageError, match="simulated"):
        sweep(["make"], simulate="laptop")
    with pytest.raises(Unsupported, match="energy sensor"):
        sweep(simulate="vm")
    with pytest.raises(UsageError, match="turbo"):
        sweep(simulate="laptop", knob_names="turbo")
    with pytest.raises(UsageError, match="4900 settings"):
        sweep(simulate="laptop", knob_names="max,min,epp")
    assert list(Path().iterdir()) == []
