"""Two settings that differ in one knob, and how steep the model believes the way between them to be."""

from __future__ import annotations

from dataclasses import dataclass

from hwtune.domain.knob import Setting

_FLAT = 1e-6  # of a log output: slopes below it are compared as if they were so large


@dataclass(frozen=True, slots=True, kw_only=True)
class Contrast:
    """A step of one knob, everything else alike.

    Args:
        knob: the one that differs.
        first: before the step: the lower level, or the default's choice.
        second: behind it.
    """

    knob: str
    first: Setting
    second: Setting


@dataclass(frozen=True, slots=True, kw_only=True)
class Effects:
    """Change of log time and of log power along a step."""

    time: float
    power: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Slope:
    """What the surrogate says of a step.

    Args:
        autograd: its gradient half way, times the step.
        central: the same by central differences around the same point.
        change: expected at the second setting less the first, which is what a measurement shows.
        change_sd: how unsure that is.
    """

    autograd: Effects
    central: Effects
    change: Effects
    change_sd: Effects

    @property
    def relative_error(self) -> float:
        """By how much autograd and central differences disagree, the worse of the two outputs."""
        pairs = ((self.autograd.time, self.central.time), (self.autograd.power, self.central.power))
        return max(abs(a - b) / max(abs(a), abs(b), _FLAT) for a, b in pairs)
