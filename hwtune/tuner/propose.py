"""The two questions a session asks of a study: what to measure next, what to keep.

Stateless: every answer follows from the problem and its trials, bit for bit.
"""

from __future__ import annotations

import math
from functools import partial

import torch
from torch import Tensor

from hwtune.domain.trial import Proposal, Reason
from hwtune.tuner.measured import best_measured
from hwtune.tuner.safety import EDGE_RISK, FAR, FAR_RISK, TOLERABLE, barrier, bounded, probe_risk, safe
from hwtune.tuner.study import Study

_KNOWN = 0.3  # deviations by which a measured setting must be expected to beat the others
_UNKNOWN = 2.0  # the same of one that was never measured
_CONFIDENCE = 1.28  # deviations by which what is recommended must be better than the default (90 %)
_GRAIN = 0.02  # of the log objective: what gradient steps towards the answer tell apart
_PARSIMONY = 0.1  # of a grain, or of a log expected improvement: what each changed knob must be worth
_WORTHWHILE = math.log(1e-2)  # log expected improvement from which a probe that surely holds the bound comes first
NOTHING = math.log(1e-4)  # below which a tolerable probe promises nothing
_LITTLE = math.log(5e-3)  # and below which it is not worth going to the edge


def suggest(study: Study) -> Proposal:
    """The setting to measure next.

    The default comes first. Without any trial at all (a dry run) the prior proposes.
    """
    problem = study.problem
    if study.has_trials and study.default not in study.tried:
        return Proposal(setting=study.default, reason=Reason.DEFAULT)
    if not (verdict := study.liveness).alive:
        return Proposal(setting=study.default, reason=Reason.DEFAULT, status="distrusted", why=verdict.why)
    best = study.incumbent
    best_row = study.encoding.encode([best])[0]
    without = study.tried | {study.default}

    def worth(x: Tensor, limits: _Limits) -> Tensor:
        view = study.judge.at(x)
        within = (barrier(view.log_within(times), risk) for times, risk in limits)
        return sum(within, view.promise(best_row) + view.log_within(1.0))

    rungs = _ladder(problem.max_risk) if bounded(problem.bound) else (((), -math.inf),)
    # The widest limits lead the gradient steps: what keeps narrower ones lies on the way.
    starts = study.paths(partial(worth, limits=rungs[-1][0]), [best, study.default])
    for limits, least in rungs:
        ranked = study.climb(partial(worth, limits=limits), starts, parsimony=_PARSIMONY, without=without)
        if not ranked:
            return _end(study, "exhausted")
        score, setting = ranked[0]
        if score >= least and study.within(setting, limits):
            mean = study.outlook([best, setting]).mean
            reason = Reason.EXPLOIT if mean[1] < mean[0] else Reason.EXPLORE
            return study.proposal(setting, Reason.EXPAND if len(limits) > 1 else reason, score=score)
    return _end(study, "converged")


def _end(study: Study, status: str) -> Proposal:
    """The end of the search; before it, a second look at a winner that chance may have made."""
    winner = recommend(study).setting
    return study.proposal(winner, Reason.VERIFY, status="ok" if study.by_chance(winner) else status)


_Limits = tuple[tuple[float, float], ...]


def _ladder(max_risk: float) -> tuple[tuple[_Limits, float], ...]:
    """What a probe must keep, as (times as much slower as allowed, risk), and what it must promise; the best first."""
    return (
        (((1.0, max_risk),), _WORTHWHILE),
        (((TOLERABLE, probe_risk(max_risk)),), NOTHING),
        (((TOLERABLE, EDGE_RISK), (FAR, FAR_RISK)), _LITTLE),
    )


def recommend(study: Study) -> Proposal:
    """The setting to keep: the best cautious expectation among what holds the bound, else the default.

    Where the model may not act, the measurements decide by themselves.
    """
    problem = study.problem
    if not (verdict := study.liveness).alive:
        best = best_measured(study.encoding, study.posterior.seen, problem.objective, problem.bound)
        kept = study.default if best is None else study.legal(best)
        reason = Reason.DEFAULT if kept == study.default else Reason.VERIFY
        return Proposal(setting=kept, reason=reason, status="distrusted", why=verdict.why)

    def worth(x: Tensor) -> Tensor:
        outlook = study.judge.outlook(x)
        return -(outlook.mean + _UNKNOWN * outlook.sd) / _GRAIN + barrier(outlook.log_feasible, problem.max_risk)

    starts = study.paths(worth, [study.incumbent, study.default])
    ranked = study.climb(worth, starts, parsimony=_PARSIMONY, without=study.unfinished)
    candidates = [*study.measured, *(setting for _, setting in ranked[:1])]
    outlook = study.outlook(candidates)
    default_holds = bool(safe(outlook, problem.max_risk)[0])
    caution = torch.full_like(outlook.mean, _KNOWN)
    caution[len(study.measured) :] = _UNKNOWN
    cost = outlook.mean + caution * outlook.sd
    fit_to_keep = safe(outlook, problem.max_risk)
    if default_holds:
        # What is kept instead of the default must be better than it, not only look best among many.
        fit_to_keep &= outlook.mean + _CONFIDENCE * outlook.sd < 0.0
        fit_to_keep[0], cost[0] = True, 0.0
    cost = torch.where(fit_to_keep, cost, math.inf) if fit_to_keep.any() else -outlook.log_feasible
    chosen = candidates[int(cost.argmin())]
    return study.proposal(chosen, Reason.DEFAULT if chosen == study.default else Reason.EXPLOIT)
