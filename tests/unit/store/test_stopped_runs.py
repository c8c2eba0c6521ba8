"""Runs that were stopped early, and stores from before there were any."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest
from store_values import BOX, DEFAULT, PROBLEM, TRIAL

from hwtune.domain.errors import StoreError
from hwtune.domain.trial import Run, TrialStatus
from hwtune.store import schema
from hwtune.store.database import Store
from hwtune.store.schema import VERSION


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "hwtune.sqlite"


def begin(store: Store) -> int:
    return store.begin_session(BOX, verb="tune", workload="make -j8", argv=("make", "-j8"), problem=PROBLEM)


STOPPED = replace(
    TRIAL, runs=(*TRIAL.runs, Run(time_s=6.25, energy_j=40.5, censored=True)), status=TrialStatus.CENSORED
)


def test_a_run_that_was_stopped_comes_back_as_one(path):
    with Store(path) as store:
        session = begin(store)
        store.record_decision(session, DEFAULT, STOPPED, None)
        assert store.decisions(session)[0].trial == store.trials()[0].trial == STOPPED
    rows = sqlite3.connect(path)
    with rows:
        rows.execute("UPDATE trial SET status = 'ok'")
    rows.close()
    with Store(path) as store, pytest.raises(StoreError, match="damaged"):
        store.trials()


def test_a_store_of_version_1_is_brought_up_to_date(path, monkeypatch):
    """It had no runs that were stopped."""
    monkeypatch.setattr(schema, "_MIGRATIONS", schema._MIGRATIONS[:1])
    monkeypatch.setattr(schema, "VERSION", 1)
    with Store(path) as store:
        begin(store)
    rows = sqlite3.connect(path)
    with rows:
        rows.execute("INSERT INTO trial VALUES (1, 1, '{\"max\": 1}', '{\"max\": 1}', 'explore', 'ok', '{}')")
        rows.execute("INSERT INTO run VALUES (1, 1, 1.25, 10.5, NULL, '{}')")
    rows.close()
    monkeypatch.undo()
    with Store(path, create=False) as store:
        assert [record.trial.runs for record in store.trials()] == [(Run(time_s=1.25, energy_j=10.5),)]
        store.record_decision(1, DEFAULT, STOPPED, None)
        assert store.decisions(1)[0].trial == STOPPED
    rows = sqlite3.connect(path)
    assert rows.execute("PRAGMA user_version").fetchone() == (VERSION,) == (4,)
    rows.close()
