"""Limits that are accepted and not obeyed: the measured frequency against the maximum that reads as set.

Firmware, a hypervisor or a driver may take a write, read it back and do as it likes. Only cores under load tell. One
P-state or 5 % above the limit is the noise of a measurement, and above the highest frequency that cpufreq knows of the
hardware has boost bins of its own: neither says anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from hwtune.domain.errors import HostError
from hwtune.domain.knob import KnobSpace, RangeKnob
from hwtune.knobs.attributes import MAX
from hwtune.knobs.policies import Policy

_NOISE = 0.05
_NEXT_KHZ = 100_000  # between two states of a driver without a table: Intel's bus clock, AMD's steps are finer


class Machine(Protocol):
    """What checking needs of a backend."""

    @property
    def policies(self) -> tuple[Policy, ...]:
        """The machine's policies, as they were found."""

    @property
    def space(self) -> KnobSpace:
        """All knobs."""

    def read(self, path: str) -> str | None:
        """The text now; raises TransientError for an offline policy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ignored:
    """A limit that the machine does not obey.

    Args:
        knob: that sets it.
        limit_khz: what is set, and reads so.
        measured_khz: how fast the cores ran under load, at the least.
        level: the knob's legal value nearest to that: what is really in force.
    """

    knob: str
    limit_khz: int
    measured_khz: int
    level: int

    def __str__(self) -> str:
        limit, measured = (f"{khz / 1e6:.3g} GHz" for khz in (self.limit_khz, self.measured_khz))
        return f"{self.knob} = {limit} is accepted but ignored: cores ran at {measured}"


def tolerated_khz(limit_khz: int, table: Sequence[int] | None) -> float:
    """The highest frequency that a limit still explains.

    Args:
        limit_khz: as it reads.
        table: every frequency the driver offers, ascending, or None where it takes any.
    """
    above = min((khz for khz in table if khz > limit_khz), default=limit_khz) if table else limit_khz + _NEXT_KHZ
    return max(limit_khz * (1 + _NOISE), above * (1 + _NOISE / 2))


def ignores(limit_khz: int, measured_khz: int, *, table: Sequence[int] | None, top_khz: int | None) -> bool:
    """Whether cores under load ran clearly above a limit.

    Args:
        limit_khz: as it reads.
        measured_khz: the frequency under load.
        table: every frequency the driver offers, ascending, or None where it takes any.
        top_khz: the hardware's highest as cpufreq knows it; a limit there limits nothing.
    """
    highest = max(top_khz or 0, *(table or (0,)))
    return limit_khz < highest and measured_khz > tolerated_khz(limit_khz, table)


class LimitCheck:
    """The maxima of a machine against how fast its cores run.

    Args:
        machine: its knobs.
        clocks: by the directory of each policy that was busy, the lowest frequency in kHz since it was asked last.
    """

    def __init__(self, machine: Machine, clocks: Callable[[], Mapping[str, int]]) -> None:
        self._machine = machine
        self._clocks = clocks

    def begin(self) -> None:
        """Forget what was seen until now."""
        self._clocks()

    def end(self) -> tuple[Ignored, ...]:
        """The limits that were ignored since the beginning, one for each knob: where it was ignored most."""
        clocks = self._clocks()
        found: dict[str, Ignored] = {}
        for policy in self._machine.policies:
            measured, limit = clocks.get(policy.directory), self._limit_khz(policy)
            knob = _knob_of(self._machine.space.knobs, policy.number)
            if measured is None or limit is None or knob is None:
                continue
            if ignores(limit, measured, table=policy.available_khz, top_khz=policy.cpuinfo_max_khz):
                known = found.get(knob.name)
                if known is None or known.measured_khz < measured:
                    found[knob.name] = Ignored(
                        knob=knob.name, limit_khz=limit, measured_khz=measured, level=knob.nearest(measured)
                    )
        return tuple(found.values())

    def _limit_khz(self, policy: Policy) -> int | None:
        try:
            text = self._machine.read(policy.path(MAX))
        except HostError:
            return None  # its CPUs have gone meanwhile
        return int(text) if text is not None and text.isdecimal() else None


def _knob_of(knobs: Iterable[object], policy: int) -> RangeKnob | None:
    for knob in knobs:
        if isinstance(knob, RangeKnob) and knob.role == "frequency" and policy in knob.scope:
            return knob
    return None
