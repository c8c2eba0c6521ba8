"""What can go wrong, as one tree; every error carries a hint and the exit status the command line ends with.

    HwtuneError                      1  failed
    ├── UsageError                   2  the words of a command, a setting or a table are off
    │   └── ConfigError              2  a configuration file, named with path and key
    ├── Unsupported                  3  this hardware has no such knob or sensor
    ├── HostError                    1  the kernel or the file system said no: path, operation, errno
    │   ├── PermissionDenied         4  stable: more rights are needed
    │   ├── TransientError           1  EAGAIN, EINTR, EBUSY: may go through later
    │   └── ParseError               1  the kernel's text is new to us
    ├── KnobError                    1
    │   ├── Rejected                 1  the kernel refused a value
    │   ├── VerifyError              6  read back something else than was written
    │   ├── RestoreError             6  something that is ours could not be put back
    │   └── ForeignEdit              6  somebody else sets what we were setting
    ├── JournalError                 1  the record of what to restore is unreadable or cannot be written
    ├── Locked                       7  another writer holds the machine
    ├── StoreError                   1
    ├── WorkloadError                1  the command under measurement failed
    └── PlannerError                 1  the planner died, hung or spoke nonsense

Absent is `None` and broken raises. A numerical failure is a status, never an exception.
"""

from __future__ import annotations

import errno as _errno
from typing import ClassVar


class HwtuneError(Exception):
    """Base of everything hwtune raises on purpose.

    Args:
        message: one line, without a full stop.
        hint: what the reader can do about it, or None.
    """

    exit_status: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


class UsageError(HwtuneError):
    """The words of a command, a setting or a table are off."""

    exit_status = 2


class ConfigError(UsageError):
    """A configuration source has an unknown key or a value that does not fit."""

    def __init__(self, message: str, *, source: str, key: str | None = None, hint: str | None = None) -> None:
        super().__init__(f"{source}: {message}", hint=hint)
        self.source = source
        self.key = key


class Unsupported(HwtuneError):
    """This machine has no such knob or sensor."""

    exit_status = 3


class HostError(HwtuneError):
    """The kernel or the file system refused an operation on a path."""

    def __init__(self, path: str, operation: str, *, errno: int | None = None, hint: str | None = None) -> None:
        reason = f": {_errno.errorcode.get(errno, errno)}" if errno is not None else ""
        super().__init__(f"{operation} {path} failed{reason}", hint=hint)
        self.path = path
        self.operation = operation
        self.errno = errno


class PermissionDenied(HostError):
    """EACCES, EPERM or EROFS: stable until rights change."""

    exit_status = 4


class TransientError(HostError):
    """EAGAIN, EINTR or EBUSY: the same call may go through later."""


class ParseError(HostError):
    """The kernel's text does not have the documented form."""

    def __init__(self, path: str, text: str) -> None:
        super().__init__(path, "parse", hint=f"the text was {text[:80]!r}; please report it with `hwtune probe --json`")
        self.text = text


class KnobError(HwtuneError):
    """A knob could not be set as asked."""

    def __init__(self, message: str, *, knob: str, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.knob = knob


class Rejected(KnobError):
    """The kernel refused a value (EINVAL, EBUSY, EIO …)."""

    def __init__(self, *, knob: str, wanted: str, errno: int | None, hint: str | None = None) -> None:
        code = _errno.errorcode.get(errno, str(errno)) if errno is not None else "refused"
        super().__init__(f"{knob}={wanted} rejected by the kernel ({code})", knob=knob, hint=hint)
        self.wanted = wanted
        self.errno = errno


class VerifyError(KnobError):
    """The kernel reports something else than what was written, and nothing explains it."""

    exit_status = 6

    def __init__(self, *, knob: str, wanted: str, effective: str | None, hint: str | None = None) -> None:
        super().__init__(f"{knob}: wrote {wanted}, reads {effective}", knob=knob, hint=hint)
        self.wanted = wanted
        self.effective = effective


class RestoreError(KnobError):
    """A value that is ours could not be put back; the journal is kept."""

    exit_status = 6


class ForeignEdit(KnobError):
    """Somebody else sets what we were setting; everything of ours was put back."""

    exit_status = 6


class JournalError(HwtuneError):
    """The record of what to restore cannot be written or read."""


class Locked(HwtuneError):
    """Another writer holds the machine."""

    exit_status = 7


class StoreError(HwtuneError):
    """The store of trials cannot be opened, or is not a store."""


class WorkloadError(HwtuneError):
    """The command under measurement failed."""


class PlannerError(HwtuneError):
    """The planner process died, hung, or answered something that is not the protocol."""
