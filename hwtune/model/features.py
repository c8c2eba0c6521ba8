"""What a learned prior is linear in: a few smooth functions of each knob, relative to the default.

With u = log(value / default) and z = eᵘ, a knob gives four features, all zero at the default, and each pair of knobs
the product of their u. What a feature is worth differs between roles, and is learned (`learn.py`): 1/z, the time of
work that scales with a clock, and z², the voltage's part of power, are among them or close to their span. The step
down from the highest clock is one more, alone and with each other knob: it ends boost, whose height is no number.
"""

from __future__ import annotations

import math
from itertools import combinations

import torch
from torch import Tensor

from hwtune.domain.knob import KnobSpace, RangeKnob, Role
from hwtune.model.encoding import Encoding, column, is_log

LEARNABLE: frozenset[Role] = frozenset({"frequency", "memory_frequency", "active_cpus", "power_cap", "other"})
"""Roles whose knobs are numbers on a scale, whichever machine they are on."""

_STEP = 0.04  # of u, within which a clock has left the level that stands for boost


def signature(space: KnobSpace) -> tuple[Role, ...] | None:
    """The roles of a space's knobs, sorted; None where nothing learned of other machines fits.

    That is a space with choices, with a role that means something else on every machine, or with a role twice.
    """
    roles = tuple(sorted(knob.role for knob in space.knobs))
    numbers = all(isinstance(knob, RangeKnob) and knob.role in LEARNABLE for knob in space.knobs)
    return roles if numbers and len(set(roles)) == len(roles) else None


def names(roles: tuple[Role, ...]) -> tuple[str, ...]:
    """Of the features of a signature, in order: each of one role, then products, then those of the step."""
    stepped = [(one, other) for one in roles if one == "frequency" for other in roles if other != one]
    return (
        *(f"{role}.{index}" for role in roles for index in range(4)),
        *("*".join(sorted(pair)) for pair in combinations(roles, 2)),
        *("frequency.step" for role in roles if role == "frequency"),
        *(f"frequency.step*{other}" for _, other in stepped),
    )


def own(wanted: tuple[str, ...], role: Role) -> list[str]:
    """The features among these that are of one role alone."""
    return [name for name in wanted if name.startswith(f"{role}.") and "*" not in name]


class Features:
    """The features of one space.

    Args:
        encoding: of a space with a `signature`.
    """

    def __init__(self, encoding: Encoding) -> None:
        self._encoding = encoding
        knobs = [knob for knob in encoding.space.knobs if isinstance(knob, RangeKnob)]
        self._knobs = sorted(knobs, key=lambda knob: knob.role)

    def logs(self, x: Tensor) -> Tensor:
        """The u of each knob `(…, knobs)`, by role, at rows `(…, width)`; of one that reaches zero, in its range."""
        return torch.stack(
            [self._log(knob, x[..., self._encoding.columns[knob.name].start]) for knob in self._knobs], -1
        )

    def __call__(self, x: Tensor) -> Tensor:
        """Features of rows `(…, width)`: `(…, p)`, in the order of `names`."""
        u = self.logs(x)
        parts = [part for index, knob in enumerate(self._knobs) for part in _of(knob.role, u[..., index])]
        parts += [u[..., i] * u[..., j] for i, j in combinations(range(len(self._knobs)), 2)]
        for index, knob in enumerate(self._knobs):
            if knob.role == "frequency":
                step = (-u[..., index] / _STEP).clamp(0.0, 1.0)
                parts += [step, *(step * u[..., other] for other in range(len(self._knobs)) if other != index)]
        return torch.stack(parts, dim=-1)

    @staticmethod
    def _log(knob: RangeKnob, numbers: Tensor) -> Tensor:
        if is_log(knob):
            return numbers - column(knob, knob.default)
        if knob.low > 0:
            return numbers.clamp_min(1e-9).log() - math.log(knob.default)
        return (numbers - knob.default) / max(knob.high - knob.low, 1)


def _of(role: Role, u: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    z = u.exp()
    if role == "active_cpus":
        return u, z - 1.0, torch.log1p(4.0 * torch.expm1(-u).clamp_min(-0.2)), u.square() / 4.0
    return u, z - 1.0, z.square() - 1.0, u.square()
