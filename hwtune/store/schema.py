"""The file: how it is recognised, created and brought up to date, and what its errors mean.

A file that is not ours, is newer than we know or is damaged is refused before anything is written to it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hwtune.domain.errors import StoreError

# "hwtu": `file` and we can tell a store from any other SQLite file.
_APPLICATION_ID = 0x68777475

# One tuple of statements for each version; what has been released is never edited, only followed by another one.
_MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """CREATE TABLE machine (
            id INTEGER PRIMARY KEY,
            name TEXT NOT NULL,
            simulated INTEGER NOT NULL CHECK (simulated IN (0, 1)),
            hwtune_version TEXT NOT NULL,
            cpu_model TEXT,
            microcode TEXT,
            driver TEXT,
            kernel TEXT,
            energy_source TEXT
        )""",
        """CREATE TABLE session (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            machine INTEGER NOT NULL REFERENCES machine,
            verb TEXT NOT NULL,
            workload TEXT NOT NULL,
            argv TEXT NOT NULL,              -- JSON list
            problem TEXT NOT NULL,           -- JSON: space, objective, bound, max_risk, seed
            started_s REAL NOT NULL,         -- Unix time
            ended_s REAL,
            outcome TEXT,
            verdict TEXT                     -- JSON object
        )""",
        """CREATE TABLE trial (
            id INTEGER PRIMARY KEY,
            session INTEGER NOT NULL REFERENCES session,
            setting TEXT NOT NULL,           -- JSON object: effective, as read back
            requested TEXT NOT NULL,         -- JSON object
            reason TEXT NOT NULL,
            status TEXT NOT NULL,
            context TEXT NOT NULL            -- JSON object of numbers
        )""",
        "CREATE INDEX trial_session ON trial (session)",
        """CREATE TABLE run (
            trial INTEGER NOT NULL REFERENCES trial,
            number INTEGER NOT NULL,
            time_s REAL NOT NULL,
            energy_j REAL,
            cpu_time_s REAL,
            features TEXT NOT NULL,          -- JSON object of numbers
            PRIMARY KEY (trial, number)
        ) WITHOUT ROWID""",
        """CREATE TABLE proposal (
            id INTEGER PRIMARY KEY,
            setting TEXT NOT NULL,           -- JSON object
            reason TEXT NOT NULL,
            status TEXT NOT NULL,
            time_mean_log REAL,              -- of seconds
            time_sd_log REAL,
            energy_mean_log REAL,            -- of joules
            energy_sd_log REAL,
            probability_feasible REAL,
            score REAL,
            importance TEXT NOT NULL         -- JSON object of numbers
        )""",
        """CREATE TABLE decision (
            session INTEGER NOT NULL REFERENCES session,
            number INTEGER NOT NULL,
            known_trials INTEGER NOT NULL,
            proposal INTEGER NOT NULL REFERENCES proposal,
            trial INTEGER REFERENCES trial,
            recommended INTEGER REFERENCES proposal,
            PRIMARY KEY (session, number)
        ) WITHOUT ROWID""",
    ),
    ("ALTER TABLE run ADD COLUMN censored INTEGER NOT NULL DEFAULT 0 CHECK (censored IN (0, 1))",),
    (
        "ALTER TABLE run ADD COLUMN own_cpu_s REAL",
        "ALTER TABLE run ADD COLUMN unit TEXT NOT NULL DEFAULT 's'",
        "ALTER TABLE run ADD COLUMN lasted_s REAL",
        "ALTER TABLE run ADD COLUMN latency_s TEXT NOT NULL DEFAULT '{}'",  # JSON object of numbers
    ),
    (
        "ALTER TABLE run ADD COLUMN energy_off REAL",
        "ALTER TABLE run ADD COLUMN no_energy TEXT",  # JSON array: why, and what would do
    ),
)
VERSION = len(_MIGRATIONS)


def open_database(path: Path, *, create: bool) -> sqlite3.Connection:
    """Open a store, creating it or bringing it up to date where that is needed.

    Raises:
        StoreError: no such file, not a store, newer than this version, damaged, or not to be written.
    """
    if not path.exists():
        if not create:
            raise StoreError(
                f"no store at {path}",
                hint="`hwtune tune` makes it; what was tuned under sudo is in root's: `sudo hwtune …`",
            )
        _make_directory(path.parent)
    with translated(path):
        connection = sqlite3.connect(path, isolation_level=None, timeout=5.0)
        try:
            connection.row_factory = sqlite3.Row
            _prepare(connection, path)
        except BaseException:
            connection.close()
            raise
    return connection


def _make_directory(directory: Path) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(
            f"cannot create {directory}: {error.strerror}",
            hint="set paths.state_dir to a directory that can be written, or run as root",
        ) from error


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    version = _pragma(connection, "user_version")
    empty = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0
    if empty and version == 0:
        # Only before the first table, and never inside a transaction.
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        connection.execute("PRAGMA journal_mode = WAL")
    elif _pragma(connection, "application_id") != _APPLICATION_ID:
        raise StoreError(f"{path} is not a store of hwtune", hint="it was left as it is; set paths.state_dir elsewhere")
    elif version > VERSION:
        raise StoreError(
            f"{path} was written by a newer hwtune (schema {version}, this one knows {VERSION})",
            hint="it was left as it is; upgrade hwtune, or set paths.state_dir elsewhere",
        )
    elif connection.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
        raise _damaged(path)
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA synchronous = NORMAL")
    if version < VERSION:
        _migrate(connection)


def _migrate(connection: sqlite3.Connection) -> None:
    with transaction(connection):
        # Read again: another process may have been faster.
        for statements in _MIGRATIONS[_pragma(connection, "user_version") :]:
            for statement in statements:
                connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {VERSION}")


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All or nothing; the write lock is taken at the start, so that waiting for it cannot fail half way."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # a full disk may have ended it already
            connection.execute("ROLLBACK")
        raise


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """SQLite's errors as ours.

    Raises:
        StoreError: instead of them.
    """
    try:
        yield
    except sqlite3.Error as error:
        if type(error) is sqlite3.DatabaseError:  # SQLITE_CORRUPT and SQLITE_NOTADB have no class of their own
            raise _damaged(path) from error
        raise StoreError(f"{path}: {error}", hint=_hint(error)) from error
    except UnicodeDecodeError as error:  # SQLite quotes the damaged text in its message, which Python cannot read
        raise _damaged(path) from error


@contextmanager
def decoded(path: Path) -> Iterator[None]:
    """As `translated`, around code that turns rows into records: what cannot be turned is damage, too.

    Raises:
        StoreError: instead of every such error.
    """
    try:
        with translated(path):
            yield
    except (ValueError, TypeError, LookupError) as error:
        raise _damaged(path) from error


def _hint(error: sqlite3.Error) -> str:
    reason = str(error)
    if "full" in reason:
        return "free some space, or set paths.state_dir to another disk"
    if "locked" in reason:
        return "another hwtune is writing to it; try again"
    if "readonly" in reason or "unable to open" in reason:
        return "is it yours? run as the user who made it, or set paths.state_dir elsewhere"
    return "if it stays so, move the file away: the next session starts a new one"


def _damaged(path: Path) -> StoreError:
    return StoreError(
        f"{path} is damaged or not a store", hint=f"it was left as it is; `mv {path} {path}.bad` and start a new one"
    )
