"""What a run that was cut short tells: its time is above a bound.

Log time there is expected to be N(μ, s²) from all else; above the bound b it is a truncated normal. The Gaussian
measurement that would turn the one into the other, mean and variance alike, takes the place of the bound: one step of
expectation propagation for each such trial (Minka 2001; for regression with censored figures Groot & Lucas 2012). Where
the bound is no news its variance grows without limit, and the figure is left out.

Its power, the energy over the time until then, was measured as any other.
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from hwtune.model.observations import Observations

_NO_NEWS = 1e4  # variance of a measurement that says nothing of a log time


def without_bounds(seen: Observations) -> Observations:
    """The same as if the time of what was cut short had not been sensed."""
    return replace(seen, y=torch.stack([seen.y[:, 0].masked_fill(seen.cut, math.nan), seen.y[:, 1]], -1))


def with_bounds(seen: Observations, mean: Tensor, variance: Tensor) -> Observations:
    """The same with each bound as the measurement that it amounts to.

    Args:
        seen: what was measured, bounds among it.
        mean: of log time at every trial, less the level, without the bounds (`n`).
        variance: of the same, the run's own noise left out (`n`).
    """
    noisy = variance + seen.noise[:, 0]
    u = (mean - seen.y[:, 0]) / noisy.sqrt()
    # φ(u) / Φ(u), from logarithms: far below the bound both vanish
    hazard = (-0.5 * u.square() - 0.5 * math.log(2.0 * math.pi) - torch.special.log_ndtr(u)).exp()
    above = mean + variance * hazard / noisy.sqrt()
    left = variance - variance.square() * hazard * (hazard + u) / noisy
    site = variance * left / (variance - left).clamp_min(1e-12)
    stands_for = (above / left - mean / variance) * site
    told = seen.cut & (site < _NO_NEWS)
    time = torch.where(told, stands_for, seen.y[:, 0]).masked_fill(seen.cut & ~told, math.nan)
    noise = torch.where(told, site, seen.noise[:, 0])
    return replace(seen, y=torch.stack([time, seen.y[:, 1]], -1), noise=torch.stack([noise, seen.noise[:, 1]], -1))
