"""`hwtune selftest --hardware` on a real kernel: every knob through its values, and nothing left of it."""

from __future__ import annotations

import json

import pytest
from rig.machine import Rig

pytestmark = pytest.mark.rig


def test_every_knob_is_turned_and_put_back(rig: Rig) -> None:
    rig.set_throttle(False)
    before = rig.cpufreq()
    result = rig.run(["hwtune", "selftest", "--hardware", "--yes", "--json"])
    print(result.stdout, result.stderr)
    assert rig.cpufreq() == before
    assert rig.snapshot("/run/hwtune/journal.json") == {}
    receipt = json.loads(result.check().stdout)
    assert receipt["restored"] is True
    turned = {knob["knob"]: [value["result"] for value in knob["values"]] for knob in receipt["knobs"]}
    assert {"governor", "max", "min", "ondemand.up_threshold", "schedutil.rate_limit_us"} <= turned.keys()
    assert all("applied" in results for results in turned.values())
    assert set(turned["max"]) == {"applied"}
