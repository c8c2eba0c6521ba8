"""What earlier trials taught: Gaussians over the worth of features, one for each kind of machine or work seen.

A `Component` says what log time and log power are expected to do in a space with its roles: r(x) = Φ(x) β + h(x) with
β ~ N(mean, covariance), and h a residual: a smooth part (Matérn-5/2 over u) and a rough one that no neighbour tells
(`roughness`), both learned from the same trials. Several components make a mixture; what is measured decides between
them (`mixture.py`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from hwtune.domain.knob import Role
from hwtune.model.context import Context
from hwtune.model.encoding import tensor
from hwtune.model.features import names, own


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """One kind of machine and work, as far as features tell.

    Args:
        label: where it was learned, for people.
        roles: of the knobs, in order (`features.signature`).
        weight: how likely it is beforehand, among the components with the same roles.
        mean: of the features' worth, for log time, then for log power `(2p)`.
        covariance: of the same `(2p, 2p)`.
        roughness: deviation of what is special to each setting, in log time and log power `(2)`.
        amplitude: deviation of the smooth residual, in log time and log power `(2)`.
        length: its length scale, in units of each role's usual one.
        level: what its work draws at the default, or None where that was told too seldom.
        context: which of its histories present work is like, or None where likeness tells nothing.
    """

    label: str
    roles: tuple[Role, ...]
    weight: float
    mean: Tensor
    covariance: Tensor
    roughness: Tensor
    amplitude: Tensor
    length: float
    level: Level | None = None
    context: Context | None = None

    def given(self, sensed: Mapping[str, float]) -> Component:
        """The component of work in which this was sensed at the default."""
        if self.context is None:
            return self
        mean, covariance = self.context.given(self.mean, self.covariance, sensed)
        return replace(self, mean=mean, covariance=covariance)


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """Log power in W at the default: a machine is known again by it, and so is the work it does."""

    mean: float
    sd: float

    def log_odds(self, log_power: float) -> float:
        """Log of how much likelier a level is here than anywhere, at least log ½: a stranger may draw as much."""
        likelier = _log_normal(log_power, self.mean, self.sd) - _log_normal(log_power, *_ANYWHERE)
        # log(½ + ½ eˣ), which no x overflows
        return max(likelier, 0.0) + math.log1p(math.exp(-abs(likelier))) - math.log(2.0)


_ANYWHERE = (math.log(30.0), 2.0)  # log power of any machine: from phones to servers


def _log_normal(x: float, mean: float, sd: float) -> float:
    return -0.5 * ((x - mean) / sd) ** 2 - math.log(sd * math.sqrt(2.0 * math.pi))


LENGTHS: dict[Role, float] = {"active_cpus": 0.8}
"""Usual length scale of a role in u, where it is not `LENGTH`."""

LENGTH = 0.3

_WIDENED = 4.0  # a machine of no known kind: the covariance of the known ones, this much wider
_ROUGHER = 2.5
_BROAD = 0.1  # deviation of what nothing was learned about
_POOLED, _WIDE, _KIND = 0.05, 0.2, 0.75


def fitting(components: tuple[Component, ...], roles: tuple[Role, ...]) -> tuple[Component, ...]:
    """The mixture for a space with these roles: known kinds, the same widened, and what is known of each role alone.

    Empty when nothing is known of any of the roles.
    """
    same = [component for component in components if component.roles == roles]
    pooled = _pooled(components, roles)
    if pooled is None:
        return ()
    if not same:
        return (pooled, _widened(pooled, 0.5))
    total = sum(component.weight for component in same)
    kinds = [replace(component, weight=_KIND * component.weight / total) for component in same]
    wide = [_widened(component, _WIDE * component.weight / total) for component in same]
    return (replace(pooled, weight=_POOLED), *kinds, *wide)


def _widened(component: Component, weight: float) -> Component:
    """The same kind, but stranger and rougher than any that was seen."""
    return replace(
        component,
        weight=weight,
        covariance=_WIDENED * component.covariance,
        roughness=_ROUGHER * component.roughness,
        amplitude=_ROUGHER * component.amplitude,
        level=None,
        context=None,
    )


def _pooled(components: tuple[Component, ...], roles: tuple[Role, ...]) -> Component | None:
    """Each role as it was on all machines that have it, whatever else they have; roles are taken as independent."""
    wanted = names(roles)
    p = len(wanted)
    mean, covariance = torch.zeros(2 * p, dtype=torch.float64), _BROAD**2 * torch.eye(2 * p, dtype=torch.float64)
    of: list[Component] = []
    for role in roles:
        mine = own(wanted, role)
        here = _places(wanted, mine)
        having = [component for component in components if role in component.roles]
        if not having:
            continue
        places = [_places(names(component.roles), mine) for component in having]
        means = torch.stack([c.mean[at] for c, at in zip(having, places, strict=True)])
        within = torch.stack([c.covariance[at][:, at] for c, at in zip(having, places, strict=True)]).mean(0)
        apart = means - means.mean(0)
        mean[here] = means.mean(0)
        covariance[here.unsqueeze(1), here] = within + 1.5 * apart.T @ apart / len(having)
        of += having
    if not of:
        return None
    return Component(
        label="by role",
        roles=roles,
        weight=1.0,
        mean=mean,
        covariance=covariance,
        roughness=torch.stack([c.roughness for c in of]).log().mean(0).exp(),
        amplitude=torch.stack([c.amplitude for c in of]).log().mean(0).exp(),
        length=float(tensor([c.length for c in of]).log().mean().exp()),
    )


def _places(wanted: tuple[str, ...], mine: list[str]) -> Tensor:
    """Where features stand among the coefficients, for both outputs."""
    places = [wanted.index(name) for name in mine]
    return torch.tensor(places + [len(wanted) + place for place in places])
