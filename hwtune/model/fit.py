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
from hwtune.domain.trial import Trial, TrialStatus
from hwtune.model.encoding import Encoding, tensor
from hwtune.model.features import signature
from hwtune.model.learned import Component, fitting
from hwtune.model.linear import LearnedPosterior
from hwtune.model.mixture import Mixture
from hwtune.model.surrogate import Observations, Posterior, Surrogate

_NEWTON_STEPS = 8
_HYPER_STEPS = 25
_HYPER_RATE = 0.15
_FITTED = 96  # trials that constants and hyperparameters are fitted to, and experts chosen by: more say the same again
_HOPELESS = 1e-6  # share of the weight below which all further trials would not bring a component back


def observe(encoding: Encoding, trials: Sequence[Trial]) -> Observations:
    """Trials as numbers; only those measured to their end count.

    Levels are those of the default's own trials, of all trials where there are none, 0 without any.
    """
    measured = [trial for trial in trials if trial.status is TrialStatus.OK]
    figures = [
        tensor([[math.log(run.time_s), _log_power(run.time_s, run.energy_j)] for run in trial.runs])
        for trial in measured
    ]
    x = encoding.encode([trial.setting for trial in measured])
    y = tensor([figure.mean(0).tolist() for figure in figures]).reshape(-1, 2)
    spread = tensor([(figure - figure.mean(0)).square().sum(0).tolist() for figure in figures]).reshape(-1, 2)
    default = encoding.at_default(x)
    level = (y[default] if default.any() else y).nanmean(0).nan_to_num()
    runs = tensor([len(trial.runs) for trial in measured])
    return Observations(x=x, y=y - level, runs=runs, spread=spread, level=level)


def _log_power(time_s: float, energy_j: float | None) -> float:
    return math.nan if energy_j is None else math.log(energy_j / time_s)


def fit(space: KnobSpace, trials: Sequence[Trial]) -> Posterior:
    """The posterior of a space given its trials; without any, the prior predictive."""
    encoding = Encoding(space)
    surrogate = Surrogate(encoding)
    seen = observe(encoding, trials)
    posterior = Posterior(surrogate, seen.thinned(_FITTED), surrogate.physics.mean, surrogate.hyper_mean)
    if len(seen.x) == 0:
        return posterior
    posterior = fit_constants(posterior)
    posterior = fit_hyperparameters(posterior)
    posterior = fit_constants(posterior)
    return posterior if len(seen.x) <= _FITTED else Posterior(surrogate, seen, posterior.theta, posterior.hyper)


def learn_from(space: KnobSpace, trials: Sequence[Trial], prior: tuple[Component, ...]) -> Mixture:
    """The physics and what fits of a learned prior, weighed by how well they explain the trials."""
    physics = fit(space, trials)
    roles = signature(space)
    components = fitting(prior, roles) if roles is not None else ()
    if not components:
        return Mixture(physics, None)
    encoding, seen = physics.surrogate.encoding, physics.seen
    learned = LearnedPosterior(components, encoding, seen.thinned(_FITTED))
    if len(seen.x) > _FITTED:
        learned = LearnedPosterior(learned.likely(_HOPELESS).components, encoding, seen)
    return Mixture(physics, learned)


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
