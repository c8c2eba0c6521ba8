"""`benchmarks/aa.py` from end to end, and that its machines are what they are said to be."""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import pairwise
from math import exp, log
from pathlib import Path
from random import Random
from statistics import fmean, pstdev

import aa
import pytest

SCRIPT = Path(__file__).resolve().parents[3] / "benchmarks" / "aa.py"


def script(*words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(SCRIPT), *map(str, words)], capture_output=True, text=True, timeout=120, check=False
    )


def test_the_campaign_as_json() -> None:
    words = ("--comparisons", 24, "--effect", 0.1, "--aim", 0.1, "--seed", 4, "--json")
    found = script(*words)
    assert found.returncode == 0, found.stderr
    said = json.loads(found.stdout)
    assert (said["comparisons"], said["effect"], said["simulated"]) == (24, 0.1, True)
    assert said["significant_share"] == said["right_share"] >= 0.9
    assert 0.75 <= said["coverage"] <= 1.0
    assert 6 <= said["runs_median"] <= said["announced_median"]
    assert list(said["scenarios"]) == list(aa.SCENARIOS)
    assert all(each["comparisons"] == 4 for each in said["scenarios"].values())
    again = json.loads(script(*words).stdout)
    assert {**again, "cpu_s": 0} == {**said, "cpu_s": 0}, "the seed is all there is to chance"


def test_the_campaign_as_a_table() -> None:
    found = script("--comparisons", 4, "--scenario", "quiet", "--margin", 0.05, "--aim", 0.05)
    assert found.returncode == 0, found.stderr
    assert [line.split()[0] for line in found.stdout.splitlines()] == ["found", "quiet", "all", "4"]


@pytest.mark.parametrize("words", [("--effect", "1.5"), ("--effect", "x"), ("--comparisons", "0"), ("--scenario", "x")])
def test_what_makes_no_sense_is_refused(words: tuple[str, ...]) -> None:
    found = script(*words)
    assert found.returncode == 2
    assert "error" in found.stderr and "Traceback" not in found.stderr


def test_the_effect_is_that_of_the_second_arm() -> None:
    first, second = (aa.Machine("quiet", 0.03, Random(5)) for _ in range(2))
    for _ in range(5):
        a, b = first.run("A"), second.run("B")
        assert b.time_s / a.time_s == pytest.approx(0.97)
        assert a.energy_j is not None and b.energy_j is not None
        assert b.energy_j / a.energy_j == pytest.approx(0.97)


@pytest.mark.parametrize("scenario", aa.SCENARIOS)
def test_scenarios_are_as_noisy_as_they_are_said_to_be(scenario: str) -> None:
    """Jitter of 0.5 to 2 %, from run to run; disturbances in what has them only."""
    sizes, far = [], 0
    for seed in range(60):
        machine = aa.Machine(scenario, 0.0, Random(seed))
        logs = [log(machine.run("A").time_s) for _ in range(60)][10:]
        steps = sorted(abs(b - a) for a, b in pairwise(logs))
        sizes.append(steps[len(steps) // 2])
        far += steps[-1] > 7 * sizes[-1]
    assert 0.002 < exp(fmean(map(log, sizes))) < 0.02
    assert (far > 5) == (scenario in {"bursty", "mixed", "heavy"})


def test_runs_resemble_the_one_before_in_ar1_and_not_in_quiet() -> None:
    def alike(scenario: str) -> float:
        found = []
        for seed in range(60):
            machine = aa.Machine(scenario, 0.0, Random(seed))
            logs = [log(machine.run("A").time_s) for _ in range(80)][20:]
            mean, sd = fmean(logs), pstdev(logs)
            found.append(fmean((a - mean) * (b - mean) for a, b in pairwise(logs)) / sd**2)
        return fmean(found)

    assert alike("quiet") == pytest.approx(0.0, abs=0.06)
    assert alike("ar1") > 0.35
