"""The end of what a command prints, and of a file it writes."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from hwtune.domain.errors import HostError, PermissionDenied
from hwtune.host import output
from hwtune.host.deadline import deadline
from hwtune.host.output import TAIL_BYTES, KeptOutput
from hwtune.host.runner import LinuxRunner
from hwtune.host.tail import read_tail


def printed(*script: str, kept: KeptOutput) -> None:
    done = LinuxRunner().run(
        ["sh", "-c", *script], cwd=None, user=None, tick=kept.trim, period_s=0.01, output=kept.file
    )
    assert done.exit_status == 0, done.stderr_tail


def test_what_is_printed_is_kept() -> None:
    with KeptOutput() as kept:
        printed("echo tps=12; printf end", kept=kept)
        assert kept.text() == "tps=12\nend"


def test_of_much_output_the_last_whole_lines_are_kept_and_the_disk_is_given_back(monkeypatch) -> None:
    monkeypatch.setattr(output, "_MOST_BYTES", 2 << 20)
    with KeptOutput() as kept:
        printed("seq -f 'line %.0f' 1 700000; sleep 0.1; echo last", kept=kept)
        text = kept.text()
        assert os.fstat(kept.file.fileno()).st_size < 3 << 20, "9 MB were printed"
    lines = text.splitlines()
    assert len(text) <= TAIL_BYTES
    assert lines[-2:] == ["line 700000", "last"]
    numbers = [int(line.split()[1]) for line in lines[1:-1]]
    assert numbers == sorted(numbers) and len(numbers) > 30_000
    assert all(re.fullmatch(r"line \d+|last", line) for line in lines[1:])


def test_a_line_that_is_cut_is_left_out_whole(monkeypatch) -> None:
    monkeypatch.setattr(output, "_MOST_BYTES", 8)
    with KeptOutput() as kept:
        kept.file.write(b"one\ntps=12")
        kept.trim()
        kept.file.write(b"34\ntwo\n")
        assert kept.text().splitlines() == ["one", "two"]


def test_the_end_of_a_file_and_whether_it_has_changed(tmp_path: Path) -> None:
    path = tmp_path / "figure"
    assert read_tail(str(path)) is None
    path.write_text("1\n2\n")
    first = read_tail(str(path))
    assert first is not None and first.text == "1\n2\n"
    assert read_tail(str(path)) == first
    path.write_text("x" * (1 << 20) + "\n3")
    later = read_tail(str(path))
    assert later is not None
    assert later.text.endswith("\n3") and len(later.text) == 1 << 16
    assert later.stamp != first.stamp


def test_what_is_no_regular_file_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path, Path("/dev/zero")):
        with pytest.raises(HostError) as caught:
            read_tail(str(path))
        assert caught.value.hint
    with pytest.raises(HostError):
        read_tail(f"{tmp_path}/a\0b")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    (tmp_path / "secret").touch(mode=0)
    with pytest.raises(PermissionDenied):
        read_tail(str(tmp_path / "secret"))


def test_a_search_without_end_is_ended() -> None:
    with pytest.raises(TimeoutError), deadline(0.05):
        re.search(r"(a+)+$", "a" * 60 + "b")
    with deadline(5.0):
        assert re.search(r"a+$", "aaa")
