"""A time limit for work that cannot be asked to stop: a regular expression that backtracks for ever."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def deadline(limit_s: float) -> Iterator[None]:
    """Interrupt what is inside after so long, by SIGALRM: Python's regular expressions look for signals as they search.

    Only in the main thread, which is where Python runs signal handlers.

    Raises:
        TimeoutError: it took longer.
    """
    before = signal.signal(signal.SIGALRM, _late)
    signal.setitimer(signal.ITIMER_REAL, limit_s)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)


def _late(_signal: int, _frame: FrameType | None) -> None:
    raise TimeoutError
