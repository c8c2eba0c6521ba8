"""`hwtune capture`: the archive says what the machine says, is whole or not there at all, and never replaces a file."""

from __future__ import annotations

import errno
import io
import json
import os
import stat
import sys
import tarfile
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from hwtune import __version__
from hwtune.cli import capture_file
from hwtune.cli.capture import capture
from hwtune.cli.main import app as whole
from hwtune.cli.probe import probe
from hwtune.domain.errors import HostError, PermissionDenied, UsageError

TREES = Path(__file__).resolve().parents[2] / "trees"
SHARED = Path(__file__).resolve().parents[3].parent / "shared" / "trees"
# What a machine says of itself, whether it runs or not; what to do about a "no" depends on where one stands.
ITSELF = ("cpufreq", "energy", "pressure", "temperature", "idle")
LEARNED = {"update_s", "learned", "window_s"}
OF_ITS_KIND = ("cpu", "kernel", "virtual", "online_cpus")

app = typer.Typer()
app.command()(capture)
app.command()(probe)


def run(*words, status=0):
    """Standard output; errors are raised as the command line would catch them."""
    result = CliRunner().invoke(app, [*map(str, words)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        if getattr(result.exception, "exit_status", None) == status != 0:
            return result.stdout
        raise result.exception
    assert result.exit_code == status
    return result.stdout


def said(*machine, status=0):
    """What the probe says of the machine itself."""
    document = json.loads(run("probe", "--json", *machine, status=status))
    itself = {part: document[part] for part in ITSELF}
    for part in itself.values():
        del part["why"], part["hint"]
    return {**itself, "machine": {key: document["machine"][key] for key in OF_ITS_KIND}}


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out.tar.gz"


@pytest.mark.parametrize(("tree", "status"), [("laptop", 0), ("phone", 0), ("no-cpufreq", 3)])
def test_a_tree_and_its_capture_say_the_same(out, tree, status):
    run("capture", out, "--root", TREES / tree)
    known = said("--root", TREES / tree, status=status)
    assert said("--root", out, status=status) == known
    assert known["machine"]["online_cpus"]


def unwatched(document):
    """Without what is learned of a meter by watching it, which a capture stands still for."""
    return {**document, "energy": {k: v for k, v in document["energy"].items() if k not in LEARNED}}


@pytest.mark.parametrize(("machine", "status"), [("laptop", 0), ("server", 0), ("biglittle", 0), ("vm", 3)])
def test_an_imaginary_machine_and_its_capture_say_the_same(out, machine, status):
    run("capture", out, "--simulate", machine)
    known = unwatched(said("--simulate", machine, status=status))
    assert unwatched(said("--root", out, status=status)) == known
    assert known["machine"]["cpu"]


def test_this_machine_and_its_capture_say_the_same(out):
    run("capture", out)
    try:
        known, status = said(), 0
    except Exception as error:
        status = error.exit_status
        known = said(status=status)
    captured = said("--root", out, status=status)
    for document in (known, captured):  # what moves by itself
        document["temperature"].pop("temp_c")
        for policy in document["cpufreq"]["policies"]:
            policy.pop("current_khz")
    assert unwatched(captured) == unwatched(known)


@pytest.mark.shared
@pytest.mark.skipif(not SHARED.exists(), reason="the captures are not here")
@pytest.mark.parametrize("archive", sorted(SHARED.glob("*.tar.gz")), ids=lambda path: path.name)
def test_a_capture_of_a_strangers_capture_says_the_same(out, archive):
    run("capture", out, "--root", archive)
    try:
        known, status = said("--root", archive), 0
    except Exception as error:
        status = error.exit_status
        known = said("--root", archive, status=status)
    assert said("--root", out, status=status) == known


def test_json(out):
    document = json.loads(run("capture", out, "--json", "--root", TREES / "laptop"))
    assert document["schema_version"] == 1
    assert document["archive"] == str(out)
    assert document["bytes"] == out.stat().st_size
    with tarfile.open(out) as tar:
        assert len(tar.getnames()) == document["files"] + document["links"] + 1
        manifest = json.load(tar.extractfile("hwtune-capture.json"))
    assert manifest["hwtune"] == __version__
    assert manifest["redactions"] == document["redactions"]


def test_what_is_said_to_people(out):
    text = run("capture", out, "--root", TREES / "laptop")
    assert text.startswith(f"wrote {out}: ")
    assert "look before you share it" in text


def test_to_standard_output(out, capfdbinary, monkeypatch):
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO()))
    whole(["capture", "-", "--root", str(TREES / "phone")], standalone_mode=False)
    content = sys.stdout.buffer.getvalue()
    monkeypatch.undo()
    run("capture", out, "--root", TREES / "phone")
    assert content == out.read_bytes()
    with pytest.raises(UsageError):
        run("capture", "-", "--json", "--root", TREES / "phone")


def test_nothing_is_overwritten_without_leave(out):
    out.write_text("mine")
    with pytest.raises(UsageError) as caught:
        run("capture", out, "--root", TREES / "phone")
    assert "--force" in caught.value.hint
    assert out.read_text() == "mine"
    run("capture", out, "--force", "--root", TREES / "phone")
    assert tarfile.is_tarfile(out)
    assert stat.S_IMODE(out.stat().st_mode) & 0o444
    assert os.listdir(out.parent) == [out.name]


@pytest.mark.parametrize("place", ["a directory", "a pipe", "a dangling link"])
def test_what_is_no_plain_file_stays_even_by_force(tmp_path, out, place):
    {
        "a directory": out.mkdir,
        "a pipe": lambda: os.mkfifo(out),
        "a dangling link": lambda: out.symlink_to(tmp_path / "elsewhere"),
    }[place]()
    before = out.lstat()
    with pytest.raises(UsageError, match="no plain file"):
        run("capture", out, "--force", "--root", TREES / "phone")
    assert out.lstat().st_ino == before.st_ino
    assert not (tmp_path / "elsewhere").exists()


def test_a_directory_that_is_not_there(tmp_path):
    with pytest.raises(UsageError, match="no directory"):
        run("capture", tmp_path / "none" / "x.tar.gz", "--root", TREES / "phone")


@pytest.mark.parametrize(
    ("code", "kind", "word"),
    [(errno.ENOSPC, HostError, "room"), (errno.EACCES, PermissionDenied, "may write"), (errno.EIO, HostError, "place")],
)
@pytest.mark.parametrize("call", ["mkstemp", "fsync", "replace"])
def test_a_disk_that_says_no_leaves_nothing_behind(tmp_path, out, monkeypatch, code, kind, word, call):
    out.write_text("mine")

    def refuse(*_, **__):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(capture_file.tempfile if call == "mkstemp" else capture_file.os, call, refuse)
    with pytest.raises(HostError) as caught:
        run("capture", out, "--force", "--root", TREES / "phone")
    monkeypatch.undo()
    assert type(caught.value) is kind
    assert word in caught.value.hint
    assert os.listdir(tmp_path) == [out.name]
    assert out.read_text() == "mine"


def test_stopped_half_way_leaves_nothing_behind(tmp_path, out, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("hwtune.host.archive.write_archive", stop)
    result = CliRunner().invoke(app, ["capture", str(out), "--root", str(TREES / "phone")])
    assert result.exit_code == 130
    assert os.listdir(tmp_path) == []
