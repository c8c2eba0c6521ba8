"""Small files that must outlive a crash: on their file system before anything is done because of what they say."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from hwtune.domain.errors import JournalError, PermissionDenied


def save(path: Path, text: str) -> None:
    """Put a text on its file system for good: write aside, fsync, rename, fsync the directory.

    Raises:
        JournalError: no space, a read-only file system.
        PermissionDenied: no right to write there.
    """
    aside = path.with_name(f"{path.name}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with aside.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
        _sync(path.parent)
    except PermissionError as error:
        raise PermissionDenied(str(path), "write", errno=error.errno, hint="run as root") from error
    except OSError as error:
        with suppress(OSError):
            aside.unlink(missing_ok=True)
        raise JournalError(
            f"cannot write {path}: {error.strerror}", hint="make room there; hwtune changes nothing that it cannot undo"
        ) from error


def load(path: Path, *, hint: str) -> str | None:
    """The text, None when there is no such file.

    Raises:
        JournalError: it cannot be read; it is left where it is.
        PermissionDenied: it is not ours to read.
    """
    try:
        return path.read_text("utf-8")
    except FileNotFoundError:
        return None
    except PermissionError as error:
        raise PermissionDenied(str(path), "read", errno=error.errno, hint="run as root") from error
    except (OSError, UnicodeDecodeError) as error:
        raise JournalError(f"cannot read {path}: {error}", hint=hint) from error


def remove(path: Path) -> None:
    """Forget a file, for good; nothing happens when there is none.

    Raises:
        JournalError: when it cannot be removed.
    """
    try:
        path.unlink(missing_ok=True)
        path.with_name(f"{path.name}.new").unlink(missing_ok=True)
        if path.parent.is_dir():
            _sync(path.parent)
    except OSError as error:
        raise JournalError(f"cannot remove {path}: {error.strerror}") from error


def _sync(directory: Path) -> None:
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
