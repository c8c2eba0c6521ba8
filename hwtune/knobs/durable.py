"""Small files that must outlive a crash: on their file system before anything is done because of what they say."""

from __future__ import annotations

from pathlib import Path

from hwtune.domain.errors import JournalError, PermissionDenied
from hwtune.host.durable import replace, sync


def save(path: Path, text: str) -> None:
    """Put a text on its file system for good; see `replace`.

    Raises:
        JournalError: no space, a read-only file system.
        PermissionDenied: no right to write there.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace(path, text)
    except PermissionError as error:
        raise PermissionDenied(str(path), "write", errno=error.errno, hint="run as root") from error
    except OSError as error:
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
            sync(path.parent)
    except OSError as error:
        raise JournalError(f"cannot remove {path}: {error.strerror}") from error
