"""A machine that runs all the time as the work: windows of it, each measured by what its programs say of their work.

Nothing is started and nothing can be made to begin anew: a window is a stretch of the clock, and without a measure of
work it would tell nothing but its own length. Where the energy meter is too slow for the length that was asked for,
windows are longer.
"""

from __future__ import annotations

from collections.abc import Callable

from hwtune.domain.errors import UsageError
from hwtune.domain.interval import Interval, own_cpu_between_s
from hwtune.domain.sample import Sample
from hwtune.domain.trial import Run, TrialStatus
from hwtune.host.clock import Clock
from hwtune.workload.energy import Rest, coarse, energy_of_run, shortest_window_s
from hwtune.workload.features import features_of
from hwtune.workload.gauge import LOOK_S, Gauge, by_measure

# Caches fill, queues drain and averaging meters forget: what a setting is like shows a while after it is set.
_SETTLE_SHARE, _SETTLE_S = 0.1, 0.5
# So many windows beyond the limit are no coincidence.
_ENOUGH = 2


class WindowWorkload:
    """Windows of the running machine.

    Args:
        clock: the machine's clock.
        sample: takes a full sample; at both ends of a window.
        sample_energy: takes time and energy only; in between.
        period_s: how often a meter must be read.
        window_s: length of a window, at least: it is widened until the meter can tell its energy.
        gauge: tells what was done in it; whoever made it closes it.

    Raises:
        UsageError: a gauge that measures nothing but time.
    """

    status = TrialStatus.OK

    def __init__(
        self,
        *,
        clock: Clock,
        sample: Callable[[], Sample],
        sample_energy: Callable[[], Sample],
        period_s: float,
        window_s: float,
        gauge: Gauge,
    ) -> None:
        if gauge.timed:
            raise UsageError(
                "a window of the running machine needs a metric: its length says nothing",
                hint="--metric-heartbeat, --metric-prometheus, --metric-file or --metric-instructions",
            )
        self._clock = clock
        self._sample, self._sample_energy = sample, sample_energy
        self._period_s = min(period_s, LOOK_S, window_s)
        self._asked_s = self._window_s = window_s
        self._off = 0.0
        self._gauge = gauge

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is odd about the windows so far, in words for people."""
        asked, lasts = f"{self._asked_s:.3g} s", f"{self._window_s:.3g} s"
        widened = f"windows last {lasts} instead of {asked}: the energy meter is too slow for less"
        return (
            *self._gauge.warnings,
            *([widened] if self._window_s > self._asked_s else []),
            *coarse(self._off, self._window_s),
        )

    def warm_up(self) -> Run:
        """One window that does not count.

        Raises:
            WorkloadError: nothing tells of the work.
        """
        meter = Rest(self._clock, self._sample_energy).before(0.0)[-1]
        self._window_s = max(self._asked_s, shortest_window_s(meter) or 0.0)
        return self._window()

    def measure(self, repeats: int, give_up_s: float | None = None) -> tuple[Run, ...]:
        """Windows under the setting that is applied now, after a while in which it shows.

        Fewer than asked for once several were worse than `give_up_s` per unit of work: each is a whole window.

        Raises:
            WorkloadError: nothing tells of the work.
        """
        self._clock.sleep(max(_SETTLE_S, _SETTLE_SHARE * self._window_s))
        runs: list[Run] = []
        while len(runs) < repeats and not _hopeless(runs, give_up_s):
            runs.append(self._window())
        return tuple(runs)

    def _window(self) -> Run:
        before = self._sample()
        self._gauge.begin()
        readings = [self._sample_energy()]
        start_ns = self._clock.monotonic_ns()
        end_ns = start_ns + round(self._window_s * 1e9)
        while (left_s := (end_ns - self._clock.monotonic_ns()) / 1e9) > 0.0:
            self._clock.sleep(min(self._period_s, left_s))
            readings.append(self._sample_energy())
            self._gauge.look()
        end_ns = self._clock.monotonic_ns()
        found = self._gauge.end()
        readings.append(self._sample_energy())
        after = self._sample()
        energy = energy_of_run(readings, start_ns, end_ns)
        self._off = max(self._off, energy.off or 0.0)
        run = Run(
            time_s=(end_ns - start_ns) / 1e9,
            energy_j=energy.energy_j,
            features=features_of(Interval.between(before, after)),
            own_cpu_s=own_cpu_between_s(readings[0], readings[-1]),
            latency_s=found.latency_s,
            energy_off=energy.off,
            no_energy=energy.refusal,
        )
        return by_measure(run, self._gauge.measure, found.time)


def _hopeless(runs: list[Run], worst: float | None) -> bool:
    return worst is not None and len(runs) >= _ENOUGH and all(run.time_s > worst for run in runs)
