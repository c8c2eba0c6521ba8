"""What an imaginary chip is made of: clusters of like cores, packages, and what the kernel shows of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Voltage:
    """Supply voltage over frequency: a floor, a straight rise from the knee, a bend where turbo is expensive.

    Args:
        floor_v: lowest stable voltage.
        knee_ghz: frequency up to which the floor suffices.
        slope_v_per_ghz: rise above the knee.
        bend_ghz: frequency above which the rise steepens.
        bend_v_per_ghz2: quadratic part above the bend.
    """

    floor_v: float
    knee_ghz: float
    slope_v_per_ghz: float
    bend_ghz: float
    bend_v_per_ghz2: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """Like cores of one package.

    Args:
        cpus: their numbers.
        policy_cpus: how many of them share one cpufreq policy.
        package: index of the package they sit in.
        levels_khz: the table the driver shows, ascending, or None where the driver has none.
        min_khz: cpuinfo_min_freq.
        base_khz: highest frequency without boost.
        max_khz: cpuinfo_max_freq.
        turbo_one_ghz: what a single busy core reaches with boost.
        turbo_all_ghz: what all cores reach together with boost.
        turbo_is_a_level: any limit above base means "as fast as turbo goes", as in ACPI tables (2601 MHz for turbo).
        voltage: V(f).
        dynamic_w: power of one busy core at 1 GHz and 1 V.
        leakage_w: leakage of one core at 1 V and 60 °C.
        idle_leakage: share of the leakage that is left in the idle state.
        idle_dynamic: share of the dynamic power that is left in the idle state.
        capacity: work per second at `turbo_all_ghz` relative to the fastest kind of core on the chip.
        transition_s: time to change frequency.
    """

    cpus: tuple[int, ...]
    policy_cpus: int
    package: int
    levels_khz: tuple[int, ...] | None
    min_khz: int
    base_khz: int
    max_khz: int
    turbo_one_ghz: float
    turbo_all_ghz: float
    turbo_is_a_level: bool = False
    voltage: Voltage
    dynamic_w: float
    leakage_w: float
    idle_leakage: float
    idle_dynamic: float
    capacity: float = 1.0
    transition_s: float = 0.0005

    def clock_ghz(self, limit_khz: float, boost: bool) -> float:
        """The clock that a limit in the kernel's terms allows."""
        if limit_khz <= self.base_khz:
            return limit_khz / 1e6
        if not boost:
            return self.base_khz / 1e6
        return self.turbo_one_ghz if self.turbo_is_a_level else limit_khz / 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """What the cores of one package share.

    Args:
        idle_w: fabric, I/O and everything else that runs always and is inside the package's meter.
        uncore_w: uncore at its full clock.
        uncore_floor: lowest uncore clock relative to the full one.
        traffic_w: uncore and memory controller at full memory traffic.
        dram_idle_w: memory modules at rest (a meter of their own).
        dram_traffic_w: memory modules at full traffic, added to rest.
        sustained_w: running-average power limit (PL1).
        peak_w: short-term power limit (PL2).
        window_s: time constant of the running average.
        die_k_per_w: thermal resistance of die to heat sink.
        die_s: its time constant.
        sink_k_per_w: thermal resistance of heat sink to the room.
        sink_s: its time constant.
        limit_c: temperature at which the clock is throttled.
    """

    idle_w: float
    uncore_w: float
    uncore_floor: float
    traffic_w: float
    dram_idle_w: float
    dram_traffic_w: float
    sustained_w: float
    peak_w: float
    window_s: float
    die_k_per_w: float
    die_s: float
    sink_k_per_w: float
    sink_s: float
    limit_c: float = 97.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Chip:
    """A machine as its kernel describes it.

    Args:
        name: as chosen by `--simulate=NAME`.
        cpu_model: what /proc/cpuinfo says.
        driver: scaling_driver, or None without cpufreq.
        governors: scaling_available_governors, in the kernel's order.
        governor: what the distribution ships.
        epp: energy_performance_preference the distribution ships (0-255), or None where there is no such file.
        has_boost: whether boost can be switched.
        tunables_per_policy: governor tunables sit below each policy instead of below cpufreq/.
        clusters: kinds of cores; the order is that of the CPU numbers.
        packages: one or more.
        board_w: what the whole machine takes besides the packages and their memory.
        meter: which energy figure the kernel offers.
        has_battery: whether it runs on one.
        has_counters: whether there is a PMU.
        room_c: ambient temperature.
    """

    name: str
    cpu_model: str
    driver: str | None
    governors: tuple[str, ...]
    governor: str
    epp: int | None
    has_boost: bool
    tunables_per_policy: bool
    clusters: tuple[Cluster, ...]
    packages: tuple[Package, ...]
    board_w: float
    meter: Literal["rapl", "hwmon"] | None
    has_battery: bool = False
    has_counters: bool = True
    room_c: float = 25.0

    @property
    def cpus(self) -> int:
        """Number of CPUs."""
        return sum(len(cluster.cpus) for cluster in self.clusters)

    @property
    def hardware_managed(self) -> bool:
        """Whether the processor chooses its own clock (intel_pstate active), guided by the EPP."""
        return self.epp is not None
