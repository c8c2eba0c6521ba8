"""Gradients on the machine itself: each knob a step up and down, interleaved, judged pair by pair."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import log

from hwtune.domain.knob import ChoiceKnob, Knob, KnobSpace, RangeKnob, Setting, Value
from hwtune.domain.objective import Objective
from hwtune.domain.slope import Contrast
from hwtune.domain.trial import Run
from hwtune.knobs.transaction import Transaction
from hwtune.session import Work
from hwtune.workload.verdict import Interval95, abba, judge, paired_ratio


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """Change of the logarithm of a figure along a step, and the interval that holds it in 95 of 100 measurements."""

    change: float
    interval_95: Interval95

    def holds(self, value: float) -> bool:
        """Whether a value lies in the interval."""
        return self.interval_95[0] <= value <= self.interval_95[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One step, measured; power is None where a run has no energy."""

    time: Estimate
    power: Estimate | None
    objective: Estimate
    runs: int


def contrasts(space: KnobSpace, at: Setting) -> tuple[Contrast, ...]:
    """The steps around a setting: of each range its two neighbouring levels, of each choice the default's and another.

    A knob that does nothing there has none; at the end of a range the setting itself is one of the two.
    """
    return tuple(contrast for knob in space.knobs if space.active(knob, at) for contrast in _steps(space, knob, at))


def _steps(space: KnobSpace, knob: Knob, at: Setting) -> Iterator[Contrast]:
    if isinstance(knob, ChoiceKnob):
        pairs: list[tuple[Value, Value]] = [(knob.default, word) for word in knob.choices if word != knob.default]
    else:
        below, above = _neighbours(knob, int(at[knob.name]))
        here = [value for value in (below, int(at[knob.name]), above) if space.legal(at | {knob.name: value})]
        pairs = [(here[0], here[-1])] if here else []
    for one, other in pairs:
        first, second = (space.canonical(at | {knob.name: value}) for value in (one, other))
        if first != second and space.legal(first) and space.legal(second):
            yield Contrast(knob=knob.name, first=first, second=second)


def _neighbours(knob: RangeKnob, value: int) -> tuple[int, int]:
    """The legal values below and above one, the value itself where there is none."""
    if knob.levels is None:
        return max(value - knob.step, knob.low), value + knob.step if value + knob.step <= knob.high else value
    return (
        max((level for level in knob.levels if level < value), default=value),
        min((level for level in knob.levels if level > value), default=value),
    )


def measure(
    contrast: Contrast, *, space: KnobSpace, transaction: Transaction, work: Work, objective: Objective, blocks: int
) -> Measured | None:
    """A step on the machine, in ABBA blocks; None where the kernel makes the same of both settings.

    It is also None where somebody, or a suspend, has changed what was set in the middle.

    Raises:
        ForeignEdit: somebody has, and that is to end it.
        Unsupported: the energy meter cannot tell what a run used, and the objective needs it.
    """
    settings = {"A": contrast.first, "B": contrast.second}
    runs: dict[str, list[Run]] = {"A": [], "B": []}
    effective: dict[str, Setting] = {}
    for arm in abba(blocks):
        effective[arm] = space.canonical(transaction.apply(settings[arm]).effective.only(space.names))
        if len(effective) == 2 and effective["A"] == effective["B"]:
            return None
        runs[arm].extend(work.measure(1))
        changed = transaction.look()
        if changed.foreign or changed.lost:
            return None
        if objective.needs_energy:
            runs[arm][-1].metered_j()
    verdict = judge(runs["A"], runs["B"], objective)
    pairs = [
        (a.energy_j / a.time_s, b.energy_j / b.time_s)
        for a, b in zip(runs["A"], runs["B"], strict=True)
        if a.energy_j is not None and b.energy_j is not None
    ]
    return Measured(
        time=_estimate(verdict.time_ratio, verdict.time_ratio_95),
        power=_estimate(*paired_ratio(pairs)) if len(pairs) == verdict.runs else None,
        objective=_estimate(verdict.objective_ratio, verdict.objective_ratio_95),
        runs=verdict.runs,
    )


def _estimate(ratio: float, interval: Interval95) -> Estimate:
    return Estimate(change=log(ratio), interval_95=(log(interval[0]), log(interval[1])))
