"""The loop of a sweep over a machine of numbers, into real files: what a row holds, and what an interruption leaves."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Any

import pytest
from sweeping import (
    GOVERNOR,
    LEVELS,
    WHOLE,
    Blind,
    Machine,
    cost,
    expected,
    held,
    origin,
    sweep,
)

from hwtune.domain.errors import Locked, Unsupported, UsageError, WorkloadError
from hwtune.domain.knob import Setting
from hwtune.workload.sweep_table import Row, code
from hwtune.workload.table_file import TableFile


@pytest.fixture(autouse=True)
def quick_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda _: None)


def test_every_pass_visits_every_setting_in_an_order_of_its_own(tmp_path: Path) -> None:
    it, table, notes = sweep(tmp_path / "t.csv", passes=3)
    assert it.finished
    assert held(table) == expected(3)
    orders = [[row.setting for row in table.rows if row.number == number] for number in (1, 2, 3)]
    assert len({tuple(order) for order in orders}) == 3
    assert [row.number for row in table.rows] == sorted(row.number for row in table.rows)
    assert all(row.time_s == cost(row.setting) for row in table.rows)
    assert notes.estimates == [(1.0, 18)]
    again = [row.setting for row in sweep(tmp_path / "u.csv", passes=3)[1].rows]
    assert again == [row.setting for row in table.rows]
    other = [row.setting for row in sweep(tmp_path / "v.csv", passes=3, seed=1)[1].rows]
    assert other != again


def test_a_table_cut_off_at_any_byte_is_completed(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    sweep(path, passes=1)
    whole = path.read_bytes()
    sidecar = path.with_suffix(".toml").read_bytes()
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        it, table, notes = sweep(path, passes=1)
        rows_before = max(whole[:size].count(b"\n") - 1, 0)
        assert it.finished
        assert held(table) == expected(1), size
        assert len(notes.rows) == 6 - rows_before, size
        assert all(row.time_s == pytest.approx(cost(row.setting)) for row in table.rows), size
        # The same seed and the same costs: the file is what it would have been.
        assert path.read_bytes() == whole, size
        assert path.with_suffix(".toml").read_bytes() == sidecar


def test_an_interruption_before_any_run_leaves_what_a_next_start_completes(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    for runs in range(13):
        path.unlink(missing_ok=True)
        for aside in (path.with_suffix(".toml"), path.with_suffix(".sweep.json")):
            aside.unlink(missing_ok=True)
        it, table, _ = sweep(path, Machine(ends_at=runs))
        assert not it.finished
        assert len(table.rows) == max(runs - 1, 0)
        assert path.exists() is (runs > 0), "nothing is created before the first run"
        it, table, _ = sweep(path)
        assert it.finished
        assert held(table) == expected()


def test_a_command_that_fails_leaves_its_rows(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    with pytest.raises(WorkloadError):
        sweep(path, Machine(ends_at=4, error=WorkloadError("make failed")))
    assert len(path.read_text().splitlines()) == 4
    assert sweep(path)[0].finished


def test_a_run_that_somebody_has_disturbed_is_no_row(tmp_path: Path) -> None:
    machine = Machine(disturbed_at=3)
    it, table, _ = sweep(tmp_path / "t.csv", machine)
    assert it.finished
    assert held(table) == expected()
    # The warm-up, one run for each row, and one that was made again.
    assert machine.runs == 1 + len(table.rows) + 1


def test_knobs_that_are_not_swept_are_held(tmp_path: Path) -> None:
    machine = Machine()
    sweep(tmp_path / "t.csv", machine)
    assert len(machine.asked) == 13
    assert all(asked | {"max": 8} == WHOLE.default for asked in machine.asked)


def test_a_clamped_setting_is_told_once_and_measured_once_in_a_pass(tmp_path: Path) -> None:
    machine = Machine(ceiling=4)
    _, table, notes = sweep(tmp_path / "t.csv", machine)
    assert {row.setting["max"] for row in table.rows} == {1, 2, 3, 4}
    assert set(held(table).values()) == {1}
    assert {wanted["max"] for wanted, _ in notes.clamps} <= {6, 8}
    assert all(effective == Setting(max=4) for _, effective in notes.clamps)
    assert len(notes.clamps) == len({wanted for wanted, _ in notes.clamps}) > 0
    assert machine.runs == 1 + 8


def test_more_passes_are_added_to_a_finished_table(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    sweep(path, passes=1)
    machine = Machine()
    sweep(path, machine, passes=1)
    assert machine.runs == 0, "a finished sweep runs nothing"
    whole = path.read_bytes()
    path.write_bytes(whole + b"torn")
    sweep(path, machine, passes=1)
    assert (machine.runs, path.read_bytes()) == (0, whole)
    _, table, _ = sweep(path, passes=2)
    assert held(table) == expected(2)


@pytest.mark.parametrize(
    "change",
    [
        {"machine": "another"},
        {"kernel": "6.2"},
        {"workload": "make -j4", "command": ("make", "-j4")},
        {"seed": 1},
        {"prepare": "make clean"},
        {"found": dict(WHOLE.default) | {"boost": "0"}},
        {"values": {"max": (1, 8)}, "settings": 2},
        {"values": {"min": LEVELS}},
        {"simulated": True},
        {"energy_source": "battery BAT0"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_rows_of_another_sweep_are_not_mixed_in(tmp_path: Path, change: dict[str, Any]) -> None:
    path = tmp_path / "t.csv"
    sweep(path, Machine(ends_at=5))
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    with pytest.raises(UsageError, match=f"of another sweep: {next(iter(change))}"):
        sweep(path, facts=change)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_what_is_no_table_of_a_sweep_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    for name in ("t.csv", "t.toml"):
        (tmp_path / name).write_text("mine\n")
        with pytest.raises(UsageError, match="could go on"):
            sweep(path)
        assert [file.name for file in tmp_path.iterdir()] == [name]
        (tmp_path / name).unlink()
    with pytest.raises(UsageError, match="no directory"):
        sweep(tmp_path / "nowhere" / "t.csv")
    with pytest.raises(UsageError, match="no name"):
        sweep(tmp_path / "t.toml")


@pytest.mark.parametrize(
    ("line", "broken", "why"),
    [
        (1, "workload,max,pass", "line 1"),
        (3, "{workload},8,1,nan,2.0,1,0.5", "line 3.*finite"),
        (3, "{workload},8,1,-1.0,2.0,1,0.5", "line 3.*positive"),
        (3, "{workload},8,1,1.0", "line 3.*cells"),
        (3, "{workload},fast,1,1.0,2.0,1,0.5", "line 3"),
        (3, "make,8,1,1.0,2.0,1,0.5", "line 3.*workload"),
        (4, "copy of line 3", "line 4.*already"),
    ],
)
def test_a_table_that_was_edited_badly_is_refused_by_line(tmp_path: Path, line: int, broken: str, why: str) -> None:
    path = tmp_path / "t.csv"
    sweep(path, Machine(ends_at=8))
    lines = path.read_text().splitlines()
    workload = lines[2].rpartition('"')[0] + '"'
    lines[line - 1] = lines[2] if broken.startswith("copy") else broken.format(workload=workload)
    path.write_text("\n".join(lines) + "\n")
    before = path.read_bytes()
    with pytest.raises(UsageError, match=why):
        sweep(path)
    assert path.read_bytes() == before


def test_two_sweeps_do_not_write_one_table(tmp_path: Path) -> None:
    path, knobs = tmp_path / "t.csv", WHOLE.subset(("max",)).knobs
    with TableFile(path, origin(), knobs) as first:
        first.begin(("idle",))
        with TableFile(path, origin(), knobs) as second, pytest.raises(Locked):
            second.begin(("idle",))
        first.append(Row(number=1, setting=Setting(max=8), time_s=1.0, energy_j=2.0, features={"idle": 0.5}))
    assert len(path.read_text().splitlines()) == 2


def test_a_row_is_on_the_disk_before_the_next_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, synced = tmp_path / "t.csv", list[bytes]()
    monkeypatch.setattr(os, "fsync", lambda fd: synced.append(path.read_bytes() if path.exists() else b""))
    with TableFile(path, origin(), WHOLE.subset(("max",)).knobs) as table:
        table.begin(("idle",))
        for level in (8, 1):
            table.append(Row(number=1, setting=Setting(max=level), time_s=1.0, energy_j=2.0))
            assert synced[-1] == path.read_bytes()
            assert synced[-1].splitlines()[-1].endswith(f"{level},1,1,2,".encode())


def test_a_row_that_does_not_fit_on_the_disk_leaves_no_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, knobs = tmp_path / "t.csv", WHOLE.subset(("max",)).knobs
    write = os.write
    with TableFile(path, origin(), knobs) as table:
        table.begin(("idle",))
        row = Row(number=1, setting=Setting(max=8), time_s=1.0, energy_j=2.0, features={"idle": 0.5})
        table.append(row)
        before = path.read_bytes()
        monkeypatch.setattr(os, "write", lambda fd, data: write(fd, data[:7]))
        with pytest.raises(WorkloadError, match="No space"):
            table.append(row)
        monkeypatch.undo()
    assert path.read_bytes() == before


def test_a_feature_that_a_run_lacks_is_no_feature_of_the_table(tmp_path: Path) -> None:
    path, knobs = tmp_path / "t.csv", WHOLE.subset(("max",)).knobs
    with TableFile(path, origin(), knobs) as table:
        table.begin(("idle", "ipc"))
        table.append(Row(number=1, setting=Setting(max=8), time_s=1.0, energy_j=2.0, features={"idle": 0.5, "ipc": 1}))
        table.append(Row(number=1, setting=Setting(max=1), time_s=8.0, energy_j=2.0, features={"idle": 0.5}))
    assert tomllib.loads(path.with_suffix(".toml").read_text())["table"]["features"] == ["idle"]
    assert path.read_text().splitlines()[-1].endswith(",0.5,")
    assert TableFile(path, origin(), knobs).rows[1].features == {"idle": 0.5}


def test_words_are_numbers_in_a_table_and_words_again_when_it_goes_on(tmp_path: Path) -> None:
    path, names = tmp_path / "t.csv", ("governor", "epp", "boost")
    facts: dict[str, Any] = {"values": dict.fromkeys(names, ("x",)), "machine": 'a "box" of \\ mine\x7f'}
    sweep(path, Machine(ends_at=3), names=names, passes=1, facts=facts)
    it, table, _ = sweep(path, names=names, passes=1, facts=facts)
    assert it.finished
    # epp does nothing under performance: one setting there, not two, for each boost.
    assert len(table.rows) == len(set(held(table))) == 6
    side = path.with_suffix(".toml").read_text()
    assert "# 1 = performance, 2 = powersave" in side
    parsed = tomllib.loads(side)
    assert parsed["knobs"]["governor"] == {"unit": "1", "role": "other", "default": 2}
    assert parsed["knobs"]["boost"] == {"unit": "1", "role": "other", "default": 1}
    assert parsed["table"]["about"].startswith('a "box" of \\ mine\x7f')


def test_a_word_that_the_kernel_does_not_list_is_told() -> None:
    assert [code(GOVERNOR, word) for word in GOVERNOR.choices] == [1, 2]
    with pytest.raises(Unsupported, match="governor reads warp"):
        code(GOVERNOR, "warp")


def test_a_run_without_its_energy_is_no_row(tmp_path: Path) -> None:
    with pytest.raises(Unsupported, match="did not move"):
        sweep(tmp_path / "t.csv", Blind())
    assert list(tmp_path.iterdir()) == []
