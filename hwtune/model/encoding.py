"""Settings as rows of numbers that gradients can flow through.

A range knob is one column, its value or the logarithm of it; a choice knob is one column per choice, 1 or 0. A row may
be relaxed: a column between two levels, or choices that add up to one. `Encoding.settle` makes rows that act alike
equal.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from hwtune.domain.knob import ChoiceKnob, Knob, KnobSpace, RangeKnob, Setting, Value

_LOG_ROLES = frozenset({"frequency", "frequency_floor", "memory_frequency", "active_cpus", "power_cap"})


def tensor(values: object) -> Tensor:
    """A float64 tensor: the model knows no other precision."""
    return torch.as_tensor(values, dtype=torch.float64)


class Encoding:
    """The columns of one space of knobs.

    Attributes:
        columns: columns of each knob, by name.
        width: number of columns.
        low: smallest value of each column (`width`).
        span: largest less smallest value of each column (`width`).
        default: the row of the default setting (`width`).
    """

    def __init__(self, space: KnobSpace) -> None:
        self.space = space
        self.columns: dict[str, slice] = {}
        limits: list[tuple[float, float]] = []
        for knob in space.knobs:
            start = len(limits)
            if isinstance(knob, RangeKnob):
                ends = (knob.low, knob.high, knob.default)
                limits.append((column(knob, min(ends)), column(knob, max(ends))))
            else:
                limits += [(0.0, 1.0)] * len(knob.choices)
            self.columns[knob.name] = slice(start, len(limits))
        self.width = len(limits)
        self.low = tensor([low for low, _ in limits])
        self.span = tensor([max(high - low, 1e-9) for low, high in limits])
        self._default = tensor([number for knob in space.knobs for number in part(knob, knob.default)])
        self._bound = [knob for knob in space.knobs if knob.active_when]
        self.default = self.encode([space.default])[0]

    def encode(self, settings: Iterable[Mapping[str, Value]]) -> Tensor:
        """Rows of settings `(n, width)`, settled; a knob that a setting leaves out stands at its default."""
        rows = [
            [number for knob in self.space.knobs for number in part(knob, setting.get(knob.name, knob.default))]
            for setting in settings
        ]
        return self.settle(tensor(rows).reshape(-1, self.width))

    def decode(self, row: Tensor) -> Setting:
        """The setting whose every value is nearest to a row (`width`); limits across knobs are not looked at."""
        values: dict[str, Value] = {}
        for knob in self.space.knobs:
            numbers = row[self.columns[knob.name]]
            if isinstance(knob, RangeKnob):
                values[knob.name] = knob.nearest(math.exp(numbers.item()) if is_log(knob) else numbers.item())
            else:
                values[knob.name] = knob.choices[int(numbers.argmax())]
        return Setting(values)

    def at_default(self, x: Tensor) -> Tensor:
        """Which rows are the default setting (`b`, bool)."""
        return (x - self.default).abs().amax(-1) < 1e-9

    def settle(self, x: Tensor) -> Tensor:
        """Rows `(…, width)` with no low limit above its high one and inactive knobs at their defaults.

        Differentiable: of a low limit above the high one, the high one decides; a knob counts as far as the choices
        that activate it do.
        """
        parts = {name: x[..., columns] for name, columns in self.columns.items()}
        for low, high in self.space.ordered_pairs:
            low_is_log, high_is_log = is_log(self.space[low]), is_log(self.space[high])
            limit = parts[high]
            if low_is_log != high_is_log:
                limit = limit.clamp_min(1e-9).log() if low_is_log else limit.exp()
            parts[low] = torch.minimum(parts[low], limit)
        for knob in self._bound:
            columns = self.columns[knob.name]
            share = torch.ones_like(x[..., :1])
            for when in knob.active_when:
                if when.knob in self.columns:
                    share = share * self._share(self.space[when.knob], when.values, parts[when.knob])
            parts[knob.name] = share * parts[knob.name] + (1.0 - share) * self._default[columns]
        return torch.cat(list(parts.values()), dim=-1)

    @staticmethod
    def _share(knob: Knob, values: tuple[Value, ...], numbers: Tensor) -> Tensor:
        """How far a knob has one of these values: 0 or 1, in between for relaxed choices `(…, 1)`."""
        if isinstance(knob, ChoiceKnob):
            wanted = tensor([1.0 if choice in values else 0.0 for choice in knob.choices])
            return (numbers * wanted).sum(-1, keepdim=True)
        columns = tensor([column(knob, value) for value in values if isinstance(value, int)])
        return ((numbers - columns).abs() < 1e-6).any(-1, keepdim=True).to(numbers.dtype)


def part(knob: Knob, value: Value) -> list[float]:
    """The columns of one knob; a word that is not on offer stands as the default."""
    if isinstance(knob, RangeKnob):
        return [column(knob, value if isinstance(value, int) else knob.default)]
    word = value if value in knob.choices else knob.default
    return [1.0 if choice == word else 0.0 for choice in knob.choices]


def column(knob: RangeKnob, value: float) -> float:
    """A range knob's value as it stands in its column."""
    return math.log(max(value, 1e-9)) if is_log(knob) else float(value)


def is_log(knob: Knob) -> bool:
    """Whether a knob's column holds the logarithm of its value."""
    return isinstance(knob, RangeKnob) and knob.role in _LOG_ROLES and knob.low > 0
