"""Trials as numbers: what was measured at each setting, and how far it can be relied on.

Runs of a setting scatter, some settings' more than others', and now and then a run is disturbed. So a trial's figure is
the location of a Student t with 4 degrees of freedom, found by expectation-maximisation together with its scale (Lange,
Little & Taylor, JASA 1989): a run far off the others of its setting counts little. Each setting has a scale of its own,
drawn towards the one that all share.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from hwtune.domain.trial import Trial, TrialStatus, common_features
from hwtune.model.context import POWER
from hwtune.model.encoding import Encoding, tensor
from hwtune.model.prior import NOISE_FLOOR, NOISE_RUNS, NOISE_SD

_TAILS = 4.0  # degrees of freedom of the Student t
_SHARED = 4.0  # degrees of freedom that the common scale is worth in each setting's own
_TURNS = 20
_LEARNED = (TrialStatus.OK, TrialStatus.INFEASIBLE, TrialStatus.CENSORED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Observations:
    """What was measured.

    Args:
        x: encoded effective settings `(n, width)`.
        y: log time and log power of each trial, less `level`; NaN where it was not sensed `(n, 2)`.
        noise: variance of `y` as a measurement of its setting `(n, 2)`.
        runs: number of runs (`n`).
        run_sd: deviation of one run in log time and log power, as far as all trials tell `(2)`.
        cut: which trials were cut short: their time is above what `y` says (`n`, bool).
        fit: which trials broke no bound that only a measurement shows (`n`, bool).
        level: log time and log power around which `y` is centred (`2`).
        sensed: what was sensed at the default beside time and energy, its mean power among it.
    """

    x: Tensor
    y: Tensor
    noise: Tensor
    runs: Tensor
    run_sd: Tensor
    cut: Tensor
    fit: Tensor
    level: Tensor
    sensed: Mapping[str, float]

    def only(self, kept: Tensor) -> Observations:
        """The same of some trials, by index or mask."""
        parts = {name: getattr(self, name)[kept] for name in ("x", "y", "noise", "runs", "cut", "fit")}
        return replace(self, **parts)

    def thinned(self, most: int) -> Observations:
        """At most so many of the trials, spread evenly over their order, the first among them."""
        if len(self.x) <= most:
            return self
        return self.only(torch.linspace(0, len(self.x) - 1, most, dtype=torch.float64).round().long())

    def next_noise(self) -> Tensor:
        """Covariance of the next trial's log time and log power, were it of as many runs as usual `(2, 2)`."""
        runs = self.runs.median() if len(self.runs) else 1.0
        return torch.diag(self.run_sd.square() / runs + NOISE_FLOOR**2)


def observe(encoding: Encoding, trials: Sequence[Trial]) -> Observations:
    """Trials as numbers; those that failed or were only predicted teach nothing.

    Levels are those of the default's own trials, of all trials where there are none, 0 without any.
    """
    told = [trial for trial in trials if trial.status in _LEARNED]
    cut = torch.tensor([trial.status is TrialStatus.CENSORED for trial in told], dtype=torch.bool)
    fit = torch.tensor([trial.status is not TrialStatus.INFEASIBLE for trial in told], dtype=torch.bool)
    x = encoding.encode([trial.setting for trial in told])
    y, noise, run_sd = _scatter([_figures(trial) for trial in told])
    whole = y.masked_fill(torch.stack([cut, torch.zeros_like(cut)], -1), math.nan)
    default = encoding.at_default(x)
    level = (whole[default] if default.any() else whole).nanmean(0).nan_to_num()
    runs = tensor([len(trial.runs) for trial in told])
    sensed = common_features([trial.context for trial, here in zip(told, default.tolist(), strict=True) if here])
    if whole[default, 1].isfinite().any():
        sensed[POWER] = math.exp(level[1].item())
    return Observations(
        x=x, y=y - level, noise=noise, runs=runs, run_sd=run_sd, cut=cut, fit=fit, level=level, sensed=sensed
    )


def _figures(trial: Trial) -> Tensor:
    """Log time and log power of its runs `(runs, 2)`; of one that was cut short, of its longest run."""
    whole = trial.status is not TrialStatus.CENSORED
    runs = trial.runs if whole else (max(trial.runs, key=lambda run: run.time_s),)
    return tensor([[math.log(run.time_s), _log_power(run.time_s, run.energy_j)] for run in runs])


def _log_power(time_s: float, energy_j: float | None) -> float:
    return math.nan if energy_j is None else math.log(energy_j / time_s)


def _scatter(figures: Sequence[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """Location of each trial and its variance `(n, 2)`, and the deviation of one run `(2)`.

    What is believed of the noise before any setting was measured twice counts as `NOISE_RUNS` degrees of freedom.
    """
    believed = torch.full((2,), NOISE_SD**2, dtype=torch.float64)
    if not figures:
        return torch.zeros(0, 2, dtype=torch.float64), torch.zeros(0, 2, dtype=torch.float64), believed.sqrt()
    padded = torch.nn.utils.rnn.pad_sequence(list(figures), batch_first=True, padding_value=math.nan)  # (n, runs, 2)
    sensed = torch.isfinite(padded)
    values, freedom = padded.nan_to_num(), (sensed.sum(1) - 1.0).clamp_min(0.0)
    location, scale, shared = padded.nanquantile(0.5, dim=1).nan_to_num(), believed.expand(len(padded), 2), believed
    for _ in range(_TURNS):
        squared = (values - location.unsqueeze(1)).square()
        weight = sensed * (_TAILS + 1.0) / (_TAILS + squared / scale.unsqueeze(1))
        location = (weight * values).sum(1) / weight.sum(1).clamp_min(1e-300)
        spread = (weight * squared).sum(1)
        shared = (NOISE_RUNS * believed + spread.sum(0)) / (NOISE_RUNS + freedom.sum(0))
        scale = (_SHARED * shared + spread) / (_SHARED + freedom)
    noise = scale / sensed.sum(1).clamp_min(1) + NOISE_FLOOR**2
    return location.masked_fill(~sensed.any(1), math.nan), noise, shared.sqrt()
