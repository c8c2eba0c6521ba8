"""Priors that have not seen what they are asked about, in two classes.

    known machine   learned from the other tables and from the table's other workloads
    new machine     learned from the other tables alone: nothing of this one

Each is what `hwtune train --no-store --no-shipped` would write of the same workloads, its numbers rounded as in the
file. A workload that is alone in its table has no known machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

from hwtune.cli.train_sources import table_sources
from hwtune.model.learned import Component
from hwtune.planner.learning import answer_learn, component_of
from hwtune.planner.protocol import HistoryMessage, LearnRequest

CLASSES = ("known", "new")

Prior = tuple[Component, ...]


def prior_for(machine: str, path: Path, workload: str, others: Sequence[Path]) -> Prior | None:
    """The prior of a class for one workload; None where there is nothing that would make its machine known.

    Args:
        machine: one of `CLASSES`.
        path: the workload's table.
        workload: its name.
        others: the other tables.
    """
    elsewhere = tuple(component for other in others for component in _of_table(other))
    if machine == "new":
        return elsewhere
    here = _learned([history for history in _histories(path) if history.label != workload])
    return (*elsewhere, *here) if here else None


@cache
def _histories(path: Path) -> tuple[HistoryMessage, ...]:
    (source,) = table_sources([path])
    return source.histories


@cache
def _of_table(path: Path) -> Prior:
    return _learned(_histories(path))


def _learned(histories: Sequence[HistoryMessage]) -> Prior:
    answer = answer_learn(LearnRequest(id="", histories=tuple(histories)))
    return tuple(map(component_of, answer.components or ()))
