"""From gradient steps to a legal setting: the nearest one to each decoded end, its neighbours, and a climb over them.

The relaxed optimum is only where the climb begins. Every setting scored here is one the kernel takes, in canonical
form, so that two settings that act alike are one.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence

import torch
from torch import Tensor

from hwtune.domain.knob import ChoiceKnob, Knob, RangeKnob, Setting, Value
from hwtune.model.encoding import Encoding
from hwtune.tuner.relaxation import Acquisition, Relaxation

Score = Callable[[Sequence[Setting]], Sequence[float]]
"""What each setting is worth; the higher the better."""

_NEAREST = 8  # neighbours by distance, where only some settings are on offer
_WIDTH = 6  # settings whose neighbours are scored at once
_ROUNDS = 30


class Neighbourhood:
    """Legal settings of a space and which of them are close to each other."""

    def __init__(self, encoding: Encoding) -> None:
        self.encoding = encoding
        self._space = encoding.space
        self._offered: tuple[Setting, ...] = ()
        if self._space.allowed is not None:
            self._offered = tuple(dict.fromkeys(self._space.canonical(row) for row in self._space.allowed))
            self._offered_rows = self._scaled(self._offered)

    def legal(self, setting: Setting) -> Setting:
        """The canonical legal setting nearest to one whose single values are legal."""
        if self._offered:
            return self._nearest(setting, 1)[0]
        values: dict[str, Value] = dict(setting)
        for low, high in self._space.ordered_pairs:
            ceiling, knob = values[high], self._space[low]
            if isinstance(knob, RangeKnob) and isinstance(ceiling, int) and int(values[low]) > ceiling:
                under = knob.nearest(ceiling)
                values[low] = under if under <= ceiling else knob.low
        return self._space.canonical(values)

    def around(self, setting: Setting) -> Iterator[Setting]:
        """Legal settings one step away: another choice, a level up or down, near or a stride away."""
        if self._offered:
            yield from self._nearest(setting, _NEAREST + 1)
        for knob in self._space.knobs:
            if self._space.active(knob, setting):
                for value in _steps(knob, setting[knob.name]):
                    moved = self.legal(setting | {knob.name: value})
                    if moved != setting and (self._offered or self._space.legal(moved)):
                        yield moved

    def _nearest(self, setting: Setting, count: int) -> list[Setting]:
        distance = (self._offered_rows - self._scaled([setting])).square().sum(-1)
        return [self._offered[index] for index in distance.argsort(stable=True)[:count].tolist()]

    def _scaled(self, settings: Sequence[Setting]) -> Tensor:
        return (self.encoding.encode(settings) - self.encoding.low) / self.encoding.span


def _steps(knob: Knob, value: Value) -> list[Value]:
    """Other values of a knob to try from this one."""
    if isinstance(knob, ChoiceKnob):
        return [choice for choice in knob.choices if choice != value]
    here = int(value)
    if knob.levels is not None:
        at, last = knob.levels.index(knob.nearest(here)), len(knob.levels) - 1
        stride = max(1, (last + 1) // 6)
        return [knob.default, *(knob.levels[min(max(at + move, 0), last)] for move in (-stride, -1, 1, stride))]
    stride = max(knob.step, (knob.high - knob.low) // 6)
    moves = (-stride, -stride // 4, -knob.step, knob.step, stride // 4, stride)
    return [knob.default, *(knob.nearest(here + move) for move in moves)]


def paths(
    near: Neighbourhood, acquisition: Acquisition, starts: Sequence[Setting], generator: torch.Generator
) -> list[Setting]:
    """Where gradient steps on the relaxed space end, and where they started: what a climb begins with.

    Args:
        near: legal settings of the space.
        acquisition: values (`b`) of rows (`(b, width)`), to be maximised.
        starts: settings to start at, besides random ones.
        generator: of everything random.
    """
    return [*starts, *Relaxation(near.encoding).maximise(acquisition, starts, generator)]


def worths(near: Neighbourhood, acquisition: Acquisition, parsimony: float) -> Score:
    """What settings are worth: their acquisition, less `parsimony` for each knob that differs from the default.

    So no knob is turned for nothing.
    """
    default = near.legal(near.encoding.space.default)

    def score(settings: Sequence[Setting]) -> list[float]:
        if not settings:
            return []
        with torch.no_grad():
            values: list[float] = acquisition(near.encoding.encode(settings)).tolist()
        return [v - parsimony * len(default.diff(setting)) for v, setting in zip(values, settings, strict=True)]

    return score


def climb(
    near: Neighbourhood, starts: Sequence[Setting], score: Score, without: Collection[Setting]
) -> list[tuple[float, Setting]]:
    """Scored legal settings, best first, that are not in `without`; empty when every legal setting is.

    Best-first: the neighbours of the best settings so far are scored, until the best ones have nothing better around
    them. Settings in `without` are passed through.
    """
    scores: dict[Setting, float] = {}
    expanded: set[Setting] = set()
    fresh = dict.fromkeys(near.legal(start) for start in starts)
    rounds = 0
    while True:
        scores.update(zip(fresh, score(list(fresh)), strict=True))
        ranked = sorted(scores, key=lambda setting: -scores[setting])
        new = [setting for setting in ranked if setting not in without]
        grow = [setting for setting in ([*ranked[:_WIDTH], new[0]] if new else ranked) if setting not in expanded]
        if not grow or (new and rounds >= _ROUNDS):
            return [(scores[setting], setting) for setting in new]
        expanded.update(grow)
        fresh = dict.fromkeys(other for setting in grow for other in near.around(setting) if other not in scores)
        rounds += 1
