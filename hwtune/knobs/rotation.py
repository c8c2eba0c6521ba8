"""Every knob through its legal values and back, one at a time: a test of the hands, on whatever machine there is.

Nothing here writes by itself: it asks for transactions, and looks at what they say and at what is there after them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol

from hwtune.domain.errors import RestoreError, VerifyError
from hwtune.domain.knob import Knob, KnobSpace, RangeKnob, Setting, Value
from hwtune.knobs.attributes import BIOS_LIMIT, name_of
from hwtune.knobs.restore import RestoreReport
from hwtune.knobs.target import gap_below
from hwtune.knobs.transaction import Applied


class Writer(Protocol):
    """What turning needs of a transaction."""

    def apply(self, setting: Setting) -> Applied:
        """Bring the machine to a setting; raises VerifyError when something unexplained was read back."""

    def restore(self) -> RestoreReport:
        """Put everything back; raises RestoreError."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """What became of one value of one knob.

    Args:
        wanted: the value.
        result: an outcome's result, `unexplained` for a value that reads otherwise for no known reason, or `inactive`
            for a knob that could not be made to do anything.
        effective: what was read back, None when that is not known.
        errno: of a rejection.
        needed: what else had to be set for the value to be legal or to mean anything.
        time_s: time it took.
    """

    wanted: Value
    result: str
    effective: str | None
    errno: int | None
    needed: Setting
    time_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Turned:
    """What became of one knob.

    Args:
        knob: its name.
        turns: one for each value, in the order they were set.
        differing: path → text before and after, of what is not as it was found.
        foreign: path → text of what somebody else has set meanwhile.
        failure: why something could not be put back, None when nothing was said.
        time_s: time it took, putting back included.
    """

    knob: str
    turns: tuple[Turn, ...]
    differing: Mapping[str, tuple[str | None, str | None]]
    foreign: Mapping[str, str]
    failure: str | None
    time_s: float

    @property
    def restored(self) -> bool:
        """Whether everything is back to the byte, but for what somebody else has set."""
        return self.failure is None and not self.differing.keys() - self.foreign.keys()

    @property
    def unexplained(self) -> tuple[Turn, ...]:
        """The values that read otherwise for no known reason."""
        return tuple(turn for turn in self.turns if turn.result == "unexplained")


def values_of(knob: Knob) -> tuple[Value, ...]:
    """The values to go through, ending with the default: all choices; of a range its ends and its middle."""
    if isinstance(knob, RangeKnob):
        ends: Sequence[Value] = (
            knob.nearest(knob.low),
            knob.nearest((knob.low + knob.high) / 2),
            knob.nearest(knob.high),
        )
    else:
        ends = knob.choices
    return (*dict.fromkeys(value for value in ends if value != knob.default), knob.default)


def setting_of(space: KnobSpace, knob: Knob, value: Value) -> Setting:
    """The value, with what makes the knob active and the limit beside it that would be crossed."""
    setting = Setting({knob.name: value})
    for when in knob.active_when:
        if (space.default | setting).get(when.knob) not in when.values:
            setting |= {when.knob: when.values[0]}
    for low, high in space.ordered_pairs:
        gap = gap_below(low)
        other, room = {low: (high, gap), high: (low, -gap)}.get(knob.name, (None, 0))
        if other is not None and isinstance(value, int) and not _in_order(space.default | setting, low, high, gap):
            setting |= {other: value + room}
    return setting


def _in_order(setting: Setting, low: str, high: str, gap: int) -> bool:
    below, above = setting[low], setting[high]
    return not (isinstance(below, int) and isinstance(above, int)) or below + gap <= above


@dataclass(slots=True, kw_only=True)
class Rotation:
    """Knobs of one machine, to be turned one after the other.

    Args:
        space: all knobs of the machine.
        transaction: opens a transaction on it.
        snapshot: path → text of all that a transaction may change.
        now_s: a clock.
    """

    space: KnobSpace
    transaction: Callable[[], AbstractContextManager[Writer]]
    snapshot: Callable[[], Mapping[str, str]]
    now_s: Callable[[], float]
    _turns: list[Turn] = field(default_factory=list)
    _foreign: dict[str, str] = field(default_factory=dict)

    def run(self, names: Sequence[str]) -> Iterator[Turned]:
        """Turn each of these knobs through its values; ends early when one could not be put back."""
        for name in names:
            turned = self._turn(self.space[name])
            yield turned
            if turned.failure is not None:
                return

    def _turn(self, knob: Knob) -> Turned:
        start_s, before = self.now_s(), self.snapshot()
        self._turns, self._foreign = [], {}
        failure = None
        left = list(values_of(knob))
        try:
            while left:
                # A rejected knob is not tried again in the same transaction, so each rejection ends one.
                with self.transaction() as writer:
                    while left and self._one(writer, knob, left.pop(0)):
                        pass
                    self._foreign.update(writer.restore().foreign)
        except RestoreError as error:
            failure = str(error)
        return Turned(
            knob=knob.name,
            turns=tuple(self._turns),
            differing=differing(before, self.snapshot()),
            foreign=self._foreign,
            failure=failure,
            time_s=self.now_s() - start_s,
        )

    def _one(self, writer: Writer, knob: Knob, value: Value) -> bool:
        """Set one value, and note what came of it; whether the transaction can go on."""
        start_s, setting = self.now_s(), setting_of(self.space, knob, value)
        result, effective, code = "inactive", None, None
        try:
            for outcome in writer.apply(setting).outcomes:
                if outcome.knob == knob.name:
                    result, effective, code = outcome.result, outcome.effective, outcome.errno
        except VerifyError as error:
            result, effective = "unexplained", f"{error.knob}: {error.effective}"
        self._turns.append(
            Turn(
                wanted=value,
                result=result,
                effective=effective,
                errno=code,
                needed=setting.only(set(setting) - {knob.name}),
                time_s=self.now_s() - start_s,
            )
        )
        return result not in {"rejected", "unexplained"}


def differing(before: Mapping[str, str], after: Mapping[str, str]) -> dict[str, tuple[str | None, str | None]]:
    """Path → text before and after, where they differ; a firmware's own limit is nobody's setting."""
    paths = sorted(path for path in before.keys() | after.keys() if name_of(path) != BIOS_LIMIT)
    return {path: (before.get(path), after.get(path)) for path in paths if before.get(path) != after.get(path)}
