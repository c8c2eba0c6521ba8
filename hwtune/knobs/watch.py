"""How we left the machine, and what of it is somebody else's by now."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping

from hwtune.domain.knob import Knob
from hwtune.knobs.attributes import GOVERNOR
from hwtune.knobs.changes import Changes, Readable, changes, offline, policy_of, same_but
from hwtune.knobs.ownership import Ours
from hwtune.knobs.restore import slept_since


class Watch:
    """What everything read after our last write.

    Args:
        backend: the machine.
        slept_s: how long it has been suspended since its boot.
    """

    def __init__(self, backend: Readable, slept_s: Callable[[], float]) -> None:
        self.theirs: dict[str, str] = {}
        self._backend = backend
        self._slept_s = slept_s
        self._left: dict[str, str] = {}
        self._left_slept_s = 0.0
        self._away: frozenset[str] = frozenset()

    def leave(self, texts: Mapping[str, str], policies: Iterable[str]) -> None:
        """We have written, and this is what everything reads.

        Args:
            texts: path → text.
            policies: directories of those that were there at the start.
        """
        self._left = {path: text for path, text in texts.items() if path not in self.theirs}
        self._left_slept_s = self._slept_s()
        self._away = frozenset(policy for policy in policies if offline(self._backend, f"{policy}/{GOVERNOR}"))

    def forget(self) -> None:
        """Nothing is ours any more."""
        self._left = {}

    def look(self, *, ours: Ours, original: Mapping[str, str]) -> Changes:
        """What reads otherwise than we left it.

        Args:
            ours: path → the texts that are ours.
            original: path → text before we came.
        """
        if not self._left:
            return Changes()
        found = changes(self._backend, left=self._left, ours=ours, original=original, restarted=self.restarted)
        self._away |= found.away
        return found

    def hand_over(self, foreign: Mapping[str, str]) -> None:
        """These are somebody else's from now on."""
        self.theirs.update(foreign)
        self._left = {path: text for path, text in self._left.items() if path not in foreign}

    def restarted(self, path: str) -> bool:
        """Whether the attribute may have been started anew since, by a suspend or a hotplug."""
        return slept_since(self._left_slept_s, self._slept_s) or policy_of(path) in self._away

    def is_away(self, knob: Knob | None) -> bool:
        """Whether every policy that a knob acts on is offline."""
        away = {int(number) for policy in self._away for number in re.findall(r"\d+", policy)}
        return knob is not None and bool(knob.scope) and set(knob.scope) <= away

    def is_back(self, before: Mapping[str, str], now: Mapping[str, str]) -> bool:
        """Whether everything reads as before, but for what is somebody else's."""
        return same_but(self.theirs, before, now)
