"""The campaign of faults: a thousand of them, none lost; and without restore it would notice."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))

import faults as campaign_of_faults  # noqa: E402
from campaign.faults import KINDS  # noqa: E402
from fake.machines import MACHINES  # noqa: E402

INJECTED = 1000
# From a killed process; the machine's own speed left out, what is waited for the kernel counted.
WAITED_S = 2.0


@pytest.mark.restores
def test_a_thousand_faults_lose_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    cases = campaign_of_faults.campaign(INJECTED, 1, sorted(MACHINES))
    found = campaign_of_faults.summary(cases)
    with capsys.disabled():
        print(f"\n{campaign_of_faults.table(found)}")
    lost = [f"case {case.number} on {case.machine}, {case.kind}: {reason}" for case in cases for reason in case.lost]
    assert lost == []
    assert found["injected"] == len(cases) >= INJECTED
    assert {case.kind for case in cases} == set(KINDS)
    assert {case.machine for case in cases} == set(MACHINES)
    assert sum(case.yielded for case in cases) > 0
    assert max(case.waited_s for case in cases if "killed" in case.kind) <= WAITED_S


def test_without_restore_it_loses() -> None:
    """The script itself, as it is run by hand."""
    command = [sys.executable, str(ROOT / "benchmarks" / "faults.py"), "--n", "60", "--seed", "1", "--json"]
    emptied = subprocess.run([*command, "--without-restore"], capture_output=True, text=True, check=False)
    assert emptied.returncode == 0, emptied.stderr
    found = json.loads(emptied.stdout)
    assert found["injected"] == 60
    assert found["lost"] > 30
    assert set(found) == {"injected", "lost", "yielded", "restore_s_max", "by_fault"}


def test_the_same_seed_gives_the_same_cases() -> None:
    def played(seed: int) -> list[tuple[object, ...]]:
        cases = campaign_of_faults.campaign(12, seed, sorted(MACHINES))
        return [(case.number, case.machine, case.kind, case.lost, case.yielded, case.waited_s) for case in cases]

    assert played(7) == played(7)
    assert played(7) != played(8)
