"""Time as a parameter: the machine's own clock, or a virtual one that a simulated machine moves."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """A monotonic clock that can wait."""

    def monotonic_ns(self) -> int:
        """Nanoseconds since some fixed moment; never goes back."""

    def sleep(self, duration_s: float) -> None:
        """Let time pass."""


class LinuxClock:
    """CLOCK_MONOTONIC."""

    def monotonic_ns(self) -> int:
        """See `Clock.monotonic_ns`."""
        return time.monotonic_ns()

    def sleep(self, duration_s: float) -> None:
        """See `Clock.sleep`."""
        time.sleep(duration_s)


def suspended_s() -> float:
    """How long this machine has slept since it was booted: CLOCK_BOOTTIME runs on in a suspend, CLOCK_MONOTONIC not."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) - time.clock_gettime(time.CLOCK_MONOTONIC)
