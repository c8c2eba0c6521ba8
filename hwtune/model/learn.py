"""Learning components: what the worth of features had in common over earlier work on one kind of machine.

Of each history r(x) = Φ(x) β + h(x) is known at its measured settings, r being log time and log power relative to its
default. With β ~ N(μ, S) over the histories of a kind, expectation-maximisation finds μ and S with every β integrated
out (Laird & Ware 1982); S is drawn towards a diagonal, so that one history is enough to begin with. Roughness,
amplitude and length of h maximise the marginal likelihood. Figures that stand far off even so are left out, and all is
learned again.

The covariance of a history's figures is a²R + v(I + 11ᵀ): the smooth residual, zero at the default, and what is special
to each setting, the default's own included. One eigendecomposition for each length makes all a and v cheap:
with W = (I + 11ᵀ)^-½ and WRW = QΛQᵀ it is diagonal in the rows QᵀW.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, stdev

import torch
from torch import Tensor

from hwtune.domain.knob import KnobSpace, Role
from hwtune.domain.trial import Trial
from hwtune.model.context import learn_context
from hwtune.model.encoding import Encoding, tensor
from hwtune.model.features import Features, signature
from hwtune.model.fit import adam
from hwtune.model.learned import LENGTH, LENGTHS, Component, Level
from hwtune.model.observations import observe
from hwtune.model.surrogate import matern52

ROWS = 80  # of one history that are learned from: more of them say the same again
MOST_GROUPS = 12  # beyond which the groups of a kind are its spread
KIND_WEIGHT = 0.35 / 0.85  # of a kind that has groups, against all of them

_MEASUREMENT = 0.008**2  # variance of a measured median, in log
_CENTRE = (-4.2, -4.2, -3.5, -3.5)  # log roughness of time and of power, log amplitude of both
_LOG_LENGTHS = (-0.6, -0.3, 0.0, 0.3, 0.6)
_LENGTH_SPREAD = 0.4
_GLITCH = 5.0  # deviations beyond which a figure is no part of the pattern
_SCALE = 0.2  # of what all features together are worth, before anything is learned
_UNTOLD = 10.0  # deviation of power's coefficients where nothing was said of it, in units of that
_LEVELS = 3  # histories whose level at the default says what others draw there
_LEVEL_DRIFT = 0.012  # by which a machine's level differs from one day to the next
_ROUNDS, _EM_STEPS, _HYPER_STEPS, _HYPER_RATE = 3, 30, 20, 0.25
_GROUP_SHARE = 0.45  # of the kind's covariance that one history of a group may still differ by


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """What was measured of one workload.

    Args:
        label: the workload, for people.
        kind: the machine or table; only histories of one kind and one signature are learned together.
        group: histories of like work have the same; a group counts less than as many that are unlike.
        space: its knobs.
        trials: what was measured, the default among it.
    """

    label: str
    kind: str
    group: str
    space: KnobSpace
    trials: tuple[Trial, ...]


@dataclass(frozen=True, slots=True)
class _Rows:
    """A history as numbers: u `(n, knobs)`, features `(n, p)`, log time and power relative to the default `(n, 2)`.

    Where no power was measured `y` is zero and `powered` false. `level` is log power in W at the default, `sensed` what
    was sensed there.
    """

    u: Tensor
    phi: Tensor
    y: Tensor
    powered: bool
    group: str
    level: float
    sensed: Mapping[str, float]


def teaches(history: History) -> bool:
    """Whether anything can be learned: knobs that other machines have too, the default and another setting measured."""
    return _rows(history) is not None


def learn(histories: Sequence[History]) -> tuple[Component, ...]:
    """The components of every kind, in the order of the kinds; those that teach nothing are passed over.

    Of each kind (and signature) one is for the kind, the others for its groups where it has 2 to 12; their weights add
    up to one. The same histories always give the same components.
    """
    kinds: dict[tuple[str, tuple[Role, ...]], list[_Rows]] = {}
    for history in histories:
        roles, rows = signature(history.space), _rows(history)
        if roles is not None and rows is not None:
            kinds.setdefault((history.kind, roles), []).append(rows)
    return tuple(component for (kind, roles), rows in kinds.items() for component in _robustly(kind, roles, rows))


def _robustly(label: str, roles: tuple[Role, ...], histories: Sequence[_Rows]) -> tuple[Component, ...]:
    """Learn, leave out what even so stands far off, and learn again: a glitch is nothing that other machines share."""
    components = _Kind(label, roles, histories).learn()
    kept = [_without_glitches(each, components[0]) for each in histories]
    if all(len(mine.u) == len(whole.u) for mine, whole in zip(kept, histories, strict=True)):
        return components
    return _Kind(label, roles, kept).learn()


def _without_glitches(rows: _Rows, kind: Component) -> _Rows:
    """The rows within `_GLITCH` deviations of what all others and the kind foretell, at least half of them.

    By the inverse of the whole covariance: Rasmussen & Williams 2006, §5.4.2.
    """
    lengths = kind.length * tensor([LENGTHS.get(role, LENGTH) for role in kind.roles])
    smooth, special = _residual(rows, lengths)
    count = len(rows.u)
    blocks = [
        a**2 * smooth + (b**2 + _MEASUREMENT) * special for a, b in zip(kind.amplitude, kind.roughness, strict=True)
    ]
    jacobian = torch.zeros(2 * count, len(kind.mean), dtype=torch.float64)
    p = rows.phi.shape[1]
    jacobian[:count, :p], jacobian[count:, p:] = rows.phi, rows.phi
    total = jacobian @ kind.covariance @ jacobian.T
    total[:count, :count] += blocks[0]
    total[count:, count:] += blocks[1]
    measured = _measured(rows).T.flatten() > 0.0
    off = (rows.y.T.flatten() - jacobian @ kind.mean)[measured]
    inverse = _inverse(total[measured][:, measured])
    z = ((inverse @ off) / inverse.diagonal().sqrt()).abs().reshape(-1, count).amax(0)
    keep = z <= max(_GLITCH, z.median().item())
    return replace(rows, u=rows.u[keep], phi=rows.phi[keep], y=rows.y[keep])


def _rows(history: History) -> _Rows | None:
    if signature(history.space) is None:
        return None
    encoding = Encoding(history.space)
    seen = observe(encoding, history.trials)
    seen = seen.only(~seen.cut)
    here = encoding.at_default(seen.x)
    if not here.any() or here.all():
        return None
    # A level of power is the default's; without it the others' have nothing to stand against.
    power = ~seen.y[:, 1].isnan()
    powered = bool((power & here).any() and (power & ~here).any())
    x, y = (each[~here & power] if powered else each[~here] for each in (seen.x, seen.y))
    if len(x) > ROWS:
        keep = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))[:ROWS].sort().values
        x, y = x[keep], y[keep]
    features = Features(encoding)
    return _Rows(
        features.logs(x), features(x), y.nan_to_num(0.0), powered, history.group, seen.level[1].item(), seen.sensed
    )


class _Kind:
    """Histories of one kind and signature, diagonalised for every length.

    Shapes: L lengths, N histories, n rows of the longest (the others are filled up with rows that are masked), p
    features. Coefficients are those of log time, then of log power `(2p)`.
    """

    def __init__(self, label: str, roles: tuple[Role, ...], histories: Sequence[_Rows]) -> None:
        self._label, self._roles = label, roles
        self._groups = [each.group for each in histories]
        self._sensed = [each.sensed for each in histories]
        self._levels = [each.level if each.powered else None for each in histories]
        self._mask = torch.stack([_padded(_measured(each), histories) for each in histories])  # N, n, 2
        scale = tensor([LENGTHS.get(role, LENGTH) for role in roles])
        whole = [[_diagonal(each, scale * math.exp(log)) for each in histories] for log in _LOG_LENGTHS]
        self._values, self._phi, self._y = (
            torch.stack([torch.stack([_padded(each[part], histories) for each in row]) for row in whole])
            for part in range(3)
        )
        spread = torch.stack([each.phi.square().mean(0) for each in histories]).mean(0).sqrt() + 1e-3
        self._broad = torch.diag(_SCALE**2 / len(spread) / spread.repeat(2).square())

    def learn(self) -> tuple[Component, ...]:
        at, hyper = _LOG_LENGTHS.index(0.0), tensor(_CENTRE)
        mean, covariance = torch.zeros(len(self._broad), dtype=torch.float64), self._broad
        for turn in range(_ROUNDS):
            mean, covariance, own, within, gram = self._expectation_maximisation(mean, covariance, hyper, at)
            if turn + 1 < _ROUNDS:
                at, hyper = self._hyperparameters(mean, covariance, hyper)
        groups = list(dict.fromkeys(self._groups))
        if not 2 <= len(groups) <= MOST_GROUPS:
            groups = []
        kind = Component(
            label=self._label,
            roles=self._roles,
            weight=KIND_WEIGHT if groups else 1.0,
            mean=mean,
            covariance=self._open(covariance),
            roughness=hyper[:2].exp(),
            amplitude=hyper[2:].exp(),
            length=math.exp(_LOG_LENGTHS[at]),
            level=self._level(),
        )
        alike = (
            replace(self._group(kind, group, own, within, covariance), weight=(1.0 - KIND_WEIGHT) / len(groups))
            for group in groups
        )
        return (replace(kind, context=learn_context(self._sensed, own - mean, gram)), *alike)

    def _level(self, group: str | None = None) -> Level | None:
        """What histories of a group, or all, drew at the default; None where too few of them tell."""
        told = [level for level, of in zip(self._levels, self._groups, strict=True) if level and group in (None, of)]
        if len(told) < _LEVELS:
            return None
        return Level(mean=fmean(told), sd=math.hypot(stdev(told), _LEVEL_DRIFT))

    def _open(self, covariance: Tensor) -> Tensor:
        """The covariance, wide in power where nothing was said of it: that is no power that hardly moves."""
        if self._mask[..., 1].any():
            return covariance
        p = len(covariance) // 2
        opened = _UNTOLD**2 * self._broad
        opened[:p, :p] = covariance[:p, :p]
        return opened

    def _group(self, kind: Component, group: str, own: Tensor, within: Tensor, covariance: Tensor) -> Component:
        of = torch.tensor([each == group for each in self._groups])
        count, mean = int(of.sum()), own[of].mean(0)
        apart = own[of] - mean
        spread = (within[of].sum(0) + apart.T @ apart + _GROUP_SHARE * covariance) / (count + 1.5)
        return replace(
            kind,
            label=f"{self._label}/{group}",
            mean=mean,
            covariance=self._open(_symmetric(spread)),
            level=self._level(group),
        )

    def _expectation_maximisation(
        self, mean: Tensor, covariance: Tensor, hyper: Tensor, at: int
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Mean and covariance over histories; each history's own posterior mean `(N, 2p)` and covariance; ΦᵀC⁻¹Φ."""
        gram, pull, _ = (each[0] for each in self._told(hyper.unsqueeze(0), slice(at, at + 1)))
        counts = tensor([self._groups.count(group) for group in self._groups])
        weight = counts.rsqrt()
        total = weight.sum()
        for _ in range(_EM_STEPS):
            precision = _inverse(covariance)
            within = _inverse(gram + precision)
            own = (within @ (pull + precision @ mean).unsqueeze(-1)).squeeze(-1)
            mean = (weight.unsqueeze(-1) * own).sum(0) / (total + 0.5)
            apart = own - mean
            spread = (weight.view(-1, 1, 1) * within).sum(0) + (weight.unsqueeze(-1) * apart).T @ apart
            covariance = _symmetric((spread + self._broad) / (total + 1.0))
        return mean, covariance, own, within, gram.mean(0)

    def _hyperparameters(self, mean: Tensor, covariance: Tensor, start: Tensor) -> tuple[int, Tensor]:
        """The most probable length (its index) and log roughness and amplitude `(4)`, given mean and covariance."""
        precision, centre = _inverse(covariance), tensor(_CENTRE)
        lengths = 0.5 * (tensor(_LOG_LENGTHS) / _LENGTH_SPREAD).square()

        def costs(hyper: Tensor) -> Tensor:
            gram, pull, fixed = self._told(hyper, slice(None))
            rest = pull - (gram @ mean)
            factor = torch.linalg.cholesky(gram + precision)
            solved = torch.linalg.solve_triangular(factor, rest.unsqueeze(-1), upper=False).squeeze(-1)
            square = ((gram @ mean) * mean).sum(-1) - 2.0 * (pull @ mean) - solved.square().sum(-1)
            logdet = 2.0 * factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
            cost: Tensor = 0.5 * (fixed + square + logdet).sum(-1) + 0.5 * (hyper - centre).square().sum(-1) + lengths
            return cost

        found = adam(
            start.repeat(len(_LOG_LENGTHS), 1), lambda at: costs(at).sum(), steps=_HYPER_STEPS, rate=_HYPER_RATE
        )
        best = int(costs(found).argmin())
        return best, found[best]

    def _told(self, hyper: Tensor, at: slice) -> tuple[Tensor, Tensor, Tensor]:
        """What histories say of their coefficients under log roughness and amplitude `(l, 4)`.

        Returns:
            ΦᵀC⁻¹Φ `(l, N, 2p, 2p)`, ΦᵀC⁻¹y `(l, N, 2p)`, and yᵀC⁻¹y + log|C| but for a constant `(l, N)`.
        """
        noise = (2.0 * hyper[:, :2]).exp() + _MEASUREMENT
        smooth = (2.0 * hyper[:, 2:]).exp()
        values = self._values[at].unsqueeze(-1) * smooth[:, None, None] + noise[:, None, None]  # l, N, n, 2
        parts = (self._mask / values).unbind(-1)
        phi, y = self._phi[at], self._y[at]
        grams = [phi.mT @ (part.unsqueeze(-1) * phi) for part in parts]
        pulls = [((part * y[..., output]).unsqueeze(-2) @ phi).squeeze(-2) for output, part in enumerate(parts)]
        p = phi.shape[-1]
        gram = torch.zeros(*grams[0].shape[:2], 2 * p, 2 * p, dtype=torch.float64)
        gram[..., :p, :p], gram[..., p:, p:] = grams
        fixed = (self._mask * (y.square() / values + values.log())).sum((-2, -1))
        return gram, torch.cat(pulls, -1), fixed


def _measured(rows: _Rows) -> Tensor:
    """1 where there is a figure `(n, 2)`."""
    return torch.ones_like(rows.y) * tensor([1.0, float(rows.powered)])


def _diagonal(rows: _Rows, lengths: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Λ `(n)`, QᵀWΦ and QᵀWy of a history."""
    count = len(rows.u)
    smooth, _ = _residual(rows, lengths)
    whiten = torch.eye(count, dtype=torch.float64) - (1.0 - (1.0 + count) ** -0.5) / count
    values, vectors = torch.linalg.eigh(_symmetric(whiten @ smooth @ whiten))
    turn = vectors.T @ whiten
    return values.clamp_min(0.0), turn @ rows.phi, turn @ rows.y


def _residual(rows: _Rows, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """R and I + 11ᵀ of a history `(n, n)`."""
    u = rows.u / lengths
    near = matern52(u, torch.zeros_like(u[:1]))
    smooth = matern52(u, u) - near - near.T + 1.0
    return smooth, torch.eye(len(u), dtype=torch.float64) + 1.0


def _padded(rows: Tensor, among: Sequence[_Rows]) -> Tensor:
    """Rows filled up with zeros to those of the longest history."""
    longest = max(len(each.u) for each in among)
    return torch.cat([rows, torch.zeros(longest - len(rows), *rows.shape[1:], dtype=torch.float64)])


def _inverse(matrix: Tensor) -> Tensor:
    return torch.cholesky_inverse(torch.linalg.cholesky(matrix))


def _symmetric(matrix: Tensor) -> Tensor:
    return 0.5 * (matrix + matrix.mT)
