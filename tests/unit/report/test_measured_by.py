"""A session by another measure than run time: `why` and the page say its units, and which bounds a setting broke."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from report_values import BOX, PROBLEM, SPACE, proposal, run_of
from test_verbs import run

from hwtune.domain.breach import outcome_of
from hwtune.domain.objective import Bound
from hwtune.domain.trial import Reason, Trial, TrialStatus
from hwtune.store.database import Store

BOUND = Bound(max_slowdown=0.4, max_latency_s={"p99": 0.02}, max_pressure={"cpu_some": 0.5})


@pytest.fixture
def session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The default serves in time, the second setting does not."""
    monkeypatch.setenv("HWTUNE_PATHS_STATE_DIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    with Store(tmp_path / "hwtune.sqlite") as store:
        problem = replace(PROBLEM, bound=BOUND)
        number = store.begin_session(BOX, verb="tune", workload="serve [tps, request/s]", argv=(), problem=problem)
        for mhz, p99, reason in ((3200, 0.01, Reason.DEFAULT), (1200, 0.03, Reason.EXPLORE)):
            setting = SPACE.default | {"max": mhz * 1000}
            wall = run_of(setting)
            one = replace(wall, unit="s/request", lasted_s=30.0, latency_s={"p99": p99})
            trial = Trial(
                setting=setting,
                requested=setting,
                runs=(one, one),
                reason=reason,
                status=outcome_of(BOUND, (one, one), TrialStatus.OK),
            )
            kept = proposal(SPACE.default, Reason.DEFAULT, energy=True)
            store.record_decision(number, proposal(setting, reason, energy=True), trial, kept)
        store.end_session(number, "budget", None)


def test_why_says_it(session: None) -> None:
    said = run("why").splitlines()
    assert any("J·s/request²" in line and "out of bounds" not in line for line in said)
    assert any("J·s/request² out of bounds" in line for line in said)
    assert any(line.startswith("time ") and "s/request" in line for line in said)
    assert any(line.startswith("energy ") and "J/request" in line for line in said)
    assert any(line.startswith("broke ") and "p99 latency 0.03 s is over 0.02 s" in line for line in said)
    assert json.loads(run("why", "2", "--json"))["broke"] == ["p99 latency 0.03 s is over 0.02 s"]
    assert json.loads(run("why", "1", "--json"))["broke"] == []


def test_the_page_says_it(session: None) -> None:
    page = run("report", "--output", "-")
    for words in ("time (s/request)", "energy (J/request)", "J·s/request²", "broke a bound"):
        assert words in page, words
    assert "time (s)" not in page
