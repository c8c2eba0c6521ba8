"""One problem with all that is known of it: the posterior, the judge of it, and the settings around."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import cached_property

import torch

from hwtune.domain.knob import ChoiceKnob, Setting, Value
from hwtune.domain.problem import Problem
from hwtune.domain.trial import LogNormal, Prediction, Proposal, Reason, Trial, TrialStatus
from hwtune.model.fit import learn_from
from hwtune.model.learned import Component
from hwtune.tuner.acquisition import Judge, Outlook
from hwtune.tuner.ceilings import with_ceilings
from hwtune.tuner.liveness import Liveness, liveness
from hwtune.tuner.relaxation import Acquisition
from hwtune.tuner.safety import holds
from hwtune.tuner.search import Neighbourhood, climb, paths, worths

_LUCK = 3.0  # deviations of a trial's noise below which a gain may be chance: both it and the default's trial have one


class Study:
    """One problem with what was measured of it.

    Args:
        problem: what is to be solved.
        trials: what was measured.
        prior: what earlier trials taught.
    """

    def __init__(self, problem: Problem, trials: Sequence[Trial], prior: tuple[Component, ...] = ()) -> None:
        space = with_ceilings(problem.space, trials)
        self.problem = replace(problem, space=space)
        self.posterior = learn_from(space, trials, prior)
        self.encoding = self.posterior.physics.surrogate.encoding
        self.neighbourhood = Neighbourhood(self.encoding)
        self.judge = Judge(self.posterior, problem.objective, problem.bound)
        self.default = self.legal(space.default)
        self.tried = {self.legal(setting) for trial in trials for setting in (trial.setting, trial.requested)}
        broken = {self.legal(trial.setting) for trial in trials if trial.status is TrialStatus.INFEASIBLE}
        ended = [self.legal(trial.setting) for trial in trials if trial.status is TrialStatus.OK]
        self._finished = [setting for setting in ended if setting not in broken]
        self.measured = list(dict.fromkeys([self.default, *self._finished]))
        # Failed, stopped early, or in breach of a bound that no model predicts: not to be kept, whatever it promises.
        self.unfinished = self.tried - {*self.measured}
        self.has_trials = bool(trials)
        self._seed = problem.seed * 1009 + len(trials)

    def legal(self, setting: Mapping[str, Value]) -> Setting:
        """The canonical setting on offer nearest to an effective one, which firmware may have clamped oddly."""
        return self.neighbourhood.legal(self.encoding.decode(self.encoding.encode([setting])[0]))

    def outlook(self, settings: Sequence[Setting]) -> Outlook:
        """What is expected of settings."""
        with torch.no_grad():
            return self.judge.outlook(self.encoding.encode(settings))

    def within(self, setting: Setting, limits: Sequence[tuple[float, float]]) -> bool:
        """Whether a setting keeps all limits (times, risk): so many times as much slower as allowed, but for risk."""
        with torch.no_grad():
            view = self.judge.at(self.encoding.encode([setting]))
            return all(bool(holds(view.log_within(times), risk)) for times, risk in limits)

    @cached_property
    def incumbent(self) -> Setting:
        """The best posterior mean among measured settings that could be recommended, the default among them.

        A setting that holds the bound by a hair is no incumbent: it would end the search and could not be kept.
        """
        outlook = self.outlook(self.measured)
        kept = holds(outlook.log_feasible, self.problem.max_risk)
        cost = torch.where(kept, outlook.mean, math.inf) if kept.any() else -outlook.log_feasible
        return self.measured[int(cost.argmin())]

    def by_chance(self, setting: Setting) -> bool:
        """Whether luck may have made this setting look better than the default: noise could, and it was tried once."""
        if setting == self.default or self._finished.count(setting) > 1:
            return False
        gain = -self.outlook([setting]).mean.item()
        _, noise = self.judge.objective(torch.zeros(2, dtype=torch.float64), self.posterior.seen.next_noise())
        return gain < _LUCK * noise.item()

    @cached_property
    def liveness(self) -> Liveness:
        """Whether the model may act: the physics in full where it decides, else what can be asked of the mixture."""
        physics = self.posterior.physics
        return liveness(physics, None if self.posterior.weights["physics"] > 0.5 else self.posterior)

    def paths(self, worth: Acquisition, near: Sequence[Setting]) -> list[Setting]:
        """Where gradient steps lead from these settings and random ones."""
        generator = torch.Generator().manual_seed(self._seed)
        return paths(self.neighbourhood, worth, list(dict.fromkeys(near)), generator)

    def climb(
        self, worth: Acquisition, starts: Sequence[Setting], *, parsimony: float, without: Collection[Setting] = ()
    ) -> list[tuple[float, Setting]]:
        """Legal settings around these by what they are worth, best first; empty when all of them are in `without`."""
        return climb(self.neighbourhood, starts, worths(self.neighbourhood, worth, parsimony), without)

    def predict(self, settings: Sequence[Setting]) -> list[Prediction]:
        """The next trial at settings, its noise included; without trials, relative to the default (1 s, 1 J)."""
        seen = self.posterior.seen
        rows = self.encoding.encode([self.problem.space.canonical(setting) for setting in settings])
        with torch.no_grad():
            mean, covariance = self.posterior.predict_trial(rows, level=self.has_trials)
        mean = mean + seen.level
        sensed = bool(torch.isfinite(seen.y[:, 1]).any()) if len(seen.y) else self.problem.objective.needs_energy
        return [
            Prediction(
                time_s=LogNormal(mean_log=m[0].item(), sd_log=v[0, 0].clamp_min(0.0).sqrt().item()),
                energy_j=LogNormal(mean_log=m.sum().item(), sd_log=v.sum().clamp_min(0.0).sqrt().item())
                if sensed
                else None,
            )
            for m, v in zip(mean, covariance, strict=True)
        ]

    def proposal(self, setting: Setting, reason: Reason, *, score: float | None = None, status: str = "ok") -> Proposal:
        """A setting with what is expected of it."""
        return Proposal(
            setting=setting,
            reason=reason,
            predicted=self.predict([setting])[0],
            probability_feasible=self.outlook([setting]).log_feasible.exp().item(),
            score=score,
            importance=self.importance(setting),
            status=status,
        )

    def importance(self, setting: Setting) -> dict[str, float]:
        """Per knob, how far the log objective would move over its range at the gradient's slope here."""
        x = self.encoding.encode([setting]).requires_grad_()
        (slope,) = torch.autograd.grad(self.judge.outlook(x).mean.sum(), x)
        slope = slope[0] * self.encoding.span
        importance: dict[str, float] = {}
        for knob in self.problem.space.knobs:
            part = slope[self.encoding.columns[knob.name]]
            reach = part.max() - part.min() if isinstance(knob, ChoiceKnob) else part.abs().sum()
            active = self.problem.space.active(knob, setting)
            importance[knob.name] = reach.item() if active else 0.0
        return importance
