"""What can go wrong with the rig itself (a guest command that fails is a result, not one of these)."""

from __future__ import annotations


class RigError(Exception):
    """The rig cannot be built, booted or spoken to.

    Args:
        message: What is wrong, in one line.
        hint: What to do about it, or nothing when there is no advice.
        console: The end of the guest kernel's console, when that may explain it.
        emulator: What QEMU and the silicon were doing, when that may explain it.
    """

    def __init__(self, message: str, *, hint: str = "", console: str = "", emulator: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.console = console
        self.emulator = emulator

    def __str__(self) -> str:
        parts = [self.message]
        if self.hint:
            parts.append(f"hint: {self.hint}")
        return "\n".join([*parts, *self.evidence()])

    def evidence(self) -> list[str]:
        """What may explain it, each piece under a heading of its own."""
        parts = []
        if self.emulator:
            parts.append(f"--- the emulator ---\n{self.emulator}")
        if self.console:
            parts.append(f"--- end of the guest's console ---\n{self.console}")
        return parts


class RigTimeout(RigError):
    """A guest command took longer than its caller allowed; it has been killed."""


class RigHung(RigError):
    """The guest's agent does not answer: the machine itself hangs, whatever the guest's command did or did not do."""
