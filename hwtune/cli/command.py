"""The command that `tune`, `sweep` and `gradcheck` measure."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hwtune.cli.host import OpenHost
from hwtune.domain.errors import UsageError
from hwtune.sensors.collector import Collector
from hwtune.workload.command import CommandWorkload, calling_user


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A command as it was given; a simulated machine runs a workload of its own instead.

    Args:
        words: program and arguments, empty for none.
        prepare: what a shell does before each run, or None.
        cwd: directory of both, or None for ours.
        user: who runs both, or None for whoever called.
    """

    words: tuple[str, ...]
    prepare: str | None
    cwd: str | None
    user: str | None

    def label(self, opened: OpenHost) -> str:
        """The work, as one would type it; empty where there is none."""
        return opened.workload or shlex.join(self.words)

    def runs_as(self, opened: OpenHost) -> str | None:
        """The user it runs as, None for ours: under sudo nobody means root."""
        return self.user or (calling_user() if opened.simulated is None else None)

    def work(self, opened: OpenHost, collector: Collector) -> CommandWorkload:
        """The command as work of a session, on the machine that was opened."""
        host = opened.host
        return CommandWorkload(
            runner=host.runner,
            clock=host.clock,
            sample=collector.sample,
            sample_energy=collector.sample_energy,
            period_s=collector.energy.period_s,
            command=self.words or ("simulated",),
            prepare=self.prepare,
            cwd=self.cwd,
            user=self.runs_as(opened),
        )


def check_simulated(words: Sequence[str], simulate: str | None) -> None:
    """Refuse a command on a machine that does not exist.

    Raises:
        UsageError: with what to do instead.
    """
    if simulate is not None and words:
        raise UsageError(
            "a command cannot run on a simulated machine",
            hint="leave the command out and choose --workload compute, memory, mixed or bursty",
        )


def check_words(words: Sequence[str], *, simulate: str | None, root: Path | None, dry_run: bool, keep: bool) -> None:
    """Refuse options that contradict each other before anything is opened.

    Raises:
        UsageError: with what to do instead.
    """
    check_simulated(words, simulate)
    if simulate is None and not words:
        raise UsageError("no command to tune for", hint="hwtune tune -- make -j8, or --simulate to try it out")
    if root is not None and not dry_run:
        raise UsageError(
            "a machine under --root cannot be measured from here", hint="add --dry-run to see what would be written"
        )
    if keep and dry_run:
        raise UsageError("--keep has nothing to keep in a dry run", hint="leave one of them out")
