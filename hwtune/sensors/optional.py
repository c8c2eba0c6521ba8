"""Reading what may be absent: a sensor that fails is silent for that sample, never the end of the program."""

from __future__ import annotations

import logging
import re

from hwtune.domain.errors import HostError
from hwtune.host.fs import HostFS

# The kernel's widest, u64 and s64, have 20 characters.
_INTEGER = re.compile(r"-?[0-9]{1,20}")
_log = logging.getLogger(__name__)


def parse_int(text: str) -> int | None:
    """The integer of a one-value attribute, None for anything else.

        240422366267
        <unknown>

    Python's own `int` would also take `1_000` and the digits of other scripts.
    """
    if text.isdigit() and text.isascii() and len(text) <= 20:
        return int(text)  # nearly always, and five times as fast
    found = _INTEGER.fullmatch(text.strip())
    return int(found[0]) if found else None


def optional_text(files: HostFS, path: str) -> str | None:
    """A file's text, or None when it is absent or the kernel refuses (EAGAIN, EBUSY of an offline CPU, EIO, EACCES)."""
    try:
        return files.read(path)
    except HostError as error:
        _log.debug("%s", error)
        return None


def optional_int(files: HostFS, path: str) -> int | None:
    """A file's integer, or None when it is absent, refused, or not an integer."""
    text = optional_text(files, path)
    if text is None:
        return None
    number = parse_int(text)
    if number is None:
        _log.debug("%s: not a number: %r", path, text[:40])
    return number
