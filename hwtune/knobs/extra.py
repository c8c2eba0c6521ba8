"""Knobs that are off by default: one module for each kernel interface, and what is asked of all of them.

They are in the space when their word is in `tune.extra`, or one of them is named (`cpuidle.C6`); only then are their
files read, watched and journaled.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from hwtune.host.fs import HostFS
from hwtune.knobs import cpuidle, perf_pct, pm_qos, powercap, uncore_frequency
from hwtune.knobs.target import FileTarget, Unit, alike


class Source(Protocol):
    """One kernel interface.

    Attributes:
        WORD: what its keys begin with.
        UNIT: pattern of its units' names.
    """

    WORD: str
    UNIT: str

    def units(self, files: HostFS) -> tuple[Unit, ...]:
        """What can be set apart."""

    def targets(self, group: tuple[Unit, ...], prefix: str) -> list[FileTarget]:
        """The knobs of a group of units that are alike, their names beginning with the prefix."""

    def coupled(self, files: HostFS, path: str) -> tuple[str, ...]:
        """Every file that a write to this one may change, itself among them."""

    def owns(self, path: str) -> bool:
        """Whether it is a file of this interface."""

    def accepts(self, path: str, wanted: str, text: str) -> bool:
        """Whether another text than was wanted may be read right after the write."""

    def explains(self, path: str, text: str, *, ours: Mapping[str, Sequence[str]], original: Mapping[str, str]) -> bool:
        """Whether what is ours, though it reads otherwise, explains the value found."""


SOURCES: tuple[Source, ...] = (powercap, uncore_frequency, cpuidle, pm_qos, perf_pct)
WORDS = tuple(source.WORD for source in SOURCES)


def source_of(path: str) -> Source | None:
    """The interface that a file belongs to, None for cpufreq's."""
    return next((source for source in SOURCES if source.owns(path)), None)


def word_of(name: str) -> str | None:
    """The word of the interface that a key or a knob's name belongs to; None for cpufreq's."""
    for source in SOURCES:
        if re.match(rf"(?:{source.UNIT}\.)?{source.WORD}\.", name):
            return source.WORD
    return None


def named(words: Iterable[str]) -> tuple[str, ...]:
    """Those of these words that name one of these knobs, or all of an interface."""
    return tuple(dict.fromkeys(word for word in words if word in WORDS or word_of(word) is not None))


def find_targets(files: HostFS, wanted: Sequence[str]) -> list[FileTarget]:
    """The knobs that are wanted, by an interface's word, by a key for all units, or by a knob's name.

    A switch that one of them waits for comes with it.
    """
    found: list[FileTarget] = []
    for source in SOURCES:
        if any(source.WORD in (word, word_of(word)) for word in wanted):
            units = source.units(files)
            there = [target for prefix, group in alike(units) for target in source.targets(group, prefix)]
            chosen = [target for target in there if source.WORD in wanted or _is_named(target, wanted)]
            switches = {when.knob for target in chosen for when in target.knob.active_when}
            found += [target for target in there if target in chosen or target.knob.name in switches]
    return found


def own_target(files: HostFS, name: str) -> FileTarget | None:
    """The knob of one unit by itself (`package-1.powercap.long_term`), None when there is none."""
    for source in SOURCES:
        unit, _, key = name.partition(".")
        if word_of(name) == source.WORD and re.fullmatch(source.UNIT, unit):
            alone = tuple(each for each in source.units(files) if each.name == unit)
            for target in source.targets(alone, f"{unit}.") if alone else []:
                if target.key == key:
                    return target
    return None


def watched(files: HostFS, paths: Iterable[str]) -> tuple[str, ...]:
    """Every file that writes to these may change; what is not of these interfaces is left out."""
    return tuple(
        dict.fromkeys(
            other for path in paths if (source := source_of(path)) is not None for other in source.coupled(files, path)
        )
    )


def _is_named(target: FileTarget, wanted: Sequence[str]) -> bool:
    return any(word in (target.key, target.knob.name) or word.endswith(f".{target.key}") for word in wanted)
