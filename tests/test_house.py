"""The rules of the house as tests: format, lint, types, layers, file size, what `--help` may import."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent
LONGEST_FILE = 400


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)


@pytest.mark.parametrize(
    "command",
    [
        (sys.executable, "-m", "ruff", "format", "--check", "."),
        (sys.executable, "-m", "ruff", "check", "."),
        (sys.executable, "-m", "mypy"),
        (str(BIN / "lint-imports"), "--no-cache"),
    ],
    ids=["format", "lint", "types", "layers"],
)
def test_checkers_find_nothing(command: tuple[str, ...]) -> None:
    result = run(*command)
    assert result.returncode == 0, result.stdout + result.stderr


def python_files() -> list[Path]:
    listed = run("git", "ls-files", "--cached", "--others", "--exclude-standard", "*.py").stdout.split()
    return [ROOT / name for name in listed if (ROOT / name).exists()]


def test_a_file_is_one_idea() -> None:
    lengths = {path: len(path.read_text().splitlines()) for path in python_files()}
    assert len(lengths) > 30
    assert {path: length for path, length in lengths.items() if length > LONGEST_FILE} == {}


def test_help_loads_neither_torch_nor_numpy() -> None:
    result = run(sys.executable, "-X", "importtime", "-m", "hwtune", "--help")
    assert result.returncode == 0
    loaded = {line.rsplit("|", 1)[-1].strip() for line in result.stderr.splitlines() if "|" in line}
    assert "hwtune.cli.main" in loaded
    heavy = {"torch", "numpy", "pyperf", "psutil", "hwtune.config", "hwtune.session", "sqlite3"}
    assert loaded & heavy == set()


def test_what_a_verb_loads_below_the_planner_has_no_torch() -> None:
    rooms = (
        "cli.tuning",
        "cli.replay_run",
        "cli.sweep_open",
        "cli.sweep_result",
        "cli.gradcheck_open",
        "cli.tune_json",
        "cli.tune_table",
        "cli.why",
        "cli.probe_document",
        "report.html",
    )
    imports = ", ".join(f"hwtune.{room}" for room in rooms)
    program = f"import sys, {imports}; print(sorted({{'torch', 'gpytorch', 'botorch'}} & set(sys.modules)))"
    assert run(sys.executable, "-c", program).stdout.strip() == "[]"


@pytest.mark.parametrize("name", ["quickstart", "test", "check", "venv", "rig", "picture", "mutation"])
def test_scripts_can_be_run(name: str) -> None:
    script = ROOT / "scripts" / name
    assert script.stat().st_mode & 0o111
    first = script.read_text().splitlines()[0]
    if "bash" in first:
        assert run("bash", "-n", str(script)).returncode == 0


def test_every_decision_is_on_one_page() -> None:
    decisions = sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))
    assert decisions
    for decision in decisions:
        text = decision.read_text()
        assert len(text.splitlines()) <= 60, decision.name
        for heading in ("Status", "Context", "Decision", "Consequences"):
            assert heading in text, f"{decision.name} has no {heading}"
