"""The store: every decision with what was known, what was predicted and what was observed.

Measured and simulated sessions share the file but never a result: the machine's row says which it is, every record
carries it, and what is handed out to learn from is one or the other.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, fields, is_dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Annotated, Any

from pydantic import BeforeValidator, TypeAdapter

from hwtune.domain.errors import StoreError
from hwtune.domain.knob import Setting, Value
from hwtune.domain.problem import Problem
from hwtune.domain.trial import LogNormal, Prediction, Proposal, Reason, Run, Trial, TrialStatus
from hwtune.store.records import DecisionRecord, Fingerprint, SessionRecord, TrialRecord
from hwtune.store.schema import decoded, open_database, transaction, translated


def _without_donors(problem: object) -> object:
    """A stored problem whose donors, if an older version wrote some, are passed over."""
    return {**problem, "donors": ()} if isinstance(problem, dict) else problem


_SETTING: TypeAdapter[dict[str, Value]] = TypeAdapter(dict[str, Value])
_NUMBERS: TypeAdapter[dict[str, float]] = TypeAdapter(dict[str, float])
_WORDS: TypeAdapter[tuple[str, ...]] = TypeAdapter(tuple[str, ...])
_WHY: TypeAdapter[tuple[str, str]] = TypeAdapter(tuple[str, str])
_FIGURES: TypeAdapter[dict[str, Any]] = TypeAdapter(dict[str, Any])
_PROBLEM: TypeAdapter[Problem] = TypeAdapter(Annotated[Problem, BeforeValidator(_without_donors)])

_MACHINE = tuple(field.name for field in fields(Fingerprint))
_RUN = tuple(field.name for field in fields(Run))
_SESSIONS = f"SELECT session.*, {', '.join(_MACHINE)} FROM session JOIN machine ON machine.id = session.machine"


class Store:
    """One SQLite file, open until it is closed.

    Args:
        path: the file; its directory is created with it.
        create: whether a file that is not there is made, or is an error.
        now_s: Unix time.

    Raises:
        StoreError: no such file, not a store, newer than this version, damaged, or not to be written. So do all
            methods.
    """

    def __init__(self, path: Path, *, create: bool = True, now_s: Callable[[], float] = time.time) -> None:
        self._path = path
        self._now_s = now_s
        self._connection = open_database(path, create=create)

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file; nothing is lost without it."""
        with translated(self._path):
            self._connection.close()

    def begin_session(
        self, machine: Fingerprint, *, verb: str, workload: str, argv: Sequence[str], problem: Problem
    ) -> int:
        """Begin a session; its number. The problem's donors are not stored: they are trials of other sessions."""
        words, alone = [_text(word) for word in argv], replace(problem, donors=())
        values = (verb, _text(workload), _json(words), _json(alone), self._now_s())
        with translated(self._path), transaction(self._connection):
            return self._insert(
                "INSERT INTO session (machine, verb, workload, argv, problem, started_s) VALUES (?, ?, ?, ?, ?, ?)",
                (self._machine(machine), *values),
            )

    def end_session(self, session: int, outcome: str, verdict: Mapping[str, Any] | None) -> None:
        """Say how a session ended; the verdict is the receipt's figures by name, or None."""
        with translated(self._path):
            self._connection.execute(
                "UPDATE session SET ended_s = ?, outcome = ?, verdict = ? WHERE id = ?",
                (self._now_s(), _text(outcome), None if verdict is None else _json(verdict), session),
            )

    def record_decision(
        self, session: int, proposal: Proposal, trial: Trial | None, recommended: Proposal | None
    ) -> int:
        """Add the next decision of a session; its number within the session.

        Raises:
            StoreError: also for the trial of a dry run, which nobody measured.
        """
        if trial is not None and trial.status is TrialStatus.PREDICTED:
            raise StoreError("a predicted trial is not a measurement", hint="a dry run stores nothing")
        with translated(self._path), transaction(self._connection):
            known, number = self._connection.execute(
                "SELECT (SELECT count(*) FROM trial WHERE session = ?1),"
                " (SELECT coalesce(max(number), 0) + 1 FROM decision WHERE session = ?1)",
                (session,),
            ).fetchone()
            ids = (
                self._put_proposal(proposal),
                None if trial is None else self._put_trial(session, trial),
                None if recommended is None else self._put_proposal(recommended),
            )
            self._connection.execute(
                "INSERT INTO decision (session, number, known_trials, proposal, trial, recommended)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                (session, number, known, *ids),
            )
        return int(number)

    def sessions(self) -> tuple[SessionRecord, ...]:
        """All sessions, oldest first."""
        with decoded(self._path):
            return tuple(_session(row) for row in self._connection.execute(f"{_SESSIONS} ORDER BY session.id"))

    def decisions(self, session: int) -> tuple[DecisionRecord, ...]:
        """The decisions of a session, in order."""
        with decoded(self._path):
            rows = self._connection.execute("SELECT * FROM decision WHERE session = ? ORDER BY number", (session,))
            return tuple(
                DecisionRecord(
                    number=int(row["number"]),
                    known_trials=int(row["known_trials"]),
                    proposal=self._proposal(row["proposal"]),
                    trial=None if row["trial"] is None else self._trial(self._row("trial", row["trial"])),
                    recommended=None if row["recommended"] is None else self._proposal(row["recommended"]),
                )
                for row in rows.fetchall()
            )

    def trials(self, *, simulated: bool = False) -> tuple[TrialRecord, ...]:
        """What may be learned from, oldest first: everything measured, or if asked everything simulated, never both."""
        query = f"""SELECT trial.*, workload, {", ".join(_MACHINE)} FROM trial
            JOIN session ON session.id = trial.session JOIN machine ON machine.id = session.machine
            WHERE simulated = ? ORDER BY trial.id"""
        with decoded(self._path):
            return tuple(
                TrialRecord(
                    session=int(row["session"]),
                    machine=_fingerprint(row),
                    workload=row["workload"],
                    trial=self._trial(row),
                )
                for row in self._connection.execute(query, (simulated,)).fetchall()
            )

    def _insert(self, statement: str, values: Sequence[object]) -> int:
        row_id = self._connection.execute(statement, values).lastrowid
        assert row_id is not None  # an INSERT into a table with row ids has one
        return row_id

    def _row(self, table: str, row_id: int) -> sqlite3.Row:
        row = self._connection.execute(f"SELECT * FROM {table} WHERE id = ?", (row_id,)).fetchone()
        if not isinstance(row, sqlite3.Row):
            raise ValueError(f"{table} {row_id} is missing")
        return row

    def _machine(self, machine: Fingerprint) -> int:
        """The machine's row; IS, because absent facts are NULL and NULL = NULL is not true."""
        values = tuple(_text(value) if isinstance(value, str) else value for value in astuple(machine))
        same = " AND ".join(f"{name} IS ?" for name in _MACHINE)
        row = self._connection.execute(f"SELECT id FROM machine WHERE {same}", values).fetchone()
        if row is not None:
            return int(row["id"])
        places = ", ".join("?" * len(_MACHINE))
        return self._insert(f"INSERT INTO machine ({', '.join(_MACHINE)}) VALUES ({places})", values)

    def _put_trial(self, session: int, trial: Trial) -> int:
        trial_id = self._insert(
            "INSERT INTO trial (session, setting, requested, reason, status, context) VALUES (?, ?, ?, ?, ?, ?)",
            (session, _json(trial.setting), _json(trial.requested), trial.reason, trial.status, _json(trial.context)),
        )
        self._connection.executemany(
            f"INSERT INTO run (trial, number, {', '.join(_RUN)}) VALUES (?, ?, {', '.join('?' * len(_RUN))})",
            [
                (trial_id, number, *(_column(getattr(run, name)) for name in _RUN))
                for number, run in enumerate(trial.runs, 1)
            ],
        )
        return trial_id

    def _trial(self, row: sqlite3.Row) -> Trial:
        runs = self._connection.execute("SELECT * FROM run WHERE trial = ? ORDER BY number", (row["id"],))
        return Trial(
            setting=Setting(_SETTING.validate_json(row["setting"])),
            requested=Setting(_SETTING.validate_json(row["requested"])),
            runs=tuple(
                Run(
                    time_s=float(run["time_s"]),
                    energy_j=_number(run["energy_j"]),
                    cpu_time_s=_number(run["cpu_time_s"]),
                    features=_NUMBERS.validate_json(run["features"]),
                    censored=bool(run["censored"]),
                    own_cpu_s=_number(run["own_cpu_s"]),
                    unit=str(run["unit"]),
                    lasted_s=_number(run["lasted_s"]),
                    latency_s=_NUMBERS.validate_json(run["latency_s"]),
                    energy_off=_number(run["energy_off"]),
                    no_energy=None if run["no_energy"] is None else _WHY.validate_json(run["no_energy"]),
                )
                for run in runs
            ),
            context=_NUMBERS.validate_json(row["context"]),
            reason=Reason(row["reason"]),
            status=TrialStatus(row["status"]),
        )

    def _put_proposal(self, proposal: Proposal) -> int:
        predicted = proposal.predicted
        time_s = None if predicted is None else predicted.time_s
        energy_j = None if predicted is None else predicted.energy_j
        return self._insert(
            "INSERT INTO proposal (setting, reason, status, time_mean_log, time_sd_log, energy_mean_log, energy_sd_log,"
            " probability_feasible, score, importance) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                _json(proposal.setting),
                proposal.reason,
                _text(proposal.status),
                *((None, None) if time_s is None else (time_s.mean_log, time_s.sd_log)),
                *((None, None) if energy_j is None else (energy_j.mean_log, energy_j.sd_log)),
                proposal.probability_feasible,
                proposal.score,
                _json(proposal.importance),
            ),
        )

    def _proposal(self, proposal_id: int) -> Proposal:
        row = self._row("proposal", proposal_id)
        time_s = _log_normal(row["time_mean_log"], row["time_sd_log"])
        energy_j = _log_normal(row["energy_mean_log"], row["energy_sd_log"])
        return Proposal(
            setting=Setting(_SETTING.validate_json(row["setting"])),
            reason=Reason(row["reason"]),
            predicted=None if time_s is None else Prediction(time_s=time_s, energy_j=energy_j),
            probability_feasible=_number(row["probability_feasible"]),
            score=_number(row["score"]),
            importance=_NUMBERS.validate_json(row["importance"]),
            status=str(row["status"]),
        )


def _session(row: sqlite3.Row) -> SessionRecord:
    return SessionRecord(
        number=int(row["id"]),
        machine=_fingerprint(row),
        verb=str(row["verb"]),
        workload=str(row["workload"]),
        argv=_WORDS.validate_json(row["argv"]),
        problem=_PROBLEM.validate_json(row["problem"]),
        started_s=float(row["started_s"]),
        ended_s=_number(row["ended_s"]),
        outcome=row["outcome"],
        verdict=None if row["verdict"] is None else _FIGURES.validate_json(row["verdict"]),
    )


def _fingerprint(row: sqlite3.Row) -> Fingerprint:
    return Fingerprint(**{name: row[name] for name in _MACHINE} | {"simulated": bool(row["simulated"])})


def _column(value: object) -> object:
    """A field of a run as a column takes it."""
    if isinstance(value, Mapping | tuple):
        return _json(value)
    return _text(value) if isinstance(value, str) else value


def _number(value: str | float | None) -> float | None:
    return None if value is None else float(value)


def _log_normal(mean_log: float | None, sd_log: float) -> LogNormal | None:
    return None if mean_log is None else LogNormal(mean_log=float(mean_log), sd_log=float(sd_log))


def _text(text: str) -> str:
    """Words of a command line may be no UTF-8; SQLite's text must be."""
    return text.encode("utf-8", "backslashreplace").decode()


def _json(value: object) -> str:
    return json.dumps(value, default=_plain)


def _plain(value: object) -> dict[str, Any]:
    """Settings and the domain's dataclasses as objects."""
    if isinstance(value, Mapping):
        return dict(value)
    if is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    raise TypeError(f"{type(value).__name__} cannot be stored")
