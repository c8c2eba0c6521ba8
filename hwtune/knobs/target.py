"""Where a knob goes: its files, what to write into them, what they say of it.

cpufreq's targets follow policies, whose files come and go (`space.py`); everything else has the files it was found
with, in units of the kernel's own: a CPU, a package, a die. Units that are set alike share a knob.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from hwtune.domain.knob import Activity, Knob, RangeKnob, Value
from hwtune.host.fs import HostFS
from hwtune.knobs.attributes import flipped, inverted
from hwtune.knobs.policies import read_text

# Words that limit the same thing from below and from above, or for longer and for shorter, and how far the first has to
# stay below the second: the kernel refuses a down_threshold that is not below the up_threshold
# (drivers/cpufreq/cpufreq_conservative.c), and clamps or does odd things elsewhere.
LIMITS = (
    ("min", "max", 0),
    ("down_threshold", "up_threshold", 1),
    ("long_term", "short_term", 0),
)


class Target(Protocol):
    """A name that can be set, and where it goes."""

    @property
    def knob(self) -> Knob:
        """Its values."""

    @property
    def key(self) -> str:
        """The name without the policy or unit it is for."""

    def paths(self, files: HostFS) -> tuple[str, ...]:
        """The files that hold it now."""

    def text(self, path: str, value: Value) -> str:
        """What to write into one of its files."""

    def value(self, files: HostFS) -> Value | None:
        """What the kernel reports for it now, None when it does not tell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileTarget:
    """A knob whose files are known beforehand and all say the same.

    Args:
        knob: its values.
        key: the name without a unit.
        files: that hold it, in the order of their units.
        reset: the hardware default, None where the kernel does not tell it.
        numbers: the largest whole number it takes beside the choices, None where it takes words only.
    """

    knob: Knob
    key: str
    files: tuple[str, ...]
    reset: Value | None = None
    numbers: int | None = None

    def paths(self, files: HostFS) -> tuple[str, ...]:
        """The files that hold it now: those of CPUs that have gone are left out."""
        return tuple(path for path in self.files if read_text(files, path) is not None)

    def text(self, path: str, value: Value) -> str:
        """See `Target.text`."""
        return flipped(str(value)) if inverted(path) else str(value)

    def value(self, files: HostFS) -> Value | None:
        """See `Target.value`; the first file that can be read speaks for all."""
        for path in self.files:
            text = read_text(files, path)
            if text is None:
                continue
            if isinstance(self.knob, RangeKnob):
                return whole(text)
            return flipped(text) if inverted(path) else text
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """One of several things of a kind that the kernel lets be set apart: a CPU, a package.

    Args:
        name: as users write it before the key (`cpu4`, `package-1`).
        directory: where its files are.
        texts: what its files say, by name; units with the same texts share a knob.
    """

    name: str
    directory: str
    texts: Mapping[str, str]

    def path(self, name: str) -> str:
        """One of its files."""
        return f"{self.directory}/{name}"

    def number(self, name: str) -> int | None:
        """What one of its files says, as a number."""
        return whole(self.texts.get(name))


def read_unit(files: HostFS, name: str, directory: str, names: Sequence[str]) -> Unit:
    """A unit with those of its files that can be read."""
    texts = {file: text for file in names if (text := read_text(files, f"{directory}/{file}")) is not None}
    return Unit(name=name, directory=directory, texts=texts)


def alike(units: Sequence[Unit]) -> tuple[tuple[str, tuple[Unit, ...]], ...]:
    """Units in groups that are set alike, each with what its knobs' names begin with: nothing when there is but one."""
    groups: dict[tuple[tuple[str, str], ...], list[Unit]] = {}
    for unit in units:
        groups.setdefault(tuple(sorted(unit.texts.items())), []).append(unit)
    several = len(groups) > 1
    return tuple((f"{group[0].name}." if several else "", tuple(group)) for group in groups.values())


def whole(text: str | None) -> int | None:
    """A text as a whole number, None when it is none; the largest that the kernel writes have twenty digits."""
    return int(text) if text is not None and text.isascii() and text.isdecimal() and len(text) <= 20 else None


def gap_below(name: str) -> int:
    """How far the knob of this name has to stay below the one that limits the same from above."""
    return next((gap for low, _, gap in LIMITS if name.rpartition(".")[2] == low), 0)


def grid(low: int, high: int, step: int, *extra: int) -> tuple[int, ...]:
    """Both ends, the multiples of the step between them, and other values that are legal too."""
    return tuple(sorted({low, high, *range(low - low % step + step, high, step), *extra}))


def only_while(knob: str, value: Value) -> tuple[Activity, ...]:
    """The condition that another knob has this value."""
    return (Activity(knob=knob, values=(value,)),)
