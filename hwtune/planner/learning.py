"""Between the words of a prior file and the model: its components, and new ones out of histories.

Of the planner process, like `worker.py`: it imports torch.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

import torch
from torch import Tensor

from hwtune.domain.knob import KnobSpace, Setting
from hwtune.domain.problem import Problem
from hwtune.domain.trial import Run, Trial
from hwtune.model.context import Context
from hwtune.model.encoding import tensor
from hwtune.model.features import names
from hwtune.model.learn import History, learn, teaches
from hwtune.model.learned import Component, Level
from hwtune.planner.prior_file import ComponentEntry, ContextEntry, loads, rounded, shipped_prior
from hwtune.planner.protocol import Answer, HistoryMessage, LearnRequest, trial_of

_OWN = 5.0  # weight of what was learned on this machine, against each kind of another one

_Runs = tuple[tuple[float, float | None], ...]
_Sensed = tuple[tuple[str, float], ...]
_Figures = tuple[tuple[str, tuple[tuple[Setting, _Runs, _Sensed], ...]], ...]


@lru_cache(maxsize=2)
def components_of(prior: str | None) -> tuple[Component, ...]:
    """The components of the prior file with this text; of the one that ships where there is none.

    Those of other features, which another version has learned, are passed over: they mean nothing here.

    Raises:
        UsageError: the text is no prior.
    """
    entries = loads(shipped_prior() if prior is None else prior).components
    return tuple(component_of(entry) for entry in entries if entry.features == names(entry.roles))


def answer_learn(request: LearnRequest) -> Answer:
    """What the histories of a request teach.

    Raises:
        ValueError: a history has a trial that is none, or one of other knobs.
    """
    histories = [_history(message) for message in request.histories]
    unused = [index for index, history in enumerate(histories) if not teaches(history)]
    return Answer(
        id=request.id, components=tuple(entry_of(component) for component in learn(histories)), unused=tuple(unused)
    )


def donated(problem: Problem) -> tuple[Component, ...]:
    """What the other workloads of this machine teach, as they stand in the problem.

    They were measured on the very machine, so beforehand they are worth more than any kind of another one.
    """
    figures = tuple(
        (
            donor.label,
            tuple(
                (
                    t.setting,
                    tuple((r.time_s, r.energy_j) for r in t.runs),
                    # What was sensed elsewhere teaches nothing, and all of this is compared at every question.
                    tuple(t.context.items()) if t.setting == problem.space.default else (),
                )
                for t in donor.trials
            ),
        )
        for donor in problem.donors
    )
    return _learned_of(replace(problem.space, allowed=None), figures) if figures else ()


@lru_cache(maxsize=1)
def _learned_of(space: KnobSpace, figures: _Figures) -> tuple[Component, ...]:
    histories = [
        History(
            label=label,
            kind="this machine",
            group=re.split("[/@]", label)[0],
            space=space,
            trials=tuple(
                Trial(
                    setting=at,
                    requested=at,
                    runs=tuple(Run(time_s=t, energy_j=e) for t, e in runs),
                    context=dict(sensed),
                )
                for at, runs, sensed in trials
            ),
        )
        for label, trials in figures
    ]
    return tuple(replace(component, weight=_OWN * component.weight) for component in learn(histories))


def component_of(entry: ComponentEntry) -> Component:
    """A component from its written form."""
    return Component(
        label=entry.label,
        roles=entry.roles,
        weight=entry.weight,
        mean=tensor(entry.mean),
        covariance=_whole(entry.covariance),
        roughness=tensor(entry.roughness),
        amplitude=tensor(entry.amplitude),
        length=entry.length,
        level=Level(mean=entry.level[0], sd=entry.level[1]) if entry.level else None,
        context=_context_of(entry.context) if entry.context else None,
    )


def entry_of(component: Component) -> ComponentEntry:
    """A component in its written form, its numbers rounded.

    Raises:
        ValueError: it has numbers that a prior file does not hold.
    """
    return ComponentEntry.model_validate(
        {
            "label": component.label,
            "roles": component.roles,
            "weight": rounded(component.weight),
            "features": names(component.roles),
            "mean": _numbers(component.mean),
            "covariance": _triangle(component.covariance),
            "roughness": _numbers(component.roughness),
            "amplitude": _numbers(component.amplitude),
            "length": rounded(component.length),
            "level": (round(component.level.mean, 2), round(component.level.sd, 3)) if component.level else None,
            "context": _context_entry(component.context) if component.context else None,
        }
    )


def _context_of(entry: ContextEntry) -> Context:
    return Context(
        names=entry.names,
        scale=tensor(entry.scale),
        centre=tensor(entry.centre),
        spread=tensor(entry.spread),
        slopes=tensor(entry.slopes),
        doubt=_whole(entry.doubt),
        share=entry.share,
    )


def _context_entry(context: Context) -> dict[str, object]:
    return {
        "names": context.names,
        **{part: _numbers(getattr(context, part)) for part in ("scale", "centre", "spread")},
        "slopes": tuple(map(_numbers, context.slopes)),
        "doubt": _triangle(context.doubt),
        "share": context.share,
    }


def _whole(triangle: Sequence[Sequence[float]]) -> Tensor:
    """A symmetric matrix from its lower triangle."""
    matrix = torch.zeros(len(triangle), len(triangle), dtype=torch.float64)
    for index, row in enumerate(triangle):
        matrix[index, : index + 1] = matrix[: index + 1, index] = tensor(row)
    return matrix


def _triangle(matrix: Tensor) -> tuple[tuple[float, ...], ...]:
    return tuple(_numbers(matrix[index, : index + 1]) for index in range(len(matrix)))


def _numbers(row: Tensor) -> tuple[float, ...]:
    return tuple(map(rounded, row.tolist()))


def _history(message: HistoryMessage) -> History:
    names = set(message.space.names)
    if any(trial.setting.keys() != names for trial in message.trials):
        raise ValueError(f"history {message.label!r} has a trial of other knobs")
    return History(
        label=message.label,
        kind=message.kind,
        group=message.group,
        space=message.space,
        trials=tuple(trial_of(trial) for trial in message.trials),
    )
