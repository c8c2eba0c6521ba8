"""A program on the plant: phases and waits in turn, in steps that end where a phase does."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from hwtune.sim.governors import Controls, Floats
from hwtune.sim.plant import Load, Plant, State
from hwtune.sim.workloads import Workload

# Steps while clocks move, and while they stand.
_MOVING_S = 0.016
_SETTLED_S = 0.1
_SHORTEST_S = 1e-6
# Share of a phase that no longer counts.
_NOTHING = 1e-6
_UNKNOWN = 1e-9
# Steps between two looks at which rows are hopeless.
_GLANCE = 6

# Told the state and how much of its run each row has done, says which rows need not be run to their end.
Hopeless = Callable[[State, Floats], NDArray[np.bool_]]


class Job:
    """One run of a workload in each row.

    Args:
        plant: that it runs on.
        workload: what is run.
        rows: how many machines run it.
        work_factor: how much more work than nominal, per row.
    """

    def __init__(self, plant: Plant, workload: Workload, rows: int, work_factor: float = 1.0) -> None:
        self._plant = plant
        self._workload = workload
        phases = workload.phases
        self._gap = np.array([p.gap_s for p in phases]) * work_factor
        reference = np.array([plant.reference_rate(p.compute, p.memory) for p in phases])
        self._nominal_s = np.array([p.work_s for p in phases])
        self._work = self._nominal_s * reference * work_factor
        self._terms = {
            name: np.array([float(getattr(p, name)) for p in phases])
            for name in ("compute", "memory", "traffic", "intensity")
        }
        self._terms["reference"] = reference
        self._last = len(phases) * workload.rounds
        self._index = np.zeros(rows, dtype=np.int64)
        self._left_work = np.full(rows, self._work[0])
        self._left_gap = np.full(rows, self._gap[0])
        self._rate = np.full(rows, _UNKNOWN)
        self.instructions = np.zeros(rows)
        self.misses = np.zeros(rows)
        self._per_work = np.array([1e9 * p.instructions_per_ns for p in phases])
        self._missing = np.array([p.misses_per_kinstr / 1e3 for p in phases])

    @property
    def done(self) -> NDArray[np.bool_]:
        """Which rows have ended."""
        return self._index >= self._last

    def keep(self, index: NDArray[np.int64]) -> None:
        """Go on with these rows only."""
        for name in ("_index", "_left_work", "_left_gap", "_rate", "instructions", "misses"):
            setattr(self, name, getattr(self, name)[index])

    def _load(self, phase: NDArray[np.int64], running: Floats) -> Load:
        terms = {name: values[phase][:, None] for name, values in self._terms.items()}
        return Load(running=running[:, None], **terms, stealing=self._workload.stealing)

    @property
    def progress(self) -> Floats:
        """How much of its run each row has done, by nominal time."""
        index = np.minimum(self._index, self._last - 1)
        phase = index % len(self._work)
        left = (self._left_work / self._work[phase]).clip(0.0, 1.0) * self._nominal_s[phase]
        before = self._nominal_s.cumsum()[phase]
        rounds = index // len(self._work)
        done: Floats = (rounds * self._nominal_s.sum() + before - left) / (
            self._workload.rounds * self._nominal_s.sum()
        )
        return done

    def step(self, state: State, controls: Controls, limit_s: float) -> None:
        """Advance each row by at most `limit_s`, at most to the end of its phase or wait."""
        phase = self._index % len(self._work)
        enough = _NOTHING * self._work[phase]
        working = self._left_work > enough
        load = self._load(phase, working.astype(np.float64))
        # The last step's speed tells when the phase ends; what that misses is carried over into the next phase.
        dt = np.minimum(np.where(state.settled, _SETTLED_S, _MOVING_S), limit_s)
        dt = np.maximum(np.minimum(dt, np.where(working, self._left_work / self._rate, self._left_gap)), _SHORTEST_S)
        rate = self._plant.step(state, controls, load, dt)
        worked = rate * dt
        self._rate = np.where(working, rate, _UNKNOWN)
        self._left_work -= worked
        self.instructions += worked * self._per_work[phase]
        self.misses += worked * self._per_work[phase] * self._missing[phase]
        self._left_gap -= np.where(working, 0.0, dt)
        at_end = self._left_work <= enough
        over = at_end & (self._left_gap <= _SHORTEST_S)
        # At either edge of a wait governors begin to move again, whatever the clocks did before.
        state.settled &= ~(at_end & working | over)
        if over.any():
            self._index[over] += 1
            following = self._index[over] % len(self._work)
            self._left_work[over] += self._work[following]
            self._left_gap[over] += self._gap[following]
            self._rate[over] = _UNKNOWN


def finish(
    plant: Plant,
    workload: Workload,
    state: State,
    controls: Controls,
    hopeless: Hopeless | None = None,
) -> NDArray[np.bool_]:
    """Run the workload once in every row of `state`, in place.

    Args:
        plant: the chip.
        workload: what is run.
        state: at the start; holds the end afterwards.
        controls: a row for each of the state's.
        hopeless: asked now and then which rows need not be run to their end.

    Returns:
        Which rows were run to their end.
    """
    whole = np.ones(len(state.time_s), dtype=np.bool_)
    rows = np.arange(len(state.time_s))
    job, now, mine = Job(plant, workload, len(rows)), state.rows(rows), controls
    ended = np.zeros(len(rows), dtype=np.bool_)
    steps = 0
    while len(rows):
        if hopeless is not None and steps % _GLANCE == 0:
            lost = hopeless(now, job.progress) & ~ended
            whole[rows[lost]] = False
            ended |= lost
        # Ended rows go on for nothing, but leaving them out costs about as much as a step.
        if ended.sum() * 6 > len(ended):
            going = np.flatnonzero(~ended)
            rows, now, mine = rows[going], now.rows(going), mine.rows(going)
            job.keep(going)
            ended = job.done
            continue
        job.step(now, mine, _SETTLED_S)
        steps += 1
        fresh = np.flatnonzero(job.done & ~ended)
        state.put(rows[fresh], now.rows(fresh))
        ended |= job.done
    return whole
