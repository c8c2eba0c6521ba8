"""What hwtune itself costs: its CPU time, and what the machine uses as long as it is at work.

CPU time is counted, by the kernel, of our own processes and no other. Energy is the whole machine's, by its sensor. A
share of it is attributed to us by CPU time: no sensor tells the processes of a machine apart.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hwtune.domain.energy import energy_between_j
from hwtune.domain.sample import CpuTimes, Sample
from hwtune.host.cpu_time import own_cpu_ns

# The tick of CpuTimes.
_TICK_S = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What a time at work has cost.

    Args:
        time_s: on the machine's clock, from the first sample to the last; virtual on a simulated machine.
        energy_j: what the machine used in that time, or None: no source, or a part of the time is not known.
        busy_s: CPU time of everything that ran on it meanwhile, or None.
        own_cpu_s: CPU time of this process since it was started; real, also where the machine is simulated.
        helpers_cpu_s: CPU time of the processes that work for it: the planner.
        same_machine: whether the CPU time was spent on the machine that energy and busy time are of.
    """

    time_s: float
    energy_j: float | None
    busy_s: float | None
    own_cpu_s: float
    helpers_cpu_s: float
    same_machine: bool

    @property
    def share(self) -> float | None:
        """Share of the machine's busy CPU time that was hwtune's, 0-1; None where that is not known."""
        if not self.same_machine or not self.busy_s:
            return None
        return min((self.own_cpu_s + self.helpers_cpu_s) / self.busy_s, 1.0)

    @property
    def attributed_j(self) -> float | None:
        """Own CPU time times the machine's mean energy per busy CPU second; attributed, not measured."""
        return None if self.share is None or self.energy_j is None else self.share * self.energy_j


class OwnTime:
    """CPU time of hwtune's own processes: this one, and those that work for it; never of a measured command."""

    def __init__(self) -> None:
        self._helpers: list[Callable[[], int]] = []

    def add(self, cpu_ns: Callable[[], int]) -> None:
        """Count another process; it must know its CPU time beyond its end."""
        self._helpers.append(cpu_ns)

    def helpers_ns(self) -> int:
        """Of the processes that work for this one, so far."""
        return sum(cpu_ns() for cpu_ns in self._helpers)

    def read_ns(self) -> int:
        """Of all, so far."""
        return own_cpu_ns() + self.helpers_ns()


class Ledger:
    """Adds up what lies between samples, however many there are."""

    def __init__(self) -> None:
        self._first: Sample | None = None
        self._last: Sample | None = None
        self._cpu: CpuTimes | None = None
        self._metered: Sample | None = None
        self._energy_j = 0.0
        self._busy_ticks: int | None = None

    def note(self, sample: Sample) -> None:
        """Add the time since the last sample. One whose energy is unknown is bridged by the next that knows it."""
        if self._first is None or self._last is None or self._metered is None:
            self._first = self._last = self._metered = sample
        elif sample.t_ns > self._metered.t_ns:
            energy_j = energy_between_j(self._metered, sample)
            if energy_j is not None:
                self._energy_j += energy_j
                self._metered = sample
        self._last = sample
        if sample.cpu is not None:
            if self._cpu is not None:
                self._busy_ticks = (self._busy_ticks or 0) + max(_busy(sample.cpu) - _busy(self._cpu), 0)
            self._cpu = sample.cpu

    def cost(self, own: OwnTime, *, same_machine: bool) -> Cost:
        """What it all has cost until the last sample, and what hwtune has used until now.

        Args:
            own: our processes.
            same_machine: whether they run on the machine that the samples are of.
        """
        first, last, metered = self._first, self._last, self._metered
        whole = first is not None and metered is not None and last is not None and metered.t_ns >= last.t_ns
        time_s = 0.0 if first is None or last is None else (last.t_ns - first.t_ns) / 1e9
        return Cost(
            time_s=time_s,
            energy_j=self._energy_j if whole and time_s > 0.0 else None,
            busy_s=None if self._busy_ticks is None else self._busy_ticks * _TICK_S,
            own_cpu_s=own_cpu_ns() / 1e9,
            helpers_cpu_s=own.helpers_ns() / 1e9,
            same_machine=same_machine,
        )


def _busy(times: CpuTimes) -> int:
    return times.user_ticks + times.nice_ticks + times.system_ticks + times.irq_ticks + times.softirq_ticks
