"""Two samples make an interval: rates and ratios in SI floats.

What could not be known in both samples is None or left out; nothing is guessed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from itertools import pairwise

from hwtune.domain.energy import energy_between_j, error_j
from hwtune.domain.sample import CpuTimes, Sample


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """What happened between two instants of one machine.

    Args:
        duration_s: always positive.
        energy_j: energy of all zones together, or None: no source, a zone that came, went or was unreadable, or a
            counter that may have wrapped unseen.
        energy_error_j: how far off that may be for the sensors' resolution alone (`domain.energy.error_j`), or None
            where that is not known.
        busy_ratio: share of CPU time spent running something, 0-1; idle, iowait and stolen time are not busy.
        steal_ratio: share of CPU time the hypervisor gave to others, 0-1.
        pressure: share of the time in which some or all tasks stalled, by `cpu_some`, `memory_full`, …, 0-1.
        freq_hz: mean frequency by policy, weighted by time where the kernel counts that, else the mean of both ends.
        temp_c: temperature by zone, the higher of both ends.
        idle_ratio: share of the time the CPUs spent in each idle state, 0-1.
        counter_rate: events per second by perf's name; one of which some was lost meanwhile is left out.
        own_cpu_s: CPU time of hwtune's own processes, None where it is not known.
    """

    duration_s: float
    energy_j: float | None
    energy_error_j: float | None = None
    busy_ratio: float | None = None
    steal_ratio: float | None = None
    pressure: Mapping[str, float] = field(default_factory=dict)
    freq_hz: Mapping[int, float] = field(default_factory=dict)
    temp_c: Mapping[str, float] = field(default_factory=dict)
    idle_ratio: Mapping[str, float] = field(default_factory=dict)
    counter_rate: Mapping[str, float] = field(default_factory=dict)
    own_cpu_s: float | None = None

    @property
    def power_w(self) -> float | None:
        """Mean power, None without energy."""
        return None if self.energy_j is None else self.energy_j / self.duration_s

    @property
    def ipc(self) -> float | None:
        """Instructions per cycle, None where either is not counted."""
        cycles = self.counter_rate.get("cycles")
        instructions = self.counter_rate.get("instructions")
        return instructions / cycles if cycles and instructions is not None else None

    @classmethod
    def between(cls, a: Sample, b: Sample) -> Interval:
        """What happened from sample `a` to sample `b`.

        With samples further apart than `domain.energy.longest_gap_s` a counter's growth is not certain, and the energy
        is None.

        Raises:
            ValueError: when `b` is not later than `a`.
        """
        return cls._build(a, b, energy_between_j(a, b))

    @classmethod
    def over(cls, samples: Sequence[Sample]) -> Interval:
        """What happened over consecutive samples: energies summed pair by pair, the rest from first to last.

        Samples in between need only time and energy. A pair without energy makes the whole energy None.

        Raises:
            ValueError: with fewer than two samples, or when time does not advance.
        """
        if len(samples) < 2:
            raise ValueError("an interval needs two samples")
        energies = [energy_between_j(a, b) for a, b in pairwise(samples)]
        known = [energy for energy in energies if energy is not None]
        return cls._build(samples[0], samples[-1], sum(known) if len(known) == len(energies) else None)

    @classmethod
    def _build(cls, a: Sample, b: Sample, energy_j: float | None) -> Interval:
        duration_s = _duration_s(a, b)
        busy_ratio, steal_ratio = _cpu_ratios(a.cpu, b.cpu)
        return cls(
            duration_s=duration_s,
            energy_j=energy_j,
            energy_error_j=None if energy_j is None else error_j(b.energy, energy_j, duration_s),
            busy_ratio=busy_ratio,
            steal_ratio=steal_ratio,
            pressure={
                name: min(stall_us / 1e6 / duration_s, 1.0)
                for name, stall_us in _growth(a.pressure, b.pressure).items()
            },
            freq_hz=_frequencies_hz(a, b),
            temp_c={zone: max(a.temp_mc[zone], b.temp_mc[zone]) / 1e3 for zone in a.temp_mc if zone in b.temp_mc},
            idle_ratio=_idle_ratios(a, b, duration_s),
            counter_rate={
                name: count / duration_s
                for name, count in _growth(a.counters, b.counters).items()
                if a.counter_gaps.get(name, 0) == b.counter_gaps.get(name, 0)
            },
            own_cpu_s=own_cpu_between_s(a, b),
        )


def _duration_s(a: Sample, b: Sample) -> float:
    if b.t_ns <= a.t_ns:
        raise ValueError(f"time does not advance between samples: {a.t_ns} to {b.t_ns} ns")
    return (b.t_ns - a.t_ns) / 1e9


def _cpu_ratios(a: CpuTimes | None, b: CpuTimes | None) -> tuple[float | None, float | None]:
    """Busy and stolen share of CPU time. Idle and iowait may go back by a tick (proc_stat(5)): not below 0."""
    if a is None or b is None:
        return None, None
    grown = {each.name: max(getattr(b, each.name) - getattr(a, each.name), 0) for each in fields(CpuTimes)}
    total = sum(grown.values())
    if total == 0:
        return None, None  # shorter than a tick
    waiting = grown["idle_ticks"] + grown["iowait_ticks"] + grown["steal_ticks"]
    return (total - waiting) / total, grown["steal_ticks"] / total


def own_cpu_between_s(a: Sample, b: Sample) -> float | None:
    """CPU time of hwtune's own processes from `a` to `b` in s; None unless both samples know it."""
    if a.own_cpu_ns is None or b.own_cpu_ns is None:
        return None
    return max(b.own_cpu_ns - a.own_cpu_ns, 0) / 1e9


def _growth(a: Mapping[str, int], b: Mapping[str, int]) -> dict[str, int]:
    """Growth of counters present in both; one that shrank was reset, which leaves it out."""
    return {name: b[name] - value for name, value in a.items() if name in b and b[name] >= value}


def _frequencies_hz(a: Sample, b: Sample) -> dict[int, float]:
    means = {
        policy: (a.freq_khz[policy] + b.freq_khz[policy]) / 2 * 1e3 for policy in a.freq_khz if policy in b.freq_khz
    }
    for policy, before in a.time_in_state.items():
        after = b.time_in_state.get(policy, {})
        grown = {khz: max(after[khz] - ticks, 0) for khz, ticks in before.items() if khz in after}
        total = sum(grown.values())
        if total > 0:  # else shorter than a tick, and the ends know better
            means[policy] = sum(khz * ticks for khz, ticks in grown.items()) / total * 1e3
    return means


def _idle_ratios(a: Sample, b: Sample, duration_s: float) -> dict[str, float]:
    """Mean over the CPUs that are in both samples. The kernel adds a stay when it ends, so a share is kept below 1."""
    ratios = {}
    for state, before in a.idle_us.items():
        after = b.idle_us.get(state, {})
        grown = [max(after[cpu] - stay_us, 0) for cpu, stay_us in before.items() if cpu in after]
        if grown:
            ratios[state] = min(sum(grown) / 1e6 / (duration_s * len(grown)), 1.0)
    return ratios
