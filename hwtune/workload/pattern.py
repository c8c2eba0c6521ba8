"""Numbers in text, by a regular expression of the user's."""

from __future__ import annotations

import math
import re
from collections import deque
from collections.abc import Sequence
from textwrap import shorten

from hwtune.domain.errors import UsageError, WorkloadError
from hwtune.host.deadline import deadline

_LIMIT_S = 2.0
_LINES = 5


class Pattern:
    """A regular expression that finds numbers: in its first group that took part, or in the whole match.

    Args:
        expression: as for Python's `re`, with `^` and `$` at every line.

    Raises:
        UsageError: it is none.
    """

    def __init__(self, expression: str) -> None:
        self.expression = expression
        try:
            self._regex = re.compile(expression, re.MULTILINE)
        except (re.error, OverflowError, RecursionError) as error:
            raise UsageError(
                f"{shorten(expression, 60, placeholder='…')!r} is no regular expression: {error}",
                hint="for example --metric 'tps=([0-9.]+)'; docs/metrics.md has more",
            ) from error

    def numbers(self, text: str, what: str, *, most: int | None = None) -> list[float]:
        """The numbers it finds, in order; with `most` only the last so many, and earlier matches may be no numbers.

        Args:
            text: where to look; at most a MiB or so.
            what: what that is, for the error.
            most: how many are wanted, None for all.

        Raises:
            WorkloadError: a match that is no finite number, or a search that does not end.
        """
        try:
            with deadline(_LIMIT_S):
                found = deque(map(_matched, self._regex.finditer(text)), maxlen=most)
        except TimeoutError as error:
            raise WorkloadError(
                f"{self.expression!r} was not done with {what} after {_LIMIT_S:g} s",
                hint="nested repetitions such as (a+)+ try every way to split a line; write it without them",
            ) from error
        return [self._number(word, what) for word in found]

    def _number(self, word: str, what: str) -> float:
        try:
            number = float(word)
        except ValueError:
            number = math.nan
        if not math.isfinite(number):
            raise WorkloadError(
                f"{self.expression!r} matches {shorten(word, 40, placeholder='…')!r} in {what}, which is no number",
                hint="put the number alone into the parentheses: 'tps=([0-9.]+)'",
            )
        return number


def _matched(match: re.Match[str]) -> str:
    return next((group for group in match.groups() if group is not None), match[0])


def last_words(text: str, nothing: str = "it printed nothing") -> str:
    """The end of what a command said, for the hint of an error."""
    lines: Sequence[str] = [line for line in text.splitlines() if line.strip()][-_LINES:]
    return "\n".join(["its last words were:", *(f"  {line[:200]}" for line in lines)]) if lines else nothing
