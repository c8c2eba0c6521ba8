"""The three questions a session asks: what to measure next, what to keep, what to expect.

Stateless: every answer follows from the problem and its trials, bit for bit.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from hwtune.domain.knob import ChoiceKnob, Setting, Value
from hwtune.domain.problem import Problem
from hwtune.domain.trial import LogNormal, Prediction, Proposal, Reason, Trial, TrialStatus
from hwtune.model.fit import fit
from hwtune.model.surrogate import noise_variance
from hwtune.tuner.acquisition import Judge, Outlook
from hwtune.tuner.ceilings import with_ceilings
from hwtune.tuner.liveness import liveness
from hwtune.tuner.relaxation import Acquisition
from hwtune.tuner.safety import barrier, bounded, edge, hopeless, safe
from hwtune.tuner.search import Neighbourhood, search

_CAUTION = 0.5  # deviations by which an unmeasured setting must be expected to beat the default and the best measured
_CONFIDENCE = 1.28  # deviations by which what is kept must be better than the default (90 %)
_GRAIN = 0.02  # of the log objective: what gradient steps towards the answer tell apart
_PARSIMONY = 0.1  # of a grain, or of a log expected improvement: what each changed knob must be worth


class Study:
    """One problem with what was measured of it."""

    def __init__(self, problem: Problem, trials: Sequence[Trial]) -> None:
        space = with_ceilings(problem.space, trials)
        self.problem = replace(problem, space=space)
        self.posterior = fit(space, trials)
        self.encoding = self.posterior.surrogate.encoding
        self.neighbourhood = Neighbourhood(self.encoding)
        self.judge = Judge(self.posterior, problem.objective, problem.bound)
        self.default = self.legal(space.default)
        self.tried = {self.legal(setting) for trial in trials for setting in (trial.setting, trial.requested)}
        measured = (self.legal(trial.setting) for trial in trials if trial.status is TrialStatus.OK)
        self.measured = list(dict.fromkeys([self.default, *measured]))
        self.has_trials = bool(trials)
        self._generator = torch.Generator().manual_seed(problem.seed * 1009 + len(trials))

    def legal(self, setting: Mapping[str, Value]) -> Setting:
        """The canonical setting on offer nearest to an effective one, which firmware may have clamped oddly."""
        return self.neighbourhood.legal(self.encoding.decode(self.encoding.encode([setting])[0]))

    def outlook(self, settings: Sequence[Setting]) -> Outlook:
        """What is expected of settings."""
        with torch.no_grad():
            return self.judge.outlook(self.encoding.encode(settings))

    def incumbent(self) -> Setting:
        """The best posterior mean among measured settings that probably hold the bound, the default among them."""
        outlook = self.outlook(self.measured)
        holds = outlook.log_feasible >= math.log(0.5)
        cost = torch.where(holds, outlook.mean, math.inf) if holds.any() else -outlook.log_feasible
        return self.measured[int(cost.argmin())]

    def search(
        self, worth: Acquisition, near: Sequence[Setting], *, without: Collection[Setting] = (), parsimony: float = 0.0
    ) -> list[tuple[float, Setting]]:
        """Legal settings by what they are worth, best first."""
        starts = list(dict.fromkeys(near))
        return search(
            self.neighbourhood, worth, starts, without=without, parsimony=parsimony, generator=self._generator
        )

    def predict(self, settings: Sequence[Setting]) -> list[Prediction]:
        """The next trial at settings, its noise included; without trials, relative to the default (1 s, 1 J)."""
        with torch.no_grad():
            mean, covariance = self.posterior.predict(self.encoding.encode(settings), level=self.has_trials)
        seen = self.posterior.seen
        runs = seen.runs.median().reshape(1) if len(seen.runs) else torch.ones(1, dtype=torch.float64)
        noise = noise_variance(self.posterior.hyper, runs).squeeze(-1)
        mean = mean + seen.level
        covariance = covariance + torch.diag(noise)
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


def suggest(problem: Problem, trials: Sequence[Trial]) -> Proposal:
    """The setting to measure next.

    The default comes first. Without any trial at all (a dry run) the prior proposes.
    """
    study = Study(problem, trials)
    if trials and study.default not in study.tried:
        return Proposal(setting=study.default, reason=Reason.DEFAULT)
    if not (verdict := liveness(study.posterior)).alive:
        return Proposal(setting=study.default, reason=Reason.DEFAULT, status="distrusted", why=verdict.why)
    best = study.incumbent()
    best_row = study.encoding.encode([best])[0]
    without = study.tried | {study.default}

    def worth(x: Tensor) -> Tensor:
        gain = study.judge.promise(x, best_row)
        if not bounded(problem.bound):
            return gain
        outlook = study.judge.outlook(x)
        return gain + outlook.log_feasible + barrier(outlook, problem.max_risk)

    near = [best, study.default]
    ranked = study.search(worth, near, without=without, parsimony=_PARSIMONY)
    if not ranked:
        return study.proposal(best, Reason.VERIFY, status="exhausted")
    score, setting = ranked[0]
    outlook = study.outlook([best, setting])
    if bounded(problem.bound) and not safe(outlook, problem.max_risk)[1]:
        score, setting = study.search(lambda x: edge(study.judge.outlook(x)), near, without=without)[0]
        if hopeless(study.outlook([setting])).item():
            return study.proposal(best, Reason.VERIFY, status="converged")
        return study.proposal(setting, Reason.EXPAND, score=score)
    reason = Reason.EXPLOIT if outlook.mean[1] < outlook.mean[0] else Reason.EXPLORE
    return study.proposal(setting, reason, score=score)


def recommend(problem: Problem, trials: Sequence[Trial]) -> Proposal:
    """The setting to keep: the best cautious expectation among what holds the bound, else the default."""
    study = Study(problem, trials)
    if not (verdict := liveness(study.posterior)).alive:
        return Proposal(setting=study.default, reason=Reason.DEFAULT, status="distrusted", why=verdict.why)

    def worth(x: Tensor) -> Tensor:
        outlook = study.judge.outlook(x)
        return -(outlook.mean + _CAUTION * outlook.sd) / _GRAIN + barrier(outlook, problem.max_risk)

    ranked = study.search(worth, [study.incumbent(), study.default], parsimony=_PARSIMONY)
    candidates = [*study.measured, *(setting for _, setting in ranked[:1])]
    outlook = study.outlook(candidates)
    default_holds = bool(safe(outlook, problem.max_risk)[0])
    cost = outlook.mean + _CAUTION * outlook.sd
    fit_to_keep = safe(outlook, problem.max_risk)
    if default_holds:
        # What is kept instead of the default must be better than it, not only look best among many.
        fit_to_keep &= outlook.mean + _CONFIDENCE * outlook.sd < 0.0
        fit_to_keep[0], cost[0] = True, 0.0
    cost = torch.where(fit_to_keep, cost, math.inf) if fit_to_keep.any() else -outlook.log_feasible
    chosen = candidates[int(cost.argmin())]
    return study.proposal(chosen, Reason.DEFAULT if chosen == study.default else Reason.EXPLOIT)


def predict(problem: Problem, trials: Sequence[Trial], settings: Sequence[Setting]) -> list[Prediction]:
    """What the next trial at each setting would show."""
    study = Study(problem, trials)
    return study.predict([study.problem.space.canonical(setting) for setting in settings])
