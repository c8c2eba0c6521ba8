"""What can be set: knobs, the space they span, and a setting in it.

Values are the kernel's own: integers with the unit of the file (`kHz`), or the kernel's words. A `Setting` is an
assignment; a `KnobSpace` knows which assignments are legal: levels and choices, limits across knobs (min ≤ max), and
when a knob means anything at all (the EPP is locked under the `performance` governor, `up_threshold` exists under
`ondemand` only).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from hwtune.domain.errors import UsageError

Value = int | str

Role = Literal[
    "frequency",  # an upper frequency limit of compute
    "frequency_floor",  # a lower frequency limit
    "memory_frequency",
    "active_cpus",
    "power_cap",
    "governor",
    "epp",
    "boost",
    "other",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Activity:
    """A knob is active while another one has one of these values."""

    knob: str
    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RangeKnob:
    """An ordered, numeric knob.

    Args:
        name: the key users write (`max`, `policy4.max`, `ondemand.up_threshold`).
        role: what it does to the machine, for the physics of the model.
        unit: unit of the values (`kHz`, `%`, `us`, or empty).
        low: smallest legal value.
        high: largest legal value.
        levels: every legal value, ascending, or None where any multiple of `step` above `low` is legal.
        step: spacing of legal values where there are no levels.
        default: the value found on the machine before anything was changed.
        scope: the cpufreq policies it acts on; empty for a global knob.
        active_when: all must hold, else the knob does nothing and is neither written nor learned from.
    """

    name: str
    role: Role
    unit: str
    low: int
    high: int
    default: int
    levels: tuple[int, ...] | None = None
    step: int = 1
    scope: tuple[int, ...] = ()
    active_when: tuple[Activity, ...] = ()

    def legal(self, value: Value) -> bool:
        """Whether the kernel takes this value as it is."""
        if not isinstance(value, int):
            return False
        if self.levels is not None:
            return value in self.levels
        return self.low <= value <= self.high and (value - self.low) % self.step == 0

    def text(self, value: Value) -> str:
        """A value for people: frequencies in MHz, the rest as the kernel has it."""
        if self.unit == "kHz" and isinstance(value, int):
            return f"{value / 1000:g} MHz"
        return f"{value} {self.unit}".rstrip()

    def nearest(self, value: float) -> int:
        """The legal value closest to a number, in the knob's own unit."""
        if self.levels is None:
            steps = round((min(max(value, self.low), self.high) - self.low) / self.step)
            return min(self.low + steps * self.step, self.high - (self.high - self.low) % self.step)
        right = bisect_left(self.levels, value)
        around = self.levels[max(0, right - 1) : right + 1]
        return min(around, key=lambda level: abs(level - value))


@dataclass(frozen=True, slots=True, kw_only=True)
class ChoiceKnob:
    """A knob with named values: a governor, a named energy-performance preference, boost off or on.

    Args:
        name: the key users write.
        role: what it does to the machine.
        choices: the kernel's words, in the kernel's order; for `ordered` ones from most performance to most saving.
        default: the value found on the machine.
        ordered: whether neighbouring choices are alike.
        scope: the cpufreq policies it acts on; empty for a global knob.
        active_when: all must hold, else the knob does nothing.
    """

    name: str
    role: Role
    choices: tuple[str, ...]
    default: str
    ordered: bool = False
    scope: tuple[int, ...] = ()
    active_when: tuple[Activity, ...] = ()

    def legal(self, value: Value) -> bool:
        """Whether the value is one of the choices."""
        return value in self.choices

    def text(self, value: Value) -> str:
        """A value for people: the kernel's word."""
        return str(value)


Knob = RangeKnob | ChoiceKnob


@dataclass(frozen=True, slots=True, kw_only=True)
class Ceiling:
    """A limit that the kernel was seen to hold: under these choices a larger value reads back as this one.

    Args:
        knob: a RangeKnob.
        at_most: the largest value that stays.
        when: all must hold; empty for a limit that always holds.
    """

    knob: str
    at_most: int
    when: tuple[Activity, ...] = ()


class Setting(Mapping[str, Value]):
    """An assignment of knobs to values: immutable, hashable, ordered by knob name.

    Merge with `|` (the right side wins); `diff` says what another one changes.
    """

    __slots__ = ("_items",)

    def __init__(self, values: Mapping[str, Value] | None = None, /, **knobs: Value) -> None:
        self._items: dict[str, Value] = dict(sorted({**(values or {}), **knobs}.items()))

    def __getitem__(self, knob: str) -> Value:
        return self._items[knob]

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __hash__(self) -> int:
        return hash(tuple(self._items.items()))

    def __eq__(self, other: object) -> bool:
        return self._items == other._items if isinstance(other, Setting) else NotImplemented

    def __or__(self, other: Mapping[str, Value]) -> Setting:
        return Setting({**self._items, **other})

    def __repr__(self) -> str:
        return "Setting(" + ", ".join(f"{knob}={value}" for knob, value in self._items.items()) + ")"

    def diff(self, other: Mapping[str, Value]) -> Setting:
        """What `other` has that this one has not, or has otherwise."""
        return Setting({knob: value for knob, value in other.items() if self._items.get(knob) != value})

    def only(self, knobs: Mapping[str, object] | frozenset[str] | set[str] | tuple[str, ...]) -> Setting:
        """The part of the setting that concerns these knobs."""
        return Setting({knob: value for knob, value in self._items.items() if knob in knobs})


@dataclass(frozen=True, slots=True, kw_only=True)
class KnobSpace:
    """The knobs that may be turned together, and what is legal across them.

    Args:
        knobs: in a fixed order, which is also the order of the model's columns.
        ordered_pairs: (low, high) knob names where low ≤ high must hold.
        allowed: the only settings on offer (a measured table has just its rows), or None.
        ceilings: limits that the kernel holds beside the knobs' own (without boost, the base frequency).
    """

    knobs: tuple[Knob, ...]
    ordered_pairs: tuple[tuple[str, str], ...] = ()
    allowed: tuple[Mapping[str, Value], ...] | None = None
    ceilings: tuple[Ceiling, ...] = ()

    def __getitem__(self, name: str) -> Knob:
        for knob in self.knobs:
            if knob.name == name:
                return knob
        raise KeyError(name)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the knobs, in order."""
        return tuple(knob.name for knob in self.knobs)

    @property
    def default(self) -> Setting:
        """The setting found on the machine."""
        return Setting({knob.name: knob.default for knob in self.knobs})

    def active(self, knob: Knob, setting: Mapping[str, Value]) -> bool:
        """Whether turning this knob does anything under the rest of the setting."""
        return all(setting.get(when.knob) in when.values for when in knob.active_when)

    def canonical(self, setting: Mapping[str, Value]) -> Setting:
        """The same effect with inactive knobs at their defaults and values under their ceilings.

        Settings that act alike compare equal.
        """
        values = {
            knob.name: setting.get(knob.name, knob.default) if self.active(knob, setting) else knob.default
            for knob in self.knobs
        }
        for ceiling in self.ceilings:
            if all(values.get(when.knob) in when.values for when in ceiling.when):
                values[ceiling.knob] = min(_number(values[ceiling.knob]), ceiling.at_most)
        for low, high in self.ordered_pairs if self.ceilings else ():
            values[low] = min(_number(values[low]), _number(values[high]))
        return Setting(values)

    def legal(self, setting: Mapping[str, Value]) -> bool:
        """Whether every value is one the kernel takes and no limit across knobs is broken."""
        if any(not self[name].legal(value) for name, value in setting.items()):
            return False
        if any(_number(setting[low]) > _number(setting[high]) for low, high in self.ordered_pairs):
            return False
        return self.allowed is None or any(dict(row) == dict(setting) for row in self.allowed)

    def subset(self, names: tuple[str, ...]) -> KnobSpace:
        """The space of these knobs only, the others staying as they are on the machine.

        Raises:
            UsageError: when a name is not a knob of this space, or does nothing while the others stay as they are.
        """
        for name in names:
            if name not in self.names:
                raise UsageError(f"unknown knob {name!r}", hint=f"this machine has: {', '.join(self.names)}")
        return KnobSpace(
            knobs=tuple(self._alone(knob, names) for knob in self.knobs if knob.name in names),
            ordered_pairs=tuple(pair for pair in self.ordered_pairs if set(pair) <= set(names)),
            allowed=self.allowed,
        )

    def _alone(self, knob: Knob, names: tuple[str, ...]) -> Knob:
        """The knob with those of its conditions that can still change; the others must hold as things are."""
        for when in knob.active_when:
            if when.knob not in names and self.default.get(when.knob) not in when.values:
                raise UsageError(
                    f"{knob.name} does nothing while {when.knob} is {self.default.get(when.knob)}",
                    hint=f"turn {when.knob} as well",
                )
        return replace(knob, active_when=tuple(when for when in knob.active_when if when.knob in names))


def _number(value: Value) -> int:
    """Limits are compared as numbers; a word has no place in an ordered pair."""
    if isinstance(value, str):
        raise UsageError(f"{value!r} is not a number")
    return value
