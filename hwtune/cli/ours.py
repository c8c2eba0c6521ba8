"""The knobs that this run may turn: not those another tuner keeps, not those we have no right to write."""

from __future__ import annotations

import sys
from collections.abc import Collection

from hwtune.cli.competing import make_way
from hwtune.cli.host import OpenHost
from hwtune.domain.errors import PermissionDenied
from hwtune.domain.knob import KnobSpace
from hwtune.host.denial import DENIED, refused, why_denied
from hwtune.knobs.cpufreq import CpufreqBackend


def turnable(opened: OpenHost, backend: CpufreqBackend, space: KnobSpace, *, named: bool) -> KnobSpace:
    """The part of a space that a run which measures may turn.

    Args:
        opened: the machine.
        backend: its knobs.
        space: those that were chosen.
        named: whether they were asked for by name: then a missing right is an error, and not one knob less.

    Raises:
        Locked: another tuner is at work, and refused.
        PermissionDenied: no right to write any of them, or one that was named.
    """
    left = make_way(opened, space.names, measuring=True)
    denied = _denied(opened, backend, [name for name in space.names if name not in left])
    if denied and (named or denied.keys() >= set(space.names) - left):
        raise next(iter(denied.values()))
    if denied:
        first = next(iter(denied.values()))
        reason = why_denied(first.path, errno=first.errno).why
        print(f"warning: {', '.join(denied)} cannot be written and stay as they are: {reason}", file=sys.stderr)
    return _without(backend.space, space, left | denied.keys())


def check_writable(opened: OpenHost, backend: CpufreqBackend, names: Collection[str]) -> None:
    """Find out before anything is journaled or written whether all of these knobs can be.

    Raises:
        PermissionDenied: for the first that cannot.
    """
    for error in _denied(opened, backend, names).values():
        raise error


def _denied(opened: OpenHost, backend: CpufreqBackend, names: Collection[str]) -> dict[str, PermissionDenied]:
    """The running machine's answer to opening the files of each knob for writing."""
    if not opened.live or opened.dry:
        return {}
    found: dict[str, PermissionDenied] = {}
    for name in names:
        for path in backend.target(name).paths(opened.host.files):
            if name not in found and (code := refused(path)) in DENIED:
                found[name] = PermissionDenied(path, "write", errno=code)
    return found


def _without(whole: KnobSpace, space: KnobSpace, left: Collection[str]) -> KnobSpace:
    """The space without some knobs, nor those that do nothing while these stay as they are."""
    if not left:
        return space
    names = [name for name in space.names if name not in left]
    default = whole.default
    return whole.subset(
        tuple(
            name
            for name in names
            if all(when.knob in names or default.get(when.knob) in when.values for when in whole[name].active_when)
        )
    )
