"""The collector's benchmark: that everything is read which it says it is, and how it sums up."""

from __future__ import annotations

import json
import sys

import collector as script
import pytest
from large_machine import build


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(script, "COUNTS", (1, 2, 3))


def test_a_document_without_the_minute(small, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["collector.py", "--samples", "3", "--seconds", "0", "--json"])
    script.main()
    said = json.loads(capsys.readouterr().out)
    assert [row["cpus"] for row in said["by_cpus"]] == [1, 2, 3]
    for row in said["by_cpus"]:
        low, high = row["ms"]["quartiles"]
        assert 0.0 < low <= row["ms"]["median"] <= high
    assert said["at_1_hz"] == {} and said["at_1024_open_files"]["cpus"] == 3
    monkeypatch.setattr(sys, "argv", ["collector.py", "--samples", "3", "--seconds", "0"])
    script.main()
    assert "cost grows by the CPUs to the power" in capsys.readouterr().out


def test_every_cpu_is_in_the_sample_or_it_does_not_count(tmp_path):
    paths = build(tmp_path, 70)
    with script.collector_of(str(tmp_path)) as collector:
        seen = script.whole_sample(collector, 70)
        assert len(paths) == 1 + 3 + 70 * (2 + 4) + 2 * 2  # /proc/stat, pressure, CPUs, two packages
        assert len(seen.idle_us) == 4 and len(seen.time_in_state[69]) == 16
        assert len(seen.energy) == 2 and len(seen.temp_mc) == 2 and len(seen.pressure) == 6
        assert seen.cpu.user_ticks == 1_981_000
        with pytest.raises(SystemExit, match="not read"):
            script.whole_sample(collector, 71)


def test_the_slope_of_what_is_linear_is_one():
    rows = [{"cpus": cpus, "ms": {"median": 0.03 * cpus}} for cpus in (1, 2, 4, 512)]
    assert script.fitted(rows) == pytest.approx(1.0)
    assert script.steepest(rows) == pytest.approx(1.0)
    rows[-1]["ms"]["median"] *= 4
    assert script.steepest(rows) > 1.2
