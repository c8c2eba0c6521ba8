"""Which settings may be tried: the chance of breaking the bound is a constraint on probes, not only on the answer.

A probe is safe when μ + z sd of its slowdown stays inside the bound, z the normal quantile of 1 - `max_risk`; likewise
for power. The default is safe by definition, and the physical prior knows that a lower cap costs at most in proportion
to the clock. When nothing safe is worth a measurement, the safe set is expanded from its edge: the probe that is
likelier than not to hold, and of those the one that teaches most about the bound; when nothing has even a fair
chance, the search has converged (Sui et al., SafeOpt, ICML 2015;
Fiedler et al., arXiv 2403.12948, on why the filter is not called a guarantee).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from hwtune.domain.objective import Bound
from hwtune.tuner.acquisition import Outlook

_EDGE = 0.5  # least chance of holding that a probe at the edge needs
_HOPELESS = 0.25  # below this chance of holding nothing is tried
_STEEPNESS = 20.0  # how fast the acquisition falls beyond the safe set, per unit of log probability


def bounded(bound: Bound) -> bool:
    """Whether there is anything to be safe about that the model predicts (temperature is checked when measured)."""
    return bound.max_slowdown is not None or bound.max_power_w is not None


def safe(outlook: Outlook, max_risk: float) -> Tensor:
    """Which rows keep the bound with probability 1 - `max_risk` (`b`, bool)."""
    return outlook.log_feasible >= math.log1p(-max_risk)


def barrier(outlook: Outlook, max_risk: float) -> Tensor:
    """Differentiable penalty, 0 on safe rows, that leads gradient steps back to them (`b`)."""
    return _STEEPNESS * torch.clamp_max(outlook.log_feasible - math.log1p(-max_risk), 0.0)


def hopeless(outlook: Outlook) -> Tensor:
    """Which rows break the bound so likely that not even the safe set is expanded there (`b`, bool)."""
    return outlook.log_feasible < math.log(_HOPELESS)


def edge(outlook: Outlook) -> Tensor:
    """What a probe beyond the safe set teaches (`b`): deviation of the slowdown, where the bound likely holds."""
    return outlook.slowdown_sd.log() + _STEEPNESS * torch.clamp_max(outlook.log_feasible - math.log(_EDGE), 0.0)
