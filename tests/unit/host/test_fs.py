"""The four file systems: absent is None, broken raises, links are followed, a dry run writes nothing."""

from __future__ import annotations

import errno
import io
import os
import tarfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hwtune.domain.errors import HostError, HwtuneError, PermissionDenied, TransientError
from hwtune.host.fs import CapturedFS, DryRunFS, LinuxFS, natural, open_root

CPUFREQ = "/sys/devices/system/cpu/cpufreq"


def tree(root: Path) -> Path:
    """Eleven policies, the last of them offline in the sense of having no files, and a class directory of links."""
    for number in (0, 2, 10):
        policy = root / f"sys/devices/system/cpu/cpufreq/policy{number}"
        policy.mkdir(parents=True)
        (policy / "scaling_governor").write_text("powersave\n")
        (policy / "scaling_max_freq").write_text("2000000\n")
    zone = root / "sys/devices/virtual/powercap/intel-rapl:0"
    zone.mkdir(parents=True)
    (zone / "name").write_text("package-0\n")
    (zone / "empty").write_text("")
    powercap = root / "sys/class/powercap"
    powercap.mkdir(parents=True)
    (powercap / "intel-rapl:0").symlink_to("../../devices/virtual/powercap/intel-rapl:0")
    (root / "sys/loop").symlink_to("loop")
    return root


def archive(root: Path, file: Path, *, mode: str = "w", members: list[str] | None = None) -> Path:
    with tarfile.open(file, mode) as tar:
        for member in members or ["."]:
            tar.add(root / member, arcname=member)
    return file


@pytest.fixture(params=["directory", "tar", "tar.gz", "files only"])
def machine(request, tmp_path):
    root = tree(tmp_path / "root")
    if request.param == "directory":
        return open_root(root)
    if request.param == "files only":  # as `tar cf x.tar $(find sys -type f -o -type l)` makes it
        names = [str(path.relative_to(root)) for path in sorted(root.rglob("*")) if path.is_symlink() or path.is_file()]
        return open_root(archive(root, tmp_path / "root.tar", members=names))
    return open_root(archive(root, tmp_path / f"root.{request.param}", mode="w:gz" if "gz" in request.param else "w"))


def test_a_directory_and_its_archive_read_alike(machine):
    assert machine.read(f"{CPUFREQ}/policy0/scaling_governor") == "powersave"
    assert machine.read("/sys/class/powercap/intel-rapl:0/name") == "package-0", "through a link to a directory"
    assert machine.read("/sys/class/powercap/intel-rapl:0/empty") == ""
    assert machine.read(f"{CPUFREQ}/policy1/scaling_governor") is None
    assert machine.read(f"{CPUFREQ}/policy0") is None, "a directory has no text"
    assert machine.read(f"{CPUFREQ}/policy0/scaling_governor/x") is None
    assert machine.read("/sys/loop") is None


def test_globs_find_in_natural_order(machine):
    assert machine.glob(f"{CPUFREQ}/policy[0-9]*") == tuple(f"{CPUFREQ}/policy{number}" for number in (0, 2, 10))
    assert machine.glob(f"{CPUFREQ}/policy*/scaling_max_freq")[-1] == f"{CPUFREQ}/policy10/scaling_max_freq"
    assert machine.glob("/sys/class/powercap/intel-rapl:*/name") == ("/sys/class/powercap/intel-rapl:0/name",)
    assert machine.glob("/sys/cl*/powercap/*") == ("/sys/class/powercap/intel-rapl:0",)
    assert machine.glob("/sys/none/*") == ()
    assert machine.glob(f"{CPUFREQ}/policy0/scaling_governor") == (f"{CPUFREQ}/policy0/scaling_governor",)


def test_an_archive_with_some_of_its_directories_is_whole(tmp_path):
    """`tar` lists a directory it was given by name, but not the ones above it."""
    root = tree(tmp_path / "root")
    files = CapturedFS(archive(root, tmp_path / "part.tar", members=["sys/devices/system/cpu/cpufreq"]))
    assert len(files.glob(f"{CPUFREQ}/policy*")) == 3
    assert files.glob("/sys/devices/*/cpu") == ("/sys/devices/system/cpu",)


def test_links_of_an_archive_hard_and_absolute(tmp_path):
    file = tmp_path / "links.tar"
    with tarfile.open(file, "w") as tar:
        info = tarfile.TarInfo("./sys/a/value")
        info.size = 3
        tar.addfile(info, io.BytesIO(b"42\n"))
        for name, kind, target in (
            ("sys/hard", tarfile.LNKTYPE, "./sys/a/value"),
            ("sys/absolute", tarfile.SYMTYPE, "/sys/a"),
            ("sys/two/steps", tarfile.SYMTYPE, "../absolute/value"),
            ("sys/round/round", tarfile.SYMTYPE, "../round"),
        ):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, target
            tar.addfile(info)
    files = CapturedFS(file)
    for path in ("/sys/a/value", "/sys/hard", "/sys/absolute/value", "/sys/two/steps"):
        assert files.read(path) == "42", path
    assert files.read("/sys/round/round/round/none") is None


def test_an_archive_cannot_be_written(tmp_path):
    files = open_root(archive(tree(tmp_path / "root"), tmp_path / "root.tar"))
    path = f"{CPUFREQ}/policy0/scaling_governor"
    assert not files.writable(path)
    with pytest.raises(PermissionDenied):
        files.write(path, "performance")


def test_a_write_replaces_the_whole_value(tmp_path):
    files = LinuxFS(tree(tmp_path))
    path = f"{CPUFREQ}/policy0/scaling_governor"
    assert files.writable(path) and not files.writable("/none")
    files.write(path, "user")
    assert files.read(path) == "user", "nothing of the longer old value is left"
    with pytest.raises(HostError) as caught:
        files.write(f"{CPUFREQ}/policy7/scaling_governor", "x")
    assert caught.value.errno == errno.ENOENT
    assert not (tmp_path / "sys/devices/system/cpu/cpufreq/policy7").exists()


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (errno.EACCES, PermissionDenied),
        (errno.EPERM, PermissionDenied),
        (errno.EROFS, PermissionDenied),
        (errno.EBUSY, TransientError),
        (errno.EAGAIN, TransientError),
        (errno.EINVAL, HostError),
        (errno.EIO, HostError),
    ],
)
def test_refusals_are_told_apart(tmp_path, monkeypatch, code, kind):
    files = LinuxFS(tree(tmp_path))
    path = f"{CPUFREQ}/policy0/scaling_governor"

    def refuse(*_):
        raise OSError(code, os.strerror(code))

    for call, use in (("write", lambda: files.write(path, "x")), ("read", lambda: files.read(path))):
        monkeypatch.setattr(os, call, refuse)
        with pytest.raises(HostError) as caught:
            use()
        monkeypatch.undo()
        assert type(caught.value) is kind
        assert (caught.value.errno, caught.value.path) == (code, path)
        assert errno.errorcode[code] in str(caught.value)


def test_a_file_that_goes_away_while_open_is_absent(tmp_path, monkeypatch):
    """A governor's tunables: ENODEV from a descriptor that was good."""
    files = LinuxFS(tree(tmp_path))
    monkeypatch.setattr(os, "read", lambda *_: (_ for _ in ()).throw(OSError(errno.ENODEV, "gone")))
    assert files.read(f"{CPUFREQ}/policy0/scaling_governor") is None


def test_text_that_is_not_utf8_is_text(tmp_path):
    (tmp_path / "odd").write_bytes(b"caf\xe9\n")
    assert LinuxFS(tmp_path).read("/odd") == "caf\ufffd"


def test_a_dry_run_writes_in_memory_only(tmp_path):
    root = tree(tmp_path)
    inner = LinuxFS(root)
    files = DryRunFS(inner)
    path = f"{CPUFREQ}/policy0/scaling_max_freq"
    files.write(path, "1400000")
    assert files.read(path) == "1400000"
    assert inner.read(path) == "2000000"
    assert files.read(f"{CPUFREQ}/policy2/scaling_max_freq") == "2000000"
    assert files.written == {path: "1400000"}
    assert files.glob(f"{CPUFREQ}/policy*") == inner.glob(f"{CPUFREQ}/policy*")
    assert files.writable(path) and not files.writable("/none")
    with pytest.raises(HostError) as caught:
        files.write("/none", "1")
    assert caught.value.errno == errno.ENOENT
    assert "/none" not in files.written


@pytest.mark.parametrize("name", ["absent", "x" * 5000, "notes.txt", "pipe", "empty"])
def test_a_root_that_is_none_is_said(tmp_path, name):
    (tmp_path / "notes.txt").write_text("not an archive")
    (tmp_path / "empty").write_text("")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(HostError) as caught:
        open_root(tmp_path / name)
    assert caught.value.hint


def test_a_root_behind_a_closed_door_is_said(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "stat", refuse)
    monkeypatch.setattr(Path, "stat", refuse)
    with pytest.raises(PermissionDenied):
        open_root(tmp_path)
    monkeypatch.undo()
    monkeypatch.setattr(os, "access", lambda *_: False)
    for path in (tmp_path, archive(tmp_path, tmp_path / "root.tar", members=["."])):
        with pytest.raises(PermissionDenied):
            open_root(path)


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.integers(0, 1 << 20), patch=st.binary(max_size=6), cut=st.none() | st.integers(0, 1 << 20))
def test_a_damaged_archive_is_an_error_of_ours(tmp_path, mode, place, patch, cut):
    root = tmp_path / "root"
    if not root.exists():
        tree(root)
    file = archive(root, tmp_path / "damaged.tar", mode=mode)
    content = bytearray(file.read_bytes())
    start = place % len(content)
    content[start : start + len(patch)] = patch
    file.write_bytes(content if cut is None else content[: cut % len(content)])
    try:
        files = open_root(file)
        files.read(f"{CPUFREQ}/policy0/scaling_governor")
        files.glob("/sys/*/*/*")
    except HwtuneError as error:
        assert error.hint


@given(st.lists(st.integers(0, 300), min_size=1, unique=True))
def test_natural_order_is_the_order_of_the_numbers(numbers):
    assert sorted((f"/cpu{number}/x" for number in numbers), key=natural) == [f"/cpu{n}/x" for n in sorted(numbers)]


def test_long_texts_of_proc_come_page_by_page(tmp_path, monkeypatch):
    """As seq_file gives them: a page and no more per read."""
    (tmp_path / "proc").mkdir()
    text = "\n".join(f"processor : {number}" for number in range(1000))
    (tmp_path / "proc/cpuinfo").write_text(text)
    read = os.read
    monkeypatch.setattr(os, "read", lambda fd, size: read(fd, min(size, 4096)))
    assert LinuxFS(tmp_path).read("/proc/cpuinfo") == text


def test_what_is_for_reading_only_cannot_be_written_by_root_either(tmp_path):
    """sysfs refuses where the mode has no w, whoever asks; access(2) lets root do anything."""
    for name, mode in (("shown", 0o444), ("stored", 0o644)):
        (tmp_path / name).write_text("1")
        (tmp_path / name).chmod(mode)
    files = LinuxFS(tmp_path)
    assert files.writable("/stored")
    assert not files.writable("/shown")
    assert not files.writable("/x\0y")


def test_links_are_told_by_absolute_path_of_the_machine(tmp_path):
    root = tree(tmp_path / "root")
    for files in (LinuxFS(root), open_root(archive(root, tmp_path / "root.tar"))):
        assert files.link_target("/sys/class/powercap/intel-rapl:0") == "/sys/devices/virtual/powercap/intel-rapl:0"
        assert files.link_target("/sys/class/powercap") is None
        assert files.link_target("/none") is None


def test_digits_of_other_scripts_are_letters():
    assert sorted(["/cpu10", "/cpu²", "/cpu2", "/cpu٣"], key=natural) == ["/cpu2", "/cpu10", "/cpu²", "/cpu٣"]


def test_a_name_with_a_nul_is_no_file(tmp_path):
    files = LinuxFS(tmp_path)
    assert files.read("/a\0b") is None
    assert files.glob("/a\0b/*") == ()
    assert not files.writable("/a\0b")
    with pytest.raises(HostError) as refused:
        files.write("/a\0b", "1")
    assert refused.value.errno == errno.ENOENT
