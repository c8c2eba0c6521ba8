"""Archives from strangers: whatever is in them, an answer or an error of ours, and never a file of this machine."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hwtune.domain.errors import HostError, HwtuneError, PermissionDenied, TransientError
from hwtune.host import archive as archives
from hwtune.host.archive import Member, read_archive, write_archive
from hwtune.host.fs import CapturedFS, open_root

CPUFREQ = "/sys/devices/system/cpu/cpufreq"


def member(name, content=b"", kind=tarfile.REGTYPE, target="", size=None):
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, target, len(content) if size is None else size
    return info, content


def packed(file: Path, *members) -> Path:
    with tarfile.open(file, "w", format=tarfile.PAX_FORMAT) as tar:
        for info, content in members:
            tar.addfile(info, io.BytesIO(content))
    return file


def test_written_and_read_back(tmp_path, monkeypatch):
    members = (
        Member(path="/sys/devices/b", text="two\nlines"),
        Member(path="/sys/class/x/device", target="/sys/devices"),
        Member(path="/proc/empty"),
        Member(path="/sys/devices/" + "long/" * 30 + "a", text="é"),
    )
    file = tmp_path / "x.tar.gz"
    with file.open("wb") as stream:
        write_archive(stream, members)
    with tarfile.open(file) as tar:
        entries = tar.getmembers()
        assert [entry.name for entry in entries] == sorted(entry.name for entry in entries)
        assert {(entry.mtime, entry.uid, entry.gid, entry.uname) for entry in entries} == {(0, 0, 0, "")}
        assert tar.getmember("sys/class/x/device").linkname == "../../devices"
    files = CapturedFS(file)
    assert files.read("/sys/class/x/device/b") == "two\nlines"
    assert files.read("/proc/empty") == ""
    assert files.link_target("/sys/class/x/device") == "/sys/devices"
    again = io.BytesIO()
    monkeypatch.setattr("time.time", lambda: 86400.0)
    write_archive(again, reversed(members))
    assert again.getvalue() == file.read_bytes(), "the order and the hour change nothing"


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "sys/../../etc/passwd", "sys/..", "sys/\x1b[2Jx", "sys/a\nb", "x" * 2000, "/", "."]
)
def test_names_that_no_kernel_has_are_ignored(tmp_path, name):
    files = CapturedFS(packed(tmp_path / "x.tar", member(name, b"secret"), member("sys/ok", b"1\n")))
    assert files.glob("/*") == ("/sys",)
    assert files.glob("/sys/*") == ("/sys/ok",)


def test_an_absolute_name_is_one_of_the_machine(tmp_path):
    files = CapturedFS(packed(tmp_path / "x.tar", member("/proc/version", b"Linux\n")))
    assert files.read("/proc/version") == "Linux"


def test_links_out_of_the_machine_stay_inside(tmp_path):
    (tmp_path / "host").write_text("of the host")
    outside = str(tmp_path / "host")
    files = CapturedFS(
        packed(
            tmp_path / "x.tar",
            member("sys/absolute", kind=tarfile.SYMTYPE, target=outside),
            member("sys/relative", kind=tarfile.SYMTYPE, target="../.." + outside),
            member("sys/hard", kind=tarfile.LNKTYPE, target=outside),
            member("sys/hard2", kind=tarfile.LNKTYPE, target="../../" + outside),
            member("sys/loop", kind=tarfile.SYMTYPE, target="loop/loop"),
            member("sys/a", kind=tarfile.SYMTYPE, target="b"),
            member("sys/b", kind=tarfile.SYMTYPE, target="a"),
        )
    )
    for name in ("absolute", "relative", "hard", "hard2", "loop", "a", "loop/x/y"):
        assert files.read(f"/sys/{name}") is None


@pytest.mark.parametrize("kind", [tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, b"Z"])
def test_devices_and_pipes_are_ignored(tmp_path, kind):
    files = CapturedFS(packed(tmp_path / "x.tar", member("sys/odd", kind=kind), member("sys/ok", b"1")))
    assert files.read("/sys/ok") == "1"
    assert not files.read("/sys/odd")


def test_a_huge_file_is_cut_as_it_would_be_live(tmp_path):
    file = packed(tmp_path / "x.tar", member("sys/huge", b"x" * (archives.FILE_BYTES + 5)), member("sys/ok", b"1"))
    files = CapturedFS(file)
    assert len(files.read("/sys/huge")) == archives.FILE_BYTES
    assert files.read("/sys/ok") == "1"


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
def test_a_bomb_is_refused(tmp_path, monkeypatch, pack):
    monkeypatch.setattr(archives, "_UNPACKED_BYTES", 1 << 20)
    plain = packed(tmp_path / "x.tar", member("sys/a", b"\0" * (2 << 20)))
    bomb = tmp_path / "bomb"
    bomb.write_bytes(pack(plain.read_bytes()))
    assert bomb.stat().st_size < 1 << 15
    with pytest.raises(HostError, match="EFBIG") as caught:
        open_root(bomb)
    assert "not a capture" in caught.value.hint


def test_too_many_entries_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "_ENTRIES", 10)
    names = [f"sys/{'d/' * 3}{number}" for number in range(6)]
    assert read_archive(packed(tmp_path / "ok.tar", *(member(name) for name in names)))
    with pytest.raises(HostError, match="EFBIG"):
        open_root(packed(tmp_path / "x.tar", *(member(f"{name}/{name}") for name in names)))


def test_too_much_text_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "_TEXT_BYTES", 1000)
    with pytest.raises(HostError, match="EFBIG"):
        open_root(packed(tmp_path / "x.tar", *(member(f"sys/{number}", b"x" * 300) for number in range(4))))


def test_directories_that_multiply_by_links_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("hwtune.host.fs._MOST_FOUND", 50)
    links = [member(f"sys/l{number}", kind=tarfile.SYMTYPE, target=".") for number in range(8)]
    files = CapturedFS(packed(tmp_path / "x.tar", *links))
    assert len(files.glob("/sys/*")) == 8
    with pytest.raises(HostError, match="E2BIG"):
        files.glob("/sys/*/*")


def test_an_offset_that_points_backwards_ends(tmp_path):
    """A member whose size is minus its header's would be met again and again by a reader that seeks."""
    first, _ = member("sys/a")
    back, _ = member("sys/b")
    block = bytearray(back.tobuf(tarfile.GNU_FORMAT))
    block[124:136] = (-512).to_bytes(12, "big", signed=True)  # GNU's binary numbers
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block[:512])
    file = tmp_path / "x.tar"
    file.write_bytes(first.tobuf(tarfile.GNU_FORMAT) + bytes(block) + b"\0" * 1024)
    with pytest.raises(HostError):
        open_root(file)


def manifest(**changed):
    text = (
        '{"schema_version": %(version)s, "hwtune": "0", "superuser": true, "files": 0, "links": 0, '
        '"refused": %(refused)s, "left_out": {}, "redactions": {}, "later": 1}'
    )
    return member("hwtune-capture.json", (text % {"version": 1, "refused": "{}", **changed}).encode())


def test_what_the_kernel_refused_is_refused_again(tmp_path):
    refused = (
        f'{{"{CPUFREQ}/policy3/scaling_governor": "EBUSY", "/sys/class/powercap/x/energy_uj": "EACCES", '
        '"/sys/y": "EIO", "/../etc": "EIO", "/sys/z": "no such errno"}'
    )
    files = CapturedFS(packed(tmp_path / "x.tar", manifest(refused=refused)))
    assert files.glob(f"{CPUFREQ}/policy*") == (f"{CPUFREQ}/policy3",), "it is there, though it says nothing"
    for path, kind in (
        (f"{CPUFREQ}/policy3/scaling_governor", TransientError),
        ("/sys/class/powercap/x/energy_uj", PermissionDenied),
        ("/sys/y", HostError),
    ):
        with pytest.raises(HostError) as caught:
            files.read(path)
        assert type(caught.value) is kind
    assert files.read("/sys/z") is None


@pytest.mark.parametrize("broken", [manifest(version=2), manifest(refused="[]"), member("hwtune-capture.json", b"{")])
def test_a_manifest_that_is_none_is_said(tmp_path, broken):
    with pytest.raises(HostError, match="EINVAL") as caught:
        open_root(packed(tmp_path / "x.tar", broken))
    assert "hwtune-capture.json" in caught.value.hint


NAMES = st.sampled_from(
    ["sys", "sys/devices/system/cpu/cpufreq/policy0", "sys/devices/system/cpu/cpufreq/policy0²", "proc/stat", "a/../b"]
) | st.text(max_size=40)
MEMBERS = st.tuples(
    NAMES,
    st.binary(max_size=40),
    st.sampled_from([tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.CHRTYPE, b"x", b"L"]),
    NAMES,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(members=st.lists(MEMBERS, max_size=8), noise=st.binary(max_size=20), place=st.integers(0, 1 << 14))
def test_any_archive_is_a_machine_or_an_error(tmp_path, members, noise, place):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", encoding="utf-8", errors="surrogateescape") as tar:
        for name, content, kind, target in members:
            info, _ = member(name.replace("\0", ""), content, kind, target.replace("\0", ""))
            tar.addfile(info, io.BytesIO(content))
    content = bytearray(stream.getvalue())
    content[place : place + len(noise)] = noise
    file = tmp_path / "any.tar"
    file.write_bytes(content)
    try:
        files = open_root(file)
        for pattern in ("/*", "/*/*", f"{CPUFREQ}/policy[0-9]*", f"{CPUFREQ}/*/*"):
            for path in files.glob(pattern):
                assert path.isprintable()
                files.read(path)
    except HwtuneError as error:
        assert error.hint
