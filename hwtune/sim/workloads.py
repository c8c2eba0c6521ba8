"""Programs for an imaginary machine: a fixed amount of work each, told as phases with waits between them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """A stretch of alike work on all cores, and the wait that follows it.

    Args:
        work_s: how long it takes on all cores at their all-core turbo, with memory traffic unlimited.
        compute: share of that time which follows the core clock.
        memory: share which waits for memory; compute + memory = 1.
        traffic: memory traffic at that speed, relative to what the memory system can carry.
        intensity: switched capacitance relative to an average instruction mix (vector code is above 1).
        gap_s: wait afterwards (a disk, a peer, a person), which no clock shortens.
        instructions_per_ns: per core at full capacity while at that speed.
        misses_per_kinstr: last-level cache misses per thousand instructions.
    """

    work_s: float
    compute: float
    memory: float
    traffic: float
    intensity: float
    gap_s: float
    instructions_per_ns: float
    misses_per_kinstr: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """A program.

    Args:
        phases: one round.
        rounds: how often it is repeated in one run.
        stealing: how work is shared among unequal cores: 1 gives each core what it can take (dynamic scheduling), a
            large negative number makes all wait for the slowest (static shares with a barrier).
    """

    phases: tuple[Phase, ...]
    rounds: int
    stealing: float


WORKLOADS: dict[str, Workload] = {
    "compute": Workload(
        phases=(
            Phase(
                work_s=0.22,
                compute=0.96,
                memory=0.04,
                traffic=0.08,
                intensity=1.1,
                gap_s=0.045,
                instructions_per_ns=8.5,
                misses_per_kinstr=0.15,
            ),
        ),
        rounds=22,
        stealing=-12.0,
    ),
    "memory": Workload(
        phases=(
            Phase(
                work_s=0.18,
                compute=0.58,
                memory=0.42,
                traffic=0.80,
                intensity=0.85,
                gap_s=0.055,
                instructions_per_ns=2.0,
                misses_per_kinstr=21.0,
            ),
        ),
        rounds=22,
        stealing=-9.0,
    ),
    "mixed": Workload(
        phases=(
            Phase(
                work_s=0.14,
                compute=0.90,
                memory=0.10,
                traffic=0.15,
                intensity=1.05,
                gap_s=0.03,
                instructions_per_ns=7.0,
                misses_per_kinstr=0.6,
            ),
            Phase(
                work_s=0.12,
                compute=0.60,
                memory=0.40,
                traffic=0.60,
                intensity=0.9,
                gap_s=0.055,
                instructions_per_ns=3.0,
                misses_per_kinstr=11.0,
            ),
        ),
        rounds=17,
        stealing=-9.0,
    ),
    "bursty": Workload(
        phases=(
            Phase(
                work_s=0.045,
                compute=0.80,
                memory=0.20,
                traffic=0.22,
                intensity=1.0,
                gap_s=0.055,
                instructions_per_ns=6.0,
                misses_per_kinstr=1.8,
            ),
        ),
        rounds=60,
        stealing=1.0,
    ),
}
