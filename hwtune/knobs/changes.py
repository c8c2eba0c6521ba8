"""What has changed under us since we last wrote: somebody else's edits, told from what the kernel does by itself.

A value counts as somebody else's when neither our request, nor a limit of now, nor a suspend explains it. A machine
that slept, or a policy whose CPUs were offline, may have lost what was set: it then reads as it did before us, or as
the driver starts with. Such a value is nobody's edit; it is set again with the next setting.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from hwtune.domain.errors import HostError, TransientError
from hwtune.knobs.attributes import (
    BIOS_LIMIT,
    BOOST,
    CPU,
    EPP,
    GOVERNOR,
    MAX,
    MIN,
    PERF_PCT,
    SETSPEED,
    Stage,
    directory_of,
    name_of,
    stage_of,
)
from hwtune.knobs.ownership import Ours, governor_was_changed
from hwtune.knobs.tunables import begins_with

# What drivers set when they start a CPU anew; the words for the EPP differ with the firmware.
_STARTS = {BOOST: ("1",), "no_turbo": ("0",), EPP: ("balance_performance", "128", "default")}
_HARDWARE = {MAX: "cpuinfo_max_freq", MIN: "cpuinfo_min_freq"}
# Moved by the firmware, and by the program that `userspace` leaves the frequency to.
_NOT_SET = (BIOS_LIMIT, SETSPEED)


class Readable(Protocol):
    """What looking needs of a backend."""

    def read(self, path: str) -> str | None:
        """The text now, None when it is not there; raises TransientError for an offline policy."""

    def explains(self, path: str, text: str, *, ours: Ours, original: Mapping[str, str]) -> bool:
        """Whether what is ours explains the value found."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What reads otherwise than we left it.

    Args:
        foreign: path → text that somebody else has set.
        lost: path → text that a suspend or a hotplug has left.
        away: directories of policies that are offline.
    """

    foreign: Mapping[str, str] = field(default_factory=dict)
    lost: Mapping[str, str] = field(default_factory=dict)
    away: frozenset[str] = frozenset()


def changes(
    backend: Readable,
    *,
    left: Mapping[str, str],
    ours: Mapping[str, Sequence[str]],
    original: Mapping[str, str],
    restarted: Callable[[str], bool],
) -> Changes:
    """Compare the machine with how we left it.

    Args:
        backend: the machine.
        left: path → text of every attribute after our last write.
        ours: path → the texts that are ours.
        original: path → text before we came.
        restarted: whether an attribute may have been started anew since, by a suspend or a hotplug.
    """
    texts = {path: tuple(dict.fromkeys((*ours.get(path, ()), *_one(left.get(path))))) for path in {*left, *ours}}
    # What we left alone explains what is coupled to it, too; but a switch that is not ours has moved nothing for us.
    claims = {path: each for path, each in texts.items() if path in ours or not _is_switch(path)}
    foreign, lost, away = {}, {}, set()
    for path in sorted(texts):
        if name_of(path) in _NOT_SET:
            continue
        try:
            text = backend.read(path)
        except TransientError:
            away.add(policy_of(path) or directory_of(path))
            continue
        except HostError:
            continue
        if text is None:
            if vanished(backend, path):
                away.add(policy_of(path) or directory_of(path))
        elif (
            text != left.get(path)
            and not backend.explains(path, text, ours=claims, original={})
            and not _unmasked(backend, path, text, left)
        ):
            if began_anew(path, text, ours=ours, original=original) or (
                restarted(path) and forgotten(backend, path, text, original=original)
            ):
                lost[path] = text
            else:
                foreign[path] = text
    return Changes(foreign=foreign, lost=lost, away=frozenset(away))


def same_but(theirs: Collection[str], before: Mapping[str, str], now: Mapping[str, str]) -> bool:
    """Whether everything reads as it did, but for what somebody else has set, and what their governor brings with it.

    Args:
        theirs: paths that somebody else has set.
        before: path → text.
        now: path → text.
    """
    governed = any(name_of(path) == GOVERNOR for path in theirs)
    moved = (Stage.TUNABLE, Stage.EPP) if governed else ()
    compared = {path for path in {*before, *now} if path not in theirs and stage_of(path) not in moved}
    return all(before.get(path) == now.get(path) for path in compared)


def began_anew(path: str, text: str, *, ours: Ours, original: Mapping[str, str]) -> bool:
    """Whether a tunable that policies share reads as its governor begins, after we have left that governor.

    Then the CPUs of whoever still used it may have gone and come between two looks, which nothing else tells.
    """
    shared = stage_of(path) is Stage.TUNABLE and policy_of(path) is None
    return shared and begins_with(path, text) and governor_was_changed(path, ours=ours, original=original)


def forgotten(backend: Readable, path: str, text: str, *, original: Mapping[str, str]) -> bool:
    """Whether an attribute that was started anew may read so: as before us, or as its driver begins."""
    if text == original.get(path):
        return True
    name = name_of(path)
    if name in _HARDWARE:
        return text == _text(backend, f"{directory_of(path)}/{_HARDWARE[name]}")
    if stage_of(path) is Stage.TUNABLE:
        return "/cpufreq/" in path  # whatever the kernel has begun with
    return text in _STARTS.get(name, ())


def offline(backend: Readable, path: str) -> bool:
    """Whether the attribute is one of a policy that is away: EBUSY while its CPUs are offline, or not there at all."""
    try:
        return backend.read(path) is None and vanished(backend, path)
    except TransientError:
        return True
    except HostError:
        return False


def policy_of(path: str) -> str | None:
    """The directory of the policy that an attribute belongs to, tunables of its own among them; None for the rest."""
    found = re.match(rf"{CPU}/(cpufreq/policy\d+|cpu\d+/cpufreq)(?=/)", path)
    return found[0] if found else None


def vanished(backend: Readable, path: str) -> bool:
    """Whether an attribute is missing because its whole policy is."""
    policy = policy_of(path)
    return policy is not None and _text(backend, f"{policy}/{GOVERNOR}") is None


def _unmasked(backend: Readable, path: str, text: str, left: Mapping[str, str]) -> bool:
    """Whether a maximum that the firmware held down reads as the firmware's limit of now: it was asked for higher."""
    limit = f"{directory_of(path)}/{BIOS_LIMIT}"
    return name_of(path) == MAX and left.get(path) == left.get(limit) and text == _text(backend, limit)


def _is_switch(path: str) -> bool:
    return stage_of(path) is Stage.BOOST or path in PERF_PCT


def _one(text: str | None) -> tuple[str, ...]:
    return () if text is None else (text,)


def _text(backend: Readable, path: str) -> str | None:
    try:
        return backend.read(path)
    except HostError:
        return None
