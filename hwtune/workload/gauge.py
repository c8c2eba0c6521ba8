"""Everything that is asked of a run beside its wall time and energy: a measure of its work, and its latencies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import TracebackType

from hwtune.domain.errors import WorkloadError
from hwtune.domain.measure import RUN_TIME, Measure
from hwtune.domain.trial import Run
from hwtune.workload.heartbeat import Heartbeat, Progress
from hwtune.workload.latency import Latencies
from hwtune.workload.metric import Source
from hwtune.workload.pattern import Pattern, last_words

# How often what a run tells of itself is looked at.
LOOK_S = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a run came to.

    Args:
        time: what takes the place of its time, in the measure's `time_unit`; None where that is its wall time.
        latency_s: the percentiles that were asked for.
    """

    time: float | None
    latency_s: Mapping[str, float] = field(default_factory=dict)


class Gauge:
    """What to find out about every run.

    Args:
        measure: what is measured.
        source: where its number comes from; None for the wall time.
        hears: whether the command's output is needed.
        heartbeat: what the work reports to, where it does; closed with the gauge.
        latency: finds latencies in the output; None where they come by heartbeat, or are not asked for.
        latency_scale: seconds in one of what `latency` finds.
        percentiles: of latencies that are wanted (`p99`).
    """

    def __init__(
        self,
        *,
        measure: Measure = RUN_TIME,
        source: Source | None = None,
        hears: bool = False,
        heartbeat: Heartbeat | None = None,
        latency: Pattern | None = None,
        latency_scale: float = 1.0,
        percentiles: Sequence[str] = (),
    ) -> None:
        self.measure = measure
        self.hears = hears or latency is not None
        self._source = source
        self._heartbeat = heartbeat
        self._latency, self._latency_scale, self._percentiles = latency, latency_scale, tuple(percentiles)

    def __enter__(self) -> Gauge:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._heartbeat is not None:
            self._heartbeat.close()

    @property
    def timed(self) -> bool:
        """Whether the wall time is what is measured."""
        return self._source is None

    @property
    def environment(self) -> Mapping[str, str]:
        """What the command must find in its environment."""
        return {} if self._heartbeat is None else self._heartbeat.environment

    @property
    def progress(self) -> Progress:
        """How far the run has got, by when; empty where nobody says."""
        return () if self._heartbeat is None else self._heartbeat.progress

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is odd, in words for people."""
        garbage = 0 if self._heartbeat is None else self._heartbeat.garbage
        return (f"{garbage} lines came by heartbeat that say nothing of progress",) if garbage else ()

    def begin(self) -> None:
        """A run or window begins.

        Raises:
            WorkloadError: a number that must be known before is not.
        """
        if self._heartbeat is not None:
            self._heartbeat.begin()
        if self._source is not None:
            self._source.begin()

    def look(self) -> None:
        """It goes on."""
        if self._source is not None:
            self._source.look()

    def end(self, said: str = "", errors: str = "") -> Found:
        """It has ended, of itself.

        Args:
            said: the last of the command's output.
            errors: the last of its stderr.

        Raises:
            WorkloadError: what was asked for is not to be found, or is no rate and no cost.
        """
        if self._heartbeat is not None:
            self._heartbeat.flush()
        time = None
        if self._source is not None:
            value = self._source.end(said, errors)
            if not value > 0.0:
                raise WorkloadError(
                    f"{self.measure.name} is {value:g} {self.measure.unit}: it must be more than 0",
                    hint="is that the right number? a run without any work tells nothing",
                )
            time = self.measure.time_of(value)
        return Found(time=time, latency_s=self._latencies(said).percentiles(self._percentiles))

    def _latencies(self, said: str) -> Latencies:
        if self._latency is None:
            return Latencies() if self._heartbeat is None else self._heartbeat.latencies
        found = self._latency.numbers(said, "the output")
        if not all(number > 0.0 for number in found):
            raise WorkloadError(f"{self._latency.expression!r} finds a latency of 0 or less", hint=last_words(said))
        latencies = Latencies()
        latencies.add(number * self._latency_scale for number in found)
        return latencies


WALL_TIME = Gauge()


def by_measure(run: Run, measure: Measure, time: float | None) -> Run:
    """A run of so much wall time, as what it was by another measure: power stays, time and energy are per unit.

    Args:
        run: by its wall time.
        measure: what was measured.
        time: what takes the place of its time, None for nothing else than its wall time.
    """
    if time is None:
        return run
    power_w = None if run.energy_j is None else run.energy_j / run.time_s
    return replace(
        run,
        time_s=time,
        energy_j=None if power_w is None else power_w * time,
        unit=measure.time_unit,
        lasted_s=run.time_s,
    )
