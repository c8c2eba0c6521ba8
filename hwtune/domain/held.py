"""A problem with some of its knobs held: rejected by the kernel, left to somebody else, in quarantine, or ignored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from hwtune.domain.knob import Knob, KnobSpace, Value
from hwtune.domain.problem import Problem
from hwtune.domain.trial import Trial


def hold(space: KnobSpace, held: Mapping[str, Value]) -> KnobSpace:
    """The space of the knobs that can still be turned; one that does nothing while others are held is none of them.

    Args:
        space: all knobs.
        held: the value that each held knob keeps.
    """
    knobs: list[Knob] = []
    gone = dict(held)
    for knob in space.knobs:
        if knob.name in held:
            continue
        if all(gone.get(when.knob, when.values[0]) in when.values for when in knob.active_when):
            knobs.append(replace(knob, active_when=tuple(when for when in knob.active_when if when.knob not in held)))
        else:
            gone[knob.name] = knob.default
    names = {knob.name for knob in knobs}
    return KnobSpace(
        knobs=tuple(knobs),
        ordered_pairs=tuple(pair for pair in space.ordered_pairs if set(pair) <= names),
        allowed=None
        if space.allowed is None
        else tuple({name: row[name] for name in row if name in names} for row in space.allowed if _fits(row, held)),
        ceilings=tuple(each for each in space.ceilings if {each.knob, *(w.knob for w in each.when)} <= names),
    )


def narrowed(problem: Problem, trials: Sequence[Trial], held: Mapping[str, Value]) -> tuple[Problem, list[Trial]]:
    """A problem and its trials in the knobs that can still be turned.

    Args:
        problem: in all knobs.
        trials: in all knobs.
        held: the value that each held knob keeps.
    """
    space = hold(problem.space, held)
    return replace(problem, space=space, donors=()), [
        replace(trial, setting=trial.setting.only(space.names), requested=trial.requested.only(space.names))
        for trial in trials
    ]


def _fits(setting: Mapping[str, Value], held: Mapping[str, Value]) -> bool:
    return all(setting.get(knob, value) == value for knob, value in held.items())
