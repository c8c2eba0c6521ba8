"""Several experts on one machine, weighed by how well they foretold what was measured.

The physics with its hand-set prior fits every space; the learned components fit spaces with their roles. Each gives a
Gaussian; together they are a mixture whose weights are prior odds times evidence (Bayesian model averaging: Hoeting et
al., Statistical Science 1999). An expert that misleads loses its weight within a few trials.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from hwtune.model.linear import LearnedPosterior
from hwtune.model.observations import Observations
from hwtune.model.surrogate import Posterior

_PHYSICS = 0.33  # prior odds of the physics where something learned fits too
LEAST = 0.1  # of the likeliest component's weight, or of all: an expert with less is not asked


@dataclass(frozen=True, slots=True, kw_only=True)
class Experts:
    """What each expert expects of rows.

    Args:
        log_weights: normalised `(k)`.
        mean: of log time and log power `(k, b, 2)`.
        covariance: of the same `(k, b, 2, 2)`.
    """

    log_weights: Tensor
    mean: Tensor
    covariance: Tensor

    def moments(self) -> tuple[Tensor, Tensor]:
        """Mean `(b, 2)` and covariance `(b, 2, 2)` of the mixture."""
        weights = self.log_weights.exp()
        mean = torch.einsum("k,kbo->bo", weights, self.mean)
        apart = self.mean - mean
        spread = self.covariance + apart.unsqueeze(-1) * apart.unsqueeze(-2)
        return mean, torch.einsum("k,kboq->boq", weights, spread)


class Mixture:
    """The posterior over log time and log power, relative to the default.

    Args:
        physics: fits every space.
        learned: what earlier trials taught, None where nothing of it fits.
    """

    def __init__(self, physics: Posterior, learned: LearnedPosterior | None) -> None:
        self.physics = physics
        self._learned = learned
        if learned is not None:
            learned = learned.likely(LEAST)
            self._learned = learned if self._odds(physics, learned)[1:].logsumexp(0) > math.log(LEAST) else None
        self._log_weights = self._odds(physics, self._learned)
        self._asked = self._learned is None or self._log_weights[0].item() > math.log(LEAST)

    @staticmethod
    def _odds(physics: Posterior, learned: LearnedPosterior | None) -> Tensor:
        """Normalised log weights, the physics first."""
        if learned is None:
            return torch.zeros(1, dtype=torch.float64)
        odds = [physics.log_density().reshape(1) + math.log(_PHYSICS), learned.log_weights + math.log1p(-_PHYSICS)]
        return torch.cat(odds).log_softmax(0)

    @property
    def seen(self) -> Observations:
        """What was measured."""
        return self.physics.seen

    @property
    def weights(self) -> dict[str, float]:
        """How much each expert counts, by its label; they sum to 1."""
        labels = ["physics", *(c.label for c in self._learned.components)] if self._learned else ["physics"]
        weights: dict[str, float] = {}
        for label, weight in zip(labels, self._log_weights.exp().tolist(), strict=True):
            weights[label] = weights.get(label, 0.0) + weight
        return weights

    def experts(self, x: Tensor, *, against: Tensor | None = None, level: bool = False) -> Experts:
        """What each expert expects of rows `(b, width)`, differentiable; arguments as in `Posterior.predict`."""
        said: list[tuple[Tensor, Tensor]] = []
        if self._asked:
            mean, covariance = self.physics.predict(x, against=against, level=level)
            said.append((mean.unsqueeze(0), covariance.unsqueeze(0)))
        if self._learned is not None:
            said.append(self._learned.predict(x, against=against, level=level))
        means, covariances = (torch.cat(parts) for parts in zip(*said, strict=True))
        log_weights = self._log_weights[0 if self._asked else 1 :].log_softmax(0)
        return Experts(log_weights=log_weights, mean=means, covariance=covariances)

    def predict(self, x: Tensor, *, against: Tensor | None = None, level: bool = False) -> tuple[Tensor, Tensor]:
        """Mean `(b, 2)` and covariance `(b, 2, 2)` of rows, over all experts."""
        return self.experts(x, against=against, level=level).moments()

    def predict_trial(self, x: Tensor, *, level: bool) -> tuple[Tensor, Tensor]:
        """The same of the next trial at each row, its noise included."""
        mean, covariance = self.predict(x, level=level)
        return mean, covariance + self.seen.next_noise()
