"""Any words in our variables, any bytes in a file of configuration: a configuration, or an error that names them."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from hwtune.cli import main
from hwtune.config import KEYS, load_config
from hwtune.domain.errors import ConfigError, HwtuneError

VARIABLES = [f"HWTUNE_{key.replace('.', '_').upper()}" for key in KEYS]
odd = st.sampled_from(
    ["", " ", "0", "-1", "1e400", "nan", "5%", "none", "/", "/dev/null", "a,b", "'", "²", "\0", "x" * 99]
)
words = odd | st.text(max_size=10) | st.integers(-(10**30), 10**30).map(str)


@given(
    environ=st.dictionaries(st.sampled_from(VARIABLES) | st.text(max_size=6).map("HWTUNE_".__add__), words, max_size=4),
    flags=st.dictionaries(st.sampled_from(KEYS), st.none() | st.booleans() | st.floats() | words, max_size=2),
)
@settings(max_examples=300, deadline=None)
def test_any_words_give_a_config_or_an_error_that_names_its_source(
    environ: dict[str, str], flags: dict[str, object]
) -> None:
    with tempfile.TemporaryDirectory() as root:
        try:
            load_config(root, environ, flags)
        except ConfigError as error:
            assert error.hint and error.exit_status == 2 and error.source in {*environ, "environment", "flag"}


PIECES = [b"[tune]\n", b"[paths]\n", b"budget = ", b"run_dir = ", b'"/tmp"\n', b"3\n", b"=", b"[[", b"]", b"\xff", b"#"]


@given(content=st.binary(max_size=60) | st.lists(st.sampled_from(PIECES), max_size=8).map(b"".join))
@settings(max_examples=150, deadline=None)
def test_a_bad_file_is_named_and_left_as_it_was(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as name:
        file = Path(name) / "etc/hwtune/hwtune.toml"
        file.parent.mkdir(parents=True)
        file.write_bytes(content)
        try:
            load_config(name, {})
        except HwtuneError as error:
            assert str(file) in str(error) and error.hint and "\n" not in str(error)
        assert file.read_bytes() == content
        assert [path for path in Path(name).rglob("*") if path.is_file()] == [file]


def test_through_the_command_line_it_is_one_line_and_a_hint(tmp_path, capsys):
    file = tmp_path / "etc/hwtune/hwtune.toml"
    file.parent.mkdir(parents=True)
    for content in (b"\xff", b"[tune", b"[tune]\nbudget = nan", b"[tun]\nx=1", b"a" * 10_000, b"[" * 5000):
        file.write_bytes(content)
        assert main._run(["probe", "--root", str(tmp_path)]) == 2
        said = capsys.readouterr()
        assert said.out == "" and [line.split(":")[0] for line in said.err.splitlines()] == ["error", "hint"]
