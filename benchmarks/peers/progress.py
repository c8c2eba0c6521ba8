"""What is being done, on standard error: a line for what has ended, and on a terminal what is under way below it."""

from __future__ import annotations

import sys


class Progress:
    """Says it as it comes."""

    def __init__(self) -> None:
        self._live = sys.stderr.isatty()

    def step(self, what: str) -> None:
        """What begins now; only a terminal is told, and forgets it with the next word."""
        if self._live:
            print(f"\r\x1b[2K{what}", end="", file=sys.stderr, flush=True)

    def say(self, line: str) -> None:
        """A line that stays."""
        print(f"\r\x1b[2K{line}" if self._live else line, file=sys.stderr, flush=True)
