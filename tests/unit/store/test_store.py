"""What goes into the store comes out of it; what is not a store is refused and left alone."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from store_values import BOX, DEFAULT, EXPLORE, IMAGINED, PROBLEM, SPACE, TIME_ONLY, TRIAL

from hwtune.domain.errors import HwtuneError, StoreError
from hwtune.domain.knob import KnobSpace, Setting
from hwtune.domain.problem import Donor, Problem
from hwtune.domain.trial import Run, TrialStatus
from hwtune.store.database import Store
from hwtune.store.schema import VERSION


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "hwtune.sqlite"


def begin(store: Store, machine=BOX, problem: Problem = PROBLEM) -> int:
    return store.begin_session(machine, verb="tune", workload="make -j8", argv=("make", "-j8"), problem=problem)


def filled(path: Path) -> bytes:
    """A closed store with one whole session in it, as bytes."""
    with Store(path, now_s=count(1000.0).__next__) as store:
        session = begin(store)
        store.record_decision(session, DEFAULT, TRIAL, DEFAULT)
        store.record_decision(session, EXPLORE, TRIAL, EXPLORE)
        store.end_session(session, "kept", {"time_ratio": 1.02, "energy_ratio_95": [0.7, 0.8], "energy_ratio": None})
    assert [file.name for file in path.parent.iterdir()] == [path.name], "no journal is left behind"
    return path.read_bytes()


def test_a_session_comes_back_as_it_was(path):
    filled(path)
    with Store(path, create=False) as store:
        (session,) = store.sessions()
        assert (session.number, session.verb, session.workload) == (1, "tune", "make -j8")
        assert session.argv == ("make", "-j8")
        assert session.machine == BOX
        assert session.problem == PROBLEM
        assert (session.started_s, session.ended_s, session.outcome) == (1000.0, 1001.0, "kept")
        assert session.verdict == {"time_ratio": 1.02, "energy_ratio_95": [0.7, 0.8], "energy_ratio": None}


def test_decisions_come_back_as_they_were(path):
    with Store(path) as store:
        session = begin(store)
        assert store.record_decision(session, DEFAULT, TRIAL, None) == 1
        assert store.record_decision(session, EXPLORE, None, TIME_ONLY) == 2
        assert store.record_decision(session, TIME_ONLY, TRIAL, EXPLORE) == 3
        other = begin(store)
        assert store.record_decision(other, DEFAULT, None, None) == 1
        first, second, third = store.decisions(session)
        assert (first.proposal, first.trial, first.recommended, first.known_trials) == (DEFAULT, TRIAL, None, 0)
        assert (second.proposal, second.trial, second.recommended) == (EXPLORE, None, TIME_ONLY)
        assert (third.proposal, third.recommended) == (TIME_ONLY, EXPLORE)
        assert [decision.known_trials for decision in (first, second, third)] == [0, 1, 1]
        assert [decision.number for decision in (first, second, third)] == [1, 2, 3]
        assert len(store.decisions(other)) == 1
        assert store.decisions(99) == ()
        last = store.sessions()[-1]
        assert last.number == other
        assert (last.ended_s, last.outcome, last.verdict) == (None, None, None)


def test_an_empty_store_has_no_session(path):
    with Store(path) as store:
        assert store.sessions() == ()
        assert store.trials() == ()


def test_simulated_and_measured_are_never_handed_out_together(path):
    with Store(path) as store:
        for machine in (BOX, IMAGINED, BOX, IMAGINED, IMAGINED):
            store.record_decision(begin(store, machine), DEFAULT, TRIAL, None)
        assert [record.machine for record in store.trials()] == [BOX, BOX]
        assert [record.machine for record in store.trials(simulated=True)] == [IMAGINED] * 3
        assert store.trials()[0].trial == TRIAL
        assert (store.trials()[1].session, store.trials()[1].workload) == (3, "make -j8")
        assert [session.machine.simulated for session in store.sessions()] == [False, True, False, True, True]
    rows = sqlite3.connect(path)
    assert rows.execute("SELECT count(*) FROM machine").fetchone() == (2,), "a machine has one row"
    rows.close()


def test_machines_that_differ_in_a_fact_are_different(path):
    with Store(path) as store:
        begin(store, replace(BOX, microcode="0x1"))
        begin(store, replace(BOX, microcode=None))
        begin(store, replace(BOX, simulated=True))
        assert len({session.machine for session in store.sessions()}) == 3


def test_a_dry_run_is_not_stored(path):
    with Store(path) as store:
        session = begin(store)
        with pytest.raises(StoreError, match="not a measurement"):
            store.record_decision(session, DEFAULT, replace(TRIAL, status=TrialStatus.PREDICTED), None)
        assert store.decisions(session) == ()


def test_a_decision_is_stored_whole_or_not_at_all(path, monkeypatch):
    with Store(path) as store:
        session = begin(store)

        def interrupted(*_):
            raise KeyboardInterrupt

        monkeypatch.setattr(store, "_put_proposal", interrupted)
        with pytest.raises(KeyboardInterrupt):
            store.record_decision(session, DEFAULT, TRIAL, None)
        monkeypatch.undo()
        monkeypatch.setattr("hwtune.store.database.enumerate", interrupted, raising=False)
        with pytest.raises(KeyboardInterrupt):
            store.record_decision(session, DEFAULT, TRIAL, None)
        monkeypatch.undo()
        assert store.decisions(session) == ()
        assert store.trials() == ()
        assert store.record_decision(session, DEFAULT, TRIAL, None) == 1


def test_a_table_of_allowed_settings_survives(path):
    rows = (Setting(governor="1", max=800000), {"governor": "performance", "max": 2000000})
    problem = replace(PROBLEM, space=KnobSpace(knobs=SPACE.knobs, allowed=rows))
    with Store(path) as store:
        begin(store, problem=problem)
        (session,) = store.sessions()
    assert session.problem.space.allowed is not None
    assert [dict(row) for row in session.problem.space.allowed] == [dict(row) for row in rows]


def test_what_other_workloads_taught_is_not_stored_again(path):
    donor = Donor(label="another command", trials=(TRIAL,))
    with Store(path) as store:
        begin(store, problem=replace(PROBLEM, donors=(donor,)))
        (session,) = store.sessions()
    assert session.problem == PROBLEM
    assert b"another command" not in path.read_bytes()


def _with_donors(problem):
    problem["donors"] = [{"label": "other", "trials": [{"setting": {"max": 1}, "requested": {"max": 1}, "runs": []}]}]


@pytest.mark.parametrize(
    "older",
    [
        lambda problem: problem.pop("donors"),
        _with_donors,
        lambda problem: problem["space"]["knobs"][1].update(words=[["least", 800000]]),
    ],
    ids=["before donors", "donors", "names of values"],
)
def test_rows_of_older_versions_are_read(path, older):
    filled(path)
    connection = sqlite3.connect(path)
    problem = json.loads(connection.execute("SELECT problem FROM session").fetchone()[0])
    older(problem)
    with connection:
        connection.execute("UPDATE session SET problem = ?", (json.dumps(problem),))
    connection.close()
    with Store(path, create=False) as store:
        (session,) = store.sessions()
    assert session.problem == PROBLEM


def test_words_that_are_not_utf8_are_kept_readable(path):
    with Store(path) as store:
        store.begin_session(BOX, verb="tune", workload="cat \udcff", argv=("cat", "\udcff"), problem=PROBLEM)
        (session,) = store.sessions()
    assert session.argv == ("cat", "\\udcff")


finite = st.floats(allow_nan=False, allow_infinity=False, width=64)
positive = st.floats(min_value=1e-9, max_value=1e12)
features = st.dictionaries(st.text(max_size=8).filter(str.isprintable), finite, max_size=4)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    runs=st.lists(
        st.builds(
            Run,
            time_s=positive,
            energy_j=st.none() | positive,
            features=features,
            own_cpu_s=st.none() | positive,
            unit=st.sampled_from(("s", "s/transaction", "µpoints")),
            lasted_s=st.none() | positive,
            latency_s=features,
            energy_off=st.none() | positive,
            no_energy=st.none() | st.tuples(st.text(max_size=20), st.text(max_size=20)),
        ),
        min_size=1,
        max_size=4,
    )
)
def test_runs_come_back_bit_for_bit(tmp_path, runs):
    trial = replace(TRIAL, runs=tuple(runs))
    with Store(tmp_path / "runs.sqlite") as store:
        session = begin(store)
        store.record_decision(session, DEFAULT, trial, None)
        assert store.decisions(session)[0].trial == trial


def test_the_file_is_prepared_for_growing_and_shrinking(path):
    filled(path)
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA auto_vacuum").fetchone() == (2,), "incremental"
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert connection.execute("PRAGMA user_version").fetchone() == (VERSION,)
    connection.close()


def test_two_stores_on_one_file_see_each_other(path):
    with Store(path) as one, Store(path) as two:
        first, second = begin(one), begin(two)
        assert (first, second) == (1, 2)
        one.record_decision(first, DEFAULT, TRIAL, None)
        assert len(two.decisions(first)) == 1


def refused(path: Path, pattern: str) -> StoreError:
    before = path.read_bytes()
    with pytest.raises(StoreError, match=pattern) as caught:
        Store(path)
    assert path.read_bytes() == before, "left untouched"
    assert caught.value.hint and caught.value.exit_status == 1
    return caught.value


def test_a_newer_store_is_refused(path):
    filled(path)
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version = {VERSION + 1}")
    connection.close()
    assert "upgrade" in str(refused(path, "newer hwtune").hint)


def test_another_database_is_refused(tmp_path):
    path = tmp_path / "browser.sqlite"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE bookmarks (url)")
    connection.close()
    refused(path, "not a store of hwtune")


def test_what_is_no_database_is_refused(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_bytes(b"these are my notes\n" * 100)
    refused(path, "damaged or not a store")


def test_a_store_that_is_not_there_is_made_only_when_asked(path):
    with pytest.raises(StoreError, match="no store at") as caught:
        Store(path, create=False)
    assert "hwtune tune" in str(caught.value.hint)
    assert not path.parent.exists()


def test_a_place_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot create"):
        Store(tmp_path / "file" / "hwtune.sqlite")
    with pytest.raises(StoreError, match="unable to open"):
        Store(tmp_path)


def test_a_full_disk_is_said_and_nothing_half_written(path):
    with Store(path) as store:
        session = begin(store)
        limit = store._connection.execute("PRAGMA page_count").fetchone()[0] + 1
        store._connection.execute(f"PRAGMA max_page_count = {limit}")
        wide = replace(TRIAL, runs=tuple(Run(time_s=1.0, energy_j=None, features={"x" * 3000: 1.0}) for _ in range(9)))
        with pytest.raises(StoreError, match="full") as caught:
            store.record_decision(session, DEFAULT, wide, None)
        assert "free some space" in str(caught.value.hint)
        assert store.decisions(session) == ()
        assert store.record_decision(session, DEFAULT, None, None) == 1


def test_a_locked_store_is_said(path):
    with Store(path) as store:
        begin(store)
        store._connection.execute("PRAGMA busy_timeout = 0")
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="locked") as caught:
            begin(store)
        assert "try again" in str(caught.value.hint)
        other.close()


def use(path: Path) -> None:
    """Everything one can do with a store."""
    with Store(path) as store:
        for session in store.sessions():
            store.decisions(session.number)
        store.trials()
        session_number = begin(store)
        store.record_decision(session_number, DEFAULT, TRIAL, EXPLORE)
        store.end_session(session_number, "kept", None)


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("whole") / "hwtune.sqlite"
    filled(path)
    return path


def survives(path: Path, content: bytes) -> None:
    for left in path.parent.iterdir():
        left.unlink()
    path.write_bytes(content)
    try:
        Store(path).close()
    except StoreError:
        assert path.read_bytes() == content, "refused, so left untouched"
    try:
        use(path)
    except HwtuneError as error:
        assert isinstance(error, StoreError) and error.hint


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"time_sd_log REAL", b"time_sd_loX REAL"),  # a column by another name
        (b"CREATE TABLE run", b"CREATE TABLE \x80un"),  # SQLite's own message is no UTF-8 then
        (b"explore", b"explode"),
        (b'{"ipc": 1.5', b'{"ipc": "x"'),
        (b'"step": 1', b'"step": x'),
        (b"CREATE TABLE trial", b"CREATE VIEWS trial"),
    ],
)
def test_damage_to_words_is_told(tmp_path, whole, old, new):
    survives(tmp_path / "words.sqlite", whole.read_bytes().replace(old, new))
    with pytest.raises(StoreError, match=r"damaged|malformed"):
        use(tmp_path / "words.sqlite")


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(share=st.floats(0.0, 1.0, exclude_max=True))
def test_a_truncated_store_never_escapes_as_a_traceback(tmp_path, whole, share):
    content = whole.read_bytes()
    survives(tmp_path / "cut.sqlite", content[: int(share * len(content))])


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(patches=st.lists(st.tuples(st.integers(0, 1 << 16), st.binary(min_size=1, max_size=8)), min_size=1, max_size=6))
def test_a_garbled_store_never_escapes_as_a_traceback(tmp_path, whole, patches):
    """Patches go where something is: most of the file is empty pages."""
    content = bytearray(whole.read_bytes())
    size, used = len(content), [offset for offset, byte in enumerate(content) if byte]
    for place, patch in patches:
        start = used[place % len(used)]
        content[start : start + len(patch)] = patch
    survives(tmp_path / "garbled.sqlite", bytes(content[:size]))


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(min_size=1, max_size=200), ours=st.booleans())
def test_any_bytes_are_refused(tmp_path, content, ours):
    path = tmp_path / "bytes.sqlite"
    survives(path, b"SQLite format 3\x00" + content if ours else content)
