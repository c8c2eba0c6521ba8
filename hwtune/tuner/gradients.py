"""Gradients of the surrogate along steps of one knob, twice: by autograd, and by central differences of the same.

Both are taken half way between two settings, on a relaxed row: of a choice, half of each. The differences are of fourth
order (Abramowitz & Stegun 25.3.24), (8 (f₁ - f₋₁) - (f₂ - f₋₂)) / 12h with fₖ = f(kh), in float64, so that truncation
and cancellation both stay below some 1e-8 of the slope.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from hwtune.domain.knob import Setting
from hwtune.domain.slope import Effects, Slope
from hwtune.model.encoding import tensor
from hwtune.tuner.study import Study

Outputs = Callable[[Tensor], Tensor]
"""Log time and log power `(b, 2)` of rows `(b, width)`."""

_H = 2e-4  # in units of the step; a soft limit of the model turns within 0.7 % of the widest step


def slopes(study: Study, pairs: Sequence[tuple[Setting, Setting]]) -> list[Slope]:
    """What the surrogate that learned from these trials says of each step from one setting to another."""
    posterior, encoding = study.posterior, study.encoding
    found = []
    for first, second in pairs:
        a, b = encoding.encode([first, second])
        with torch.no_grad():
            mean, covariance = posterior.predict(b.unsqueeze(0), against=a)
        autograd, central = along(lambda x: posterior.predict(encoding.settle(x))[0], a, b)
        found.append(
            Slope(
                autograd=_effects(autograd),
                central=_effects(central),
                change=_effects(mean[0]),
                change_sd=_effects(covariance[0].diagonal().clamp_min(0.0).sqrt()),
            )
        )
    return found


def along(outputs: Outputs, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Change of both outputs along a step at the slope half way `(2)`, by autograd and by central differences."""
    step, middle = second - first, (first + second) / 2.0
    gradients = []
    for output in range(2):
        x = middle.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(outputs(x.unsqueeze(0))[0, output], x)
        gradients.append(gradient @ step)
    with torch.no_grad():
        places = tensor([-2.0, -1.0, 1.0, 2.0]).unsqueeze(-1)
        far_below, below, above, far_above = outputs(middle + _H * places * step)
    central = (8.0 * (above - below) - (far_above - far_below)) / (12.0 * _H)
    return torch.stack(gradients), central


def _effects(pair: Tensor) -> Effects:
    return Effects(time=pair[0].item(), power=pair[1].item())
