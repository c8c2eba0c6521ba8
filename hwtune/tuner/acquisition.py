"""What a measurement is worth: constrained log expected improvement, in closed form.

The logarithm of every objective is a·log time + b·log power, hence Gaussian; so is the slowdown. With the incumbent's
log objective y⁺, and y⁺ - y of mean μ and deviation sd, u = μ / sd:

    log EI = log h(u) + log sd,   h(u) = φ(u) + u Φ(u)
    a      = log EI + Σ log P(constraint holds)

The posterior is a mixture of experts; EI and probabilities are their weighted means. All stays in logarithms, so that
neither value nor gradient vanishes far from the optimum (Ament et al., NeurIPS 2023). The incumbent is the best
posterior mean among evaluated, probably feasible settings, not the luckiest run; it is uncertain itself, and the
deviation is that of the difference, so a setting that acts like the incumbent promises nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from hwtune.domain.objective import Bound, Objective
from hwtune.model.encoding import tensor
from hwtune.model.mixture import Experts, Mixture

_LOG_SQRT_2PI = 0.5 * math.log(2.0 * math.pi)
_TINY = 1e-12
_TRUST, _TRUST_GROWS = 0.22, 6.0  # log of how much slower than the incumbent a probe may be; trials until twice that


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """What is expected of rows (`b`): log objective relative to the default, and the chance that the bound holds."""

    mean: Tensor
    sd: Tensor
    log_feasible: Tensor


class Judge:
    """The posterior seen through an objective and a bound."""

    def __init__(self, posterior: Mixture, objective: Objective, bound: Bound) -> None:
        self.posterior, self.bound = posterior, bound
        self._weights = tensor([objective.time_exponent, objective.power_exponent])

    def outlook(self, x: Tensor) -> Outlook:
        """Of rows `(b, width)`, differentiable."""
        mean, covariance = self.posterior.experts(x).moments()
        objective, sd = self._objective(mean, covariance)
        return Outlook(mean=objective, sd=sd, log_feasible=self.log_within(x, 1.0))

    def log_within(self, x: Tensor, times: float) -> Tensor:
        """Log probability that rows are at most `times` as much slower as the bound allows `(b)`, differentiable.

        A power bound is not stretched.
        """
        log_within = x.new_zeros(len(x))
        if self.bound.max_slowdown is not None:
            log_within = log_within + _log_below(
                self.posterior.experts(x), 0, math.log1p(times * self.bound.max_slowdown)
            )
        if self.bound.max_power_w is not None:
            limit = math.log(self.bound.max_power_w) - self.posterior.seen.level[1].item()
            log_within = log_within + _log_below(self.posterior.experts(x, level=True), 1, limit)
        return log_within

    def promise(self, x: Tensor, incumbent: Tensor) -> Tensor:
        """Log EI of rows `(b, width)` over another row `(width)` per unit of measuring time, differentiable.

        A probe costs its own run time (Snoek et al., NeurIPS 2012, EI per second), and is trusted as far as it is
        likely not much slower than the incumbent; the trust region widens with what was measured.
        """
        experts = self.posterior.experts(x, against=incumbent)
        mean, sd = self._objective(experts.mean, experts.covariance)
        improvement = log_expected_improvement(mean, sd, 0.0)
        time = experts.moments()[0][:, 0]
        trust = _TRUST * (1.0 + len(self.posterior.seen.x) / _TRUST_GROWS)
        return _weighed(experts, improvement) - time + _log_below(experts, 0, trust)

    def _objective(self, mean: Tensor, covariance: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and deviation of the log objective."""
        variance = (covariance @ self._weights) @ self._weights
        return mean @ self._weights, variance.clamp_min(_TINY).sqrt()


def _weighed(experts: Experts, logs: Tensor) -> Tensor:
    """Log of the experts' weighted mean of what `logs` `(k, b)` are logarithms of."""
    return (experts.log_weights.unsqueeze(-1) + logs).logsumexp(0)


def _log_below(experts: Experts, output: int, limit: float) -> Tensor:
    """Log probability that an output is below a limit `(b)`."""
    sd = experts.covariance[..., output, output].clamp_min(_TINY).sqrt()
    return _weighed(experts, torch.special.log_ndtr((limit - experts.mean[..., output]) / sd))


def log_expected_improvement(mean: Tensor, sd: Tensor, best: float) -> Tensor:
    """Log of the expected amount by which a Gaussian falls below `best`."""
    return log_h((best - mean) / sd) + sd.log()


def log_h(u: Tensor) -> Tensor:
    """log(φ(u) + u Φ(u)), accurate and differentiable for every u (Ament et al. 2023, appendix A).

    Three branches, each evaluated at a harmless point where it does not apply, so that no NaN leaks into gradients.
    """
    near = u.clamp_min(-1.0)
    direct = (torch.exp(-0.5 * near.square() - _LOG_SQRT_2PI) + near * torch.special.ndtr(near)).log()
    middle = u.clamp(-1e4, -1.0)
    # φ(u) + uΦ(u) = φ(u) · (1 - |u| √(π/2) erfcx(|u|/√2))
    ratio = torch.log(-middle) + torch.log(torch.special.erfcx(-middle / math.sqrt(2.0))) + 0.5 * math.log(math.pi / 2)
    scaled = -0.5 * middle.square() - _LOG_SQRT_2PI + torch.log(-torch.expm1(ratio.clamp_max(-1e-15)))
    far = u.clamp_max(-1e4)
    tail = -0.5 * far.square() - _LOG_SQRT_2PI - 2.0 * torch.log(-far)
    return torch.where(u > -1.0, direct, torch.where(u > -1e4, scaled, tail))
