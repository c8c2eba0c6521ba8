"""What the measurements alone say, when the model has no say: the best setting that surely was better than the default.

Each setting is compared with the default by its own trials and their noise, without a word of any neighbour. The noise
is that of both, so one lucky run is not enough.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from hwtune.domain.knob import Setting
from hwtune.domain.objective import Bound, Objective
from hwtune.model.encoding import Encoding, tensor
from hwtune.model.observations import Observations

_SURE = 1.6448536269514722  # deviations: each of gain and bound holds with 95 %


def best_measured(encoding: Encoding, seen: Observations, objective: Objective, bound: Bound) -> Setting | None:
    """The measured setting with the least objective among those surely better than the default and within the bound.

    A setting any trial of which broke a bound that only a measurement shows is not within it. None where there is none,
    or the default was not measured.
    """
    whole = seen.only(~seen.cut)
    rows = torch.unique(whole.x, dim=0)
    here = encoding.at_default(rows)
    if not here.any():
        return None
    means, variances = zip(*(_together(whole, row) for row in rows), strict=True)
    origin = int(here.nonzero()[0])
    weights = tensor([objective.time_exponent, objective.power_exponent])
    best, least = None, 0.0
    for row, mean, variance in zip(rows, means, variances, strict=True):
        gain, spread = mean - means[origin], variance + variances[origin]
        cost = _weighed(gain, weights)
        surely = cost + _SURE * math.sqrt(_weighed(spread, weights.square())) < 0.0
        broken = bool((~whole.fit & (whole.x == row).all(-1)).any())
        if cost < least and surely and not broken and _within(gain, spread, mean + whole.level, bound):
            best, least = row, cost
    return None if best is None else encoding.decode(best)


def _together(seen: Observations, row: Tensor) -> tuple[Tensor, Tensor]:
    """Mean over the trials of a setting, and its variance `(2)`."""
    mine = (seen.x == row).all(-1)
    return seen.y[mine].mean(0), seen.noise[mine].mean(0) / int(mine.sum())


def _weighed(figures: Tensor, weights: Tensor) -> float:
    """Their weighted sum; what counts for nothing need not have been sensed."""
    counts = weights != 0.0
    return float(figures[counts] @ weights[counts])


def _within(gain: Tensor, spread: Tensor, level: Tensor, bound: Bound) -> bool:
    slowest = math.inf if bound.max_slowdown is None else math.log1p(bound.max_slowdown)
    highest = math.inf if bound.max_power_w is None else math.log(bound.max_power_w)
    slowdown, power = (gain[0] + _SURE * spread[0].sqrt()).item(), (level[1] + _SURE * spread[1].sqrt()).item()
    return slowdown <= slowest and (highest == math.inf or power <= highest)
