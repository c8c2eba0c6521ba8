"""The three plots of a session as SVG text: what was tried in order, predicted against measured, the time-energy front.

Pure functions of measured figures; the colours come from `STYLE`, which serves light and dark.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hwtune.report.axes import BOTTOM, LEFT, RIGHT, TOP, Scale, digits, frame, legend, line, marker, svg, text

THEME = """
:root{color-scheme:light dark;--paper:#fff;--ink:#1c2024;--soft:#60646c;--line:#e3e4e8;--panel:#f6f7f9;--mark:#2f6db5;
--chosen:#b8480b}
@media (prefers-color-scheme:dark){:root{--paper:#15171a;--ink:#eceef0;--soft:#a3a8b0;--line:#2d3137;--panel:#1d2024;
--mark:#74aaee;--chosen:#f59a5c}}
"""
STYLE = """
.plot{display:block;width:100%;height:auto;font:12px system-ui,-apple-system,"Segoe UI",Roboto,sans-serif;fill:none}
.plot text{fill:var(--ink)}
.plot text.soft{fill:var(--soft)}
.plot text.halo{paint-order:stroke;stroke:var(--paper);stroke-width:4px;stroke-linejoin:round;font-weight:600}
.plot text.chosen{fill:var(--chosen)}
.plot .axis{stroke:var(--soft)}
.plot .grid{stroke:var(--line)}
.plot .bar{stroke:var(--mark);stroke-width:1.5;opacity:.55}
.plot .best{stroke:var(--chosen);stroke-width:2}
.plot .front{stroke:var(--mark);stroke-width:1.5;opacity:.6}
.plot .same{stroke:var(--soft);stroke-dasharray:2 4}
.plot .bound{stroke:var(--soft);stroke-dasharray:6 4}
.plot .point{fill:var(--mark);stroke:var(--paper)}
.plot .point.default{fill:var(--ink)}
.plot .point.chosen{fill:var(--chosen)}
.plot .point.missed{fill:var(--paper);stroke:var(--mark);stroke-width:2}
.plot .key{fill:var(--soft);stroke:var(--soft)}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Guess:
    """A predicted figure: its median, and the interval that should hold the truth nine times in ten."""

    median: float
    low: float
    high: float

    def holds(self, value: float) -> bool:
        """Whether the value lies in the interval."""
        return self.low <= value <= self.high


@dataclass(frozen=True, slots=True, kw_only=True)
class Dot:
    """One evaluated setting as the plots need it.

    Args:
        number: place in the order of evaluation, from 1.
        reason: why it was tried, a word of `domain.trial.Reason`.
        label: the setting in words.
        time_s: measured time of one run.
        energy_j: measured energy of one run, or None without a sensor.
        objective: the figure that is minimised, or None where the energy it needs is absent.
        best_objective: the objective of what was recommended after it, or None.
        time_guess: prediction made before the measurement, or None for the first.
        energy_guess: the same for energy.
        stopped_after_s: how long the run lasted that was stopped early: the figures are lower bounds then, and no place
            on a plot is its own; or None.
        default: whether it is the setting that was found on the machine.
        chosen: whether it is the setting recommended at the end.
    """

    number: int
    reason: str
    label: str
    time_s: float
    energy_j: float | None
    objective: float | None
    best_objective: float | None
    time_guess: Guess | None = None
    energy_guess: Guess | None = None
    stopped_after_s: float | None = None
    default: bool = False
    chosen: bool = False

    @property
    def kind(self) -> str:
        """How its marker is drawn."""
        if self.chosen:
            return "chosen"
        return "default" if self.default else ""


def tried(dots: Sequence[Dot], *, objective: str, quality: str, name: str = "tried") -> str | None:
    """What was tried, in order, and the recommendation so far as a step line.

    Args:
        dots: those without the objective are left out, and those that were stopped early.
        objective: name and unit of what is minimised.
        quality: what kind of figures these are: measured, simulated, emulated meter.
        name: identifier of the SVG, unique on a page.

    Returns:
        None without any figure.
    """
    known = [(dot, dot.objective) for dot in dots if dot.objective is not None and dot.stopped_after_s is None]
    steps = [(dot.number, dot.best_objective) for dot in dots if dot.best_objective is not None]
    if not known:
        return None
    x = Scale.counting(dots[-1].number, LEFT, RIGHT)
    y = Scale.over([figure for _, figure in known + steps], BOTTOM, TOP)
    best: list[tuple[float, float]] = []
    for number, figure in steps:
        best += [(x.at(number), y.at(figure)), (x.at(number + 1), y.at(figure))]
    points = "".join(
        marker(
            x.at(dot.number),
            y.at(figure),
            dot.reason,
            dot.kind,
            f"{dot.number}, {dot.reason}: {dot.label}; {objective} {digits(figure)}",
        )
        for dot, figure in known
    )
    keys = [(reason, reason) for reason in dict.fromkeys(dot.reason for dot, _ in known)]
    after = f" What is recommended in the end has {digits(steps[-1][1])}." if steps else ""
    return svg(
        name,
        f"What was tried, in order ({quality})",
        f"{objective} of {len(known)} evaluated settings; the first has {digits(known[0][1])}.{after}",
        frame(x, y, "evaluation", f"{objective}, {quality}")
        + (line(best, "best") if best else "")
        + points
        + legend([*keys, *([("line", "recommended")] if best else [])], 14, 16),
    )


def predicted(dots: Sequence[Dot], *, quantity: str, unit: str, quality: str) -> str | None:
    """Predicted against measured time or energy, with 90 % bars and the line on which both are the same.

    Args:
        dots: those without a prediction or measurement are left out, and those that were stopped early.
        quantity: `time` or `energy`.
        unit: of its figures.
        quality: what kind of figures the measured ones are.

    Returns:
        None when nothing was both predicted and measured.
    """
    whole = [dot for dot in dots if dot.stopped_after_s is None]
    pairs = [(dot, guess, value) for dot in whole for guess, value in [_guessed(dot, quantity)] if guess and value]
    if not pairs:
        return None
    figures = [figure for _, guess, value in pairs for figure in (guess.median, value)]
    # Early bars may be very wide; they may cost the points half of their room, and end at the border.
    middle = [figure for _, guess, _ in pairs for figure in (guess.low, guess.high)]
    span = max(figures) - min(figures) or max(figures) * 0.1
    figures += [figure for figure in middle if min(figures) - span / 2 <= figure <= max(figures) + span / 2]
    x, y = Scale.over(figures, LEFT, RIGHT), Scale.over(figures, BOTTOM, TOP)
    held = sum(guess.holds(value) for _, guess, value in pairs)
    parts = [
        frame(x, y, f"{quality} {quantity} ({unit})", f"predicted {quantity} ({unit})"),
        line(((x.at(x.low), y.at(y.low)), (x.at(x.high), y.at(y.high))), "same"),
    ]
    for _, guess, value in pairs:
        parts.append(line(((x.at(value), y.at(guess.low)), (x.at(value), y.at(guess.high))), "bar"))
    for dot, guess, value in pairs:
        title = (
            f"{dot.number}, {dot.label}: predicted {digits(guess.median)} {unit} "
            f"({digits(guess.low)} to {digits(guess.high)}), {quality} {digits(value)} {unit}"
        )
        parts.append(marker(x.at(value), y.at(guess.median), "explore", "" if guess.holds(value) else "missed", title))
    parts.append(text(14, 16, f"bar: 90 % interval; it held {held} of {len(pairs)}; hollow: it did not", kind="soft"))
    return svg(
        f"predicted-{quantity}",
        f"Predicted against {quality} {quantity}",
        f"{len(pairs)} settings predicted before they were run; {held} lie inside their 90 % interval. "
        "On the dotted diagonal both are the same.",
        "".join(parts),
    )


def _guessed(dot: Dot, quantity: str) -> tuple[Guess | None, float | None]:
    return (dot.time_guess, dot.time_s) if quantity == "time" else (dot.energy_guess, dot.energy_j)


def pareto(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The points that no other one beats in both, by ascending time."""
    front: list[tuple[float, float]] = []
    for time_s, energy_j in sorted(set(points)):
        if not front or energy_j < front[-1][1]:
            front.append((time_s, energy_j))
    return front


def front(
    dots: Sequence[Dot],
    *,
    max_slowdown: float | None,
    time_quality: str,
    energy_quality: str,
    units: tuple[str, str] = ("s", "J"),
    name: str = "front",
) -> str | None:
    """Time against energy of all tried settings, the Pareto front among them, and the slowdown bound.

    Args:
        dots: those without energy are left out.
        max_slowdown: largest run time relative to the default, less one, or None for no bound.
        time_quality: what kind of figures the times are.
        energy_quality: what kind of figures the energies are.
        units: of times and energies.
        name: identifier of the SVG, unique on a page.

    Returns:
        None without energy.
    """
    known = [(dot, dot.time_s, dot.energy_j) for dot in dots if dot.energy_j is not None]
    if not known:
        return None
    times, energies = [time_s for _, time_s, _ in known], [energy_j for _, _, energy_j in known]
    default_s = next((time_s for dot, time_s, _ in known if dot.default), None)
    bound_s = None if max_slowdown is None or default_s is None else default_s * (1 + max_slowdown)
    if bound_s is not None and bound_s > max(times) * 1.25:
        bound_s = None  # far from everything that was tried: it would only squeeze the points
    x = Scale.over(times if bound_s is None else [*times, bound_s], LEFT, RIGHT)
    y = Scale.over(energies, BOTTOM, TOP)
    steps: list[tuple[float, float]] = []
    best = pareto(list(zip(times, energies, strict=True)))
    for time_s, energy_j in best:
        steps += [(x.at(time_s), steps[-1][1])] if steps else []
        steps.append((x.at(time_s), y.at(energy_j)))
    of = " of a run" if units[0] == "s" else ""
    labels = f"time{of} ({units[0]}), {time_quality}", f"energy{of} ({units[1]}), {energy_quality}"
    parts = [frame(x, y, *labels), line(steps, "front")]
    if bound_s is not None and max_slowdown is not None:
        parts.append(line(((x.at(bound_s), TOP), (x.at(bound_s), BOTTOM)), "bound"))
        label = f"bound +{max_slowdown * 100:g} %"
        parts.append(text(min(x.at(bound_s), RIGHT - 30), TOP - 5, label, anchor="middle", kind="soft"))
    for dot, time_s, energy_j in sorted(known, key=lambda item: (item[0].chosen, item[0].default)):
        title = f"{dot.number}, {dot.reason}: {dot.label}; {digits(time_s)} {units[0]}, {digits(energy_j)} {units[1]}"
        parts.append(marker(x.at(time_s), y.at(energy_j), dot.reason, dot.kind, title))
    parts += _names(known, x, y)
    parts.append(legend([(reason, reason) for reason in dict.fromkeys(dot.reason for dot in dots)], 14, 16))
    return svg(
        name,
        f"Time and energy of every tried setting ({energy_quality})",
        f"{len(known)} settings; {len(best)} of them are on the front, where less energy costs more time.",
        "".join(parts),
    )


def _names(known: Sequence[tuple[Dot, float, float]], x: Scale, y: Scale) -> list[str]:
    """The default and the chosen point by name, once each: above it, towards the middle, clear of each other."""
    default = next((item for item in known if item[0].default), None)
    chosen = next((item for item in known if item[0].chosen), None)
    parts: list[str] = []
    above: tuple[float, float] | None = None
    for item, words in ((default, "default, chosen" if default is chosen else "default"), (chosen, "chosen")):
        if item is None or (item is default and words == "chosen"):
            continue
        at_x, at_y = x.at(item[1]), y.at(item[2])
        close = above is not None and abs(at_x - above[0]) < 110 and abs(at_y - above[1]) < 14
        above = at_x, at_y
        left = at_x > (LEFT + RIGHT) / 2
        kind = "halo chosen" if item[0].chosen else "halo"
        anchor = "end" if left else "start"
        parts.append(text(at_x + (-8 if left else 8), at_y + (18 if close else -8), words, anchor=anchor, kind=kind))
    return parts
