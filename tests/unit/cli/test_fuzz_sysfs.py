"""Any bytes in any file of a machine: every verb says something, in its own words, and what it only reads stays."""

from __future__ import annotations

import io
import json
import os
import shutil
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hwtune.cli import main

TREES = Path(__file__).resolve().parents[2] / "trees"
READING = (
    ("probe", "--json"),
    ("status", "--json"),
    ("apply", "--dry-run", "--json", "governor=performance", "max=1.2GHz"),
    ("reset", "--dry-run", "--json"),
)
# What a kernel says, what it never says, and what other parsers have stumbled over.
TEXTS = (
    b"",
    b"\n",
    b"<unsupported>\n",
    b"performance\n",
    b"userspace\n",
    b"powersave performance schedutil \n",
    b"1200000\n",
    b"-1\n",
    b"1_000\n",
    b"\xc2\xb2\n",
    b"\xd9\xa3\n",
    b"9" * 25 + b"\n",
    b"0-99999999\n",
    b"0-3,8-,x\n",
    b"1\n2\n3\n",
    b"0x1E8480\n",
    b"\0\0\0\0",
    b"\xff\xfe\n",
    b"a" * 4096,
    b"7" * 4096,
)
contents = st.sampled_from(TEXTS) | st.binary(max_size=24) | st.integers(-(2**70), 2**70).map(lambda n: b"%d\n" % n)


def said(root: Path, words: tuple[str, ...]) -> tuple[int, str, str]:
    """Exit status, output and errors of a verb run in this process."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        status = main._run([words[0], "--root", str(root), *words[1:]])
    return status, out.getvalue(), err.getvalue()


def texts(root: Path) -> dict[str, str]:
    """Files as the kernel's readers see them, but for hwtune's own."""
    found = {}
    for directory, _, names in os.walk(root):
        for name in names:
            path = Path(directory) / name
            if path.parent.name != "hwtune":
                found[str(path)] = path.read_bytes().decode("utf-8", "replace").rstrip()
    return found


@pytest.fixture(scope="module", params=["laptop", "phone"])
def tree(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(shutil.copytree(TREES / request.param, tmp_path_factory.mktemp("fuzz") / request.param, symlinks=True))


def strange(data: st.DataObject, root: Path) -> dict[Path, bytes]:
    """One to five files of the tree made to say something else; returns what they said."""
    files = sorted(path for path in root.rglob("*") if path.is_file() and "run" not in path.relative_to(root).parts)
    chosen = data.draw(st.lists(st.sampled_from(files), min_size=1, max_size=5, unique=True))
    before = {path: path.read_bytes() for path in chosen}
    for path in chosen:
        path.write_bytes(data.draw(contents))
    return before


def put(texts_before: dict[Path, bytes]) -> None:
    for path, content in texts_before.items():
        path.write_bytes(content)


FEW = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@given(data=st.data())
@FEW
def test_reading_verbs_answer_and_change_nothing(tree: Path, data: st.DataObject) -> None:
    before = strange(data, tree)
    try:
        there = texts(tree)
        for words in READING:
            status, out, err = said(tree, words)
            assert status in (0, 2, 3), (words, err)
            assert json.loads(out) if out else err.startswith("error: ") and "\nhint: " in err
            assert texts(tree) == there, words
    finally:
        put(before)


@given(data=st.data(), wanted=st.sampled_from(["max=1.2GHz", "governor=performance", "min=1GHz", "epp=power"]))
@FEW
def test_what_apply_made_of_it_restore_takes_back(
    tree: Path, data: st.DataObject, wanted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hwtune.host.clock.time.sleep", lambda _s: None)
    before = strange(data, tree)
    try:
        there = texts(tree)
        status, _, err = said(tree, ("apply", wanted))
        assert status in (0, 1, 2, 3, 6), err
        if status != 0:
            assert err.startswith("error: ") and "\nhint: " in err
            assert texts(tree) == there
        status, _, err = said(tree, ("restore",))
        assert (status, err) == (0, "")
        assert texts(tree) == there
    finally:
        put(before)
        shutil.rmtree(tree / "run", ignore_errors=True)
