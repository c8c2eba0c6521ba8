"""How good work was, in one number: what that number is called, and what it makes of time and energy.

The model, the search and the verdict know two quantities, log time and log power, and look at ratios only. A measure of
work fits them without a change:

    a rate r (transactions/s, higher is better)   time per unit 1 / r            energy per unit: power / r
    a time c (latency in ms, lower is better)     c itself, in seconds           energy: power · c
    any other cost c (points, lower is better)    c takes the place of time      power · c

The run time of a command is the second: its energy is the energy of the run.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from hwtune.domain.errors import UsageError
from hwtune.domain.objective import Objective

_SECONDS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9, "min": 60.0}


class Better(StrEnum):
    """Which way a measure gets better."""

    HIGHER = "higher"
    LOWER = "lower"


def seconds_per(unit: str) -> float | None:
    """How long a unit of time is; None where it is none."""
    return _SECONDS.get(unit)


def energy_unit(time_unit: str) -> str:
    """The unit of power times a time in this unit.

    >>> energy_unit("s"), energy_unit("s/transaction"), energy_unit("points")
    ('J', 'J/transaction', 'W·points')
    """
    seconds, per, what = time_unit.partition("/")
    return f"J{per}{what}" if seconds == "s" else f"W·{time_unit}"


def objective_unit(objective: Objective, time_unit: str = "s") -> str:
    """The unit of an objective where this is the unit of time.

    >>> objective_unit(Objective.EDP), objective_unit(Objective.EDP, "s/request")
    ('J·s', 'J·s/request²')
    """
    if objective is Objective.TIME:
        return time_unit
    power = {1.0: "", 2.0: "²", 3.0: "³"}
    seconds, per, what = time_unit.partition("/")
    if seconds != "s":
        return f"W·{time_unit}{power[objective.time_exponent]}"
    delay = {1.0: "", 2.0: "·s", 3.0: "·s²"}[objective.time_exponent]
    return f"J{delay}{per}{what}{power[objective.time_exponent] if what else ''}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """One measure of work.

    Args:
        name: what it is called (`run time`, `tps=([0-9.]+)`, `instructions retired`).
        better: which way it gets better.
        unit: of the number as it is told: `s`, `ms`, `transaction/s`; a rate ends in `/s`.
    """

    name: str = "run time"
    better: Better = Better.LOWER
    unit: str = "s"

    @property
    def time_unit(self) -> str:
        """Unit of what takes the place of time: `s`, `s/transaction`, or of a cost that is no time its own."""
        if self.better is Better.HIGHER:
            return f"s/{self.unit.removesuffix('/s')}"
        return "s" if self.unit in _SECONDS else self.unit

    def time_of(self, value: float) -> float:
        """What takes the place of time, in `time_unit`, of a positive value in `unit`.

        >>> Measure(better=Better.HIGHER, unit="transaction/s").time_of(50.0)
        0.02
        """
        return 1.0 / value if self.better is Better.HIGHER else value * _SECONDS.get(self.unit, 1.0)

    def value_of(self, time: float) -> float:
        """The value of which `time_of` makes this."""
        return 1.0 / time if self.better is Better.HIGHER else time / _SECONDS.get(self.unit, 1.0)


RUN_TIME = Measure()


def measure_of(name: str, *, better: Better, unit: str | None) -> Measure:
    """A measure by what people say of it: `transaction`, `transaction/s`, `ms`, or no unit at all.

    A rate is of its unit per second whether they write that or not; without a unit a rate counts units, a cost seconds.

    Raises:
        UsageError: a unit that is empty, has another slash or is longer than a word, or a rate of time.
    """
    if unit is None:
        return Measure(name=name, better=better, unit="unit/s" if better is Better.HIGHER else "s")
    word = unit.strip()
    bare = word.removesuffix("/s") if better is Better.HIGHER else word
    if not bare or "/" in bare or len(bare) > 24 or not bare.isprintable() or any(map(str.isspace, bare)):
        raise UsageError(
            f"{unit!r} is no unit of a metric", hint="one word: transaction, request, MB; or s, ms, us of a latency"
        )
    if better is Better.HIGHER and bare in _SECONDS:
        raise UsageError(
            f"a metric in {bare} is better when it is lower", hint="add --metric-better lower, or name what is counted"
        )
    return Measure(name=name, better=better, unit=f"{bare}/s" if better is Better.HIGHER else bare)
