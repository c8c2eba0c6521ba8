"""The imaginary silicon: clock, speed, power and heat through one step of time, for many machines at once.

Arrays are rows by columns (a row is one machine, a column a group of like cores under one policy) or rows by packages.
Everything random is outside: noise multiplies the work and the meter (`noise.py`). Equations: docs/simulator.md.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from hwtune.sim.chip import Chip, Cluster
from hwtune.sim.governors import Controls, Floats, seen_load, wished

# A core that waits for memory still toggles: fetch, queues, prefetchers.
_STALLED = 0.42


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """Cores that act as one: `cpus` of them, of one cluster."""

    cluster: Cluster
    cpus: int


@dataclass(slots=True, kw_only=True)
class State:
    """Everything that changes, per row; energies and counts only grow.

    Args:
        time_s: since the start.
        clock_ghz: per column.
        load: what the governor has tracked, per column.
        cap_ghz: what the power and thermal limits leave, per package.
        average_w: running average of package power.
        die_c: temperature of the die.
        sink_c: temperature of the heat sink.
        core_j: energy of the cores, per package.
        uncore_j: energy of uncore and memory controller, per package.
        package_j: energy of the package.
        dram_j: energy of the memory modules.
        busy_s: busy time of one core, per column.
        cycles: unhalted cycles of one core (10⁹), per column.
        power_w: power of the packages during the last step.
        settled: whether no clock moved in the last step.
    """

    time_s: Floats
    clock_ghz: Floats
    load: Floats
    cap_ghz: Floats
    average_w: Floats
    die_c: Floats
    sink_c: Floats
    core_j: Floats
    uncore_j: Floats
    package_j: Floats
    dram_j: Floats
    busy_s: Floats
    cycles: Floats
    power_w: Floats
    settled: NDArray[np.bool_]

    def rows(self, index: NDArray[np.int64]) -> State:
        """A copy of these rows."""
        return State(**{each.name: getattr(self, each.name)[index] for each in fields(self)})

    def put(self, index: NDArray[np.int64], other: State) -> None:
        """Overwrite these rows."""
        for each in fields(self):
            getattr(self, each.name)[index] = getattr(other, each.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """The work of each row now, all arrays rows by 1: see `workloads.Phase`; `running` is 0 in a wait.

    `reference` is `Plant.reference_rate` of the phase.
    """

    running: Floats
    compute: Floats
    memory: Floats
    traffic: Floats
    intensity: Floats
    reference: Floats
    stealing: float


class Plant:
    """The constants of one chip as arrays, and its step."""

    def __init__(self, chip: Chip, columns: tuple[Column, ...]) -> None:
        self.chip = chip
        self.columns = columns
        clusters = [column.cluster for column in columns]

        def per_column(name: str) -> Floats:
            return np.array([float(getattr(cluster, name)) for cluster in clusters])

        def per_package(name: str) -> Floats:
            return np.array([float(getattr(package, name)) for package in chip.packages])

        self.cpus = np.array([float(column.cpus) for column in columns])
        self.top_ghz, self.all_ghz = per_column("turbo_one_ghz"), per_column("turbo_all_ghz")
        self.floor_ghz = per_column("min_khz") / 1e6
        self.capacity = per_column("capacity")
        self._all = np.ones((len(columns), 1))
        self.dynamic_w, self.leakage_w = per_column("dynamic_w"), per_column("leakage_w")
        self.idle_leakage, self.idle_dynamic = per_column("idle_leakage"), per_column("idle_dynamic")
        self.transition_s = per_column("transition_s")
        self._volts = [np.array([getattr(c.voltage, name) for c in clusters]) for name in _VOLTAGE]
        self.package_of = np.array([cluster.package for cluster in clusters])
        self._sum = np.zeros((len(columns), len(chip.packages)))
        self._sum[np.arange(len(columns)), self.package_of] = 1.0
        self._mean = np.full((len(chip.packages), 1), 1.0 / len(chip.packages))
        self._package_cpus = self.cpus @ self._sum
        self.p = {name: per_package(name) for name in _PACKAGE}
        self.package_top_ghz = np.array([self.top_ghz[self.package_of == i].max() for i in range(len(chip.packages))])

    def idle_state(self, controls: Controls) -> State:
        """Machines that have been idle for long: clocks where the governor leaves them, heat in balance."""
        rows, packages = len(controls.governor), len(self.chip.packages)
        zero, zeros = np.zeros((rows, len(self.columns))), np.zeros((rows, packages))
        state = State(
            time_s=np.zeros(rows),
            clock_ghz=np.broadcast_to(self.floor_ghz, zero.shape).copy(),
            load=zero.copy(),
            cap_ghz=np.broadcast_to(self.package_top_ghz, zeros.shape).copy(),
            average_w=zeros.copy(),
            die_c=zeros + self.chip.room_c + 15.0,
            sink_c=zeros + self.chip.room_c + 10.0,
            core_j=zeros.copy(),
            uncore_j=zeros.copy(),
            package_j=zeros.copy(),
            dram_j=zeros.copy(),
            busy_s=zero.copy(),
            cycles=zero.copy(),
            power_w=zeros.copy(),
            settled=np.zeros(rows, dtype=np.bool_),
        )
        for _ in range(40):
            self.step(state, controls, idle_load(rows), np.full(rows, 30.0))
        for name in ("core_j", "uncore_j", "package_j", "dram_j", "time_s", "cycles"):
            getattr(state, name)[...] = 0.0
        state.settled[...] = False
        return state

    def voltage(self, clock_ghz: Floats) -> Floats:
        """V(f): floor, rise from the knee, bend."""
        floor, knee, slope, bend, curve = self._volts
        above = np.maximum(clock_ghz - bend, 0.0)
        volts: Floats = floor + slope * np.maximum(clock_ghz - knee, 0.0) + curve * above * above
        return volts

    def reference_rate(self, compute: float, memory: float) -> float:
        """Work per second at all-core turbo with unlimited memory traffic, in units of one fastest core's."""
        return float((self.cpus / (compute / self.capacity + memory)).sum())

    def rates(self, clock_ghz: Floats, uncore: Floats, load: Load) -> tuple[Floats, Floats, Floats]:
        """Total work per second (rows by 1), and per column: busy share of time, share of time spent computing."""
        cycles = load.compute * self.all_ghz / (self.capacity * clock_ghz)
        latency = (0.55 + 0.45 / uncore) @ self._sum.T
        each = self.cpus / (cycles + load.memory * latency)
        carried = load.reference * (uncore @ self._mean) / np.maximum(load.traffic, 0.01)
        # Shares are right for full clocks. Power mean of what each column could do alone by its share: 1 adds up, far
        # below 0 waits for the slowest.
        share = self.cpus / (load.compute / self.capacity + load.memory) / load.reference
        q = load.stealing
        together = (share * (each / share) ** q @ self._all) ** (1.0 / q)
        # Where the memory system saturates, speed bends over: 1 / total⁴ = 1 / together⁴ + 1 / carried⁴.
        bent = (together / carried) ** 2
        total = together / np.sqrt(np.sqrt(1.0 + bent * bent))
        mine = each * (total / together) if q == 1.0 else np.minimum(share * total, each)
        busy = load.running * (np.minimum(1.0, share * together / each) if q != 1.0 else 1.0)
        return load.running * total, busy, np.minimum(busy, load.running * mine / self.cpus * cycles)

    def step(self, state: State, controls: Controls, load: Load, dt_s: Floats) -> Floats:
        """Let `dt_s` pass in each row, in place; returns work per second, rows.

        Stable for any `dt_s`: every lag is integrated exactly for constant input.
        """
        p, dt = self.p, dt_s[:, None]
        wish = wished(controls, state.load, state.clock_ghz, self.top_ghz)
        busy_limit = np.where(load.running > 0, self.all_ghz, self.top_ghz)
        limit = np.minimum(np.minimum(controls.high_ghz, busy_limit), state.cap_ghz @ self._sum.T)
        goal = np.maximum(np.minimum(np.maximum(wish.clock_ghz, controls.low_ghz), limit), self.floor_ghz)
        ramp_s = wish.ramp_s + self.transition_s
        # The mean over an exponential approach, exactly, so that the length of a step does not matter.
        lag = ramp_s / dt * -np.expm1(-dt / ramp_s)
        away = state.clock_ghz - goal
        clock = goal + away * lag
        state.clock_ghz = goal + away * np.exp(-dt / ramp_s)

        uncore = self._uncore(controls, clock, load)
        rate, busy, computing = self.rates(clock, uncore, load)
        state.load += (seen_load(busy, clock, self.top_ghz) - state.load) * -np.expm1(-dt / wish.track_s)
        state.busy_s += busy * dt
        state.cycles += busy * clock * dt

        volts = self.voltage(clock)
        activity = load.intensity * (computing + _STALLED * (busy - computing)) + self.idle_dynamic * (1.0 - busy)
        kelvin = np.exp((state.die_c - 60.0) / 38.0) @ self._sum.T
        leaking = busy + self.idle_leakage * (1.0 - busy)
        core_w = self.cpus * (
            volts * volts * (self.dynamic_w * clock * activity + self.leakage_w * volts * kelvin * leaking)
        )
        cores_w = core_w @ self._sum
        traffic = load.running * np.minimum(1.0, load.traffic * rate / load.reference)
        uncore_w = p["uncore_w"] * uncore * uncore * uncore * (0.35 + 0.65 * load.running) + p["traffic_w"] * traffic
        package_w = p["idle_w"] + cores_w + uncore_w
        dram_w = p["dram_idle_w"] + p["dram_traffic_w"] * traffic

        state.core_j += cores_w * dt
        state.uncore_j += uncore_w * dt
        state.package_j += package_w * dt
        state.dram_j += dram_w * dt
        state.power_w = package_w
        self._limit(state, package_w, dt)
        self._heat(state, package_w, dt)
        state.time_s += dt_s
        state.settled = np.abs(away / goal).max(axis=1) < 0.004
        return rate[:, 0]

    def _uncore(self, controls: Controls, clock_ghz: Floats, load: Load) -> Floats:
        """Clock of the uncore relative to its full one: pulled up by traffic, by fast cores, by the EPP."""
        floor = self.p["uncore_floor"]
        if self.chip.hardware_managed:
            eager = 1.0 - controls.epp / 255.0
            wish = eager + 0.25 * load.traffic
        else:
            wish = 0.75 * clock_ghz / self.all_ghz + 0.30 * load.traffic
        pull = np.minimum(1.0, (wish * self.cpus) @ self._sum / self._package_cpus)
        # In a wait it falls, but not all the way where it was eager before.
        uncore: Floats = floor + (1.0 - floor) * pull * (0.6 * pull + (1.0 - 0.6 * pull) * load.running)
        return uncore

    def _limit(self, state: State, package_w: Floats, dt: Floats) -> None:
        """Lower or raise the package's clock cap towards what PL2, PL1 (running average) and the temperature allow."""
        p = self.p
        state.average_w += (package_w - state.average_w) * -np.expm1(-dt / p["window_s"])
        left = np.clip((p["sustained_w"] - state.average_w) / (0.04 * p["sustained_w"]), 0.0, 1.0)
        budget_w = p["sustained_w"] + (p["peak_w"] - p["sustained_w"]) * left
        budget_w = budget_w * np.clip((p["limit_c"] - state.die_c) / 4.0, 0.3, 1.0)
        gain = 0.4 * -np.expm1(-dt / 0.1)
        cap = state.cap_ghz * np.clip(budget_w / package_w, 0.25, 4.0) ** gain
        state.cap_ghz = np.clip(cap, 0.25 * self.package_top_ghz, self.package_top_ghz)

    def _heat(self, state: State, package_w: Floats, dt: Floats) -> None:
        """Two time constants: heat sink over the room, die over heat sink."""
        p = self.p
        sink_goal = self.chip.room_c + p["sink_k_per_w"] * package_w
        state.sink_c += (sink_goal - state.sink_c) * -np.expm1(-dt / p["sink_s"])
        die_goal = state.sink_c + p["die_k_per_w"] * package_w
        state.die_c += (die_goal - state.die_c) * -np.expm1(-dt / p["die_s"])


_VOLTAGE = ("floor_v", "knee_ghz", "slope_v_per_ghz", "bend_ghz", "bend_v_per_ghz2")
_PACKAGE = (
    "idle_w", "uncore_w", "uncore_floor", "traffic_w", "dram_idle_w", "dram_traffic_w", "sustained_w", "peak_w",
    "window_s", "die_k_per_w", "die_s", "sink_k_per_w", "sink_s", "limit_c",
)  # fmt: skip


def idle_load(rows: int) -> Load:
    """Nothing to do."""
    zero = np.zeros((rows, 1))
    return Load(
        running=zero,
        compute=zero + 1.0,
        memory=zero,
        traffic=zero,
        intensity=zero + 1.0,
        reference=zero + 1.0,
        stealing=1.0,
    )
