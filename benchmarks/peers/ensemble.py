"""A neural ensemble in place of hwtune's model: five small networks, each with random weights to begin with.

Lakshminarayanan et al., NeurIPS 2017 (deep ensembles). A member is a network of two layers of 32 tanh units; its input
is the encoded setting, every column scaled to [-1, 1], its outputs are log time and log power. What it expects is
relative to the default, r(x) = net(x) - net(x₀), so the slowdown of the default is 0 as in hwtune's model. Mean and
covariance over members are one Gaussian for hwtune's own acquisition, limits and answer. It knows no other machine.

With less than `STARTS` trials it would draw at random: these settings are drawn at random outright, and the best
measured within the bound is recommended. The general optimisers have as many.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

import torch
from peers.ablations import Ablated
from peers.held_out import Prior
from torch import Tensor

from hwtune.domain.problem import Problem
from hwtune.domain.trial import Proposal, Reason, Trial
from hwtune.model.fit import adam
from hwtune.model.mixture import Experts, Mixture
from hwtune.model.surrogate import Posterior
from hwtune.tuner.study import Study

STARTS = 4  # trials before the first network, the default's among them
_MEMBERS, _WIDTH = 5, 32
_STEPS, _RATE = 300, 0.02
_DECAY = 1e-4  # of the squares of all weights, against the mean square that is missed
_FLAT = 0.02  # outputs that vary by less than this are not blown up


def neural(problem: Problem, trials: Sequence[Trial], prior: Prior) -> Study:
    """The ensemble, trained on what was measured."""
    return Ablated(problem, trials, model=lambda whole: Ensemble(whole.physics, problem.seed))


def drawn(problem: Problem, trials: Sequence[Trial]) -> Proposal:
    """The next of the settings to begin with, after the default: a row of the table in random order."""
    others = [
        setting for row in problem.space.allowed or () if (setting := problem.space.canonical(row)) != trials[0].setting
    ]
    random.Random(problem.seed).shuffle(others)
    return Proposal(setting=others[len(trials) - 1], reason=Reason.EXPLORE)


def best_measured(problem: Problem, trials: Sequence[Trial]) -> Proposal:
    """The best of the first settings within the bound; the default is the first."""
    slowest = math.inf if problem.bound.max_slowdown is None else 1.0 + problem.bound.max_slowdown
    kept = [trial for trial in trials if trial.time_s <= slowest * trials[0].time_s]
    best = min(kept, key=lambda trial: problem.objective.value_of(trial.time_s, trial.energy_j))
    return Proposal(setting=best.setting, reason=Reason.DEFAULT if best is trials[0] else Reason.EXPLOIT)


class Ensemble(Mixture):
    """Mean and covariance over networks, as one expert.

    Args:
        physics: not asked; it holds what was measured and how settings are encoded.
        seed: of the weights to begin with.
    """

    def __init__(self, physics: Posterior, seed: int) -> None:
        super().__init__(physics, None)
        encoding, y = physics.surrogate.encoding, physics.seen.y
        self._low, self._span, self._default = encoding.low, encoding.span, encoding.default.unsqueeze(0)
        self._shapes = [(encoding.width, _WIDTH), (1, _WIDTH), (_WIDTH, _WIDTH), (1, _WIDTH), (_WIDTH, 2)]
        told = torch.isfinite(y)
        self._scale = y.square().nanmean(0).sqrt().nan_to_num(1.0).clamp_min(_FLAT)
        self._theta = self._begin(torch.Generator().manual_seed(seed))

        def loss(theta: Tensor) -> Tensor:
            missed = self._relative(theta, physics.seen.x, self._default) - y.nan_to_num() / self._scale
            return (missed.square() * told).sum() / told.sum() + _DECAY * theta.square().sum()

        if len(y):
            self._theta = adam(self._theta, loss, steps=_STEPS, rate=_RATE)

    @property
    def weights(self) -> dict[str, float]:
        return {"physics": 0.0, "ensemble": 1.0}

    def experts(self, x: Tensor, *, against: Tensor | None = None, level: bool = False) -> Experts:
        """One expert; the default's own figure is taken as it was measured, so `level` changes nothing."""
        origin = self._default if against is None else against.unsqueeze(0)
        members = self._relative(self._theta, x, origin) * self._scale
        mean = members.mean(0)
        apart = members - mean
        covariance = torch.einsum("mbo,mbq->boq", apart, apart) / (_MEMBERS - 1)
        log_weights = torch.zeros(1, dtype=torch.float64)
        return Experts(log_weights=log_weights, mean=mean.unsqueeze(0), covariance=covariance.unsqueeze(0))

    def _begin(self, generator: torch.Generator) -> Tensor:
        """Weights of all members `(members, weights)`, scaled by the width of what comes in (Glorot & Bengio 2010)."""
        parts = [
            torch.randn(_MEMBERS, rows * columns, generator=generator, dtype=torch.float64) / math.sqrt(rows)
            for rows, columns in self._shapes
        ]
        return torch.cat(parts, 1)

    def _relative(self, theta: Tensor, x: Tensor, origin: Tensor) -> Tensor:
        """What each member says of rows, less what it says of another `(members, b, 2)`, in units of the scale."""
        said = self._forward(theta, torch.cat([x, origin]))
        return said[:, :-1] - said[:, -1:]

    def _forward(self, theta: Tensor, x: Tensor) -> Tensor:
        sizes = [rows * columns for rows, columns in self._shapes]
        first, first_bias, second, second_bias, last = (
            part.reshape(_MEMBERS, *shape) for part, shape in zip(theta.split(sizes, 1), self._shapes, strict=True)
        )
        scaled = (2.0 * (x - self._low) / self._span - 1.0).expand(_MEMBERS, -1, -1)
        hidden = torch.tanh(scaled @ first + first_bias)
        return torch.tanh(hidden @ second + second_bias) @ last
