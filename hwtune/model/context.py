"""Like work behaves alike: what was sensed at the default says how work may differ from the mean of its kind.

Each history's worth of features is μ + δ_i. Over histories δ is linear in what was sensed while the work ran at the
default (counters per instruction, power, what a table offers), standardised as z `(F)`, and a rest of its own:

    δ_i = Bᵀ z_i + e_i        rows of B ~ N(0, w S / F),    e ~ N(0, (1 - w) S)

S is the covariance over histories, w the share of it that z may explain: Bayesian linear regression, with
A = ZᵀZ + F (1 - w) / w I (Bishop 2006, §3.3). Work with z then has

    mean μ + (A⁻¹ Zᵀ Δ)ᵀ z,    covariance (1 - w) (1 + zᵀ A⁻¹ z) S

w is the one with which each history is best foretold from all others; where none foretells better than no likeness at
all, nothing is learned: features that mislead have no say. Only these coefficients are kept, nothing of any history.

Shapes: N histories, F features sensed, 2p coefficients.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from hwtune.model.encoding import tensor

POWER = "power_w"
"""The name that mean power at the default goes by among what was sensed."""

LEAST = 6  # histories, below which nothing can be said of likeness
_SHARES = (0.1, 0.3, 0.5, 0.7, 0.9)
_GAIN = 4.0  # of log density, by which likeness must foretell better than none
_WAYS = 3  # in which histories differ most, by which likeness is judged
_SMALL = 0.1  # of a feature's median, beyond which it counts by its logarithm
_LEVEL = 10.0  # variance of what all histories have in common, in units of S
_FARTHEST = 3.0  # deviations at which a feature counts as no farther off


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """How histories of a kind differ with what was sensed in them.

    Args:
        names: of the features.
        scale: magnitude of each, beyond which it counts by its logarithm `(F)`.
        centre: mean over histories after that `(F)`.
        spread: deviation `(F)`.
        slopes: what a deviation of each adds to the worth of features, A⁻¹ZᵀΔ `(F, 2p)`.
        doubt: A⁻¹ `(F, F)`.
        share: w.
    """

    names: tuple[str, ...]
    scale: Tensor
    centre: Tensor
    spread: Tensor
    slopes: Tensor
    doubt: Tensor
    share: float

    def given(self, mean: Tensor, covariance: Tensor, sensed: Mapping[str, float]) -> tuple[Tensor, Tensor]:
        """Those of the worth of features in work where this was sensed; as they are if a feature is missing."""
        if not sensed.keys() >= set(self.names):
            return mean, covariance
        values = tensor([sensed[name] for name in self.names])
        z = ((_compressed(values, self.scale) - self.centre) / self.spread).clamp(-_FARTHEST, _FARTHEST)
        return mean + z @ self.slopes, (1.0 - self.share) * (1.0 + z @ self.doubt @ z) * covariance


def learn_context(sensed: Sequence[Mapping[str, float]], apart: Tensor, gram: Tensor) -> Context | None:
    """What likeness of histories tells; None where it tells nothing, or too few histories have a feature in common.

    Args:
        sensed: at the default of each history (`N`).
        apart: Δ, each history's worth of features less the mean `(N, 2p)`.
        gram: what a difference of coefficients does to figures, in units of their noise `(2p, 2p)`.
    """
    common = sorted(set.intersection(*(set(each) for each in sensed))) if sensed else []
    if len(sensed) < LEAST or not common:
        return None
    values = tensor([[each[name] for name in common] for each in sensed])
    scale = (_SMALL * values.abs().median(0).values).clamp_min(1e-12)
    compressed = _compressed(values, scale)
    moving = compressed.std(0) > 1e-6
    if not moving.any():
        return None
    centre, spread = compressed.mean(0)[moving], compressed.std(0)[moving]
    z = (compressed[:, moving] - centre) / spread
    ways, worth = _ways(apart, gram)
    best, share = max((_foretold(z, ways, worth, share), share) for share in _SHARES)
    if best < _foretold(z, ways, worth, 0.0) + _GAIN:
        return None
    count = z.shape[1]
    doubt = torch.linalg.inv(z.T @ z + count * (1.0 - share) / share * torch.eye(count, dtype=torch.float64))
    return Context(
        names=tuple(name for name, moves in zip(common, moving.tolist(), strict=True) if moves),
        scale=scale[moving],
        centre=centre,
        spread=spread,
        slopes=doubt @ z.T @ apart,
        doubt=0.5 * (doubt + doubt.T),
        share=share,
    )


def _compressed(values: Tensor, scale: Tensor) -> Tensor:
    """sgn(v) log(1 + |v| / scale): what is counted differs by factors, and may be nothing at all."""
    return values.sign() * torch.log1p(values.abs() / scale)


def _ways(apart: Tensor, gram: Tensor) -> tuple[Tensor, Tensor]:
    """The main ways in which figures of histories differ, each of variance 1 `(N, ways)`, and their shares (`ways`)."""
    values, vectors = torch.linalg.eigh(apart @ gram @ apart.T)
    values, vectors = values.flip(0)[:_WAYS].clamp_min(0.0), vectors.flip(1)[:, :_WAYS]
    return vectors * math.sqrt(len(apart)), values / values.sum().clamp_min(1e-300)


def _foretold(z: Tensor, ways: Tensor, worth: Tensor, share: float) -> float:
    """Log density of each history's differences given those of all others, if z explains this share of them.

    By the inverse of the whole covariance (Rasmussen & Williams 2006, §5.4.2). Each way counts by its own share.
    """
    # Differences from a mean sum to nothing: without a level of its own each would follow from all others.
    likeness = share * (z @ z.T) / z.shape[1] + (1.0 - share) * torch.eye(len(z), dtype=torch.float64) + _LEVEL
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(likeness))
    precision = inverse.diagonal().unsqueeze(-1)
    density = 0.5 * precision.log() - 0.5 * (inverse @ ways).square() / precision
    return float(worth @ density.sum(0))
