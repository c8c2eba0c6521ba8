"""`hwtune train --evaluate`: every machine foretold from the others alone.

The planner that will use a prior is what is asked, with the learned prior and without any, before the first trial and
after three settings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import log, pi
from random import Random
from statistics import fmean, median

from pydantic import BaseModel

from hwtune.cli.outcome import Z90
from hwtune.cli.train_sources import Source
from hwtune.domain.knob import Setting
from hwtune.domain.objective import Objective
from hwtune.domain.problem import Problem
from hwtune.domain.trial import LogNormal, Trial, TrialStatus
from hwtune.planner.client import Planner
from hwtune.planner.prior_file import ComponentEntry
from hwtune.planner.protocol import HistoryMessage, trial_of

_KNOWN = 3

Write = Callable[[Sequence[ComponentEntry]], str]
"""Makes a prior file's text of components."""


class Score(BaseModel):
    """How well figures were foretold: log density of a log figure, mean and median; share of 90 % intervals that hold.

    One glitch of a sensor can outweigh a thousand figures in the mean, and nothing in the median.
    """

    log_density: float
    median_log_density: float
    held_90: float


class Stage(BaseModel):
    """With the prior learned from the other machines, and with none."""

    learned: Score
    without: Score


class LeftOut(BaseModel):
    """The machines of one source, each foretold from all the others.

    Attributes:
        name: the source.
        machines: how many; with several, the other ones of the source are learned from too.
        workloads: how many were foretold.
        before: before any trial, relative to the default.
        after: after the default and three settings more.
    """

    name: str
    machines: int
    workloads: int
    before: Stage
    after: Stage


@dataclass(frozen=True, slots=True)
class _Fold:
    """A machine left out: its histories, and the prior of the others."""

    histories: tuple[HistoryMessage, ...]
    prior: str


def evaluate(
    sources: Sequence[Source],
    learned: Mapping[str, Sequence[ComponentEntry]],
    unused: Mapping[str, frozenset[int]],
    *,
    planner: Planner,
    write: Write,
    tell: Callable[[str], None],
) -> list[LeftOut]:
    """Leave each machine out in turn; the planner's prior is put back behind it.

    Args:
        sources: all of them.
        learned: what each taught, by its name.
        unused: which histories taught nothing; they are not foretold either.
        planner: to ask.
        write: makes priors of components.
        tell: told of what is being done.
    """
    own, nothing, found = planner.prior, write(()), []
    for source in sources:
        others = [entry for name, entries in learned.items() if name != source.name for entry in entries]
        scores: dict[tuple[str, int], list[_Figure]] = {}
        machines = workloads = 0
        for fold in _folds(source, others, unused[source.name], planner, write):
            machines, workloads = machines + 1, workloads + len(fold.histories)
            tell(f"{source.name}: {', '.join(history.label for history in fold.histories)[:100]}")
            for history in fold.histories:
                for way, prior in (("learned", fold.prior), ("without", nothing)):
                    planner.prior = prior
                    for known in (0, _KNOWN):
                        scores.setdefault((way, known), []).extend(_foretell(history, known, planner))
        if workloads:
            before, after = (
                Stage(learned=_score(scores["learned", known]), without=_score(scores["without", known]))
                for known in (0, _KNOWN)
            )
            found.append(LeftOut(name=source.name, machines=machines, workloads=workloads, before=before, after=after))
    planner.prior = own
    return found


def _folds(
    source: Source, others: Sequence[ComponentEntry], unused: frozenset[int], planner: Planner, write: Write
) -> Iterator[_Fold]:
    pairs = [
        (machine, history)
        for index, (machine, history) in enumerate(zip(source.machines, source.histories, strict=True))
        if index not in unused
    ]
    machines = dict.fromkeys(machine for machine, _ in pairs)
    for left_out in machines:
        rest = [history for machine, history in pairs if machine != left_out]
        near = planner.learn(rest)[0] if rest else ()
        yield _Fold(tuple(history for machine, history in pairs if machine == left_out), write([*others, *near]))


@dataclass(frozen=True, slots=True)
class _Figure:
    """One figure that was foretold: log density of its logarithm, whether its 90 % interval holds."""

    log_density: float
    held: bool


def _foretell(history: HistoryMessage, known: int, planner: Planner) -> list[_Figure]:
    """Every setting but the default and the known ones, each its median time and energy."""
    problem = Problem(space=history.space, objective=Objective.EDP)
    measured = [trial for trial in map(trial_of, history.trials) if trial.status is TrialStatus.OK]
    default = [trial for trial in measured if trial.setting == history.space.default]
    rest = sorted((trial for trial in measured if trial.setting != history.space.default), key=_order)
    first = Random(0).sample(rest, min(known, len(rest) - 1))
    asked = [trial for trial in rest if trial not in first]
    energies = default[0].energy_j
    level_s, level_j = (1.0, 1.0) if known else (default[0].time_s, energies)
    predictions = planner.predict(problem, [*default, *first] if known else [], [trial.setting for trial in asked])
    figures = []
    for trial, predicted in zip(asked, predictions, strict=True):
        figures.append(_figure(predicted.time_s, log(trial.time_s / level_s)))
        energy_j = trial.energy_j
        if predicted.energy_j is not None and energy_j is not None and level_j is not None:
            figures.append(_figure(predicted.energy_j, log(energy_j / level_j)))
    return figures


def _order(trial: Trial) -> list[tuple[str, str]]:
    return [(name, str(value)) for name, value in Setting(trial.setting).items()]


def _figure(predicted: LogNormal, actual: float) -> _Figure:
    sd = max(predicted.sd_log, 1e-9)
    z = (actual - predicted.mean_log) / sd
    return _Figure(-0.5 * (z * z + log(2.0 * pi)) - log(sd), abs(z) <= Z90)


def _score(figures: Sequence[_Figure]) -> Score:
    densities = [figure.log_density for figure in figures]
    return Score(
        log_density=fmean(densities),
        median_log_density=median(densities),
        held_90=fmean(figure.held for figure in figures),
    )
