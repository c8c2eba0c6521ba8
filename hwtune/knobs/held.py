"""The knobs of a session that are not turned any more: rejected, in quarantine, somebody else's, or not obeyed.

They are left out of what the planner is asked. A trial that was measured while one of them had another value than it
keeps speaks of another machine, and is left out too; of a knob that is not obeyed every value is the same.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from hwtune.domain.held import narrowed
from hwtune.domain.knob import KnobSpace, Setting, Value
from hwtune.domain.problem import Problem
from hwtune.domain.trial import Trial
from hwtune.knobs.effective import Ignored
from hwtune.knobs.outcome import Outcome

_log = logging.getLogger(__name__)


class Holder(Protocol):
    """Who says which knobs are held."""

    @property
    def held(self) -> Mapping[str, Outcome]:
        """The knobs that are not turned any more, and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """Something about a knob that the reader of a result should know.

    Args:
        kind: `rejected`, `quarantined`, `yielded` (somebody else sets it), or `ignored` (set, and not obeyed).
        knob: its name.
        text: in words for people.
    """

    kind: str
    knob: str
    text: str


class Held:
    """Which knobs are held, and since when.

    Args:
        holder: the transaction.
        default: what is set at the beginning.
    """

    def __init__(self, holder: Holder, default: Setting) -> None:
        self._holder = holder
        self._since: dict[str, tuple[int, Value]] = {}
        self._ignored: dict[str, Ignored] = {}
        self.note(default, 0)

    @property
    def notices(self) -> tuple[Notice, ...]:
        """What became of each knob that is held."""
        return (
            *(Notice(kind=each.result, knob=knob, text=str(each)) for knob, each in self._holder.held.items()),
            *(Notice(kind="ignored", knob=knob, text=str(each)) for knob, each in self._ignored.items()),
        )

    def note(self, setting: Setting, trials: int) -> None:
        """A measurement has ended: what is held now keeps the value that it has there.

        Args:
            setting: what was in force, for every knob of the problem.
            trials: how many there were before.
        """
        for knob in self._holder.held:
            if knob in setting:
                self._since.setdefault(knob, (trials, setting[knob]))

    def ignore(self, found: Ignored) -> None:
        """A limit is not obeyed."""
        if found.knob not in self._ignored:
            _log.warning("%s; it is not turned any more", found)
            self._ignored[found.knob] = found

    def question(self, problem: Problem, trials: Sequence[Trial]) -> tuple[Problem, list[Trial]]:
        """The problem in the knobs that can still be turned, and the trials that speak of it.

        Args:
            problem: in all knobs.
            trials: all of them, in their order.
        """
        default = problem.space.default
        held = {knob: value for knob, (_, value) in self._since.items()}
        held |= {knob: default[knob] for knob in self._ignored if knob in default and knob not in held}
        if not held:
            return problem, [*trials]
        return narrowed(problem, [each for n, each in enumerate(trials) if self._speaks(problem.space, n, each)], held)

    def _speaks(self, space: KnobSpace, number: int, trial: Trial) -> bool:
        return all(
            number >= since
            or not space.active(space[knob], trial.setting)
            # One of a knob's files that somebody else has set does not show in its value.
            or (trial.setting[knob] == value and self._holder.held[knob].result != "yielded")
            for knob, (since, value) in self._since.items()
        )
