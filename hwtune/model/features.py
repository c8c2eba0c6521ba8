"""What a learned prior is linear in: a few smooth functions of each knob, relative to the default.

With u = log(value / default) and z = eᵘ, a knob gives four features, all zero at the default, and each pair of knobs
the product of their u. What a feature is worth differs between roles, and is learned (`learn.py`): 1/z, the time of
work that scales with a clock, and z², the voltage's part of power, are among them or close to their span.
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

FEATURES_PER_KNOB = 4


def signature(space: KnobSpace) -> tuple[Role, ...] | None:
    """The roles of a space's knobs in order; None where nothing learned of other machines fits.

    That is a space with choices, with a role that means something else on every machine, or with a role twice.
    """
    roles = tuple(knob.role for knob in space.knobs)
    numbers = all(isinstance(knob, RangeKnob) and knob.role in LEARNABLE for knob in space.knobs)
    return roles if numbers and len(set(roles)) == len(roles) else None


def names(roles: tuple[Role, ...]) -> tuple[str, ...]:
    """Of the features of a signature, in order: `frequency.0` …, then `active_cpus*frequency`."""
    return tuple(
        [f"{role}.{index}" for role in roles for index in range(FEATURES_PER_KNOB)]
        + ["*".join(sorted(pair)) for pair in combinations(roles, 2)]
    )


class Features:
    """The features of one space.

    Args:
        encoding: of a space with a `signature`.
    """

    def __init__(self, encoding: Encoding) -> None:
        self._encoding = encoding
        self._knobs = [knob for knob in encoding.space.knobs if isinstance(knob, RangeKnob)]

    def logs(self, x: Tensor) -> Tensor:
        """u of each knob `(…, knobs)` at rows `(…, width)`; of a knob that reaches zero, in units of its range."""
        return torch.stack(
            [self._log(knob, x[..., self._encoding.columns[knob.name].start]) for knob in self._knobs], -1
        )

    def __call__(self, x: Tensor) -> Tensor:
        """Features of rows `(…, width)`: `(…, p)`, in the order of `names`."""
        u = self.logs(x)
        parts = [part for index, knob in enumerate(self._knobs) for part in _of(knob.role, u[..., index])]
        parts += [u[..., i] * u[..., j] for i, j in combinations(range(len(self._knobs)), 2)]
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
