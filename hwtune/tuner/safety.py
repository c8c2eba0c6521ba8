"""Which settings may be tried: the chance of going wrong is a constraint on probes, not only on the answer.

What is *recommended* must keep the bound with probability 1 - `max_risk`. A *probe* may be slower for once, but not by
more than twice what is allowed, and that with a probability of 1 - 7 `max_risk`: a bound of 5 % could never be explored
up to its edge if measuring beyond it were forbidden. A probe that surely holds the bound comes first while one is worth
while. When nothing of the kind promises anything, the safe set is
expanded at its edge: to a probe that is as likely as not tolerable, most likely not far beyond, and promises more.
When there is no such probe either, the search has converged (Sui et al., SafeOpt, ICML 2015; Fiedler et al., arXiv
2403.12948, on why such a filter is not called a guarantee). The default is safe by definition.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from hwtune.domain.objective import Bound
from hwtune.tuner.acquisition import Outlook

TOLERABLE = 2.0  # a probe may be so many times as much slower as is allowed
FAR = Bound.FAR  # and beyond this it is far beyond
EDGE_RISK = 0.5  # of a probe at the edge being more than tolerable
FAR_RISK = 0.2  # of its being far beyond
_STEEPNESS = 20.0  # how fast the acquisition falls beyond what is allowed, per unit of log probability


def bounded(bound: Bound) -> bool:
    """Whether there is anything to be safe about that the model predicts (temperature is checked when measured)."""
    return bound.max_slowdown is not None or bound.max_power_w is not None


def probe_risk(max_risk: float) -> float:
    """Largest accepted probability that a probe is more than tolerable."""
    return min(7.0 * max_risk, EDGE_RISK)


def safe(outlook: Outlook, max_risk: float) -> Tensor:
    """Which rows keep the bound with probability 1 - `max_risk` (`b`, bool)."""
    return holds(outlook.log_feasible, max_risk)


def holds(log_probability: Tensor, risk: float) -> Tensor:
    """Which of these probabilities are at least 1 - `risk` (`b`, bool)."""
    return log_probability >= math.log1p(-risk)


def barrier(log_probability: Tensor, risk: float) -> Tensor:
    """Differentiable penalty, 0 where `holds`, that leads gradient steps back there (`b`)."""
    return _STEEPNESS * torch.clamp_max(log_probability - math.log1p(-risk), 0.0)
