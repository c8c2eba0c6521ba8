"""Where the number comes from that says how good work was: its output, a file, a server, a counter.

What a number means for time and energy is `domain.measure`'s; here it is only found, and refused where it is none.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from hwtune.domain.errors import WorkloadError
from hwtune.host.tail import Tail, read_tail
from hwtune.workload.pattern import Pattern, last_words


class Source(Protocol):
    """Gives one number for each run or window."""

    def begin(self) -> None:
        """It begins."""

    def look(self) -> None:
        """It goes on; called about once in a period."""

    def end(self, said: str, errors: str) -> float:
        """What it came to.

        Args:
            said: the last of the command's output, empty without a command.
            errors: the last of its stderr.

        Raises:
            WorkloadError: there is no number.
        """


class OutputNumber:
    """The last number that a pattern finds in the command's output, or where nothing matches there, on its stderr."""

    def __init__(self, pattern: Pattern) -> None:
        self._pattern = pattern

    def begin(self) -> None:
        """See `Source.begin`."""

    def look(self) -> None:
        """See `Source.look`."""

    def end(self, said: str, errors: str) -> float:
        """See `Source.end`."""
        found = self._pattern.numbers(said, "the output", most=1) or self._pattern.numbers(errors, "stderr", most=1)
        if not found:
            raise WorkloadError(
                f"{self._pattern.expression!r} matches nothing that the command said", hint=last_words(said or errors)
            )
        return found[0]


class FileNumber:
    """A number in a file that the work writes: on its last line, or the last that a pattern finds.

    Args:
        path: the file.
        pattern: where on it the number is, None for a last line that is the number.
        now_ns: the machine's clock.
        growing: whether the number counts up, so that its growth per second is meant.
    """

    def __init__(self, path: str, pattern: Pattern | None, *, now_ns: Callable[[], int], growing: bool = False) -> None:
        self._path, self._pattern = path, pattern
        self._now_ns, self._growing = now_ns, growing
        self._found: Tail | None = None
        self._before = 0.0
        self._start_ns = 0

    def begin(self) -> None:
        """See `Source.begin`."""
        self._found, self._start_ns = read_tail(self._path), self._now_ns()
        if self._growing:
            self._before = self._number(self._found)

    def look(self) -> None:
        """See `Source.look`."""

    def end(self, said: str, errors: str) -> float:
        """See `Source.end`."""
        found, end_ns = read_tail(self._path), self._now_ns()
        if found is not None and self._found is not None and found.stamp == self._found.stamp:
            raise WorkloadError(
                f"{self._path} was not written to: its number is of another time",
                hint="does the program write it at its end? a window must be longer than the time between two writes",
            )
        number = self._number(found)
        return (number - self._before) / ((end_ns - self._start_ns) / 1e9) if self._growing else number

    def _number(self, found: Tail | None) -> float:
        if found is None:
            raise WorkloadError(f"there is no file {self._path}", hint="the program must write it; is the path right?")
        pattern = self._pattern or _WHOLE_LINE
        text = found.text if self._pattern else found.text.rstrip().rpartition("\n")[2].strip()
        numbers = pattern.numbers(text, self._path, most=1)
        if not numbers:
            raise WorkloadError(
                f"no number in {self._path}", hint=last_words(found.text, "it is empty").replace("its last words", "it")
            )
        return numbers[0]


_WHOLE_LINE = Pattern(r"(\S.*)")


class ServedNumber:
    """A number that a server knows.

    Args:
        ask: for its present value.
        now_ns: the machine's clock.
        growing: whether the number counts up, so that its growth per second is meant.
    """

    def __init__(self, ask: Callable[[], float], *, now_ns: Callable[[], int], growing: bool = False) -> None:
        self._ask, self._now_ns, self._growing = ask, now_ns, growing
        self._before = 0.0
        self._start_ns = 0

    def begin(self) -> None:
        """See `Source.begin`."""
        if self._growing:
            self._before, self._start_ns = self._ask(), self._now_ns()

    def look(self) -> None:
        """See `Source.look`."""

    def end(self, said: str, errors: str) -> float:
        """See `Source.end`."""
        number = self._ask()
        return (number - self._before) / ((self._now_ns() - self._start_ns) / 1e9) if self._growing else number
