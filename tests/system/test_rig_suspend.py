"""Suspend to RAM for real: firmware, resume vector, CPUs that go and come; what was set, and what is put back."""

from __future__ import annotations

import json
from typing import Any

import pytest
from rig.calls import CPUFREQ
from rig.held import HeldTuning
from rig.machine import Rig

pytestmark = pytest.mark.rig

GOVERNORS = [f"{CPUFREQ}/{policy}/scaling_governor" for policy in ("policy0", "policy1")]


def hwtune(rig: Rig, *words: str) -> Any:
    return json.loads(rig.run(["hwtune", *words, "--json"]).check().stdout)


def stripped(texts: dict[str, str]) -> dict[str, str]:
    return {path: text.strip() for path, text in texts.items()}


def test_what_is_kept_and_a_tuner_at_work_outlive_a_sleep(sleeper: Rig) -> None:
    """One test, because a boot of this machine can sleep but once."""
    sleeper.set_throttle(False)
    before = sleeper.cpufreq()
    # Only CPU 1, which goes offline in between, has the governor whose tunable is set.
    hwtune(sleeper, "apply", "governor=ondemand", "policy0.governor=performance", "ondemand.up_threshold=60")
    kept = sleeper.cpufreq()
    tuning = HeldTuning(sleeper, ["--knobs", "max", "--budget", "4"])
    tuning.until(lambda: sleeper.cpufreq() != kept)
    applied = sleeper.cpufreq()

    sleeper.suspend()
    assert sleeper.read("/sys/devices/system/cpu/online") == "0-1\n"
    # This kernel's acpi-cpufreq forgets nothing.
    assert sleeper.cpufreq() == applied

    # With a driver that forgets it would be like this:
    for policy in ("policy0", "policy1"):
        sleeper.write(f"{CPUFREQ}/{policy}/scaling_max_freq", "3600000")
    tuning.step()
    assert sleeper.cpufreq() == applied  # set again, for the run that was spoilt
    result = tuning.finish()
    print(result.stdout, result.stderr)
    assert "somebody else" not in result.stderr
    document = json.loads(result.check().stdout)
    assert document["restored"] is True
    assert len(document["evaluated"]) == 4
    assert sleeper.cpufreq() == kept

    told = hwtune(sleeper, "status")
    assert told["journal"]["state"] == "kept"
    changed = {change["path"]: change["now"] for change in told["changed"]}
    assert changed.items() <= stripped(kept).items()
    assert {*GOVERNORS, f"{CPUFREQ}/ondemand/up_threshold"} <= changed.keys()
    hwtune(sleeper, "restore")
    assert sleeper.cpufreq() == before
    assert sleeper.snapshot("/run/hwtune/journal.json") == {}
