"""SIGTERM as an exception, so that everything that must be undone is undone on the way out."""

from __future__ import annotations

import signal
from types import FrameType


class Terminated(BaseException):
    """The process was asked to end; like KeyboardInterrupt, not an error."""


def _terminate(_signal: int, _frame: FrameType | None) -> None:
    raise Terminated


def raise_on_sigterm() -> None:
    """From now on SIGTERM raises `Terminated` in the main thread."""
    signal.signal(signal.SIGTERM, _terminate)


def exit_status(ending: BaseException) -> int:
    """128 + signal number, as a shell reports it."""
    return 128 + (signal.SIGTERM if isinstance(ending, Terminated) else signal.SIGINT)
