"""What happens to a machine while it is tuned: CPUs go and come, somebody else sets knobs, firmware limits pass."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from rig.calls import CPUFREQ
from rig.held import HeldTuning
from rig.link import Result
from rig.machine import Rig

pytestmark = pytest.mark.rig

GOVERNOR = f"{CPUFREQ}/policy0/scaling_governor"
MAXIMUM = f"{CPUFREQ}/policy0/scaling_max_freq"
JOURNAL = "/run/hwtune/journal.json"


@pytest.fixture(autouse=True)
def _at_full_speed(rig: Rig) -> None:
    """Nothing here is timed."""
    rig.set_throttle(False)


def said(result: Result, status: int = 0) -> dict[str, Any]:
    """The tuner's document, when it ended as it should."""
    print(result.stdout, result.stderr)
    assert "Traceback" not in result.stderr
    assert result.returncode == status, result.stderr
    document: dict[str, Any] = json.loads(result.stdout)
    return document


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.1)


def changed(rig: Rig, path: str) -> Callable[[], bool]:
    """Whether the file reads otherwise than now."""
    before = rig.read(path)
    return lambda: rig.read(path) != before


def test_a_cpu_that_goes_and_comes_back_and_goes_again(rig: Rig) -> None:
    before = rig.cpufreq()
    both = [f"{CPUFREQ}/{policy}/scaling_governor" for policy in ("policy0", "policy1")]
    default = before[GOVERNOR]

    def another() -> bool:
        """Whether both policies have the same governor, and not the one they were found with."""
        return len(found := {rig.read(path) for path in both}) == 1 and default not in found

    tuning = HeldTuning(rig, ["--knobs", "governor", "--budget", "6"])
    tuning.until(another)
    rig.put_online(1, False)
    tuning.until(changed(rig, GOVERNOR))  # it goes on with the policy that is left
    rig.put_online(1, True)
    tuning.step()
    tuning.until(another)
    rig.put_online(1, False)
    result = tuning.finish()
    assert said(result)["restored"] is False
    assert "policy1.scaling_governor is not there: it waits for `hwtune restore`" in result.stderr
    assert rig.read(GOVERNOR) == default
    assert rig.snapshot(JOURNAL) != {}
    assert "offline" in rig.run(["hwtune", "restore"]).check().stdout
    rig.put_online(1, True)
    assert rig.read(both[1]) != default
    rig.run(["hwtune", "restore"]).check()
    assert rig.cpufreq() == before
    assert rig.snapshot(JOURNAL) == {}


def test_a_governor_that_somebody_else_has_chosen_is_left_to_them(rig: Rig) -> None:
    before = rig.cpufreq()
    tuning = HeldTuning(rig, ["--knobs", "governor,max", "--budget", "6"])
    tuning.until(changed(rig, GOVERNOR))
    theirs = "powersave\n" if rig.read(GOVERNOR) == "performance\n" else "performance\n"
    rig.write(GOVERNOR, theirs)
    result = tuning.finish()
    document = said(result)
    assert rig.cpufreq() == {**before, GOVERNOR: theirs}
    assert document["restored"] is True  # but for what is theirs
    assert f"somebody else has set policy0.scaling_governor to {theirs.strip()}" in result.stderr
    assert [(notice["kind"], notice["knob"]) for notice in document["noticed"]] == [("yielded", "governor")]
    rig.run(["hwtune", "restore"]).check()
    assert rig.cpufreq() == {**before, GOVERNOR: theirs}


def test_a_tunable_that_somebody_else_has_set_is_left_to_them(rig: Rig) -> None:
    for policy in ("policy0", "policy1"):
        rig.write(f"{CPUFREQ}/{policy}/scaling_governor", "ondemand")
    tunable = f"{CPUFREQ}/ondemand/up_threshold"
    rig.write(tunable, "80")
    before = rig.cpufreq()
    tuning = HeldTuning(rig, ["--knobs", "ondemand.up_threshold,max", "--budget", "12"])
    tuning.until(changed(rig, tunable))
    theirs = "77\n" if rig.read(tunable) != "77\n" else "78\n"
    rig.write(tunable, theirs)
    tuning.step()
    tuning.until(lambda: rig.read(MAXIMUM) != before[MAXIMUM])  # it goes on with what is left to it
    result = tuning.interrupt()
    document = said(result, status=130)
    assert rig.cpufreq() == {**before, tunable: theirs}
    assert [(notice["kind"], notice["knob"]) for notice in document["noticed"]] == [
        ("yielded", "ondemand.up_threshold")
    ]
    assert f"somebody else has set ondemand.up_threshold to {theirs.strip()}" in result.stderr


def test_a_firmware_limit_that_comes_and_goes_and_a_knob_that_is_not_tuned(rig: Rig) -> None:
    before = rig.cpufreq()
    limit, tunable = f"{CPUFREQ}/policy0/bios_limit", f"{CPUFREQ}/schedutil/rate_limit_us"
    tuning = HeldTuning(rig, ["--knobs", "max", "--budget", "8"])
    tuning.until(changed(rig, MAXIMUM))
    rig.set_highest_pstate(6)
    wait_until(lambda: rig.read(limit) == "1200000\n")
    tuning.step()
    assert rig.read(MAXIMUM) <= "1200000\n"
    rig.set_highest_pstate(0)
    wait_until(lambda: rig.read(limit) == "3600000\n")
    rig.write(tunable, "5000")
    tuning.step()
    tuning.until(lambda: rig.read(MAXIMUM) != before[MAXIMUM])
    document = said(tuning.interrupt(), status=130)
    assert rig.cpufreq() == {**before, tunable: "5000\n"}
    assert rig.snapshot(JOURNAL) == {}
    rig.write(tunable, before[tunable])
    assert document["restored"] is True
