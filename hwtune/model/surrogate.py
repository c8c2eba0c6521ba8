"""The surrogate: one Gaussian posterior over log time and log power, relative to the default setting.

    r(x) = m(x, θ) - m(x₀, θ) + g(x) - g(x₀)       θ ~ N(θ₀, S₀),  g ~ GP(0, a² k + b² δ) for each output
    y    = c + r(x) + ε                            c ~ N(0, s²): the level of the default itself

The physics m is linearised at the MAP estimate θ̂, so its constants enter the covariance as J S₀ Jᵀ (Laplace, as in a
linear model with a prior; Rasmussen & Williams 2006, §2.7) and r(x₀) = 0 exactly. k is Matérn-5/2 with one length scale
per input; the inputs are the effective log frequency of each domain, and the knobs. The rough part b² δ is what no
neighbour tells of a setting and what its repeated runs agree on: a misfit of the model is not taken for noise.

Shapes: n trials, p constants, b candidates; the two outputs stand last, or blocked in the order time, power.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from hwtune.domain.knob import ChoiceKnob
from hwtune.model.encoding import Encoding, tensor
from hwtune.model.observations import Observations
from hwtune.model.physics import Physics
from hwtune.model.prior import HYPERPARAMETERS, INTERCEPT_SD, prior_of

# These act through the effective frequencies alone, which stand among the kernel's inputs themselves.
_THROUGH_CLOCKS = ("frequency", "frequency_floor")


class Surrogate:
    """Physics, kernel and priors of one space; conditioning it on observations gives a `Posterior`."""

    def __init__(self, encoding: Encoding) -> None:
        self.encoding = encoding
        self.physics = Physics(encoding)
        space = encoding.space
        known = all(self.physics.modelled(knob) for knob in space.knobs)
        amplitudes = ["residual.time", "residual.power"] if known else ["residual.unmodelled"] * 2
        names = [*amplitudes, *["length.domain"] * len(self.physics.domains)]
        owner, scale = list(range(len(self.physics.domains))), [1.0] * len(self.physics.domains)
        for knob in space.knobs:
            if knob.role in _THROUGH_CLOCKS:
                continue
            width = len(knob.choices) if isinstance(knob, ChoiceKnob) else 1
            owner += [len(names) - 2] * width
            # Two choices are one range apart: |e_i - e_j| = √2.
            scale += [math.sqrt(2.0) if width > 1 else 1.0] * width
            names.append(f"length.{knob.role}")
        names += ["rough.time", "rough.power"]
        self._owner, self._scale = torch.tensor(owner), tensor(scale)
        priors = [prior_of(name, HYPERPARAMETERS) for name in names]
        self.hyper_mean = tensor([prior.mean for prior in priors])
        self.hyper_sd = tensor([prior.sd for prior in priors])

    def inputs(self, x: Tensor, theta: Tensor) -> Tensor:
        """Kernel inputs of rows `(b, inputs)`: effective log frequencies, then knobs scaled to their ranges."""
        parts = [self.physics.log_frequencies(x, theta)]
        scaled = (x - self.encoding.low) / self.encoding.span
        for knob in self.encoding.space.knobs:
            if knob.role in _THROUGH_CLOCKS:
                continue
            steered = [domain for domain in self.physics.domains if domain.governor is knob]
            if steered:
                parts.append(torch.stack([domain.governing(x) for domain in steered]).amax(0))
            else:
                parts.append(scaled[..., self.encoding.columns[knob.name]])
        return torch.cat(parts, dim=-1) / self._scale

    def kernel(self, a: Tensor, b: Tensor, hyper: Tensor) -> Tensor:
        """Covariance of g at two sets of kernel inputs for each output `(2, |a|, |b|)`."""
        lengths = hyper[2:-2][self._owner].exp()
        smooth, rough = ((2.0 * part).exp().reshape(2, 1, 1) for part in (hyper[:2], hyper[-2:]))
        return smooth * matern52(a / lengths, b / lengths) + rough * same(a, b)

    def residual(self, a: Tensor, b: Tensor, origin: Tensor, hyper: Tensor) -> Tensor:
        """Covariance of g(x) - g(x₀) for each output `(2, |a|, |b|)`, from kernel inputs; `origin` is x₀'s `(1, …)`."""
        to_origin = self.kernel(a, origin, hyper) + self.kernel(origin, b, hyper)
        return self.kernel(a, b, hyper) - to_origin + self.variance(hyper).reshape(2, 1, 1)

    @staticmethod
    def variance(hyper: Tensor) -> Tensor:
        """Variance of g for each output `(2)`."""
        return (2.0 * hyper[:2]).exp() + (2.0 * hyper[-2:]).exp()

    def linearise(self, x: Tensor, theta: Tensor, *, create_graph: bool = False) -> tuple[Tensor, Tensor]:
        """The physics relative to the default at rows `(b, 2)`, and its Jacobian in the constants `(b, 2, p)`."""
        with torch.enable_grad():
            # Every row twice, once for each output, with constants of its own: one sweep gives the whole Jacobian.
            rows = torch.cat([x, self.encoding.default.unsqueeze(0)])
            each = theta.detach().repeat(2, len(rows), 1).requires_grad_()
            mean = self.physics(rows.repeat(2, 1, 1), each)
            (slopes,) = torch.autograd.grad((mean[0, :, 0] + mean[1, :, 1]).sum(), each, create_graph=create_graph)
        jacobian = slopes.transpose(0, 1)
        mean = mean[0] if create_graph else mean[0].detach()
        return mean[:-1] - mean[-1:], jacobian[:-1] - jacobian[-1:]


class Posterior:
    """Log time and log power relative to the default, given the observations.

    Args:
        surrogate: physics, kernel, priors.
        seen: the observations, none at all for the prior predictive.
        theta: where the physics is linearised (`p`).
        hyper: logarithms of amplitudes, length scales and roughness.
    """

    def __init__(self, surrogate: Surrogate, seen: Observations, theta: Tensor, hyper: Tensor) -> None:
        self.surrogate, self.seen, self.theta, self.hyper = surrogate, seen, theta, hyper
        self.prior_variance = surrogate.physics.sd.square()
        self._origin = surrogate.inputs(surrogate.encoding.default.unsqueeze(0), theta)
        self._inputs = surrogate.inputs(seen.x, theta)
        self._mean, self._jacobian = surrogate.linearise(seen.x, theta)
        self._kept = torch.isfinite(seen.y).T.flatten()
        self._rest = torch.linalg.cholesky(self.covariance(hyper, constants=False))
        self._factor = torch.linalg.cholesky(self.covariance(hyper))
        self._weights = torch.cholesky_solve(self.surprise().unsqueeze(-1), self._factor).squeeze(-1)

    def surprise(self) -> Tensor:
        """What was measured less what the prior expects there, outputs blocked (`m`)."""
        expected = self._mean + self._jacobian @ (self.surrogate.physics.mean - self.theta)
        return (self.seen.y - expected).T.flatten()[self._kept]

    def covariance(self, hyper: Tensor, *, constants: bool = True) -> Tensor:
        """Prior covariance of what was measured `(m, m)`: residual, level, noise and, unless left out, constants."""
        blocks = self.surrogate.residual(self._inputs, self._inputs, self._origin, hyper) + INTERCEPT_SD**2
        none = torch.zeros_like(blocks[0])
        total = torch.cat([torch.cat([blocks[0], none], 1), torch.cat([none, blocks[1]], 1)])
        total = total + torch.diag(self.seen.noise.T.flatten())
        total = total[self._kept][:, self._kept]
        if constants:
            slopes = self._slopes()
            total = total + (slopes * self.prior_variance) @ slopes.T
        return total

    def _slopes(self) -> Tensor:
        """Jacobian at what was measured, outputs blocked `(m, p)`."""
        return self._jacobian.transpose(0, 1).flatten(0, 1)[self._kept]

    def constants(self) -> Tensor:
        """Posterior mean of the constants under this linearisation (`p`)."""
        return self.surrogate.physics.mean + self.prior_variance * (self._slopes().T @ self._weights)

    def cost(self, theta: Tensor) -> float:
        """Minus the log density of other constants: misfit with the residual integrated out, and prior.

        The residual's kernel stays as it is at the point of linearisation.
        """
        physics, origin = self.surrogate.physics, self.surrogate.encoding.default.unsqueeze(0)
        missed = self.seen.y - physics(self.seen.x, theta) + physics(origin, theta)
        whitened: Tensor = torch.linalg.solve_triangular(
            self._rest, missed.T.flatten()[self._kept].unsqueeze(-1), upper=False
        )
        away = (theta - physics.mean) / physics.sd
        return 0.5 * float(whitened.square().sum() + away.square().sum())

    def log_density(self) -> Tensor:
        """Log density of what was measured under this posterior's own prior, up to a constant of the data's size."""
        density: Tensor = -0.5 * self.surprise() @ self._weights - self._factor.diagonal().log().sum()
        return density

    def log_evidence(self, hyper: Tensor) -> Tensor:
        """Log posterior density of the hyperparameters, up to a constant: evidence and prior."""
        factor = torch.linalg.cholesky(self.covariance(hyper))
        white: Tensor = torch.linalg.solve_triangular(factor, self.surprise().unsqueeze(-1), upper=False)
        trials: Tensor = -0.5 * white.square().sum() - factor.diagonal().log().sum()
        away = (hyper - self.surrogate.hyper_mean) / self.surrogate.hyper_sd
        return trials - 0.5 * away.square().sum()

    def predict(self, x: Tensor, *, against: Tensor | None = None, level: bool = False) -> tuple[Tensor, Tensor]:
        """Mean `(b, 2)` and covariance `(b, 2, 2)` of log time and log power at rows `(b, width)`, differentiable.

        Args:
            x: the rows.
            against: another row `(width)` they are compared with, instead of the default; where a row acts like it, the
                difference is certain.
            level: absolute, around `seen.level`, instead of compared.
        """
        surrogate = self.surrogate
        rows = x if against is None else torch.cat([x, against.unsqueeze(0)])
        differentiable = x.requires_grad and torch.is_grad_enabled()
        mean, jacobian = surrogate.linearise(rows, self.theta, create_graph=differentiable)
        inputs, origin = surrogate.inputs(rows, self.theta), self._origin
        spread = INTERCEPT_SD**2 if level else 0.0
        across = surrogate.residual(inputs, self._inputs, self._origin, self.hyper) + spread  # (2, b, n)
        if against is not None:
            inputs, origin, across = inputs[:-1], inputs[-1:], across[:, :-1] - across[:, -1:]
            mean, jacobian = mean[:-1] - mean[-1:], jacobian[:-1] - jacobian[-1:]
        weighted = jacobian * self.prior_variance
        cross = torch.einsum("bop,nqp->boqn", weighted, self._jacobian)
        cross = cross + torch.diag_embed(across.permute(1, 2, 0)).permute(0, 2, 3, 1)  # (b, 2, 2, n)
        cross = cross.flatten(2)[..., self._kept]
        mean = mean + jacobian @ (surrogate.physics.mean - self.theta) + cross @ self._weights
        solved = torch.linalg.solve_triangular(self._factor, cross.flatten(0, 1).T, upper=False)
        solved = solved.T.unflatten(0, (len(x), 2))
        to_origin = surrogate.kernel(inputs, origin, self.hyper).squeeze(-1).T
        own = 2.0 * surrogate.variance(self.hyper) - 2.0 * to_origin + spread  # (b, 2)
        covariance = weighted @ jacobian.transpose(1, 2) + torch.diag_embed(own) - solved @ solved.transpose(1, 2)
        return mean, covariance


def same(a: Tensor, b: Tensor) -> Tensor:
    """1 where inputs are those of one setting, 0 where they are not `(|a|, |b|)`.

    In between, a millionth apart, it falls smoothly: with a sharp edge two settings could each be the same as a third
    and not as each other, and that is no covariance. Nothing is to be gained by a gradient of it.
    """
    squared = (a.unsqueeze(-2) - b.unsqueeze(-3)).square().sum(-1)
    return torch.exp(-squared.detach() / 1e-12)


def matern52(a: Tensor, b: Tensor) -> Tensor:
    """Matérn-5/2 correlation (1 + d + d²/3) e⁻ᵈ at d = √5 |a - b|, of inputs already divided by their length scales.

    The root is taken above a tiny number, so that the gradient at equal inputs is 0 and not NaN.
    """
    squared = (a.unsqueeze(-2) - b.unsqueeze(-3)).square().sum(-1)
    d = (5.0 * squared).clamp_min(1e-20).sqrt()
    return (1.0 + d + d.square() / 3.0) * torch.exp(-d)
