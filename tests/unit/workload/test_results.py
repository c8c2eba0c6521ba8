"""pyperf itself reads what we write."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from hwtune.domain.errors import WorkloadError
from hwtune.domain.knob import Setting
from hwtune.domain.trial import Run
from hwtune.workload.results import Arm, write_pyperf


def pyperf(*arguments) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "pyperf", *map(str, arguments)], capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout


def arm(factor: float, name: str = "make", **setting) -> Arm:
    runs = [Run(time_s=factor * (1.0 + 0.01 * number), energy_j=5.0 * factor) for number in range(8)]
    return Arm(name=name, setting=Setting(setting), runs=runs)


def test_pyperf_compares_two_arms(tmp_path):
    for name, factor in (("default", 1.0), ("chosen", 0.8)):
        write_pyperf(tmp_path / f"{name}.json", [arm(factor)], command="make -j8", machine="box", simulated=False)
    assert "1.25x faster" in pyperf("compare_to", tmp_path / "default.json", tmp_path / "chosen.json")
    stats = pyperf("stats", tmp_path / "chosen.json")
    assert "Total number of values: 8" in stats
    assert "828 ms" in stats, "mean of 0.8 s and 1 % steps"


def test_metadata_says_what_was_run_and_under_what(tmp_path):
    path = tmp_path / "both.json"
    arms = [arm(1.0, "default"), arm(0.8, "chosen", governor="powersave", max=2000000)]
    write_pyperf(path, arms, command="make '-j 8'", machine="box", simulated=True)
    shown = pyperf("metadata", path)
    assert "make '-j 8'" in shown
    assert "governor=powersave max=2000000" in shown and "as found" in shown
    assert "chosen (simulated)" in shown and "hwtune_simulated: yes" in shown
    assert '"hwtune_energy_j": 4.0' in path.read_text()
    write_pyperf(path, arms[:1], command="x", machine="box", simulated=False)
    assert "simulated)" not in path.read_text(), "the file is replaced"
    assert json.loads(path.read_text())["metadata"]["hwtune_simulated"] == "no"


def test_a_run_without_energy_has_no_energy(tmp_path):
    path = tmp_path / "a.json"
    only = Arm(name="a", setting=Setting(), runs=[Run(time_s=1.0, energy_j=None)])
    write_pyperf(path, [only], command="x", machine="m", simulated=False)
    assert "energy" not in path.read_text()


def test_a_file_that_cannot_be_written_is_said(tmp_path):
    with pytest.raises(WorkloadError, match="cannot write"):
        write_pyperf(tmp_path / "no" / "a.json", [arm(1.0)], command="x", machine="m", simulated=False)
