"""The command that `tune`, `sweep` and `gradcheck` measure."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hwtune.cli.host import OpenHost
from hwtune.cli.metric import RUN_TIME, MetricWish, open_gauge
from hwtune.domain.errors import UsageError
from hwtune.sensors.collector import Collector
from hwtune.session import Work
from hwtune.workload.command import CommandWorkload, calling_user
from hwtune.workload.gauge import WALL_TIME, Gauge
from hwtune.workload.window import WindowWorkload

_SECONDS = {"s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A command as it was given; a simulated machine runs a workload of its own instead.

    Args:
        words: program and arguments, empty for none.
        prepare: what a shell does before each run, or None.
        cwd: directory of both, or None for ours.
        user: who runs both, or None for whoever called.
        metric: what counts instead of its run time.
        window: length of the windows of the running machine that are measured instead of a command, as written.
    """

    words: tuple[str, ...]
    prepare: str | None
    cwd: str | None
    user: str | None
    metric: MetricWish = RUN_TIME
    window: str | None = None

    @property
    def progresses(self) -> bool:
        """Whether it shows how a setting gets on before all of its runs or windows are over."""
        return self.metric.progresses or self.window is not None

    def label(self, opened: OpenHost) -> str:
        """The work, as one would type it, and what is measured of it beside its run time; empty where there is none."""
        work = opened.workload or shlex.join(self.words)
        if self.window is not None:
            work = f"{work or 'this machine'}, windows of {self.window}"
        measure = self.metric.measure
        return f"{work} [{measure.name}, {measure.unit}]" if self.metric.given else work

    def runs_as(self, opened: OpenHost) -> str | None:
        """The user it runs as, None for ours: under sudo nobody means root."""
        return self.user or (calling_user() if opened.simulated is None else None)

    @contextmanager
    def working(self, opened: OpenHost, collector: Collector, *, needs_energy: bool) -> Iterator[Work]:
        """The command, or the running machine, as work of a session, with what its metric needs open.

        Args:
            opened: the machine.
            collector: of its samples.
            needs_energy: whether energies decide, so that a slow meter is waited for.

        Raises:
            UsageError: options that contradict each other or the machine.
            Unsupported: the machine does not tell what is asked for.
        """
        user, live = self.runs_as(opened), self.window is not None
        with open_gauge(self.metric, opened, collector, live=live, user=user) as gauge:
            yield (
                self._windows(opened, collector, gauge)
                if live
                else self.work(opened, collector, gauge, needs_energy=needs_energy)
            )

    def work(
        self, opened: OpenHost, collector: Collector, gauge: Gauge = WALL_TIME, *, needs_energy: bool = True
    ) -> CommandWorkload:
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
            gauge=gauge,
            needs_energy=needs_energy,
        )

    def _windows(self, opened: OpenHost, collector: Collector, gauge: Gauge) -> WindowWorkload:
        if opened.simulated is not None:
            opened.simulated.serve()
        return WindowWorkload(
            clock=opened.host.clock,
            sample=collector.sample,
            sample_energy=collector.sample_energy,
            period_s=collector.energy.period_s,
            window_s=parse_duration_s(self.window or ""),
            gauge=gauge,
        )


def parse_duration_s(text: str) -> float:
    """`90s`, `10m`, `1.5h` or plain seconds.

    Raises:
        UsageError: anything else, and durations that are not positive.
    """
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)\s*(s|m|min|h)?", text.strip())
    if match is None or float(match[1]) == 0:
        raise UsageError(f"{text!r} is not a duration", hint="write 90s, 10m or 1h")
    return float(match[1]) * _SECONDS[match[2] or "s"]


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


def check_window(words: Sequence[str], window: str, metric: MetricWish) -> None:
    """Refuse windows of the running machine beside a command, or without anything that tells what it gets done.

    Raises:
        UsageError: with what to do instead.
    """
    parse_duration_s(window)
    if words:
        raise UsageError("--window is of what runs already, and here is a command", hint="leave one of them out")
    if not metric.given:
        raise UsageError(
            "a window of the running machine needs a metric: its length says nothing",
            hint="--metric-heartbeat, --metric-prometheus, --metric-file or --metric-instructions",
        )


def check_words(
    words: Sequence[str],
    *,
    simulate: str | None,
    root: Path | None,
    dry_run: bool,
    keep: bool,
    window: str | None = None,
    metric: MetricWish = RUN_TIME,
) -> None:
    """Refuse options that contradict each other before anything is opened.

    Raises:
        UsageError: with what to do instead.
    """
    check_simulated(words, simulate)
    metric.check()
    if window is not None:
        check_window(words, window, metric)
    elif simulate is None and not words:
        raise UsageError("no command to tune for", hint="hwtune tune -- make -j8, or --simulate to try it out")
    if root is not None and not dry_run:
        raise UsageError(
            "a machine under --root cannot be measured from here", hint="add --dry-run to see what would be written"
        )
    if keep and dry_run:
        raise UsageError("--keep has nothing to keep in a dry run", hint="leave one of them out")
