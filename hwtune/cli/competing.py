"""Other tuners before a run: refused, given way to, or ignored, as `tune.competing` says."""

from __future__ import annotations

import sys
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hwtune.cli.host import OpenHost
    from hwtune.sensors.competitors import CompetingTuner

_ALLOW = "or allow it: `--competing yield` leaves it its knobs, `--competing ignore` takes them all the same"


def find_competitors(opened: OpenHost) -> tuple[CompetingTuner, ...]:
    """Tuners at work on the running machine; none on any other machine."""
    if not opened.live:
        return ()
    from hwtune.host.bus import system_bus
    from hwtune.sensors.competitors import competing_tuners

    return competing_tuners(opened.host.files, system_bus())


def make_way(opened: OpenHost, names: Collection[str], *, measuring: bool) -> frozenset[str]:
    """Which of these knobs are left to other tuners; said on stderr, once for each tuner.

    Args:
        opened: the machine; only the running one has other tuners.
        names: knobs that are to be turned.
        measuring: whether a tuner that sets none of them is in the way as well, because it moves what is measured.

    Raises:
        Locked: when competing tuners are refused, or keep every one of these knobs.
    """
    found = [(tuner, tuner.collides(names)) for tuner in find_competitors(opened)]
    found = [(tuner, knobs) for tuner, knobs in found if measuring or knobs]
    for tuner, knobs in found:
        if tuner.tuner.warn_only and knobs:
            _say(f"warning: {tuner.who} may set {', '.join(knobs)} as well: {tuner.tuner.why}")
    rivals = [(tuner, knobs) for tuner, knobs in found if not tuner.tuner.warn_only]
    policy = opened.config.tune.competing
    if rivals and policy == "refuse":
        if not opened.dry:
            raise _locked(rivals, "; ".join((*(tuner.stop for tuner, _ in rivals), _ALLOW)))
        for tuner, knobs in rivals:
            _say(f"warning: {_what(tuner, knobs)}: without --dry-run this ends here, see --competing")
    if rivals and policy == "ignore":
        for tuner, knobs in rivals:
            _say(f"warning: {_what(tuner, knobs)}, and may undo what is set here")
    if policy != "yield":
        return frozenset()
    left = frozenset(name for _, knobs in rivals for name in knobs)
    if left and left >= set(names):
        raise _locked(rivals, f"nothing is left to turn: {'; '.join(tuner.stop for tuner, _ in rivals)}")
    for tuner, knobs in rivals:
        _say(f"{tuner.who} keeps {', '.join(knobs)}" if knobs else f"warning: {_what(tuner, knobs)}")
    return left


def _locked(rivals: Sequence[tuple[CompetingTuner, Sequence[str]]], hint: str) -> Exception:
    from hwtune.domain.errors import Locked

    return Locked(", and ".join(_what(tuner, knobs) for tuner, knobs in rivals), hint=hint)


def _what(tuner: CompetingTuner, knobs: Sequence[str]) -> str:
    if knobs:
        return f"{tuner.who} sets {', '.join(knobs)} as well"
    return f"{tuner.who} is at work, and changes the machine while it is measured"


def _say(line: str) -> None:
    print(line, file=sys.stderr)
