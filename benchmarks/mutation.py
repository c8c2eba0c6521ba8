"""Empties the code that puts back, one piece at a time in a copy of the checkout, and shows which tests notice.

    scripts/mutation [--only NAME …] [--kill] [--list]

Prints for each mutant how many tests fail; one that none notices has survived, and the exit status is 1. Those that the
unit tests do not notice are shown to the campaign of faults. Under the mutants that empty restore as a whole (marked *)
the campaign runs too, and no test may pass that claims everything to be put back: one that compares with the start, or
is marked `restores`. Those that do are listed, and the exit status is 1. `--kill` adds the tests that kill real
processes (root, FUSE). Takes a quarter of an hour.
"""

from __future__ import annotations

import argparse
import ast
import os
import re
import shutil
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parents[1]
TESTS = ("tests/unit/knobs",)
CAMPAIGN = "tests/system/test_faults.py"
KILL = "tests/system/test_kill.py"
_CLAIM = re.compile(r"== (\{\*\*)?start\b")
"""A test that compares a machine with how it was at the start claims that everything is put back."""
_CLAIMS_LESS = {
    # Nothing is set, or nothing of it can be seen, or the session itself has set the default before it left.
    "test_cli_knobs::test_a_dry_run_writes_nothing_and_shows_the_difference",
    "test_cli_knobs::test_bad_words_change_nothing",
    "test_cli_knobs::test_corrupt_journal_and_no_cpufreq",
    "test_extra::test_reset_goes_to_what_the_kernel_names_as_the_default",
}
_IGNORED = shutil.ignore_patterns(".git", ".venv", "__pycache__", ".*_cache", ".hypothesis", "*.egg-info")

# A counterexample is enough; the smallest is not looked for.
_WITHOUT_SHRINKING = """
from hypothesis import Phase, settings
settings.register_profile("quick", phases=[Phase.explicit, Phase.generate], database=None, derandomize=True)
settings.load_profile("quick")
"""


@dataclass(frozen=True, slots=True)
class Mutant:
    """A function with another body.

    Args:
        name: what it does.
        file: below `hwtune/knobs`.
        function: its name, with its class.
        body: what it does instead.
        whole: whether nothing at all is put back under it.
    """

    name: str
    file: str
    function: str
    body: str
    whole: bool = False


MUTANTS = tuple(
    Mutant(*row)  # type: ignore[arg-type]
    for row in (
        ("nothing is put back", "restore.py", "put_back", "return RestoreReport()", True),
        ("no file is written in putting back", "restore.py", "_Restoring._write", "return False", True),
        ("there is no plan of putting back", "cpufreq.py", "CpufreqBackend.restore_plan", "return ()", True),
        ("a journal is not restored", "restore.py", "restore_journal", "return RestoreReport()"),
        ("`hwtune restore` does nothing", "restore.py", "restore_machine", "return None"),
        ("the end of a transaction only unlocks", "transaction.py", "Transaction.__exit__", "self._lock.release()"),
        ("a transaction restores nothing", "transaction.py", "Transaction.restore", "return RestoreReport()"),
        ("nothing left behind is looked for", "transaction.py", "Transaction._recover", "pass"),
        ("nothing is kept", "transaction.py", "Transaction.keep", "pass"),
        ("the journal goes, come what may", "restore.py", "settle", "journals.remove(run_dir)"),
        ("nothing waits in the journal", "restore.py", "_rest_of", "return None"),
        ("what is put back is not looked at", "restore.py", "_Restoring._all_back", "return True"),
        ("everything is ours", "ownership.py", "explains", "return True"),
        ("nothing is ours", "ownership.py", "explains", "return False"),
        ("the kernel may answer anything", "ownership.py", "accepts", "return True"),
        ("nothing is claimed ahead", "claims.py", "claimed", "return journal"),
        ("nothing is noted behind", "claims.py", "written", "return ahead"),
        ("nothing is ever let go", "claims.py", "handed_over", "return journal"),
        ("no journal is saved", "journal.py", "save", "pass"),
        ("no journal is removed", "journal.py", "remove", "pass"),
        ("every digest fits", "journal.py", "_digest", "return ''"),
        ("every owner is dead", "journal.py", "held_by_another", "return False"),
        ("every boot is the same", "journal.py", "boot_id", "return 'x'"),
        ("everybody gets the lock", "lock.py", "Lock.acquire", "pass"),
        ("no policy ever vanishes", "changes.py", "vanished", "return False"),
        ("a suspend loses nothing", "changes.py", "forgotten", "return False"),
        ("nobody else sets anything", "changes.py", "changes", "return Changes()"),
        ("a reset forgets what it could not do", "reset.py", "forget", "journals.remove(run_dir)\nreturn ()"),
        ("Ctrl-C is not held back", "interruption.py", "uninterrupted", "yield"),
    )
)


def mutated(source: str, function: str, body: str) -> str:
    """The source with another body of one function.

    Raises:
        LookupError: there is no such function.
    """
    nodes: Sequence[ast.AST] = ast.parse(source).body
    found: ast.AST | None = None
    for part in function.split("."):
        kinds = (ast.FunctionDef, ast.ClassDef)
        found = next((node for node in nodes if isinstance(node, kinds) and node.name == part), None)
        if not isinstance(found, kinds):
            raise LookupError(f"no {function} any more: benchmarks/mutation.py has to follow")
        nodes = found.body
    assert isinstance(found, ast.FunctionDef)
    lines = source.splitlines()
    end = found.body[-1].end_lineno
    lines[found.body[0].lineno - 1 : end] = textwrap.indent(body, " " * found.body[0].col_offset).splitlines()
    return "\n".join(lines) + "\n"


def copied(folder: Path) -> Path:
    """The checkout as it stands, without what git and tools keep in it."""
    copy = folder / "checkout"
    for name in ("hwtune", "tests", "benchmarks", "pyproject.toml", "docs"):
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, copy / name, ignore=_IGNORED, symlinks=True)
        else:
            shutil.copy(source, copy / name)
    return copy


def outcomes(copy: Path, tests: Sequence[str]) -> dict[str, bool]:
    """Test → whether it passed."""
    report = copy / "report.xml"
    report.unlink(missing_ok=True)
    (copy / "without_shrinking.py").write_text(_WITHOUT_SHRINKING)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "without_shrinking"]
    environment = {**os.environ, "PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [*command, f"--junitxml={report}", *tests],
        cwd=copy,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if not report.exists():
        raise SystemExit(f"error: pytest did not run: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    found = {}
    for case in ElementTree.parse(report).iter("testcase"):
        if case.find("skipped") is None:
            name = f"{(case.get('classname') or '').rpartition('.')[2]}::{case.get('name')}"
            found[name] = case.find("failure") is None and case.find("error") is None
    return found


def claims(copy: Path, tests: Sequence[str]) -> set[str]:
    """The tests, without their parameters, that claim everything to be put back."""
    found = set()
    for place in tests:
        for file in [copy / place] if place.endswith(".py") else sorted((copy / place).glob("test_*.py")):
            source = file.read_text()
            for node in ast.parse(source).body:
                if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                    marked = any("restores" in ast.unparse(decorator) for decorator in node.decorator_list)
                    if marked or _CLAIM.search(ast.get_source_segment(source, node) or ""):
                        found.add(f"{file.stem}::{node.name}")
    return found - _CLAIMS_LESS


def main() -> None:
    """Try every mutant and print what became of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--only", action="append", metavar="NAME", help="this mutant; may be repeated")
    parser.add_argument("--kill", action="store_true", help="also the tests that kill real processes")
    parser.add_argument("--list", action="store_true", help="name the mutants and end")
    options = parser.parse_args()
    chosen = [mutant for mutant in MUTANTS if not options.only or mutant.name in options.only]
    if options.list or not chosen:
        print("\n".join(f"{'*' if mutant.whole else ' '} {mutant.name}" for mutant in MUTANTS))
        sys.exit(0 if options.list else 2)
    slow = (CAMPAIGN, KILL) if options.kill else (CAMPAIGN,)
    with tempfile.TemporaryDirectory(prefix="hwtune-mutation-") as name:
        copy = copied(Path(name))
        sound = outcomes(copy, [*TESTS, *slow])
        if broken := [test for test, passed in sound.items() if not passed]:
            raise SystemExit(f"error: {len(broken)} tests fail without any mutant: {', '.join(broken)}")
        claiming = claims(copy, [*TESTS, *slow])
        print(f"{len(sound)} tests pass; {len(claiming)} test functions claim that everything is put back", flush=True)
        bad = [mutant.name for mutant in chosen if not noticed(copy, mutant, slow, claiming)]
    print("every mutant was noticed" if not bad else f"NOT NOTICED: {'; '.join(bad)}")
    sys.exit(1 if bad else 0)


def noticed(copy: Path, mutant: Mutant, slow: Sequence[str], claiming: set[str]) -> bool:
    """Whether tests fail under a mutant as they have to; prints the line of the table."""
    file = copy / "hwtune" / "knobs" / mutant.file
    source = file.read_text()
    try:
        file.write_text(mutated(source, mutant.function, mutant.body))
        found = outcomes(copy, TESTS)
        if mutant.whole or all(found.values()):
            found |= outcomes(copy, slow)
    finally:
        file.write_text(source)
    failed = [test for test, passed in found.items() if not passed]
    passing = sorted(test for test, passed in found.items() if passed and test.partition("[")[0] in claiming)
    verdict = f"noticed by {len(failed)} of {len(found)}" if failed else "SURVIVED"
    where = f"{mutant.file}: {mutant.function}"
    print(f"{'*' if mutant.whole else ' '} {mutant.name:40} {where:42} {verdict}", flush=True)
    for test in passing if mutant.whole else ():
        print(f"      passes all the same: {test}", flush=True)
    return bool(failed) and not (mutant.whole and passing)


if __name__ == "__main__":
    main()
