"""Limits that the kernel holds and nobody announced, learned from what it made of requests.

A request that reads back lower has met a limit: the base frequency without boost, the firmware's. Proposing values
above it again and again would measure one setting many times, under names that the model believes to be different.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from hwtune.domain.knob import Activity, Ceiling, ChoiceKnob, KnobSpace, RangeKnob, Value
from hwtune.domain.trial import Trial


def with_ceilings(space: KnobSpace, trials: Sequence[Trial]) -> KnobSpace:
    """The space with every limit that its trials show."""
    found = {
        (ceiling.knob, ceiling.when): ceiling
        for knob in space.knobs
        if isinstance(knob, RangeKnob)
        for trial in trials
        if {knob.name} <= {*trial.setting} & {*trial.requested} and _clamped(trial, knob)
        for ceiling in (_explain(space, knob, trial, trials),)
    }
    return replace(space, ceilings=(*space.ceilings, *found.values()))


def _clamped(trial: Trial, knob: RangeKnob) -> bool:
    return _value(trial.setting[knob.name]) < _value(trial.requested[knob.name])


def _explain(space: KnobSpace, knob: RangeKnob, trial: Trial, trials: Sequence[Trial]) -> Ceiling:
    """The simplest reason that no other trial contradicts: always, one choice (boost first), all choices together."""
    reached = _value(trial.setting[knob.name])
    choices = sorted(
        (other for other in space.knobs if isinstance(other, ChoiceKnob)), key=lambda other: other.role != "boost"
    )
    held = [Activity(knob=other.name, values=(trial.setting[other.name],)) for other in choices]
    # What is offered must be a level: the highest one that the kernel leaves as it is.
    offered = knob.nearest(reached) if knob.nearest(reached) <= reached else _below(knob, reached)
    for when in ((), *((activity,) for activity in held)):
        if all(_value(seen.setting[knob.name]) <= reached for seen in trials if _applies(when, seen)):
            return Ceiling(knob=knob.name, at_most=offered, when=when)
    return Ceiling(knob=knob.name, at_most=offered, when=tuple(held))


def _applies(when: tuple[Activity, ...], trial: Trial) -> bool:
    return all(trial.setting.get(activity.knob) in activity.values for activity in when)


def _below(knob: RangeKnob, value: int) -> int:
    """The highest legal value under one that lies between two."""
    if knob.levels is not None:
        return max((level for level in knob.levels if level <= value), default=knob.low)
    return max(knob.low, knob.low + (value - knob.low) // knob.step * knob.step)


def _value(value: Value) -> int:
    return value if isinstance(value, int) else 0
