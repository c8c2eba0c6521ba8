"""The verbs `config show` and `config check`."""

from __future__ import annotations

import json
import tomllib

import pytest
from typer.testing import CliRunner

from hwtune.cli.config import app
from hwtune.domain.errors import ConfigError


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch):
    import os

    for name in [name for name in os.environ if name.startswith("HWTUNE_")]:
        monkeypatch.delenv(name)


def run(*arguments: str) -> str:
    return CliRunner().invoke(app, list(arguments), catch_exceptions=False).output


def test_show_prints_a_file_that_says_the_same(tmp_path, monkeypatch):
    monkeypatch.setenv("HWTUNE_PLANNER_COMMAND", "ssh 'Größe 💡' \"a\\\\b\"")
    monkeypatch.setenv("HWTUNE_TUNE_MAX_SLOWDOWN", "5%")
    shown = run("show", "--origin", "--root", str(tmp_path))
    document = json.loads(run("show", "--json", "--root", str(tmp_path)))
    set_values = {
        section: {key: value for key, value in table.items() if value is not None}
        for section, table in document["config"].items()
    }
    assert tomllib.loads(shown) == set_values
    assert set_values["planner"]["command"] == ["ssh", "Größe 💡", "a\\b"]
    assert "max_slowdown = 0.05  # HWTUNE_TUNE_MAX_SLOWDOWN" in shown
    assert "# knobs is not set  # default" in shown
    assert document["origin"]["tune.max_slowdown"] == "HWTUNE_TUNE_MAX_SLOWDOWN"
    assert "# default" not in run("show", "--root", str(tmp_path))


def test_check_accepts_or_names_the_key(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text("[tune]\nruns = 2\n")
    assert run("check", str(file)) == f"{file}: ok, sets tune.runs\n"
    file.write_text("")
    assert run("check", str(file)) == f"{file}: ok, sets nothing\n"
    file.write_text("[tune]\nrun = 2\n")
    with pytest.raises(ConfigError, match=r"unknown key 'tune\.run'"):
        run("check", str(file))
