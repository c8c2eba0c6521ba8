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
from functools import cached_property

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

    def at(self, x: Tensor) -> View:
        """What is expected of rows `(b, width)`; everything of it is differentiable in them."""
        return View(self, x)

    def outlook(self, x: Tensor) -> Outlook:
        """What is expected of rows, in short."""
        return self.at(x).outlook()

    def objective(self, mean: Tensor, covariance: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and deviation of the log objective, from those of log time and log power."""
        variance = (covariance @ self._weights) @ self._weights
        return mean @ self._weights, variance.clamp_min(_TINY).sqrt()


class View:
    """Rows `(b, width)` as a judge sees them; the experts are asked once for all questions."""

    def __init__(self, judge: Judge, x: Tensor) -> None:
        self._judge, self._x = judge, x

    @cached_property
    def _experts(self) -> Experts:
        return self._judge.posterior.experts(self._x)

    @cached_property
    def _levelled(self) -> Experts:
        return self._judge.posterior.experts(self._x, level=True)

    def outlook(self) -> Outlook:
        """Log objective relative to the default, and the chance that the bound holds."""
        objective, sd = self._judge.objective(*self._experts.moments())
        return Outlook(mean=objective, sd=sd, log_feasible=self.log_within(1.0))

    def log_within(self, times: float) -> Tensor:
        """Log probability of being at most `times` as much slower as the bound allows `(b)`.

        A power bound is not stretched.
        """
        bound, posterior = self._judge.bound, self._judge.posterior
        log_within = self._x.new_zeros(len(self._x))
        if bound.max_slowdown is not None:
            log_within = log_within + _log_below(self._experts, 0, math.log1p(times * bound.max_slowdown))
        if bound.max_power_w is not None:
            limit = math.log(bound.max_power_w) - posterior.seen.level[1].item()
            log_within = log_within + _log_below(self._levelled, 1, limit)
        return log_within

    def promise(self, incumbent: Tensor) -> Tensor:
        """Log EI over another row `(width)` per unit of measuring time `(b)`.

        A probe costs its own run time (Snoek et al., NeurIPS 2012, EI per second), and is trusted as far as it is
        likely not much slower than the incumbent; the trust region widens with what was measured.
        """
        posterior = self._judge.posterior
        experts = posterior.experts(self._x, against=incumbent)
        mean, sd = self._judge.objective(experts.mean, experts.covariance)
        improvement = log_expected_improvement(mean, sd, 0.0)
        time = experts.moments()[0][:, 0]
        trust = _TRUST * (1.0 + len(posterior.seen.x) / _TRUST_GROWS)
        return _weighed(experts, improvement) - time + _log_below(experts, 0, trust)


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
