"""The journal on its file system, and the lock beside it."""

import json
import os
import subprocess
import sys

import pytest
from bench import acpi
from hypothesis import given
from hypothesis import strategies as st

from hwtune.domain.errors import JournalError, Locked, ParseError, PermissionDenied
from hwtune.domain.knob import Setting
from hwtune.knobs import journal as journals
from hwtune.knobs.cpufreq import CpufreqBackend
from hwtune.knobs.journal import Journal, Owner, parse_start_ticks
from hwtune.knobs.lock import Lock
from hwtune.knobs.restore import restore_machine
from hwtune.knobs.transaction import Transaction


def journal(**changes):
    values = {
        "boot_id": acpi().kernel.boot_id,
        "owner": Owner(pid=1, start_ticks=0),
        "verb": "tune",
        "state": "active",
        "original": {"/a": "1"},
        "ours": {"/a": ("2", "3")},
    }
    return Journal(**{**values, **changes})


def test_what_is_saved_is_loaded(tmp_path):
    journals.save(tmp_path / "run", journal())
    assert journals.load(tmp_path / "run", acpi()) == journal()
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["journal.json"]
    journals.remove(tmp_path / "run")
    assert journals.load(tmp_path / "run", acpi()) is None


def test_the_file_is_safe_before_it_is_renamed(tmp_path, monkeypatch):
    done = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr("os.fsync", lambda fd: (done.append(os.readlink(f"/proc/self/fd/{fd}")), fsync(fd)))
    monkeypatch.setattr("os.replace", lambda a, b: (done.append("rename"), replace(a, b)))
    journals.save(tmp_path, journal())
    assert done == [str(tmp_path / "journal.json.new"), "rename", str(tmp_path)]


def test_another_boots_journal_is_void(tmp_path):
    kernel = acpi()
    journals.save(tmp_path, journal(boot_id="another"))
    assert journals.load(tmp_path, kernel) is None
    assert journals.baseline(tmp_path, kernel) == {}
    assert restore_machine(CpufreqBackend(kernel), run_dir=tmp_path, files=kernel) is None
    with Transaction(CpufreqBackend(kernel), run_dir=tmp_path, verb="tune", files=kernel) as transaction:
        transaction.apply(Setting(governor="powersave"))
        assert journals.load(tmp_path, kernel).original != {"/a": "1"}


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", '{"schema_version": 1}', json.dumps({**journal().model_dump(mode="json"), "schema_version": 2})],
)
def test_a_corrupt_journal_stops_everything_and_stays(text, tmp_path):
    kernel = acpi()
    path = tmp_path / "journal.json"
    path.write_text(text)
    for attempt in (
        lambda: journals.load(tmp_path, kernel),
        lambda: restore_machine(CpufreqBackend(kernel), run_dir=tmp_path, files=kernel),
        lambda: Transaction(CpufreqBackend(kernel), run_dir=tmp_path, verb="tune", files=kernel).__enter__(),
    ):
        with pytest.raises(JournalError, match="is not a journal") as caught:
            attempt()
        assert caught.value.exit_status == 1
        assert "hwtune reset" in caught.value.hint
    assert path.read_text() == text
    assert kernel.writes == []


def test_a_place_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(JournalError, match=r"journal\.json"):
        journals.save(tmp_path / "file", journal())
    with pytest.raises(JournalError, match="lock"):
        Lock(tmp_path / "file", verb="tune").acquire()


def test_no_right_to_write(tmp_path, monkeypatch):
    def denied(*_args, **_kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("hwtune.knobs.lock.os.open", denied)
    with pytest.raises(PermissionDenied) as caught:
        Lock(tmp_path, verb="tune").acquire()
    assert caught.value.exit_status == 4


def test_a_living_owner_is_not_an_orphan(tmp_path):
    kernel = acpi()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        living = journals.process(other.pid)
        journals.save(tmp_path, journal(owner=living))
        assert journals.held_by_another(journals.load(tmp_path, kernel))
        # The same number with another start is another process.
        assert not journals.held_by_another(journal(owner=Owner(pid=other.pid, start_ticks=living.start_ticks + 1)))
        with pytest.raises(Locked, match=str(other.pid)):
            restore_machine(CpufreqBackend(kernel), run_dir=tmp_path, files=kernel)
        other.communicate(b"\n")
    assert not journals.held_by_another(journals.load(tmp_path, kernel))


def test_ourselves():
    assert journals.this_process().pid == os.getpid()
    assert journals.this_process() == journals.process(os.getpid())


def test_the_lock_names_its_holder(tmp_path):
    first, second = Lock(tmp_path, verb="tune"), Lock(tmp_path, verb="apply")
    first.acquire()
    with pytest.raises(Locked, match=rf"hwtune tune \(pid {os.getpid()}\)"):
        second.acquire()
    first.release()
    first.release()
    second.acquire()
    second.release()


@given(st.text(alphabet=st.characters(exclude_characters="\x00\n")), st.integers(0, 2**63))
def test_start_of_any_command(command, ticks):
    fields = " ".join(str(number) for number in range(3, 21))
    assert parse_start_ticks(f"12 ({command}) S {fields} {ticks} 23 24") == ticks


@pytest.mark.parametrize("text", ["", "12 (x) S 1 2", "12 (x) " + "y " * 30])
def test_not_a_stat(text):
    with pytest.raises(ParseError):
        parse_start_ticks(text)
