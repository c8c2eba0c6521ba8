"""Training: each source asked of the planner on its own, what the shipped prior knows besides, and the file of it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile

from hwtune import __version__
from hwtune.cli.train_evaluate import LeftOut, evaluate
from hwtune.cli.train_sources import Source
from hwtune.domain.errors import UsageError
from hwtune.planner.client import Planner
from hwtune.planner.prior_file import (
    MAX_BYTES,
    MAX_COMPONENTS,
    ComponentEntry,
    Made,
    PriorDocument,
    SourceEntry,
    dumps,
    loads,
    shipped_prior,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """What the options ask for.

    Args:
        sources: to learn from.
        shipped: whether what the shipped prior knows of other machines is kept.
        evaluate: whether each machine is foretold from the others.
        command: the command line, for the file.
    """

    sources: tuple[Source, ...]
    shipped: bool
    evaluate: bool
    command: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """What came of it.

    Args:
        prior: all of the file.
        unused: what taught nothing, as (source, workload).
        evaluation: how well machines were foretold, None if nobody asked.
    """

    prior: PriorDocument
    unused: tuple[tuple[str, str], ...]
    evaluation: tuple[LeftOut, ...] | None


def train_all(wish: Training, planner: Planner, *, tell: Callable[[str], None]) -> Trained:
    """Learn from every source.

    Raises:
        UsageError: none of them teaches anything, they are too many for a file, or one alone is to be evaluated.
        PlannerError: the planner died, hung, or could not answer.
    """
    learned: dict[str, tuple[ComponentEntry, ...]] = {}
    unused: dict[str, frozenset[int]] = {}
    for source in wish.sources:
        tell(f"learning from {source.name}")
        learned[source.name], unused[source.name] = planner.learn(source.histories)
    if not any(learned.values()):
        raise UsageError(
            "none of these histories teaches anything",
            hint="each needs the default and another setting, and only knobs with numbers that other machines have too",
        )
    made = Made(hwtune=__version__, command=wish.command, date=time.strftime("%Y-%m-%d", time.gmtime()))

    def write(components: Sequence[ComponentEntry]) -> str:
        return dumps(PriorDocument(trained_on=(), made=made, components=tuple(components)[:MAX_COMPONENTS]))

    evaluation = None
    if wish.evaluate:
        if sum(len(set(source.machines)) for source in wish.sources) < 2:
            raise UsageError("one machine alone cannot be foretold from others", hint="give more tables with --tables")
        evaluation = tuple(evaluate(wish.sources, learned, unused, planner=planner, write=write, tell=tell))
    taught = [source for source in wish.sources if learned[source.name]]
    kept, entries = _shipped({source.name for source in taught}) if wish.shipped else ((), ())
    components = [*kept, *(entry for source in taught for entry in learned[source.name])]
    if len(components) > MAX_COMPONENTS:
        raise UsageError(
            f"{len(components)} components, and a prior holds {MAX_COMPONENTS}", hint="learn from fewer tables"
        )
    return Trained(
        prior=PriorDocument(
            trained_on=(*entries, *(source.entry(unused[source.name]) for source in taught)),
            made=made,
            components=tuple(components),
        ),
        unused=tuple(
            (source.name, source.histories[index].label)
            for source in wish.sources
            for index in sorted(unused[source.name])
        ),
        evaluation=evaluation,
    )


def _shipped(relearned: set[str]) -> tuple[tuple[ComponentEntry, ...], tuple[SourceEntry, ...]]:
    """The shipped prior without what has just been learned anew."""
    prior = loads(shipped_prior())
    return (
        tuple(
            entry
            for entry in prior.components
            if not any(entry.label == name or entry.label.startswith(f"{name}/") for name in relearned)
        ),
        tuple(entry for entry in prior.trained_on if entry.name not in relearned),
    )


def write_prior(path: Path, prior: PriorDocument) -> None:
    """Put a prior in its place: whole or not at all.

    Raises:
        UsageError: it cannot be written, or is longer than a prior may be.
    """
    data = dumps(prior).encode()
    if len(data) > MAX_BYTES:
        raise UsageError(f"the prior is longer than {MAX_BYTES >> 10} KiB", hint="learn from fewer tables")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
            try:
                file.write(data)
                file.flush()
                os.fchmod(file.fileno(), 0o644)
                os.fsync(file.fileno())
                os.replace(file.name, path)
            except BaseException:
                with suppress(OSError):
                    os.unlink(file.name)
                raise
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}", hint="choose another file with --out") from error
