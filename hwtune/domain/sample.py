"""One instant of a machine, raw: the kernel's own integers under the kernel's own suffixes.

Nothing is derived here. Rates, ratios and SI units come from two samples, in `hwtune.domain.interval`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolution:
    """How finely a sensor tells time and energy.

    Args:
        update_s: longest time between two refreshes of what it shows, None while that is not known.
        average_s: time over which a power is averaged before it is shown; 0 for an instant's, and for a counter.
        step: smallest change it can show, J of a counter, W of a power; None where that is not known.
        learned: whether `update_s` was learned by watching the sensor; else it is documented or announced.
    """

    update_s: float | None = None
    average_s: float = 0.0
    step: float | None = None
    learned: bool = False

    @property
    def lag_s(self) -> float | None:
        """After so long it shows nothing of what was before; None while that is not known."""
        return None if self.update_s is None else self.update_s + self.average_s


@dataclass(frozen=True, slots=True, kw_only=True)
class EnergyReading:
    """What one energy or power sensor says at one instant.

    Args:
        zone: the sensor's own name within its source (`package-0`, `hwmon1/power1`, `BAT0`).
        source: the kernel interface (`powercap`, `perf`, `hwmon`, `power_supply`).
        energy_uj: counter of energy since some moment, or None when the sensor gives power or could not be read.
        max_energy_uj: largest value the counter reaches before it starts again at 0, or None when it does not wrap.
        power_uw: power at this instant, or None when the sensor counts energy or could not be read.
        max_power_w: what the zone never draws, mean over a second; None where only `MOST_POWER_W` is known.
        resolution: of the sensor.
    """

    zone: str
    source: str
    energy_uj: int | None = None
    max_energy_uj: int | None = None
    power_uw: int | None = None
    max_power_w: float | None = None
    resolution: Resolution = Resolution()


@dataclass(frozen=True, slots=True, kw_only=True)
class CpuTimes:
    """The `cpu` line of /proc/stat: time of all CPUs together since boot, in USER_HZ ticks (10 ms).

    `user` and `nice` contain guest time. The last fields are younger than the first; older kernels leave them out
    and they are 0 (Documentation/filesystems/proc.rst, proc_stat(5)).
    """

    user_ticks: int
    nice_ticks: int
    system_ticks: int
    idle_ticks: int
    iowait_ticks: int = 0
    irq_ticks: int = 0
    softirq_ticks: int = 0
    steal_ticks: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One instant of one machine. Everything but the time and the energy may be absent: None or empty.

    Args:
        t_ns: monotonic clock of the host.
        energy: one reading per zone of the machine's energy source, empty without a source.
        cpu: CPU time of all CPUs.
        pressure: stall time since boot in µs (the `total=` of /proc/pressure), by `cpu_some`, `memory_full`, ….
        freq_khz: current frequency by number of cpufreq policy.
        time_in_state: by policy, ticks (10 ms) spent at each frequency in kHz.
        idle_us: by idle state, time spent in it by CPU.
        temp_mc: temperature in m°C by zone.
        counters: event counts by perf's name.
        counter_gaps: by event, how often by now some of its count was lost; what a count grew by says nothing then.
        own_cpu_ns: CPU time that hwtune's own processes have used so far, None where the machine is not theirs.
    """

    t_ns: int
    energy: tuple[EnergyReading, ...] = ()
    cpu: CpuTimes | None = None
    pressure: Mapping[str, int] = field(default_factory=dict)
    freq_khz: Mapping[int, int] = field(default_factory=dict)
    time_in_state: Mapping[int, Mapping[int, int]] = field(default_factory=dict)
    idle_us: Mapping[str, Mapping[int, int]] = field(default_factory=dict)
    temp_mc: Mapping[str, int] = field(default_factory=dict)
    counters: Mapping[str, int] = field(default_factory=dict)
    counter_gaps: Mapping[str, int] = field(default_factory=dict)
    own_cpu_ns: int | None = None
