"""The learned components and their mixture with the physics, against the formulas written out."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from hwtune.domain.knob import KnobSpace, RangeKnob, Setting
from hwtune.domain.objective import Bound, Objective
from hwtune.domain.trial import Run, Trial
from hwtune.model.encoding import Encoding
from hwtune.model.features import Features, names, signature
from hwtune.model.fit import learn_from
from hwtune.model.learned import LENGTH, LENGTHS, Component, Level, fitting
from hwtune.model.linear import LearnedPosterior
from hwtune.model.observations import observe
from hwtune.model.prior import INTERCEPT_SD
from hwtune.model.surrogate import matern52
from hwtune.tuner.acquisition import Judge

FREQUENCY = RangeKnob(
    name="f", role="frequency", unit="MHz", low=800, high=3600, default=3600, levels=tuple(range(800, 3601, 200))
)
THREADS = RangeKnob(name="n", role="active_cpus", unit="1", low=1, high=16, default=16, levels=(1, 2, 4, 8, 12, 16))
SPACE = KnobSpace(knobs=(FREQUENCY, THREADS))
ROLES = ("active_cpus", "frequency")
P = len(names(ROLES))


def component(seed: int, *, label: str = "a", weight: float = 1.0) -> Component:
    source = torch.Generator().manual_seed(seed)
    root = 0.1 * torch.randn(2 * P, 2 * P, dtype=torch.float64, generator=source)
    return Component(
        label=label,
        roles=ROLES,
        weight=weight,
        mean=0.2 * torch.randn(2 * P, dtype=torch.float64, generator=source),
        covariance=root @ root.T + 0.01 * torch.eye(2 * P, dtype=torch.float64),
        roughness=torch.tensor([0.02, 0.01], dtype=torch.float64),
        amplitude=torch.tensor([0.05, 0.04], dtype=torch.float64),
        length=1.3,
    )


def trial(f: int, n: int, *figures: tuple[float, float | None]) -> Trial:
    setting = Setting(f=f, n=n)
    return Trial(
        setting=setting, requested=setting, runs=tuple(Run(time_s=time, energy_j=energy) for time, energy in figures)
    )


TRIALS = [
    trial(3600, 16, (10.0, 800.0), (10.2, 810.0)),
    trial(2400, 16, (13.0, 700.0)),
    trial(2400, 4, (21.0, 690.0), (20.0, 660.0)),
    trial(1600, 8, (24.0, None)),
]


def by_hand(component: Component, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean and covariance of r(x) by the joint prior of everything, and the log evidence without its constant."""
    encoding = Encoding(SPACE)
    features, seen = Features(encoding), observe(encoding, TRIALS)
    rows = torch.cat([seen.x, x, encoding.default.unsqueeze(0)])
    u, phi = features.logs(rows), features(rows)
    scale = component.length * torch.tensor([LENGTHS.get(role, LENGTH) for role in ROLES], dtype=torch.float64)
    smooth = matern52(u / scale, u / scale)
    same = ((u.unsqueeze(0) - u.unsqueeze(1)).abs().amax(-1) < 1e-9).double()
    pin = torch.eye(len(rows), dtype=torch.float64)
    pin[:, -1] -= 1.0  # r(x) = h(x) - h(x0)
    n, m = len(seen.x), len(x)
    blocks = []
    for output in range(2):
        prior = component.amplitude[output] ** 2 * smooth + component.roughness[output] ** 2 * same
        blocks.append(pin @ prior @ pin.T)
    worth = component.covariance.reshape(2, P, 2, P)
    joint = torch.einsum("ip,opqr,jr->oiqj", phi, worth, phi)
    for output in range(2):
        joint[output, :, output] += blocks[output]
        joint[output, :n, output, :n] += INTERCEPT_SD**2 + torch.diag(seen.noise[:, output])
    mean = torch.einsum("ip,op->oi", phi, component.mean.reshape(2, P))
    known = torch.isfinite(seen.y).T.flatten()
    here = joint[:, :n, :, :n].reshape(2 * n, 2 * n)[known][:, known]
    cross = joint[:, n : n + m, :, :n].permute(1, 0, 2, 3).reshape(m, 2, 2 * n)[..., known]
    missed = (seen.y.T - mean[:, :n]).flatten()[known]
    solved = torch.linalg.solve(here, cross.reshape(2 * m, -1).T).T.reshape(m, 2, -1)
    own = torch.stack([joint[:, n + i, :, n + i] for i in range(m)])
    evidence = -0.5 * missed @ torch.linalg.solve(here, missed) - 0.5 * torch.logdet(here)
    return mean[:, n : n + m].T + solved @ missed, own - solved @ cross.transpose(1, 2), evidence


def rows(*settings: tuple[int, int]) -> Tensor:
    return Encoding(SPACE).encode([Setting(f=f, n=n) for f, n in settings])


def test_the_posterior_is_that_of_the_joint_prior() -> None:
    both = (component(1), component(2, label="b", weight=3.0))
    x = rows((2400, 16), (1200, 12), (3600, 1), (2000, 4))
    posterior = LearnedPosterior(both, Encoding(SPACE), observe(Encoding(SPACE), TRIALS))
    mean, covariance = posterior.predict(x)
    for index, each in enumerate(both):
        wanted, doubt, evidence = by_hand(each, x)
        assert torch.allclose(mean[index], wanted, atol=1e-9)
        assert torch.allclose(covariance[index], doubt, atol=1e-9)
        share = math.log(each.weight / 4.0)
        assert posterior.log_weights[index].item() == pytest.approx(share + evidence.item(), abs=1e-8)


def test_two_settings_are_compared_with_what_they_share_left_out() -> None:
    one = component(1)
    posterior = LearnedPosterior((one,), Encoding(SPACE), observe(Encoding(SPACE), TRIALS))
    x = rows((2400, 16), (1200, 12))
    mean, covariance = posterior.predict(x, against=x[0])
    assert mean[0, 0].abs().max() < 1e-12 and covariance[0, 0].abs().max() < 1e-9
    apart, doubt, _ = by_hand(one, x)
    assert torch.allclose(mean[0, 1], apart[1] - apart[0], atol=1e-9)
    assert covariance[0, 1, 0, 0] < doubt[0, 0, 0] + doubt[1, 0, 0] + 2.0 * (doubt[0, 0, 0] * doubt[1, 0, 0]).sqrt()


def test_a_measured_setting_is_known_as_well_as_its_runs_agree() -> None:
    """However rough its neighbours are."""
    rough = replace(component(1), roughness=torch.tensor([0.3, 0.3], dtype=torch.float64))
    runs = [trial(3600, 16, *[(10.0, 800.0)] * 3), trial(2400, 8, *[(14.0, 650.0)] * 3)]
    posterior = LearnedPosterior((rough,), Encoding(SPACE), observe(Encoding(SPACE), runs))
    mean, covariance = posterior.predict(rows((2400, 8), (2600, 8)))
    assert mean[0, 0, 0].item() == pytest.approx(math.log(1.4), abs=2e-3)
    assert covariance[0, 0, 0, 0].sqrt() < 0.005
    assert covariance[0, 1, 0, 0].sqrt() > 0.2


def test_what_misleads_loses_its_say() -> None:
    """Time that falls with a lower clock, against the physics."""
    wrong = replace(component(1, label="wrong"), mean=torch.zeros(2 * P, dtype=torch.float64))
    wrong.mean[names(ROLES).index("frequency.0")] = 2.0
    narrow = replace(wrong, covariance=1e-4 * torch.eye(2 * P, dtype=torch.float64))
    prior = (narrow,)
    start = learn_from(SPACE, TRIALS[:1], prior)
    assert start.weights["physics"] < 0.5
    clocks = [trial(f, 16, (36.0 / f * 1000, 36.0 / f * 1000 * (20 + f / 100))) for f in (3600, 2400, 1200)]
    later = learn_from(SPACE, clocks, prior)
    assert later.weights["physics"] > 0.9
    assert sum(later.weights.values()) == pytest.approx(1.0)


def test_the_unlikely_are_not_asked_and_somebody_always_is() -> None:
    """Alike, all are asked though none has a tenth of the weight; once trials tell them apart, few are."""
    many = tuple(component(1, label=str(index)) for index in range(20))
    rows_asked = rows((2400, 8))
    assert len(learn_from(SPACE, TRIALS[:1], many).experts(rows_asked).log_weights) >= 21
    one_by_one = tuple(component(index, label=str(index)) for index in range(20))
    asked = learn_from(SPACE, TRIALS, one_by_one).experts(rows_asked).log_weights
    assert 1 <= len(asked) < 10
    assert asked.exp().sum().item() == pytest.approx(1.0)


def test_a_level_tells_alike_work_and_a_strange_one_counts_little_against_it() -> None:
    alike = Level(mean=math.log(80.0), sd=0.02)
    assert alike.log_odds(math.log(80.0)) > 3.0
    assert alike.log_odds(math.log(800.0)) == pytest.approx(math.log(0.5))
    encoding = Encoding(SPACE)
    seen = observe(encoding, TRIALS[:1])  # draws 79.7 W
    plain = component(1, label="a")
    pair = (replace(plain, level=alike), replace(plain, label="b", level=Level(mean=math.log(120.0), sd=0.02)), plain)
    like, unlike, unknown = LearnedPosterior(pair, encoding, seen).log_weights.softmax(0).tolist()
    assert like > 0.9
    assert unlike == pytest.approx(unknown / 2.0, rel=1e-3)
    blind = [replace(TRIALS[0], runs=tuple(replace(run, energy_j=None) for run in TRIALS[0].runs))]
    weights = LearnedPosterior(pair, encoding, observe(encoding, blind)).log_weights.softmax(0).tolist()
    assert weights == pytest.approx([1.0 / 3.0] * 3)


def test_the_gradient_of_the_mixture_agrees_with_central_differences() -> None:
    mixture = learn_from(SPACE, TRIALS[:2], (component(1), component(2, label="b")))
    assert len(mixture.weights) > 1
    judge = Judge(mixture, Objective.EDP, Bound(max_slowdown=0.3))
    x, incumbent = rows((2300, 14), (1500, 3)), rows((2400, 16))[0]

    def value(at: Tensor) -> Tensor:
        return judge.at(at).promise(incumbent) + judge.outlook(at).log_feasible

    (gradient,) = torch.autograd.grad(value(x.requires_grad_()).sum(), x)
    for row in range(len(x)):
        for place in range(x.shape[1]):
            h = torch.zeros_like(x)
            h[row, place] = 1e-5
            with torch.no_grad():
                slope = ((value(x + h) - value(x - h)).sum() / 2e-5).item()
            assert gradient[row, place].item() == pytest.approx(slope, rel=1e-5, abs=1e-5 * gradient.abs().max().item())


def test_which_spaces_have_a_signature() -> None:
    assert signature(SPACE) == signature(KnobSpace(knobs=(THREADS, FREQUENCY))) == ROLES
    assert signature(KnobSpace(knobs=(FREQUENCY, replace(FREQUENCY, name="g")))) is None
    assert signature(KnobSpace(knobs=(replace(FREQUENCY, role="frequency_floor"),))) is None


def test_a_machine_of_no_known_kind_gets_what_is_known_of_its_roles() -> None:
    alone = KnobSpace(knobs=(THREADS,))
    roles = signature(alone)
    assert roles is not None
    pooled, wide = fitting((component(1),), roles)
    mine = [names(ROLES).index(name) for name in names(roles)]
    assert torch.allclose(pooled.mean, component(1).mean[[*mine, *(P + index for index in mine)]])
    assert (wide.covariance.diagonal() > pooled.covariance.diagonal()).all()
    assert fitting((component(1),), ("power_cap",)) == ()


def test_features_are_zero_at_the_default_and_finite_everywhere() -> None:
    encoding = Encoding(SPACE)
    every = [Setting(f=f, n=n) for f in FREQUENCY.levels or () for n in THREADS.levels or ()]
    assert torch.isfinite(Features(encoding)(encoding.encode(every))).all()
    assert Features(encoding)(encoding.default).abs().max() < 1e-12
    source = random.Random(0)
    signed = RangeKnob(name="s", role="other", unit="1", low=-5, high=5, default=0)
    space = KnobSpace(knobs=(signed,))
    values = [Setting(s=source.randint(-5, 5)) for _ in range(4)]
    assert torch.isfinite(Features(Encoding(space))(Encoding(space).encode(values))).all()
