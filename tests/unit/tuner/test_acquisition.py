from __future__ import annotations

import math

import pytest
import torch
from botorch.acquisition import LogExpectedImprovement
from botorch.acquisition.logei import qLogNoisyExpectedImprovement
from botorch.models import SingleTaskGP
from botorch.sampling import SobolQMCNormalSampler
from hypothesis import given
from hypothesis import strategies as st
from tuner_values import LAPTOP, LEVELS, managed, trials_of

from hwtune.domain.objective import Bound, Objective
from hwtune.model.fit import learn_from
from hwtune.model.mixture import Mixture
from hwtune.tuner.acquisition import Judge, log_expected_improvement, log_h

SETTINGS = [
    LAPTOP.default,
    LAPTOP.default | {"max": 2_400_000},
    LAPTOP.default | {"epp": "power"},
    LAPTOP.default | {"boost": "0", "epp": "balance_power"},
    LAPTOP.default | {"governor": "performance", "max": 2_000_000, "epp": "balance_performance"},
]


@pytest.fixture(scope="module")
def posterior() -> Mixture:
    return learn_from(LAPTOP, trials_of(SETTINGS, managed), ())


def tensor(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


@given(u=st.floats(-6.0, 6.0))
def test_log_h_is_the_logarithm_of_h(u: float) -> None:
    phi = math.exp(-0.5 * u * u) / math.sqrt(2 * math.pi)
    h = phi + u * 0.5 * math.erfc(-u / math.sqrt(2))
    assert log_h(tensor(u)).item() == pytest.approx(math.log(h), rel=1e-7)


@given(u=st.floats(-1e8, 1e3))
def test_log_h_and_its_slope_are_finite_and_rise(u: float) -> None:
    x = tensor(u).requires_grad_()
    value = log_h(x)
    (slope,) = torch.autograd.grad(value.sum(), x)
    assert value.isfinite().all() and slope.isfinite().all() and (slope > 0).all()


@pytest.mark.parametrize("u", [-1.0, -1e4, -0.999, -30.0])
def test_branches_meet(u: float) -> None:
    below, above = log_h(tensor(u - 1e-9)).item(), log_h(tensor(u + 1e-9)).item()
    assert below == pytest.approx(above, rel=1e-6, abs=1e-6)


@pytest.mark.filterwarnings("ignore")
def test_log_ei_is_botorchs() -> None:
    x = torch.rand(8, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    model = SingleTaskGP(x, torch.sin(5 * x).sum(-1, keepdim=True))
    at = torch.rand(20, 1, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        expected = LogExpectedImprovement(model, best_f=-0.5, maximize=False)(at)
        posterior = model.posterior(at.squeeze(1))
        ours = log_expected_improvement(posterior.mean.squeeze(-1), posterior.variance.squeeze(-1).sqrt(), -0.5)
    assert ours.tolist() == pytest.approx(expected.tolist(), rel=1e-6)


@pytest.mark.filterwarnings("ignore")
def test_it_ranks_candidates_as_noisy_ei_by_sampling_does() -> None:
    generator = torch.Generator().manual_seed(3)
    x = torch.rand(10, 1, dtype=torch.float64, generator=generator)
    model = SingleTaskGP(x, torch.sin(7 * x), train_Yvar=torch.full_like(x, 1e-4))
    at = torch.linspace(0, 1, 41, dtype=torch.float64).reshape(-1, 1, 1)
    sampler = SobolQMCNormalSampler(torch.Size([512]), seed=0)
    with torch.no_grad():
        noisy = qLogNoisyExpectedImprovement(model, X_baseline=x, sampler=sampler, prune_baseline=False)(at)
        posterior = model.posterior(at.squeeze(1))
        best = -model.posterior(x).mean.max().item()
        ours = log_expected_improvement(-posterior.mean.squeeze(-1), posterior.variance.squeeze(-1).sqrt(), best)
    assert abs(noisy.argmax().item() - ours.argmax().item()) <= 1
    top = noisy > noisy.max() - 1.7
    assert (noisy[top] - ours[top]).abs().max() < 0.3


@pytest.mark.parametrize("bound", [Bound(), Bound(max_slowdown=0.1), Bound(max_slowdown=0.3, max_power_w=18.0)])
@pytest.mark.parametrize("objective", list(Objective))
def test_the_gradient_agrees_with_central_differences(posterior: Mixture, objective: Objective, bound: Bound) -> None:
    """To 1e-5 relative, in float64, over every column of a relaxed row."""
    judge = Judge(posterior, objective, bound)

    def value(x: torch.Tensor) -> torch.Tensor:
        outlook = judge.outlook(x)
        return log_expected_improvement(outlook.mean, outlook.sd, -0.05) + outlook.log_feasible

    encoding = posterior.physics.surrogate.encoding
    rows = encoding.encode([LAPTOP.default | {"max": 2_700_000, "epp": "power"}, LAPTOP.default | {"max": 1_500_000}])
    x = encoding.settle(0.7 * rows + 0.3 * encoding.encode([LAPTOP.default | {"boost": "0", "epp": "balance_power"}]))
    (gradient,) = torch.autograd.grad(value(x.requires_grad_()).sum(), x)
    for row in range(len(x)):
        scale = gradient[row].abs().max().item()
        for column in range(encoding.width):
            h = torch.zeros_like(x)
            h[row, column] = 1e-5
            with torch.no_grad():
                slope = ((value(x + h) - value(x - h)).sum() / 2e-5).item()
            assert gradient[row, column].item() == pytest.approx(slope, rel=1e-5, abs=1e-5 * scale)


def test_the_objective_is_a_sum_of_the_outputs(posterior: Mixture) -> None:
    rows = posterior.physics.surrogate.encoding.encode(SETTINGS[1:])
    time = Judge(posterior, Objective.TIME, Bound()).outlook(rows).mean
    energy = Judge(posterior, Objective.ENERGY, Bound()).outlook(rows).mean
    edp = Judge(posterior, Objective.EDP, Bound()).outlook(rows).mean
    assert torch.allclose(edp, energy + time)


def test_feasibility_follows_the_bound(posterior: Mixture) -> None:
    rows = posterior.physics.surrogate.encoding.encode([LAPTOP.default | {"max": level} for level in LEVELS])
    chance = Judge(posterior, Objective.ENERGY, Bound(max_slowdown=0.2)).outlook(rows).log_feasible.exp()
    assert chance[0] < 0.01
    assert chance[-1] > 0.99
    assert (chance[1:] >= chance[:-1] - 1e-6).all()
    hungry = Judge(posterior, Objective.ENERGY, Bound(max_power_w=1e-3)).outlook(rows).log_feasible
    assert (hungry < -50).all()
    assert Judge(posterior, Objective.ENERGY, Bound()).outlook(rows).log_feasible.tolist() == [0.0] * len(LEVELS)
