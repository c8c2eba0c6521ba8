"""The posteriors of all learned components at once, given the observations: linear in the features, exact.

    r(x) = Φ(x) β + h(x) - h(x₀),  β ~ N(μ, S),  h ~ GP(0, a² Matérn-5/2 + b² δ)      for each component
    y    = c + r(x) + ε,           c ~ N(0, s²),  ε: the spread of repeated runs

The rough part b² δ belongs to the setting, not to the run: measured again, a setting gives the same figure, so what was
measured is known as well as its runs agree. Other symbols as in `surrogate.py`; Rasmussen & Williams 2006, §2.7.

Shapes: k components, n trials, b candidates, p features; the two outputs stand last, or blocked: time, power.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from hwtune.model.encoding import Encoding, tensor
from hwtune.model.features import Features
from hwtune.model.learned import LENGTH, LENGTHS, Component
from hwtune.model.observations import Observations
from hwtune.model.prior import INTERCEPT_SD
from hwtune.model.surrogate import matern52, same


class LearnedPosterior:
    """What the components expect, given the observations.

    Args:
        components: with the roles of the space.
        encoding: of the space.
        seen: what was measured there.

    Attributes:
        log_weights: log of prior weight (they sum to 1) times evidence of each component, its level's included (`k`).
    """

    def __init__(self, components: tuple[Component, ...], encoding: Encoding, seen: Observations) -> None:
        self.components, self.seen = components, seen
        components = tuple(component.given(seen.sensed) for component in components)
        self._features = Features(encoding)
        lengths = tensor([LENGTHS.get(role, LENGTH) for role in components[0].roles])
        self._lengths = tensor([c.length for c in components]).unsqueeze(-1) * lengths  # (k, knobs)
        p = len(components[0].mean) // 2
        self._mean = torch.stack([c.mean for c in components]).reshape(-1, 2, p)
        self._worth = torch.stack([c.covariance for c in components]).reshape(-1, 2, p, 2, p)
        self._amplitude = torch.stack([c.amplitude for c in components]).square()  # (k, 2)
        self._rough = torch.stack([c.roughness for c in components]).square()
        self._kept = torch.isfinite(seen.y).T.flatten()
        self._origin = self._features.logs(encoding.default.unsqueeze(0))
        self._u, self._phi = self._features.logs(seen.x), self._features(seen.x)
        self.log_weights = tensor([c.weight for c in components]).log().log_softmax(0) + self._level_odds(encoding)
        if len(seen.x):
            self._condition()

    def _level_odds(self, encoding: Encoding) -> Tensor:
        """How much likelier the power at the default is under each component than anywhere, logarithms (`k`)."""
        if not torch.isfinite(self.seen.y[encoding.at_default(self.seen.x), 1]).any():
            return torch.zeros(len(self.components), dtype=torch.float64)
        power = self.seen.level[1].item()
        return tensor([c.level.log_odds(power) if c.level else 0.0 for c in self.components])

    def _condition(self) -> None:
        missed = self.seen.y - torch.einsum("np,kop->kno", self._phi, self._mean)
        missed = missed.transpose(1, 2).flatten(1)[:, self._kept]  # (k, m)
        blocks = self._residual(self._u, self._u, self._origin) + INTERCEPT_SD**2  # (k, 2, n, n)
        blocks = blocks + torch.diag_embed(self.seen.noise.T)
        total = torch.einsum("np,kopqr,mr->konqm", self._phi, self._worth, self._phi)
        total = total + torch.einsum("konm,oq->konqm", blocks, torch.eye(2, dtype=torch.float64))
        size = 2 * len(self.seen.x)
        total = total.reshape(-1, size, size)[:, self._kept][:, :, self._kept]
        self._factor = torch.linalg.cholesky(total)
        white = torch.linalg.solve_triangular(self._factor, missed.unsqueeze(-1), upper=False).squeeze(-1)
        self._weights = torch.cholesky_solve(missed.unsqueeze(-1), self._factor).squeeze(-1)
        log_det = self._factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        self.log_weights = self.log_weights - 0.5 * white.square().sum(-1) - log_det

    def _kernel(self, a: Tensor, b: Tensor) -> Tensor:
        """Covariance of h at two sets of u, for each component and output `(k, 2, |a|, |b|)`."""
        scaled = self._lengths.unsqueeze(1)
        smooth = matern52(a / scaled, b / scaled)
        return self._amplitude[..., None, None] * smooth.unsqueeze(1) + self._rough[..., None, None] * same(a, b)

    def _residual(self, a: Tensor, b: Tensor, origin: Tensor) -> Tensor:
        """Covariance of h - h(origin) `(k, 2, |a|, |b|)`."""
        at_origin = (self._amplitude + self._rough)[..., None, None]
        return self._kernel(a, b) - self._kernel(a, origin) - self._kernel(origin, b) + at_origin

    def predict(self, x: Tensor, *, against: Tensor | None = None, level: bool = False) -> tuple[Tensor, Tensor]:
        """Means `(k, b, 2)` and covariances `(k, b, 2, 2)` at rows `(b, width)`, differentiable.

        Arguments as in `Posterior.predict`.
        """
        u, phi = self._features.logs(x), self._features(x)
        origin = self._origin
        if against is not None:
            origin = self._features.logs(against.unsqueeze(0))
            phi = phi - self._features(against.unsqueeze(0))
        spread = INTERCEPT_SD**2 if level else 0.0
        mean = torch.einsum("bp,kop->kbo", phi, self._mean)
        apart = self._kernel(u, origin).squeeze(-1)  # (k, 2, b)
        own = 2.0 * (self._amplitude + self._rough).unsqueeze(-1) - 2.0 * apart + spread
        weighted = torch.einsum("bp,kopqr->kboqr", phi, self._worth)
        covariance = torch.einsum("kboqr,br->kboq", weighted, phi) + torch.diag_embed(own.transpose(1, 2))
        if not len(self.seen.x):
            return mean, covariance
        across = self._residual(u, self._u, self._origin)
        if against is not None:
            across = across - self._residual(origin, self._u, self._origin)
        cross = torch.einsum("kboqr,nr->kboqn", weighted, self._phi)
        eye = torch.eye(2, dtype=torch.float64)
        cross = cross + torch.einsum("kobn,oq->kboqn", across + spread, eye)
        cross = cross.flatten(-2)[..., self._kept]  # (k, b, 2, m)
        mean = mean + torch.einsum("kbom,km->kbo", cross, self._weights)
        solved = torch.linalg.solve_triangular(self._factor, cross.flatten(1, 2).transpose(1, 2), upper=False)
        solved = solved.transpose(1, 2).reshape(len(mean), len(x), 2, -1)
        return mean, covariance - solved @ solved.transpose(-1, -2)

    def likely(self, least: float) -> LearnedPosterior:
        """The same without components that are less than `least` times as likely as the likeliest."""
        odds = self.log_weights - self.log_weights.max()
        kept = [index for index, log in enumerate(odds.tolist()) if log >= math.log(least)]
        if len(kept) == len(self.components):
            return self
        posterior = object.__new__(LearnedPosterior)
        posterior.__dict__.update(self.__dict__)
        posterior.components = tuple(self.components[index] for index in kept)
        for name in ("_lengths", "_mean", "_worth", "_amplitude", "_rough", "log_weights"):
            setattr(posterior, name, getattr(self, name)[kept])
        if len(self.seen.x):
            for name in ("_factor", "_weights"):
                setattr(posterior, name, getattr(self, name)[kept])
        return posterior
