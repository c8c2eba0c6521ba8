"""What the options of a metric ask for, put together on the machine that was opened."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from hwtune.domain.errors import Unsupported, UsageError
from hwtune.domain.measure import Better, Measure, measure_of, seconds_per
from hwtune.domain.objective import Bound
from hwtune.workload.gauge import WALL_TIME, Gauge
from hwtune.workload.heartbeat import Heartbeat, HeartbeatRate, WindowRate
from hwtune.workload.latency import parse_latency_bounds, parse_pressure_bounds
from hwtune.workload.metric import FileNumber, OutputNumber, ServedNumber, Source
from hwtune.workload.pattern import Pattern
from hwtune.workload.prometheus import prometheus_query
from hwtune.workload.spin import Instructions

if TYPE_CHECKING:
    from hwtune.cli.host import OpenHost
    from hwtune.host.heartbeat import Inbox
    from hwtune.sensors.collector import Collector

_STAND_IN = "instructions retired (a stand-in for work)"


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricWish:
    """What the command line asks for; nothing of it is the run time without bounds.

    Args:
        expression: `--metric`.
        file: `--metric-file`.
        heartbeat: `--metric-heartbeat`.
        prometheus: `--metric-prometheus`.
        query: `--query`.
        instructions: `--metric-instructions`.
        better: `--metric-better`, None where it was not given.
        unit: `--metric-unit`.
        growing: `--metric-growing`.
        max_latency: `--max-latency`, as written.
        latency: `--latency`.
        latency_unit: `--latency-unit`.
        max_pressure: `--max-pressure`, as written.
    """

    expression: str | None = None
    file: Path | None = None
    heartbeat: bool = False
    prometheus: str | None = None
    query: str | None = None
    instructions: bool = False
    better: str | None = None
    unit: str | None = None
    growing: bool = False
    max_latency: tuple[str, ...] = ()
    latency: str | None = None
    latency_unit: str = "s"
    max_pressure: tuple[str, ...] = ()

    @property
    def given(self) -> bool:
        """Whether something else than the run time is measured."""
        named = any(each is not None for each in (self.expression, self.file, self.prometheus))
        return named or self.heartbeat or self.instructions

    @property
    def progresses(self) -> bool:
        """Whether it is known before the end of a run how it gets on."""
        return self.heartbeat or not self.given

    @property
    def measure(self) -> Measure:
        """What is measured.

        Raises:
            UsageError: options that contradict each other, or a unit that is none.
        """
        if not self.given:
            return Measure()
        return measure_of(self._name, better=Better(self.better or "higher"), unit=self.unit or self._usual_unit)

    @property
    def _name(self) -> str:
        if self.instructions:
            return _STAND_IN
        if self.heartbeat:
            return "heartbeat"
        if self.prometheus is not None:
            return self.query or self.prometheus
        return self.expression or f"the last line of {self.file}"

    @property
    def _usual_unit(self) -> str | None:
        return "instruction" if self.instructions else None

    def bound(self, bound: Bound) -> Bound:
        """A bound with what is asked for here beside it.

        Raises:
            UsageError: a limit that is none.
        """
        return replace(
            bound,
            max_latency_s=parse_latency_bounds(self.max_latency),
            max_pressure=parse_pressure_bounds(self.max_pressure),
        )

    def check(self) -> None:
        """Refuse what contradicts itself before anything is opened.

        Raises:
            UsageError: with what to do instead.
        """
        self._check_sources()
        _ = self.measure, self.bound(Bound())
        for expression in (self.expression, self.latency):
            if expression is not None:
                Pattern(expression)
        if self.latency is not None and not self.max_latency:
            raise UsageError("--latency serves a bound", hint="add --max-latency p99=20ms")
        if seconds_per(self.latency_unit) is None:
            raise UsageError(f"{self.latency_unit!r} is no unit of time", hint="s, ms, us or ns")

    def _check_sources(self) -> None:
        sources = {
            "--metric-file": self.file,
            "--metric-heartbeat": self.heartbeat,
            "--metric-prometheus": self.prometheus,
            "--metric-instructions": self.instructions,
        }
        named = [name for name, value in sources.items() if value]
        if len(named) > 1:
            raise UsageError(f"{' and '.join(named)} are several metrics", hint="give one of them")
        if self.expression is not None and named and self.file is None:
            raise UsageError(
                f"--metric looks for a number in text, and {named[0]} gives a number", hint="give one of them"
            )
        if (self.query is None) != (self.prometheus is None):
            raise UsageError("--query and --metric-prometheus belong together", hint="give both, or neither")
        if self.growing and self.file is None and self.prometheus is None:
            raise UsageError("--metric-growing is of the number of a file or a query", hint="leave it out")
        if not self.given and (self.better or self.unit):
            raise UsageError("--metric-better and --metric-unit are of a metric", hint="add --metric or another source")
        rate = self.growing or self.heartbeat or self.instructions
        if self.better == "lower" and rate:
            raise UsageError("what is counted per second is better when it is higher", hint="leave --metric-better out")


RUN_TIME = MetricWish()


@contextmanager
def open_gauge(
    wish: MetricWish, opened: OpenHost, collector: Collector, *, live: bool, user: str | None
) -> Iterator[Gauge]:
    """What finds out what was asked for, about every run or window.

    Args:
        wish: the options.
        opened: the machine.
        collector: its sensors.
        live: whether windows of the running machine are measured, and no command runs.
        user: who runs the command and may report its progress, None for ourselves.

    Raises:
        UsageError: options that contradict each other or the machine.
        Unsupported: the machine does not tell what is asked for.
        HostError: no socket can be made.
    """
    measure, bound = wish.measure, wish.bound(Bound())
    _check_pressure(bound.max_pressure, collector)
    if not wish.given and not bound.max_latency_s:
        yield WALL_TIME
        return
    if live and (wish.latency or (wish.expression and wish.file is None)):
        raise UsageError("without a command there is no output to look at", hint="leave out --window, or --metric")
    if opened.host.simulated and (wish.file is not None or wish.prometheus is not None):
        raise UsageError(
            "an imaginary machine writes no file and serves no figures",
            hint="it prints `rounds/s: 4.2`, and tells its progress: --metric 'rounds/s: (.+)', or --metric-heartbeat",
        )
    told = wish.heartbeat or (bool(bound.max_latency_s) and wish.latency is None)
    heartbeat = Heartbeat(_inbox(opened, live=live, user=user)) if told else None
    with Gauge(
        measure=measure,
        source=_source(wish, opened, heartbeat, live=live),
        hears=wish.expression is not None and wish.file is None,
        heartbeat=heartbeat,
        latency=None if wish.latency is None else Pattern(wish.latency),
        latency_scale=seconds_per(wish.latency_unit) or 1.0,
        percentiles=tuple(bound.max_latency_s),
    ) as gauge:
        yield gauge


def _source(wish: MetricWish, opened: OpenHost, heartbeat: Heartbeat | None, *, live: bool) -> Source | None:
    host = opened.host
    now_ns = host.clock.monotonic_ns
    pattern = None if wish.expression is None else Pattern(wish.expression)
    if wish.heartbeat and heartbeat is not None:
        return WindowRate(heartbeat, now_ns) if live else HeartbeatRate(heartbeat)
    if wish.instructions:
        return Instructions(host.counters.read, now_ns)
    if wish.file is not None:
        return FileNumber(str(wish.file), pattern, now_ns=now_ns, growing=wish.growing)
    if wish.prometheus is not None:
        allowed = opened.config.metric.prometheus_hosts
        ask = prometheus_query(wish.prometheus, wish.query or "", allowed)
        return ServedNumber(ask, now_ns=now_ns, growing=wish.growing)
    return None if pattern is None else OutputNumber(pattern)


def _inbox(opened: OpenHost, *, live: bool, user: str | None) -> Inbox:
    if opened.simulated is not None:
        return opened.simulated.inbox
    from hwtune.host.heartbeat import HeartbeatSocket

    if not live:
        return HeartbeatSocket(user=user)
    # What runs already must know where to find it.
    opened.config.paths.run_dir.mkdir(parents=True, exist_ok=True)
    return HeartbeatSocket(path=opened.config.paths.run_dir / "heartbeat", user=user)


def _check_pressure(limits: Mapping[str, float], collector: Collector) -> None:
    """Refuse a bound on what the kernel does not tell.

    Raises:
        Unsupported: with what would make it tell.
    """
    known = collector.sample().pressure if limits else {}
    if missing := [name for name in limits if name not in known]:
        raise Unsupported(
            f"the kernel tells no pressure {', '.join(missing)}",
            hint="boot with psi=1 (CONFIG_PSI); the kind `full` of cpu is there since Linux 5.13",
        )
