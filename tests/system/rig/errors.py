"""What can go wrong with the rig itself (a guest command that fails is a result, not one of these)."""

from __future__ import annotations


class RigError(Exception):
    """The rig cannot be built, booted or spoken to.

    Args:
        message: What is wrong, in one line.
        hint: What to do about it, or nothing when there is no advice.
        console: The end of the guest kernel's console, when that may explain it.
    """

    def __init__(self, message: str, *, hint: str = "", console: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.console = console

    def __str__(self) -> str:
        parts = [self.message]
        if self.hint:
            parts.append(f"hint: {self.hint}")
        if self.console:
            parts.append(f"--- end of the guest's console ---\n{self.console}")
        return "\n".join(parts)


class RigTimeout(RigError):
    """A guest command took longer than its caller allowed; it has been killed."""
