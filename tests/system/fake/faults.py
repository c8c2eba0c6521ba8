"""What goes wrong, and when: errors, kills, strange answers, somebody else at a bad moment."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from fake.kernel import FakeKernel


class Killed(BaseException):
    """The process ends here: nothing after this point runs."""


@dataclass(frozen=True, slots=True)
class Moment:
    """Something that happens to the machine during a call: `Moment("hotplug", (1, False))`.

    Args:
        name: a moment of `FakeKernel`: hotplug, suspend, firmware_limit, somebody.
        args: what it is called with.
    """

    name: str
    args: tuple[Any, ...] = ()

    def __call__(self, kernel: FakeKernel) -> None:
        getattr(kernel, self.name)(*self.args)


@dataclass(kw_only=True)
class Fault:
    """Something that happens on matching reads or writes.

    Args:
        pattern: `fnmatch` of the path.
        operation: which system call it meets.
        skip: how many matching calls pass before it.
        times: how many it meets; None for all that follow.
        errno: what the call answers, nothing having happened.
        text: what a read answers.
        action: `kill_before` and `kill_after` end the caller around the call; a function or `Moment` comes
            before it.
    """

    pattern: str = "*"
    operation: Literal["read", "write"] = "write"
    skip: int = 0
    times: int | None = 1
    errno: int | None = None
    text: str | None = None
    action: Literal["kill_before", "kill_after"] | Callable[[FakeKernel], None] | None = None
    met: int = field(default=0, init=False)
    """How many calls it has met so far."""
    _seen: int = field(default=0, init=False, repr=False)

    def meets(self, operation: str, path: str) -> bool:
        """Whether it happens at this call; counts the call."""
        if operation != self.operation or not fnmatch.fnmatchcase(path, self.pattern):
            return False
        self._seen += 1
        if self._seen <= self.skip or (self.times is not None and self.met >= self.times):
            return False
        self.met += 1
        return True
