"""Fitting: constants of the physics by Gauss-Newton, the residual by gradient steps on the marginal likelihood.

The constants' MAP is found with the residual integrated out: each step solves the linear-Gaussian problem at the
present estimate, θ ← θ₀ + S₀Jᵀ K⁻¹ (y - m(θ) - J(θ₀ - θ)), halved until the posterior density rises (an iterated
extended Kalman update; Bell & Cathey 1993). Amplitudes, length scales and roughness maximise their own posterior given
that linearisation. Every answer depends on the trials alone: nothing is kept between calls.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from hwtune.domain.knob import KnobSpace
from hwtune.domain.trial import Trial
from hwtune.model.censored import with_bounds, without_bounds
from hwtune.model.encoding import Encoding
from hwtune.model.features import signature
from hwtune.model.learned import Component, fitting
from hwtune.model.linear import LearnedPosterior
from hwtune.model.mixture import Mixture
from hwtune.model.observations import Observations, observe
from hwtune.model.surrogate import Posterior, Surrogate

_NEWTON_STEPS = 8
_HYPER_STEPS = 25
_HYPER_RATE = 0.15
_FITTED = 96  # trials that constants and hyperparameters are fitted to, and experts chosen by: more say the same again
_HOPELESS = 1e-6  # of the likeliest component's weight, below which no further trials would bring one back


def learn_from(space: KnobSpace, trials: Sequence[Trial], prior: tuple[Component, ...]) -> Mixture:
    """The physics and what fits of a learned prior, weighed by how well they explain the trials.

    What was cut short is looked at twice: what all else expects there says what its bound is worth.
    """
    surrogate, roles = Surrogate(Encoding(space)), signature(space)
    components = fitting(prior, roles) if roles is not None else ()
    seen = observe(surrogate.encoding, trials)
    mixture = _condition(surrogate, components, without_bounds(seen))
    if not seen.cut.any():
        return mixture
    with torch.no_grad():
        mean, covariance = mixture.predict(seen.x, level=True)
    return _condition(surrogate, components, with_bounds(seen, mean[:, 0], covariance[:, 0, 0]))


def _condition(surrogate: Surrogate, components: tuple[Component, ...], seen: Observations) -> Mixture:
    physics = fit(surrogate, seen)
    if not components:
        return Mixture(physics, None)
    learned = LearnedPosterior(components, surrogate.encoding, seen.thinned(_FITTED))
    if len(seen.x) > _FITTED:
        learned = LearnedPosterior(learned.likely(_HOPELESS).components, surrogate.encoding, seen)
    return Mixture(physics, learned)


def fit(surrogate: Surrogate, seen: Observations) -> Posterior:
    """The posterior of the physics given what was measured; without anything, the prior predictive."""
    posterior = Posterior(surrogate, seen.thinned(_FITTED), surrogate.physics.mean, surrogate.hyper_mean)
    if len(seen.x) == 0:
        return posterior
    posterior = fit_constants(posterior)
    posterior = fit_hyperparameters(posterior)
    posterior = fit_constants(posterior)
    return posterior if len(seen.x) <= _FITTED else Posterior(surrogate, seen, posterior.theta, posterior.hyper)


def fit_constants(posterior: Posterior) -> Posterior:
    """The posterior linearised at the MAP of the constants, at fixed hyperparameters."""
    for _ in range(_NEWTON_STEPS):
        step, before = posterior.constants() - posterior.theta, posterior.cost(posterior.theta)
        size = 1.0
        while (after := posterior.cost(posterior.theta + size * step)) > before and size > 0.05:
            size /= 2.0
        if before - after < 1e-3:
            break
        posterior = Posterior(posterior.surrogate, posterior.seen, posterior.theta + size * step, posterior.hyper)
    return posterior


def fit_hyperparameters(posterior: Posterior) -> Posterior:
    """The posterior with the most probable amplitudes, length scales and roughness, at fixed constants."""
    surrogate = posterior.surrogate
    hyper = adam(posterior.hyper, lambda eta: -posterior.log_evidence(eta), steps=_HYPER_STEPS, rate=_HYPER_RATE)
    return Posterior(surrogate, posterior.seen, posterior.theta, hyper)


def adam(
    start: Tensor,
    loss: Callable[[Tensor], Tensor],
    *,
    steps: int,
    rate: float,
    project: Callable[[Tensor], Tensor] = lambda at: at,
) -> Tensor:
    """Gradient steps with Adam (Kingma & Ba 2015), the rate falling to nothing along a cosine.

    After each step `project` may pull the point back to where it is allowed.

    torch.optim is left alone: its first optimizer imports the compiler, 0.8 s and 70 MB.
    """
    at = start.clone()
    first, second = torch.zeros_like(at), torch.zeros_like(at)
    for step in range(1, steps + 1):
        with torch.enable_grad():
            leaf = at.detach().requires_grad_()
            (gradient,) = torch.autograd.grad(loss(leaf), leaf)
        first = 0.9 * first + 0.1 * gradient
        second = 0.99 * second + 0.01 * gradient.square()
        move = (first / (1.0 - 0.9**step)) / ((second / (1.0 - 0.99**step)).sqrt() + 1e-8)
        at = project(at - rate * 0.5 * (1.0 + math.cos(math.pi * step / steps)) * move)
    return at
