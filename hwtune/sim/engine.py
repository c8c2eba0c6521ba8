"""One imaginary machine in virtual time: what happens, and what its meters have counted so far."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from hwtune.sim.chip import Chip
from hwtune.sim.governors import Controls, Floats
from hwtune.sim.job import Job
from hwtune.sim.plant import Column, Plant, idle_load

# Time since boot when the machine appears.
_UPTIME_S = 3600.0
_MOVING_S, _SETTLED_S = 0.008, 1.0
_DOMAINS = ("package", "core", "uncore", "dram")


class Engine:
    """Time goes on only here.

    Args:
        chip: the machine.
        columns: one for each cpufreq policy.
        controls: gives what the kernel's files say now.
        gain: gives the energy meters' error now, as a factor.
    """

    def __init__(
        self,
        chip: Chip,
        columns: tuple[Column, ...],
        controls: Callable[[], Controls],
        gain: Callable[[], float],
    ) -> None:
        self.chip = chip
        self.plant = Plant(chip, columns)
        self.job: Job | None = None
        self.next_job: Callable[[], Job] | None = None  # of a machine that is never without work
        self.told: Callable[[], None] | None = None  # that time has passed
        self.meter_j = {name: np.zeros(len(chip.packages)) for name in _DOMAINS}
        self.board_j = 0.0
        self.power_w = chip.board_w  # of the whole machine, at this instant
        self.wait_s = 0.0
        self.instructions = 0.0
        self.misses = 0.0
        self._controls = controls
        self._gain = gain
        self._idle = idle_load(1)
        self.state = self.plant.idle_state(controls())
        self._levels = [np.array(c.cluster.levels_khz or (c.cluster.max_khz,)) / 1e6 for c in columns]
        self.in_level_s = [np.zeros(len(levels)) for levels in self._levels]
        self._level = [0] * len(columns)
        self.transitions = [0] * len(columns)

    @property
    def elapsed_s(self) -> float:
        """Time since the machine appeared."""
        return float(self.state.time_s[0])

    @property
    def uptime_s(self) -> float:
        """Time since boot."""
        return _UPTIME_S + self.elapsed_s

    def advance(self, limit_s: float) -> None:
        """One step of the running job, or of idling, of at most `limit_s`."""
        state, before_s = self.state, self.elapsed_s
        before = {name: getattr(state, f"{name}_j").copy() for name in _DOMAINS}
        busy_before = float(state.busy_s.mean())
        if self.job is None:
            longest = _SETTLED_S if state.settled[0] else _MOVING_S
            self.plant.step(state, self._controls(), self._idle, np.array([max(1e-9, min(longest, limit_s))]))
        else:
            instructions, misses = float(self.job.instructions[0]), float(self.job.misses[0])
            self.job.step(state, self._controls(), limit_s)
            self.instructions += float(self.job.instructions[0]) - instructions
            self.misses += float(self.job.misses[0]) - misses
        dt_s = self.elapsed_s - before_s
        if self.job is not None:
            self.wait_s += dt_s - (float(state.busy_s.mean()) - busy_before)
        self._count(before, dt_s)
        self._note_levels(dt_s)
        if self.told is not None:
            self.told()

    def _count(self, before: dict[str, Floats], dt_s: float) -> None:
        gain, total_j = self._gain(), self.chip.board_w * dt_s
        for name, old in before.items():
            used = getattr(self.state, f"{name}_j") - old
            self.meter_j[name] += gain * used[0]
            if name in ("package", "dram"):
                total_j += float(used.sum())
        self.board_j += gain * total_j
        self.power_w = total_j / dt_s

    def _note_levels(self, dt_s: float) -> None:
        for column, levels in enumerate(self._levels):
            level = int(np.searchsorted(levels, self.state.clock_ghz[0, column] + 1e-3, side="right")) - 1
            level = max(0, level)
            self.in_level_s[column][level] += dt_s
            self.transitions[column] += level != self._level[column]
            self._level[column] = level

    def end_job(self) -> None:
        """No more of the job, done or not; clocks and governors begin to move."""
        self.job = None
        self.state.settled[...] = False

    def pass_time(self, duration_s: float) -> None:
        """Let time pass; a job that is under way goes on, and where there is always another one it is begun."""
        end_s = self.elapsed_s + duration_s
        while (left_s := end_s - self.elapsed_s) > 1e-9:
            if self.job is not None and self.job.done[0]:
                self.job = None
            if self.job is None and self.next_job is not None:
                self.job = self.next_job()
            self.advance(left_s)
