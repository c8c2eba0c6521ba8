"""Suspend to RAM for real: firmware, resume vector, CPUs that go and come; what was set, and what is put back."""

from __future__ import annotations

import json
from typing import Any

import pytest
from rig.calls import CPUFREQ
from rig.held import HeldTuning
from rig.machine import Rig

pytestmark = pytest.mark.rig

JOURNAL = "/run/hwtune/journal.json"


@pytest.fixture(autouse=True)
def _at_full_speed(sleeper: Rig) -> None:
    """Nothing here is timed."""
    sleeper.set_throttle(False)


def hwtune(rig: Rig, *words: str) -> Any:
    return json.loads(rig.run(["hwtune", *words, "--json"]).check().stdout)


def stripped(texts: dict[str, str]) -> dict[str, str]:
    return {path: text.strip() for path, text in texts.items()}


def sleep(rig: Rig) -> None:
    """It has slept, and everything is there again."""
    count = int(rig.read("/sys/power/suspend_stats/success"))
    rig.suspend()
    assert int(rig.read("/sys/power/suspend_stats/success")) > count
    assert rig.read("/sys/devices/system/cpu/online") == "0-1\n"


def test_what_is_kept_is_there_after_a_sleep_and_can_be_put_back(sleeper: Rig) -> None:
    before = sleeper.cpufreq()
    words = ["governor=ondemand", "policy0.governor=performance", "max=2.4GHz", "ondemand.up_threshold=60"]
    hwtune(sleeper, "apply", *words)
    applied = sleeper.cpufreq()
    sleep(sleeper)
    now = sleeper.cpufreq()
    assert now == applied
    told = hwtune(sleeper, "status")
    assert told["journal"]["state"] == "kept"
    assert told["settings"]["max"] == int(now[f"{CPUFREQ}/policy0/scaling_max_freq"])
    assert len(told["changed"]) == 5
    assert {change["path"]: change["now"] for change in told["changed"]}.items() <= stripped(now).items()
    hwtune(sleeper, "restore")
    assert sleeper.cpufreq() == before
    assert sleeper.snapshot(JOURNAL) == {}


def test_a_tuner_that_is_asleep_for_a_while_goes_on_and_puts_everything_back(sleeper: Rig) -> None:
    before = sleeper.cpufreq()
    governors = [f"{CPUFREQ}/{policy}/scaling_governor" for policy in ("policy0", "policy1")]
    tuning = HeldTuning(sleeper, ["--knobs", "governor", "--budget", "4"])
    tuning.until(lambda: sleeper.read(governors[1]) != before[governors[1]])
    applied = sleeper.cpufreq()
    sleep(sleeper)
    assert sleeper.cpufreq() == applied
    # This kernel's acpi-cpufreq forgets nothing in its sleep. With a driver that does it would be like this:
    for path in governors:
        sleeper.write(path, before[path])
    tuning.step()
    assert sleeper.cpufreq() == applied  # set again, for the run that it has spoilt
    result = tuning.finish()
    print(result.stdout, result.stderr)
    assert "somebody else" not in result.stderr
    document = json.loads(result.check().stdout)
    assert document["restored"] is True
    assert len(document["evaluated"]) == 4
    assert sleeper.cpufreq() == before
    assert sleeper.snapshot(JOURNAL) == {}
