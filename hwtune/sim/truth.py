"""What is true of an imaginary machine without noise, and the best that could be reached on it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial, reduce
from itertools import product
from math import inf, prod
from operator import or_

import numpy as np
from numpy.typing import NDArray

from hwtune.domain.errors import UsageError
from hwtune.domain.knob import ChoiceKnob, Knob, KnobSpace, RangeKnob, Setting, Value
from hwtune.domain.objective import Bound, Objective
from hwtune.sim.chip import Chip
from hwtune.sim.governors import Floats
from hwtune.sim.job import Hopeless, finish
from hwtune.sim.plant import Plant, State
from hwtune.sim.settings import columns, complete, controls
from hwtune.sim.workloads import Workload

# More values than a frequency table has.
_MANY = 80
_LARGEST = 300_000
_BATCH = 8_000
# A run repeats itself: after the first tenth its pace is known to a few percent.
_JUDGED, _FAR = 0.1, 1.12

# The clusters' whole settings with everything that does nothing left out.
_Point = tuple[tuple[tuple[str, Value], ...], ...]


class Truth:
    """Noise-free runs of one workload on one chip, remembered by what they come down to."""

    def __init__(self, chip: Chip, workload: Workload) -> None:
        self._chip = chip
        self._workload = workload
        columns_ = columns(chip)
        self._clusters = [column.cluster for column in columns_]
        self._plant = Plant(chip, columns_)
        self._rest: State | None = None
        self._known: dict[_Point, tuple[float, float, float]] = {}

    def of(self, setting: Mapping[str, Value]) -> tuple[float, float]:
        """Time (s) and energy (J) of one run from rest under a setting."""
        return self.of_all((setting,))[0]

    def of_all(self, settings: Sequence[Mapping[str, Value]]) -> list[tuple[float, float]]:
        """Time (s) and energy (J) under each of many settings, run together."""
        points = [self._point(setting) for setting in settings]
        self._run(list(dict.fromkeys(points)))
        return [self._known[point][:2] for point in points]

    def oracle(self, space: KnobSpace, objective: Objective, bound: Bound) -> tuple[Setting, float, float]:
        """The best setting of a space within the bound; the default when nothing else is.

        Raises:
            UsageError: a space with too many settings.
        """
        default = space.default
        points = self._points(space)
        points[self._point(default)] = (default,)
        limit_s = self.of(default)[0] * (1.0 + (inf if bound.max_slowdown is None else bound.max_slowdown)) + 1e-9

        def cost(point: _Point) -> float:
            time_s, energy_j, temp_c = self._known[point]
            if time_s > limit_s:
                return inf
            if bound.max_power_w is not None and energy_j / time_s > bound.max_power_w:
                return inf
            if bound.max_temp_c is not None and temp_c > bound.max_temp_c:
                return inf
            return objective.value_of(time_s, energy_j)

        # Sparse looks first: they give a figure to beat, and what cannot beat it any more is not run to its end.
        order, best = list(points), self._point(default)
        for stride in (499, 41, 1):
            least = cost(best)
            self._run(order[::stride], partial(self._hopeless, objective, least, limit_s))
            best = min((point for point in order[::stride] if point in self._known), key=cost, default=best)
        setting = reduce(or_, points[best]) if cost(best) < inf else default
        return space.canonical(setting), *self.of(setting)

    def _hopeless(
        self, objective: Objective, least: float, limit_s: float, state: State, progress: Floats
    ) -> NDArray[np.bool_]:
        """Rows that at their pace end far above `least`, or far beyond the time limit."""
        share = np.maximum(progress, 1e-3)
        time_s, energy_j = state.time_s / share, self.metered_j(state) / share
        cost = energy_j * time_s ** (objective.time_exponent - 1.0) if objective.needs_energy else time_s
        lost: NDArray[np.bool_] = (progress > _JUDGED) & ((cost > _FAR * least) | (time_s > _FAR * limit_s))
        return lost

    def _points(self, space: KnobSpace) -> dict[_Point, tuple[Setting, ...]]:
        """Each different thing that the legal settings of a space come down to, with the parts of one such setting.

        Raises:
            UsageError: too many.
        """
        if space.allowed is not None:
            return {self._point(row): (Setting(row),) for row in space.allowed}
        long = sum(_is_long(knob) for knob in space.knobs)
        few = 5 if long <= 2 else 3 if long <= 4 else 1
        groups: dict[str, list[Knob]] = {"": []}
        for knob in space.knobs:
            match = re.match(r"policy\d+\.", knob.name)
            groups.setdefault(match[0] if match else "", []).append(knob)
        shared = groups.pop("")
        points: dict[_Point, tuple[Setting, ...]] = {}
        for common in _options(shared, space.ordered_pairs, few):
            # Clusters are independent: what comes down to the same within one is left out before they are combined.
            base = self._point(common)
            own: list[dict[_Point, Setting]] = []
            for knobs in groups.values():
                options = _options(knobs, space.ordered_pairs, few)
                own.append({self._point(common | option): option for option in options})
            if len(points) + prod(len(each) for each in own) > _LARGEST:
                raise UsageError("too many settings for a brute-force oracle", hint="tune fewer knobs with --knobs")
            for chosen in product(*(each.items() for each in own)):
                point = base
                for part, _ in chosen:
                    point = tuple(new if new != old else now for new, old, now in zip(part, base, point, strict=True))
                points.setdefault(point, (common, *(option for _, option in chosen)))
        return points

    def _point(self, setting: Mapping[str, Value]) -> _Point:
        """What a setting comes down to, cluster by cluster."""
        return tuple(
            _essence(self._chip, whole, cluster.base_khz, turbo_is_a_level=cluster.turbo_is_a_level)
            for whole, cluster in zip(complete(self._chip, setting), self._clusters, strict=True)
        )

    def _run(self, points: Sequence[_Point], hopeless: Hopeless | None = None) -> None:
        new = [point for point in points if point not in self._known]
        for start in range(0, len(new), _BATCH):
            batch = new[start : start + _BATCH]
            rows = [[dict(whole) for whole in point] for point in batch]
            state = self._at_rest().rows(np.zeros(len(batch), dtype=np.int64))
            whole = finish(self._plant, self._workload, state, controls(self._chip, self._clusters, rows), hopeless)
            energy_j = self.metered_j(state)
            for i, point in enumerate(batch):
                if whole[i]:
                    self._known[point] = (float(state.time_s[i]), float(energy_j[i]), float(state.die_c[i].max()))

    def _at_rest(self) -> State:
        """The machine as it comes: idle for long under its defaults."""
        if self._rest is None:
            row = complete(self._chip, {})
            self._rest = self._plant.idle_state(controls(self._chip, self._clusters, [row]))
        return self._rest

    def metered_j(self, state: State) -> Floats:
        """What the machine's meter has counted, per row: packages by RAPL, a board's meter everything."""
        packages: Floats = state.package_j.sum(axis=1)
        if self._chip.meter == "rapl":
            return packages
        board: Floats = packages + state.dram_j.sum(axis=1) + self._chip.board_w * state.time_s
        return board


def _essence(
    chip: Chip, whole: dict[str, Value], base_khz: int, *, turbo_is_a_level: bool
) -> tuple[tuple[str, Value], ...]:
    """The same effect with everything left out that does nothing, so that alike settings are run once."""
    governor = str(whole["governor"])
    kept = dict(whole)
    lowest = chip.clusters[0].min_khz
    if governor == "performance":
        kept["min"] = lowest
        if chip.hardware_managed:
            kept["epp"] = 0
    elif governor == "powersave" and not chip.hardware_managed:
        kept["max"] = whole["min"]
    if str(kept["boost"]) == "0" and int(kept["max"]) > base_khz:
        kept["max"] = base_khz
    if int(kept["max"]) <= base_khz and int(kept["min"]) <= base_khz:
        kept["boost"] = "1"
    for name in [name for name in kept if "." in name and not name.startswith(f"{governor}.")]:
        del kept[name]
    return tuple(sorted(kept.items()))


def _options(knobs: Sequence[Knob], pairs: Sequence[tuple[str, str]], few: int) -> Iterator[Setting]:
    """Every assignment of these knobs that keeps the limits across them; what does nothing stays at its default."""
    names = {knob.name for knob in knobs}
    inside = [pair for pair in pairs if names.issuperset(pair)]

    def grow(chosen: dict[str, Value], rest: Sequence[Knob]) -> Iterator[Setting]:
        if not rest:
            if all(float(chosen[low]) <= float(chosen[high]) for low, high in inside):
                yield Setting(chosen)
            return
        knob = rest[0]
        active = all(chosen.get(when.knob, when.values[0]) in when.values for when in knob.active_when)
        for value in _values(knob, few) if active else (knob.default,):
            yield from grow({**chosen, knob.name: value}, rest[1:])

    return grow({}, knobs)


def _is_long(knob: Knob) -> bool:
    """Whether it is a governor tunable, or a range longer than a frequency table."""
    many = isinstance(knob, RangeKnob) and len(knob.levels or range(knob.low, knob.high + 1, knob.step)) > _MANY
    return knob.role == "other" or many


def _values(knob: Knob, few: int) -> tuple[Value, ...]:
    """All values, but of a long range `few` and the default."""
    if isinstance(knob, ChoiceKnob):
        return knob.choices
    levels = knob.levels or range(knob.low, knob.high + 1, knob.step)
    if not _is_long(knob):
        return tuple(levels)
    spread = (levels[round(i * (len(levels) - 1) / (few - 1))] for i in range(few)) if few > 1 else ()
    return tuple(sorted({*spread, knob.default}))
