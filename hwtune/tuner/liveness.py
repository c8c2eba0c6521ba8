"""Whether the model may act: asked before every write that it decides.

Three questions, each with an answer in words. Do its outputs move when its inputs do? Does power, from the lowest to
the highest cap and with everything else alike, rise as it must? (Real tables dip locally in a sixth of the steps, so
only the whole range counts, and only where the posterior is sure; a posterior that has learned to be unsure is caught
by trials that it would believe far rather with the sign of power turned.) And do the measurements agree with what the
others predict of each? The last is answered for all trials at once: with K the prior covariance of what was measured
and r its surprise, a trial's held-out residual is [K⁻¹r]ᵢ / [K⁻¹]ᵢᵢ and its variance 1 / [K⁻¹]ᵢᵢ (Rasmussen & Williams
2006, §5.4.2).

A model that has seen little cannot be blamed for much: a single probe may be a bad measurement, and held-out residuals
wait for `_HELD_OUT` settings.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import fmean
from typing import Protocol

import torch
from torch import Tensor

from hwtune.domain.knob import KnobSpace, RangeKnob
from hwtune.model.surrogate import Posterior

_OUTPUTS = ("time", "power")
_NOTHING = 1e-3  # of a log output: below it, in mean and doubt, a whole range has no effect
_MOVES = 0.05  # spread of a log output, above which measurements move beyond any noise
_NOISES = 5.0  # and so many deviations of their repeats
_FITTED = 2.0  # and so many of noise and roughness that were learned: a table without repeats has no other
_FOLLOWS = 0.1  # share of that spread which predictions at the same settings must show
_RISE = 0.05  # of log power: a fall that is sure but smaller is no contradiction
_SURE = 3.29  # standard deviations: 99.95 %, one-sided; many slopes are asked for in a session
_CONTEXTS = 2  # measured settings, besides the default, at which the slope of power is asked for
_ACCUSING = 4  # settings it takes to blame predictions that do not move
_HELD_OUT = 10  # settings it takes to blame held-out residuals
_TRIMMED = 0.1  # share of the settings, the worst ones, that may be disturbed measurements
_TURNED = 5.0  # of log evidence: trials that are so much likelier with the sign of power turned (150 to 1)
_AGAINST = -0.4  # and correlate so with what the prior expects of their power; healthy ones above 0 where it counts
_UNEXPLAINED = 0.7  # share of the variance that held-out predictions may leave
_RANKED = 0.5  # rank correlation with them, below which, for every output, that counts
_QUARTILE_Z = 3.0  # of |z|: a Gaussian has its upper quartile at 1.15


@dataclass(frozen=True, slots=True, kw_only=True)
class Liveness:
    """Whether the model may act, and if not, why, in words for people."""

    alive: bool
    why: str = ""


class Predicts(Protocol):
    """What decides: a posterior, or a mixture of some."""

    def predict(self, x: Tensor, *, against: Tensor | None = None, level: bool = False) -> tuple[Tensor, Tensor]:
        """See `Posterior.predict`."""


def liveness(posterior: Posterior, deciding: Predicts | None = None) -> Liveness:
    """Whether settings may be written because of what was learned.

    Args:
        posterior: what was measured, and the model that learned from it.
        deciding: whose predictions decide where it is not this posterior; nothing that it does not say is held
            against it then.
    """
    acting = deciding or posterior
    why = _stands_still(posterior, acting) or _falls(posterior, acting)
    if deciding is None:
        why = why or _turned(posterior) or _misses(posterior)
    return Liveness(alive=not why, why=why)


def _stands_still(posterior: Posterior, acting: Predicts) -> str:
    """(a) No knob changes anything and none is in doubt, or predictions do not follow measurements that move."""
    encoding = posterior.surrogate.encoding
    ends = encoding.encode(_ends(encoding.space))
    moved = ends[~encoding.at_default(ends)]
    seen = posterior.seen
    if len(moved):
        with torch.no_grad():
            mean, covariance = acting.predict(torch.cat([moved, seen.x]))
        doubt = covariance.diagonal(dim1=-2, dim2=-1)[: len(moved)]
        if (mean[: len(moved)].square() + doubt).max().item() < _NOTHING**2:
            return "the model predicts the same for every setting"
        for output in _moving(posterior) if _settings(posterior) >= _ACCUSING else ():
            sensed = torch.isfinite(seen.y[:, output])
            said, told = mean[len(moved) :, output][sensed].std().item(), seen.y[:, output][sensed].std().item()
            if said < _FOLLOWS * told:
                return (
                    f"measured {_OUTPUTS[output]} varies by {math.expm1(told):.0%}, "
                    f"and what the model predicts of it by {math.expm1(said):.1%}"
                )
    return ""


def _falls(posterior: Posterior, acting: Predicts) -> str:
    """(b) Power surely falls when a frequency cap is raised over its whole range."""
    encoding, seen = posterior.surrogate.encoding, posterior.seen
    # One probe beside the default may be a bad measurement: it takes two, or the prior alone, to speak against a model.
    if _settings(posterior) == 2:
        return ""
    for knob in encoding.space.knobs:
        if knob.role != "frequency" or not isinstance(knob, RangeKnob) or knob.low == knob.high:
            continue
        column = encoding.columns[knob.name].start
        # Where the cap is low the lower end is all but measured.
        lowest = seen.x[seen.x[:, column].argsort(stable=True)]
        raised = torch.cat([encoding.default.unsqueeze(0), lowest])
        raised[:, column] = encoding.low[column] + encoding.span[column]
        for row in _first_distinct(encoding.settle(raised), _CONTEXTS + 1):
            lowered = row.clone()
            lowered[column] = encoding.low[column]
            with torch.no_grad():
                mean, covariance = acting.predict(encoding.settle(lowered.unsqueeze(0)), against=row)
            more, sd = mean[0, 1].item(), math.sqrt(max(covariance[0, 1, 1].item(), 1e-12))
            if more > _RISE and more > _SURE * sd:
                return (
                    f"the model is sure that {knob.name} at {knob.text(knob.low)} draws more power "
                    f"({math.expm1(more):+.0%}) than at {knob.text(knob.high)}"
                )
    return ""


def _turned(posterior: Posterior) -> str:
    """(b) The trials are far likelier with the sign of power turned than as they are."""
    seen = posterior.seen
    if _settings(posterior) < _ACCUSING or 1 not in _moving(posterior):
        return ""
    factor = torch.linalg.cholesky(posterior.covariance(posterior.hyper))
    surprise = posterior.surprise()
    power = seen.y[torch.isfinite(seen.y[:, 1]), 1]
    turned = torch.cat([surprise[: -len(power)], surprise[-len(power) :] - 2.0 * power])
    white = torch.linalg.solve_triangular(factor, torch.stack([surprise, turned], 1), upper=False)
    misfit = white.square().sum(0)
    if 0.5 * (misfit[0] - misfit[1]).item() <= _TURNED:
        return ""
    # The curvature of a few trials near each other may look turned; which way they go may not.
    expected = power - surprise[-len(power) :]
    if torch.corrcoef(torch.stack([expected, power]))[0, 1].item() < _AGAINST:
        return "measured power falls where faster clocks must make it rise"
    return ""


def _misses(posterior: Posterior) -> str:
    """(c) What was measured is not what the other measurements predict, in size or beyond all stated doubt."""
    if _settings(posterior) < _HELD_OUT:
        return ""
    missed, z = held_out(posterior)
    quartile = z.abs().nanquantile(0.75).item()
    if quartile > _QUARTILE_Z:
        return f"a quarter of the held-out measurements lie more than {quartile:.1f} stated deviations off"
    moving = [(posterior.seen.y[:, output], missed[:, output]) for output in _moving(posterior)]
    if moving and (
        fmean(_unexplained(*each) for each in moving) > _UNEXPLAINED
        and max(_ranked(*each) for each in moving) < _RANKED
    ):
        return "what is held out of the measurements is predicted no better than by their mean"
    return ""


def held_out(posterior: Posterior) -> tuple[Tensor, Tensor]:
    """Held-out residuals of all trials and these over their deviations, both `(n, 2)`; NaN where power was not sensed.

    Each output of each trial is held out by itself.
    """
    seen = posterior.seen
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(posterior.covariance(posterior.hyper)))
    precision, weights = inverse.diagonal(), inverse @ posterior.surprise()
    kept = torch.isfinite(seen.y).T.flatten()
    missed, z = (torch.full_like(seen.y.T.flatten(), math.nan) for _ in range(2))
    missed[kept], z[kept] = weights / precision, weights / precision.sqrt()
    return missed.reshape(2, -1).T, z.reshape(2, -1).T


def _unexplained(y: Tensor, missed: Tensor) -> float:
    """Share of the variance, 1 at most, that held-out predictions leave, the worst-predicted trials set aside."""
    sensed = torch.isfinite(y)
    y, missed = y[sensed], missed[sensed].square()
    kept = missed.argsort(stable=True)[: len(y) - math.ceil(_TRIMMED * len(y))]
    return min((missed[kept].mean() / y[kept].var(correction=0).clamp_min(_NOTHING**2)).item(), 1.0)


def _ranked(y: Tensor, missed: Tensor) -> float:
    """Rank correlation of measurements and held-out predictions (Spearman)."""
    sensed = torch.isfinite(y)
    ranks = torch.stack([y[sensed], (y - missed)[sensed]]).argsort(1).argsort(1).double()
    return torch.corrcoef(ranks)[0, 1].item()


def _moving(posterior: Posterior) -> list[int]:
    """The outputs whose measurements differ by more than noise explains."""
    seen, moving = posterior.seen, []
    for output in range(2):
        sensed = torch.isfinite(seen.y[:, output])
        if sensed.sum() < _ACCUSING:
            continue
        repeats = seen.run_sd[output].item()
        learned = math.hypot(repeats, posterior.hyper[-2:][output].exp().item())
        if seen.y[sensed, output].std().item() > max(_MOVES, _NOISES * repeats, _FITTED * learned):
            moving.append(output)
    return moving


def _settings(posterior: Posterior) -> int:
    """How many settings were measured, those that act alike counted once."""
    return len(torch.unique(posterior.seen.x, dim=0)) if len(posterior.seen.x) else 0


def _ends(space: KnobSpace) -> list[dict[str, int | str]]:
    """The default with each knob in turn at either end of its range, or at each of its choices."""
    default = dict(space.default)
    return [
        {**default, knob.name: value}
        for knob in space.knobs
        for value in ((knob.low, knob.high) if isinstance(knob, RangeKnob) else knob.choices)
    ]


def _first_distinct(rows: Tensor, count: int) -> list[Tensor]:
    """The first rows that differ from all before them."""
    distinct: list[Tensor] = []
    for row in rows:
        if len(distinct) < count and not any(torch.equal(row, other) for other in distinct):
            distinct.append(row)
    return distinct
