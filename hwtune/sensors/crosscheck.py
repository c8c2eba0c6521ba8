"""Two ways to the same counters, powercap and perf, compared while one of them is read for figures.

They are never averaged: where they disagree one of them is wrong, nobody can say which, and the figure is doubtful.
"""

from __future__ import annotations

from collections.abc import Callable

from hwtune.domain.energy import error_j, zone_energy_j
from hwtune.domain.sample import EnergyReading

Readings = tuple[EnergyReading, ...]

# Long against the millisecond by which both ways may see the counter differently, short against a run.
WINDOW_S = 3.0
_TOLERANCE = 0.05


class CrossCheck:
    """Compares zone by zone over windows of some seconds.

    Args:
        second: reads the other way; zones that only one of both has are left out.
    """

    def __init__(self, second: Callable[[], Readings]) -> None:
        self._second = second
        self._begin: tuple[int, Readings, Readings] | None = None
        self.doubt: str | None = None

    def see(self, t_ns: int, first: Readings) -> None:
        """Take readings of the first way into account; the second is read when a window begins or ends.

        What disagreed once stays doubtful: the figures of that time have been told.
        """
        if self._begin is not None and t_ns - self._begin[0] < WINDOW_S * 1e9:
            return
        now = (t_ns, first, self._second())
        if self._begin is not None:
            self.doubt = self.doubt or _disagreement(self._begin, now)
        self._begin = now


def _disagreement(begin: tuple[int, Readings, Readings], end: tuple[int, Readings, Readings]) -> str | None:
    duration_s = (end[0] - begin[0]) / 1e9
    one, other = _pairs(begin[1], end[1]), _pairs(begin[2], end[2])
    for zone, (a, b) in one.items():
        if zone not in other:
            continue
        c, d = other[zone]
        first_j, second_j = zone_energy_j(a, b, duration_s), zone_energy_j(c, d, duration_s)
        if first_j is None or second_j is None:
            continue
        known = (error_j((a,), first_j, duration_s) or 0.0) + (error_j((c,), second_j, duration_s) or 0.0)
        if abs(first_j - second_j) > _TOLERANCE * max(first_j, second_j) + known:
            told = f"{_joules(first_j)} by {a.source}, {_joules(second_j)} by {c.source}"
            return f"over {duration_s:.1f} s {zone} used {told}"
    return None


def _joules(energy_j: float) -> str:
    return f"{energy_j:.3g} J" if energy_j < 100.0 else f"{energy_j:.0f} J"


def _pairs(begin: Readings, end: Readings) -> dict[str, tuple[EnergyReading, EnergyReading]]:
    after = {reading.zone: reading for reading in end}
    return {reading.zone: (reading, after[reading.zone]) for reading in begin if reading.zone in after}
