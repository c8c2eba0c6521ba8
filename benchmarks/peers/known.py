"""What is known of the other workloads, put to use without a search: a static setting, and EAR's linear model.

EAR (github.com/eas4dc/EAR @ 23c1d33: `energy_models/avx512_model.c`, `policy_plugins/min_energy.c`) projects power and
time from the P-state in use to each other one by equations that are linear in a signature, power P, cycles per
instruction CPI and memory transactions per instruction TPI, with coefficients for each pair of P-states, learned
from other programs:

    P' = A·P + B·TPI + C        CPI' = D·CPI + E·TPI + F        T' = T · CPI'/CPI · f/f'

The policy takes the least projected energy among those whose projected time is within the penalty, measures it,
and goes back to the default where the measurement does not bear it out. Here every setting of the table is a P-state,
which is more than EAR turns; with an objective other than energy the least projection of that is taken.

CPI' is learned from the ratio of times, of which it is a multiple. Tables without counters have no CPI (it is 1 for
every program, and F falls together with D) and no TPI (no such term). A coefficient is used where there are two other
workloads for it, the first always. Where there is no other workload at all there is no model: clocks are then measured
from the highest down until the objective rises or the bound breaks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from peers.tasks import Array, Task, Trace, keeping_the_best

_SEEN_BY = 0.5  # of the other workloads must have the static setting
_SAFE_IN = 0.75  # of those it must hold the bound

_IPC = ("ipc", "ctr_executed_ipc")
_INSTRUCTIONS = "ctr_inst_executed"
_TRANSACTIONS = ("ctr_dram_read_transactions", "ctr_dram_write_transactions")
_PER_INSTRUCTION = "cache-misses_per_instruction"


def static(task: Task, others: Sequence[Task], budget: int) -> Trace:
    """The setting with the least mean log cost, over the default's, in the other workloads.

    Offered are settings that at least half of them have, and that hold the bound in three quarters of those. It is
    recommended from the second evaluation on, whatever that shows: nobody looks.
    """
    best, least = task.default, 0.0
    for row, setting in enumerate(task.settings):
        found = [(other, other.row_of[setting]) for other in others if setting in other.row_of]
        if not found or len(found) < _SEEN_BY * len(others):
            continue
        cost = float(np.mean([other.cost[at] - other.cost[other.default] for other, at in found]))
        if cost < least and np.mean([other.feasible[at] for other, at in found]) >= _SAFE_IN:
            best, least = row, cost
    rows = ((task.default,) if best == task.default else (task.default, best))[:budget]
    return Trace(rows=rows, recommended=rows)


def ear(task: Task, others: Sequence[Task], budget: int) -> Trace:
    """EAR's choice: at most two evaluations where there is a model, else a walk down the clocks."""
    same = [other for other in others if other.settings[other.default] == task.settings[task.default]]
    if not same:
        return keeping_the_best(task, _downwards(task)[:budget])
    time_s, energy_j = projected(task, same)
    known = (time_s > 0.0) & (energy_j > 0.0)
    if task.bound is not None:
        known &= time_s <= (1.0 + task.bound) * time_s[task.default]
    cost = np.full(len(known), np.inf)
    for row in np.flatnonzero(known):
        cost[row] = np.log(task.objective.value_of(float(time_s[row]), float(energy_j[row])))
    chosen = int(cost.argmin())
    rows = [task.default] if chosen == task.default else [task.default, chosen]
    return keeping_the_best(task, rows[:budget])


def projected(task: Task, others: Sequence[Task]) -> tuple[Array, Array]:
    """Time (s) and energy (J) of every row, from the default's; not a number where no other workload has the row."""
    time_s, power_w = np.full(len(task.settings), np.nan), np.full(len(task.settings), np.nan)
    everyone = [task, *others]
    cpi, tpi = _known(everyone, _cpi), _known(everyone, _tpi)
    for row, setting in enumerate(task.settings):
        found = [(at, other.row_of[setting]) for at, other in enumerate(everyone) if at and setting in other.row_of]
        if row == task.default or not found:
            continue
        learned = [at for at, _ in found]
        powers = np.array([other.energy_j[other.default] / other.time_s[other.default] for other in everyone])
        target = np.array([everyone[at].energy_j[there] / everyone[at].time_s[there] for at, there in found])
        power_w[row] = _projection([powers, *tpi, np.ones_like(powers)], learned, target)
        # Without counters CPI is 1 everywhere, and a constant beside it would be the same column again.
        base = cpi[0] if cpi else np.ones_like(powers)
        constant = [np.ones_like(powers)] if cpi else []
        stretch = [(1.0 + everyone[at].slowdown[there]) * _clock_ratio(everyone[at], there) for at, there in found]
        projection = _projection([base, *tpi, *constant], learned, base[learned] * np.array(stretch))
        time_s[row] = task.time_s[task.default] * projection / base[0] / _clock_ratio(task, row)
    energy_j = power_w * time_s
    time_s[task.default], energy_j[task.default] = task.time_s[task.default], task.energy_j[task.default]
    return time_s, energy_j


def _projection(columns: Sequence[Array], learned: Sequence[int], target: Array) -> float:
    """The first workload's value by the line through those at `learned`, of as many columns as they bear."""
    used = np.stack(columns[: max(1, len(learned) // 2)], axis=1)
    scale = np.abs(used).max(axis=0)
    scale[scale == 0.0] = 1.0
    coefficients = np.linalg.lstsq(used[learned] / scale, target, rcond=None)[0]
    return float(used[0] / scale @ coefficients)


def _clock_ratio(task: Task, row: int) -> float:
    """f'/f from the default to a row."""
    return 1.0 if task.clock is None else float(task.points[row, task.clock] / task.points[task.default, task.clock])


def _known(tasks: Sequence[Task], read: Callable[[Mapping[str, float]], float | None]) -> list[Array]:
    """One column of the signature, or none where any workload lacks it."""
    values = [read(task.features) for task in tasks]
    return [] if any(value is None for value in values) else [np.array(values, float)]


def _cpi(features: Mapping[str, float]) -> float | None:
    return next((1.0 / features[name] for name in _IPC if features.get(name, 0.0) > 0.0), None)


def _tpi(features: Mapping[str, float]) -> float | None:
    if _PER_INSTRUCTION in features:
        return features[_PER_INSTRUCTION]
    if features.get(_INSTRUCTIONS, 0.0) > 0.0 and all(name in features for name in _TRANSACTIONS):
        return sum(features[name] for name in _TRANSACTIONS) / features[_INSTRUCTIONS]
    return None


def _downwards(task: Task) -> list[int]:
    """The default, then lower and lower clocks with all else as it is, until one is no better."""
    rows = [task.default]
    if task.clock is None:
        return rows
    own = task.points[task.default]
    apart = np.delete(task.points != own, task.clock, axis=1).any(axis=1)
    lower = np.flatnonzero(~apart & (task.points[:, task.clock] < own[task.clock]))
    for row in sorted(lower.tolist(), key=lambda row: -task.points[row, task.clock]):
        rows.append(row)
        if not task.feasible[row] or task.cost[row] >= task.cost[rows[-2]]:
            break
    return rows
