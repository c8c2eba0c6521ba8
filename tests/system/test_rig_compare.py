"""A comparison on a real kernel: it finds what a P-state costs, and leaves every file as it found it."""

from __future__ import annotations

import json
import signal
import time

import pytest
from rig.machine import CHECKOUT, Rig

pytestmark = pytest.mark.rig

LOAD = ["python", f"{CHECKOUT}/benchmarks/loads/compute.py"]


# Judged by times of a shared host, on which P-states hardly show while others take the cores.
@pytest.mark.flaky(reruns=1)
def test_the_slow_pstate_is_slower_and_everything_is_as_before(rig: Rig) -> None:
    before = rig.cpufreq()
    words = ["hwtune", "compare", "--json", "--max-runs", "6", "default", "max=1600MHz", "--"]
    said = json.loads(rig.run([*words, *LOAD], timeout_s=900).check().stdout)
    assert rig.cpufreq() == before
    assert said["restored"] is True and said["simulated"] is False
    assert said["energy_source"].startswith("emulated meter")
    assert said["arms"]["B"]["effective"]["max"] == 1_600_000
    # 2.25 times the time by the clock alone; a busy host shows a part of it.
    assert said["verdict"]["time_ratio"] > 1.2
    assert said["noise"]["clock_hz"]["A"] > said["noise"]["clock_hz"]["B"]
    print(said["conclusion"], [finding["words"] for finding in said["noise"]["findings"]])


def test_an_interruption_puts_everything_back(rig: Rig) -> None:
    rig.set_throttle(False)
    before = rig.cpufreq()
    job = rig.start(["hwtune", "compare", "--json", "max=2GHz,governor=ondemand", "default", "--", "sleep", "0.3"])
    deadline = time.monotonic() + 120
    while rig.cpufreq() == before:
        assert time.monotonic() < deadline and job.poll() is None
        time.sleep(0.2)
    job.send_signal(signal.SIGINT)
    result = job.wait(60)
    assert result.returncode == 130, result.stderr
    assert rig.cpufreq() == before
    said = json.loads(result.stdout)
    assert said["interrupted"] is True and said["restored"] is True
