"""A host: everything the rooms above may touch of one machine, in one value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from hwtune.host.clock import Clock
from hwtune.host.fs import HostFS
from hwtune.host.runner import Runner


class CounterSource(Protocol):
    """System-wide event counts."""

    @property
    def why(self) -> str | None:
        """What was not counted at the last read, and why; None when everything was."""

    @property
    def hint(self) -> str | None:
        """What to do about it."""

    @property
    def gaps(self) -> Mapping[str, int]:
        """By event, how often by the last read its count was not to be believed, or not taken, on some CPU.

        Where this has grown between two samples, what the event's total grew by says nothing.
        """

    def read(self) -> Mapping[str, int]:
        """Totals since the first read, by perf's event name; empty where there are none. They never go back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """One machine.

    Args:
        name: what figures from it are labelled with ("Debian 12, Intel Core i7", "simulated laptop").
        files: its kernel files.
        clock: its time.
        counters: its event counts.
        runner: how commands run on it.
        run_dir: where journal and lock live; gone after a reboot.
        simulated: whether every figure must be labelled so.
    """

    name: str
    files: HostFS
    clock: Clock
    counters: CounterSource
    runner: Runner
    run_dir: Path
    simulated: bool = False
