"""Files that stay open: what they say is new each time, and the path has the last word when the device has gone."""

from __future__ import annotations

import errno
import os
import subprocess
from pathlib import Path

import pytest

from hwtune.domain.errors import TransientError
from hwtune.host import reader as readers
from hwtune.host.fs import DryRunFS, LinuxFS
from hwtune.host.reader import open_reader


class Kernel(LinuxFS):
    """A tree whose files are taken for the kernel's own."""

    live = True  # type: ignore[assignment]


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_the_kernels_own_file_is_written_anew_at_each_reading() -> None:
    mine = open_reader(LinuxFS(), "/proc/self/stat")
    stat = LinuxFS().read("/proc/self/stat")
    assert stat is not None
    before = descriptors()
    first = mine.read()
    assert first is not None and first.split()[0] == stat.split()[0] == str(os.getpid())
    assert descriptors() == before + 1
    sum(range(10**6))
    again = mine.read()
    assert again is not None and again.split()[:2] == first.split()[:2]
    assert descriptors() == before + 1
    del mine
    assert descriptors() == before


def test_what_has_gone_is_absent_and_holds_nothing_open() -> None:
    child = subprocess.Popen(["sleep", "60"])
    stat = open_reader(LinuxFS(), f"/proc/{child.pid}/stat")
    assert stat.read()
    open_files = descriptors()
    child.kill()
    child.wait()
    assert stat.read() is None
    assert descriptors() == open_files - 1
    assert stat.read() is None


def test_what_comes_back_is_found_by_its_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "time"
    place.write_text("5\n")
    time = open_reader(Kernel(tmp_path), "/time")
    assert time.read() == "5"
    place.unlink()
    place.write_text("6\n")  # another device at the same place
    pread, gone = os.pread, [errno.ENODEV]

    def removed(fd: int, size: int, offset: int) -> bytes:
        if gone:
            raise OSError(gone.pop(), "removed")
        return pread(fd, size, offset)

    monkeypatch.setattr("os.pread", removed)
    assert time.read() == "6"
    assert time.read() == "6"
    assert not gone


def test_a_refusal_is_the_seams_and_the_next_reading_tries_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "scaling_cur_freq").write_text("800000\n")
    files = Kernel(tmp_path)
    clock = open_reader(files, "/scaling_cur_freq")

    def offline(*_: object) -> bytes:
        raise OSError(errno.EBUSY, "offline")

    with monkeypatch.context() as patched:
        patched.setattr("os.pread", offline)
        patched.setattr("os.read", offline)
        with pytest.raises(TransientError):
            clock.read()
    assert clock.read() == "800000"


def test_no_more_than_a_share_of_the_descriptors_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "time").write_text("5\n")
    monkeypatch.setattr(readers, "_KEPT_SHARE", 10**9)
    before = descriptors()
    time = open_reader(Kernel(tmp_path), "/time")
    assert time.read() == "5"
    assert descriptors() == before


def test_files_that_are_not_the_running_kernels_are_read_by_path(tmp_path: Path) -> None:
    (tmp_path / "time").write_text("5\n")
    written = DryRunFS(LinuxFS(tmp_path))
    tree, dry = open_reader(LinuxFS(tmp_path), "/time"), open_reader(written, "/time")
    before = descriptors()
    assert tree.read() == dry.read() == "5"
    assert descriptors() == before
    written.write("/time", "7")
    (tmp_path / "other").write_text("6\n")
    (tmp_path / "other").rename(tmp_path / "time")
    assert (tree.read(), dry.read()) == ("6", "7")
    assert open_reader(written, "/absent").read() is None
