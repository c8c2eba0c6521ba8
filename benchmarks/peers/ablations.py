"""hwtune's learning with one part taken out at a time.

Each ablation is a `Study` whose model, prior or problem lacks that part; `suggest` and `recommend` are hwtune's own and
know nothing of it. The gate (`tuner/liveness.py`) is made for the whole model: in an ablation it is asked and its
refusal only noted, else a line would say how the gate fares, not the rest. `Ablated` with nothing taken out but that is
what the others compare with.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property

import torch
from peers.held_out import Prior
from torch import Tensor

from hwtune.domain.knob import KnobSpace
from hwtune.domain.objective import Bound
from hwtune.domain.problem import Problem
from hwtune.domain.trial import Trial
from hwtune.model.features import signature
from hwtune.model.fit import fit_constants
from hwtune.model.learned import fitting
from hwtune.model.linear import LearnedPosterior
from hwtune.model.mixture import LEAST, Experts, Mixture
from hwtune.model.surrogate import Posterior
from hwtune.tuner.acquisition import Judge
from hwtune.tuner.liveness import Liveness
from hwtune.tuner.study import Study

_NONE = 1e-4  # deviation, in log time and log power, of a residual that is as good as none


class Ablated(Study):
    """A study whose gate is asked, and never refuses.

    Args:
        problem: what is to be solved.
        trials: what was measured.
        prior: what earlier trials taught.
        model: what takes the posterior's place, made from it; None to keep it.

    Attributes:
        refused: whether the gate would have.
    """

    refused = False

    def __init__(
        self,
        problem: Problem,
        trials: Sequence[Trial],
        prior: Prior = (),
        model: Callable[[Mixture], Mixture] | None = None,
    ) -> None:
        super().__init__(problem, trials, prior)
        if model is not None:
            self.posterior = model(self.posterior)
            self.judge = Judge(self.posterior, problem.objective, problem.bound)

    @cached_property
    def liveness(self) -> Liveness:
        self.refused = not super().liveness.alive
        return Liveness(alive=True)


def no_physics(problem: Problem, trials: Sequence[Trial], prior: Prior) -> Study:
    """What was learned of other machines, alone; where nothing of it fits, a Gaussian process over the knobs."""
    components = _components(problem.space, prior)
    if not components:
        return Ablated(replace(problem, space=_meaningless(problem.space)), trials)
    return Ablated(problem, trials, model=lambda whole: LearnedAlone(whole.physics, components))


def no_prior(problem: Problem, trials: Sequence[Trial], prior: Prior) -> Study:
    """The physics with its hand-set constants, and nothing learned of other machines."""
    return Ablated(problem, trials)


def no_residual(problem: Problem, trials: Sequence[Trial], prior: Prior) -> Study:
    """Physics and components as they are, with nothing that lets a machine differ from their form."""
    components = tuple(
        replace(
            each, roughness=torch.full_like(each.roughness, _NONE), amplitude=torch.full_like(each.amplitude, _NONE)
        )
        for each in _components(problem.space, prior)
    )

    def rigid(whole: Mixture) -> Mixture:
        physics = without_residual(whole.physics)
        encoding, seen = physics.surrogate.encoding, physics.seen
        return Mixture(physics, LearnedPosterior(components, encoding, seen) if components else None)

    return Ablated(problem, trials, model=rigid)


def no_safety(problem: Problem, trials: Sequence[Trial], prior: Prior) -> Study:
    """Constrained expected improvement as it stands in the literature: no limit on what a probe may risk.

    The probability of the bound still weighs every probe, and what is recommended must still hold it. Without limits
    `suggest` knows no end; the search is over at `NOTHING`.
    """
    study = Ablated(problem, trials, prior)
    study.problem = replace(study.problem, bound=Bound())  # what limits probes; the judge keeps the bound
    return study


class LearnedAlone(Mixture):
    """The learned components without the physics beside them.

    Args:
        physics: not asked; it holds what was measured.
        components: those that fit the space.
    """

    def __init__(self, physics: Posterior, components: Prior) -> None:
        super().__init__(physics, None)
        self._alone = LearnedPosterior(components, physics.surrogate.encoding, physics.seen).likely(LEAST)

    @property
    def weights(self) -> dict[str, float]:
        found = {"physics": 0.0}
        for component, weight in zip(self._alone.components, self._alone.log_weights.softmax(0).tolist(), strict=True):
            found[component.label] = found.get(component.label, 0.0) + weight
        return found

    def experts(self, x: Tensor, *, against: Tensor | None = None, level: bool = False) -> Experts:
        mean, covariance = self._alone.predict(x, against=against, level=level)
        return Experts(log_weights=self._alone.log_weights.log_softmax(0), mean=mean, covariance=covariance)


def without_residual(physics: Posterior) -> Posterior:
    """The physics fitted again with amplitudes and roughness of the residual as good as zero."""
    surrogate, hyper = physics.surrogate, physics.hyper.clone()
    hyper[:2] = hyper[-2:] = math.log(_NONE)
    return fit_constants(Posterior(surrogate, physics.seen, surrogate.physics.mean, hyper))


def _components(space: KnobSpace, prior: Prior) -> Prior:
    roles = signature(space)
    return () if roles is None else fitting(prior, roles)


def _meaningless(space: KnobSpace) -> KnobSpace:
    """The space with knobs of which nothing is known but their values: no physics speaks of them."""
    return replace(space, knobs=tuple(replace(knob, role="other") for knob in space.knobs))
