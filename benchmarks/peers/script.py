"""What the command lines of benchmarks share: readers of options, and how they end."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence

from peers.progress import Progress

from hwtune.domain.errors import HwtuneError


def words(known_words: Sequence[str]) -> Callable[[str], tuple[str, ...]]:
    """A reader of comma-separated words."""

    def read(value: str) -> tuple[str, ...]:
        found = tuple(dict.fromkeys(value.split(",")))
        for word in found:
            if word not in known_words:
                raise argparse.ArgumentTypeError(f"{word!r} is none of {', '.join(known_words)}")
        return found

    return read


def positive(value: str) -> int:
    """A number of at least 1."""
    number = int(value)
    if number < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return number


def ended(work: Callable[[], None], to: Progress) -> int:
    """Do it and say what is wrong; the exit status."""
    try:
        work()
    except HwtuneError as error:
        to.say(f"error: {error}")
        if error.hint:
            to.say(f"hint: {error.hint}")
        return error.exit_status
    except KeyboardInterrupt:
        return 130
    return 0
