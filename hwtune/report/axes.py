"""Axes of a small scatter plot as SVG text: scales, ticks, frame, markers. No plotting library, no script."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from math import ceil, floor, log10

# Drawn in these units and scaled to the width at hand: text of 12 stays readable on a phone 360 pixels wide.
WIDTH, HEIGHT = 440, 340
LEFT, RIGHT, TOP, BOTTOM = 54, 426, 58, 298

# Beyond this ratio of the largest to the smallest value a linear axis squeezes the small ones together.
_LOG_FROM = 12.0


def digits(value: float, significant: int = 3) -> str:
    """A number with so many significant digits, never in powers of ten: 0.0123, 1.23, 123, 12345."""
    if value == 0:
        return "0"
    return f"{value:.{max(0, significant - 1 - floor(log10(abs(value))))}f}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """From values to coordinates.

    Args:
        low: value at `start`.
        high: value at `end`, greater than `low`.
        start: coordinate.
        end: coordinate; less than `start` for an axis that grows upwards.
        logarithmic: equal ratios are equal distances.
        ticks: values to mark, all inside.
    """

    low: float
    high: float
    start: float
    end: float
    logarithmic: bool
    ticks: tuple[float, ...]

    @classmethod
    def over(cls, values: Sequence[float], start: float, end: float) -> Scale:
        """A scale with some room around positive values; logarithmic when they span more than a decade or so."""
        low, high = min(values), max(values)
        if low > 0 and high / low > _LOG_FROM:
            low, high = low / 1.15, high * 1.15
            return cls(low=low, high=high, start=start, end=end, logarithmic=True, ticks=_log_ticks(low, high))
        # What differs in the last bit only is one value, written in two ways.
        one = high - low <= 1e-9 * abs(high)
        room = (abs(high) * 0.1 or 1.0) if one else (high - low) * 0.07
        low, high = low - room, high + room
        return cls(low=low, high=high, start=start, end=end, logarithmic=False, ticks=linear_ticks(low, high))

    @classmethod
    def counting(cls, last: int, start: float, end: float) -> Scale:
        """A scale for 1 … `last`, with ticks at whole numbers."""
        step = max(1, ceil(last / 14))
        ticks = tuple(float(n) for n in range(step if step > 1 else 1, last + 1, step))
        return cls(low=0.5, high=last + 0.5, start=start, end=end, logarithmic=False, ticks=ticks)

    def at(self, value: float) -> float:
        """The coordinate of a value; what lies outside is put on the border."""
        value = min(max(value, self.low), self.high)
        if self.logarithmic:
            share = log10(value / self.low) / log10(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return round(self.start + share * (self.end - self.start), 1)

    def labels(self) -> tuple[str, ...]:
        """The ticks in words, all with the decimals that the smallest step needs."""
        if self.logarithmic or len(self.ticks) < 2:
            return tuple(f"{tick:g}" for tick in self.ticks)
        decimals = max(0, -floor(log10(self.ticks[1] - self.ticks[0]) + 1e-9))
        return tuple(f"{tick:.{decimals}f}" for tick in self.ticks)


def linear_ticks(low: float, high: float) -> tuple[float, ...]:
    """Multiples of 1, 2 or 5 times a power of ten, four to eight of them."""
    raw = (high - low) / 5
    power = 10.0 ** floor(log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw * 0.8)
    return tuple(n * step for n in range(ceil(low / step), floor(high / step) + 1))


def _log_ticks(low: float, high: float) -> tuple[float, ...]:
    factors = (1, 2, 5) if high / low < 300 else (1,)
    decades = range(floor(log10(low)), ceil(log10(high)) + 1)
    return tuple(
        factor * 10.0**decade for decade in decades for factor in factors if low <= factor * 10.0**decade <= high
    )


def text(x: float, y: float, words: str, *, anchor: str = "start", kind: str = "") -> str:
    """A line of text, escaped."""
    return f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}"{_class(kind)}>{escape(words)}</text>'


def line(points: Iterable[tuple[float, float]], kind: str) -> str:
    """A polyline through coordinates."""
    return f'<polyline points="{" ".join(f"{x:g},{y:g}" for x, y in points)}"{_class(kind)}/>'


# Each about 10 wide around 0,0, and told apart without colour.
MARKERS = {
    "default": "M-4.5-4.5H4.5V4.5H-4.5Z",
    "explore": "M0-5A5 5 0 1 1 0 5A5 5 0 1 1 0-5Z",
    "exploit": "M0-5.8L5.4 4.2H-5.4Z",
    "expand": "M0-6L6 0L0 6L-6 0Z",
    "verify": "M0-7L2-2L7 0L2 2L0 7L-2 2L-7 0L-2-2Z",
}


def marker(x: float, y: float, reason: str, kind: str, title: str) -> str:
    """A data point: its reason as the shape, what it is as its title (the browser's tooltip, a reader's text)."""
    return (
        f'<path class="point {kind}" transform="translate({x:g} {y:g})" d="{MARKERS[reason]}">'
        f"<title>{escape(title)}</title></path>"
    )


def legend(entries: Sequence[tuple[str, str]], x: float, y: float) -> str:
    """Markers (or, for `line`, a stroke of the best-so-far line) with their meaning, from left to right."""
    parts = []
    for shape, words in entries:
        if shape == "line":
            parts.append(line(((x - 4, y - 4), (x + 12, y - 4)), "best"))
            x += 8
        else:
            parts.append(f'<path class="key" transform="translate({x:g} {y - 4:g})" d="{MARKERS[shape]}"/>')
        parts.append(text(x + 9, y, words, kind="soft"))
        x += 30 + 6.6 * len(words)
    return "".join(parts)


def frame(x: Scale, y: Scale, x_label: str, y_label: str) -> str:
    """Grid, ticks and the names of the axes with their units."""
    parts = [line(((LEFT, BOTTOM), (RIGHT, BOTTOM)), "axis")]
    for tick, words in zip(x.ticks, x.labels(), strict=True):
        parts.append(line(((x.at(tick), BOTTOM), (x.at(tick), BOTTOM + 4)), "axis"))
        parts.append(text(x.at(tick), BOTTOM + 18, words, anchor="middle", kind="soft"))
    for tick, words in zip(y.ticks, y.labels(), strict=True):
        parts.append(line(((LEFT, y.at(tick)), (RIGHT, y.at(tick))), "grid"))
        parts.append(text(LEFT - 8, y.at(tick) + 4, words, anchor="end", kind="soft"))
    parts.append(text((LEFT + RIGHT) / 2, BOTTOM + 36, x_label, anchor="middle"))
    parts.append(text(8, TOP - 24, y_label))
    return "".join(parts)


def svg(name: str, title: str, description: str, body: str) -> str:
    """One plot, with the words a screen reader speaks instead of it.

    Args:
        name: unique on the page; letters, digits and hyphens.
        title: what is shown.
        description: what is to be seen in it.
        body: SVG elements.
    """
    return (
        f'<svg class="plot" id="{name}" viewBox="0 0 {WIDTH} {HEIGHT}" xmlns="http://www.w3.org/2000/svg" role="img" '
        f'aria-labelledby="{name}-title {name}-desc"><title id="{name}-title">{escape(title)}</title>'
        f'<desc id="{name}-desc">{escape(description)}</desc>{body}</svg>'
    )


def _class(kind: str) -> str:
    return f' class="{kind}"' if kind else ""
