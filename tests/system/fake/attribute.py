"""One file of sysfs, and how the kernel reads the numbers and words that are written to it.

Linux has two ways of reading a number, and attributes differ in which they use: `sscanf` takes what it understands and
leaves the rest (`2000000 junk` is 2000000, `0x1E8480` is 0), the `kstrto…` family takes all or nothing.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn


@dataclass(frozen=True, slots=True)
class Attribute:
    """A file: what it shows (without the newline), and what a write does. Both raise OSError as the driver would."""

    show: Callable[[], str]
    store: Callable[[str], None] | None = None
    bits: int | None = None

    @property
    def mode(self) -> int:
        """Permission bits; those of sysfs where nothing else is said."""
        if self.bits is not None:
            return self.bits
        return 0o444 if self.store is None else 0o644


def constant(text: str | int) -> Attribute:
    """A file that nobody can write and that never changes."""
    return Attribute(lambda: str(text))


def refuse(code: int) -> NoReturn:
    """The kernel's no."""
    raise OSError(code, os.strerror(code))


def scan(text: str) -> int:
    """`sscanf("%u")`: leading digits."""
    match = re.match(r"\s*([0-9]+)", text)
    if match is None:
        refuse(errno.EINVAL)
    return int(match[1])


def scan_word(text: str, most: int) -> str:
    """`sscanf("%15s")`: the first word, cut off at `most` characters."""
    words = text.split()
    if not words:
        refuse(errno.EINVAL)
    return words[0][:most]


def kstrtouint(text: str, *, base: int = 10, most: int = 2**32 - 1) -> int:
    """The whole text is a number, one newline after it allowed; ERANGE above `most`."""
    pattern = r"\+?(0[xX][0-9a-fA-F]+|[0-9]+)" if base == 0 else r"\+?[0-9]+"
    word = text.removesuffix("\n")
    if re.fullmatch(pattern, word) is None:
        refuse(errno.EINVAL)
    number = int(word, 16) if "x" in word.lower() else int(word)
    if number > most:
        refuse(errno.ERANGE)
    return number


def kstrtobool(text: str) -> bool:
    """The first letters decide: y, t, 1, on and n, f, 0, off."""
    word = text.lower()
    if word[:1] in {"y", "t", "1"} or word[:2] == "on":
        return True
    if word[:1] in {"n", "f", "0"} or word[:2] == "of":
        return False
    refuse(errno.EINVAL)
