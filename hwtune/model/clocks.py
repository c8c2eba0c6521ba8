"""From knobs to the clocks they lead to: the effective frequency of each domain, as a smooth function of the row.

    log f = softmin(cap, boost ceiling, softmax(floor, governor's demand))

in units of log(highest frequency on offer), per frequency domain. What a governor or a preference asks for is not known
beforehand, so each choice has a constant of its own: how far below the top it stays. `performance` asks for more than
any cap, the `powersave` of a plain driver for less than any floor, the `powersave` of a hardware-managed one (its only
other governor) leaves the choice to the hardware, which follows the energy-performance preference (EPP).

Boost is either part of the range, and switching it off lowers the ceiling, or it hides behind a top level that is a
nominal step (1 MHz) above the next, as in ACPI's _PSS, and only asking for that level brings it.
Kernel documents: admin-guide/pm/cpufreq.rst, intel_pstate.rst.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from hwtune.domain.knob import ChoiceKnob, Knob, RangeKnob, Role
from hwtune.model.encoding import Encoding, column, tensor

Constants = dict[str, Tensor]

_SOFT = 0.02  # width of the soft minimum and maximum, in log f
_ROOM = 0.25  # distance of floor and cap, in log f, from which on a governor counts in full
_NOMINAL_STEP = 0.002  # log of a level that stands for boost over the one below it, at most
_ROLES: frozenset[Role] = frozenset({"frequency", "frequency_floor", "governor", "epp"})
_EPP = {"performance": 0.0, "default": 0.5, "balance_performance": 0.5, "balance_power": 0.75, "power": 1.0}
_OFF = frozenset({"0", "off", "no", "disabled"})


@dataclass(frozen=True, kw_only=True)
class Domain:
    """What steers one frequency domain.

    Args:
        index: its place among the domains, part of the names of what is its own.
        encoding: of the whole space.
        cap: the knob that limits it, None where that is not among the knobs.
        knobs: all knobs that act on it.
    """

    index: int
    encoding: Encoding
    cap: RangeKnob | None
    knobs: tuple[Knob, ...]

    def _first(self, role: Role) -> Knob | None:
        return next((knob for knob in self.knobs if knob.role == role), None)

    @cached_property
    def _floors(self) -> tuple[RangeKnob, ...]:
        return tuple(k for k in self.knobs if isinstance(k, RangeKnob) and k.role == "frequency_floor")

    @cached_property
    def _ends(self) -> tuple[float, float]:
        """Columns of the lowest and the highest frequency on offer."""
        ranges = (*self._floors, *([self.cap] if self.cap else []))
        top = max((column(knob, knob.high) for knob in ranges), default=0.0)
        return min((column(knob, knob.low) for knob in ranges), default=top - 1.5), top

    @cached_property
    def _below_step(self) -> float | None:
        """Column of the highest level without boost, where the top level stands for boost."""
        levels = (self.cap.levels if self.cap else None) or ()
        if self.cap is None or len(levels) < 2 or column(self.cap, levels[-2]) <= self._ends[1] - _NOMINAL_STEP:
            return None
        return column(self.cap, levels[-2])

    @cached_property
    def governor(self) -> ChoiceKnob | None:
        """The knob of its governor."""
        knob = self._first("governor")
        return knob if isinstance(knob, ChoiceKnob) else None

    @cached_property
    def epp(self) -> Knob | None:
        """The knob of the energy-performance preference."""
        return self._first("epp")

    def names(self) -> Iterator[str]:
        """Constants this domain needs."""
        if self._below_step is not None:
            yield f"boost.jump.{self.index}"
        elif self._first("boost"):
            yield from (f"boost.on.{self.index}", f"boost.off.{self.index}")
        if self.epp:
            yield from ("epp.depth", "epp.bend")
        if self.governor:
            yield from (f"governor.{word}" for word in self.governor.choices)
            yield from (f"lag.{word}" for word in self.governor.choices if self._moves(word))

    def preference(self, x: Tensor) -> Tensor:
        """How much saving is preferred, from 0 (performance, or the `performance` governor) to 1 `(…)`."""
        assert self.epp is not None
        e = _epp_share(self.epp, x[..., self.encoding.columns[self.epp.name]])
        if self.governor and "performance" in self.governor.choices:
            place = self.encoding.columns[self.governor.name].start + self.governor.choices.index("performance")
            e = e * (1.0 - x[..., place])
        return e

    @cached_property
    def _managed(self) -> bool:
        """Whether the hardware chooses the clock: its driver has no other governors than these."""
        return self.governor is not None and set(self.governor.choices) <= {"performance", "powersave"}

    def governing(self, x: Tensor) -> Tensor:
        """How much each choice of the governor may do beside setting a mean clock `(…, choices)`; 0 to 1.

        Nothing where floor and cap pin the clock, and nothing by those governors of a plain driver that hold it still.
        """
        assert self.governor is not None
        share = x[..., self.encoding.columns[self.governor.name]]
        if self._managed:
            return share
        floor, cap = self._ends
        room = x[..., :1] * 0.0 + cap
        if self.cap:
            room = x[..., self.encoding.columns[self.cap.name]]
        for knob in self._floors:
            room = torch.minimum(room, room + floor - x[..., self.encoding.columns[knob.name]])
        moving = tensor([1.0 if self._moves(word) else 0.0 for word in self.governor.choices])
        return share * moving * ((room - floor) / _ROOM).clamp(0.0, 1.0)

    def lag(self, x: Tensor, c: Constants) -> Tensor:
        """Log of the time lost because the governor follows the load late `(…)`."""
        late = torch.zeros(())
        if self.governor is None or self._managed:
            return late
        for share, word in zip(self.governing(x).unbind(-1), self.governor.choices, strict=True):
            late = late + share * c[f"lag.{word}"] if self._moves(word) else late
        return late

    def _moves(self, word: str) -> bool:
        """Whether a governor changes the clock while it runs, as far as software knows."""
        return not self._managed and word not in ("performance", "powersave", "userspace")

    def log_frequency(self, x: Tensor, c: Constants) -> Tensor:
        """Effective log frequency `(…)`, 0 at the top without boost beyond it."""
        zero = 0.0 * (x[..., 0] + next(iter(c.values())))  # of the common shape
        on, boost = zero + 1.0, self._first("boost")
        if boost:
            on = _boost_share(boost, x[..., self.encoding.columns[boost.name]]) + zero
        jump = on * c[f"boost.jump.{self.index}"].exp() if self._below_step is not None else zero
        limits = [self._lifted(self.cap, x, jump)] if self.cap else [zero]
        if self._below_step is None and boost:
            limits.append(-on * c[f"boost.on.{self.index}"] - (1.0 - on) * c[f"boost.off.{self.index}"].exp())
        if self.governor or self.epp:
            floor = zero + self._ends[0] - self._ends[1]
            for knob in self._floors:
                floor = torch.maximum(floor, self._lifted(knob, x, jump))
            limits.append(_SOFT * torch.logaddexp((jump - self._reduction(x, c, zero)) / _SOFT, floor / _SOFT))
        return -_SOFT * (-torch.stack([limit + zero for limit in limits], -1) / _SOFT).logsumexp(-1)

    def _lifted(self, knob: RangeKnob, x: Tensor, jump: Tensor) -> Tensor:
        """A limit in log f below the top, with the jump where it asks for boost."""
        limit = x[..., self.encoding.columns[knob.name]].squeeze(-1)
        if self._below_step is not None:
            jump = jump * ((limit - self._below_step) / (self._ends[1] - self._below_step)).clamp(0.0, 1.0)
        return limit - self._ends[1] + jump

    def _reduction(self, x: Tensor, c: Constants, zero: Tensor) -> Tensor:
        """How far below the top governor and preference stay, in log f."""
        saving = zero
        if self.epp:
            e = self.preference(x)
            saving = c["epp.depth"].exp() * (e + torch.tanh(c["epp.bend"]) * e * (1.0 - e))
        if self.governor is None:
            return saving
        share = x[..., self.encoding.columns[self.governor.name]]
        reduction = zero
        for index, word in enumerate(self.governor.choices):
            if word == "performance":
                asked = zero - 0.5  # more than any cap
            elif word == "powersave" and not self._managed:
                asked = zero + 2.0 * (self._ends[1] - self._ends[0])  # less than any floor
            elif word == "powersave" and self.epp:
                asked = saving
            else:
                asked = c[f"governor.{word}"].exp()
            reduction = reduction + share[..., index] * asked
        return reduction


def domains(encoding: Encoding) -> tuple[Domain, ...]:
    """One domain per frequency knob; without any, one per scope of what steers a frequency; one at least."""
    knobs = encoding.space.knobs
    caps = [knob for knob in knobs if isinstance(knob, RangeKnob) and knob.role == "frequency"]
    seeds: list[tuple[RangeKnob | None, tuple[int, ...]]] = [(cap, cap.scope) for cap in caps]
    if not caps:
        scopes = dict.fromkeys(knob.scope for knob in knobs if knob.role in _ROLES) or [()]
        seeds = [(None, scope) for scope in scopes]
    return tuple(
        Domain(index=index, encoding=encoding, cap=cap, knobs=_acting(knobs, scope))
        for index, (cap, scope) in enumerate(seeds)
    )


def _acting(knobs: tuple[Knob, ...], scope: tuple[int, ...]) -> tuple[Knob, ...]:
    """Knobs whose scope meets another; an empty scope is everything."""
    return tuple(knob for knob in knobs if not knob.scope or not scope or set(knob.scope) & set(scope))


def _boost_share(knob: Knob, numbers: Tensor) -> Tensor:
    """1 where boost is on `(…)`."""
    if isinstance(knob, ChoiceKnob):
        return (numbers * tensor([0.0 if word in _OFF else 1.0 for word in knob.choices])).sum(-1)
    return ((numbers - knob.low) / max(knob.high - knob.low, 1)).squeeze(-1)


def _epp_share(knob: Knob, numbers: Tensor) -> Tensor:
    """The preference from 0, performance, to 1, power `(…)`."""
    if isinstance(knob, RangeKnob):
        return (numbers / 255.0).squeeze(-1)
    last = max(len(knob.choices) - 1, 1)
    places = [_EPP.get(word, index / last) for index, word in enumerate(knob.choices)]
    return (numbers * tensor(places)).sum(-1)
