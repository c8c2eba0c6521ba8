from __future__ import annotations

import math

import gpytorch
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from model_values import LAPTOP, MAX, ONE_OF_EACH, fitted, random_trials, trial
from torch import Tensor

from hwtune.domain.knob import KnobSpace, RangeKnob
from hwtune.model.encoding import Encoding, tensor
from hwtune.model.observations import observe
from hwtune.model.prior import INTERCEPT_SD
from hwtune.model.surrogate import Posterior, Surrogate, matern52, same

OTHER = KnobSpace(
    knobs=(
        RangeKnob(name="a", role="other", unit="", low=0, high=100, default=100),
        RangeKnob(name="b", role="other", unit="", low=0, high=10, default=0),
    )
)


def test_where_the_physics_is_flat_the_posterior_is_gpytorchs() -> None:
    def wavy(setting: object) -> tuple[float, float]:
        a, b = setting["a"], setting["b"]  # type: ignore[index]
        time_s = math.exp(0.2 * math.sin(a / 20) + 0.01 * b)
        return time_s, time_s * math.exp(0.3 * math.cos(a / 30))

    encoding = Encoding(OTHER)
    surrogate = Surrogate(encoding)
    seen = observe(encoding, random_trials(OTHER, 12, seed=3, truth=wavy))
    hyper = surrogate.hyper_mean
    posterior = Posterior(surrogate, seen, surrogate.physics.mean, hyper)
    x = encoding.encode([{"a": a, "b": b} for a, b in ((3, 1), (50, 5), (97, 9))])
    mean, covariance = posterior.predict(x, level=True)

    expected = _gpytorch(posterior, x)
    assert mean[:, 0].tolist() == pytest.approx(expected.mean.tolist(), abs=1e-7)
    assert covariance[:, 0, 0].tolist() == pytest.approx(expected.variance.tolist(), abs=1e-7)


class Pinned(gpytorch.models.ExactGP):
    """The residual in gpytorch's words: a Matérn process less its value at the default, and an unknown level."""

    def __init__(self, posterior: Posterior, noise: Tensor) -> None:
        self.encoding, seen, hyper = posterior.surrogate.encoding, posterior.seen, posterior.hyper
        likelihood = gpytorch.likelihoods.FixedNoiseGaussianLikelihood(noise=noise)
        super().__init__(seen.x, seen.y[:, 0], likelihood)
        matern = gpytorch.kernels.MaternKernel(nu=2.5, ard_num_dims=self.encoding.width)
        matern.lengthscale = hyper[3:-2].exp()
        self.matern, self.amplitude, self.rough = matern.double(), hyper[0].exp(), hyper[-2].exp()

    def forward(self, x: Tensor) -> gpytorch.distributions.MultivariateNormal:
        every = torch.cat([x, self.encoding.default.unsqueeze(0)])
        k = self.matern((every - self.encoding.low) / self.encoding.span).to_dense() * self.amplitude**2
        same = (every.unsqueeze(0) == every.unsqueeze(1)).all(-1)
        k = k + same * self.rough**2
        k = k - k[:, -1:] - k[-1:, :] + k[-1, -1] + INTERCEPT_SD**2
        zero = torch.zeros(len(x), dtype=torch.float64)
        return gpytorch.distributions.MultivariateNormal(zero, k[:-1, :-1])


def _gpytorch(posterior: Posterior, x: Tensor) -> gpytorch.distributions.MultivariateNormal:
    noise = posterior.seen.noise[:, 0]
    with torch.no_grad():
        return Pinned(posterior, noise).double().eval()(x)


def test_the_default_is_certain_relative_to_itself() -> None:
    posterior = fitted(LAPTOP, random_trials(LAPTOP, 6, seed=1))
    mean, covariance = posterior.predict(posterior.surrogate.encoding.default.unsqueeze(0))
    assert mean.abs().max() < 1e-12
    assert covariance.abs().max() < 1e-10


def test_measuring_shrinks_the_uncertainty_there() -> None:
    setting = LAPTOP.default | {"max": 1_600_000}
    before = fitted(LAPTOP, [trial(LAPTOP.default, (10.0, 200.0))])
    after = fitted(LAPTOP, [trial(LAPTOP.default, (10.0, 200.0)), trial(setting, (18.0, 190.0))])
    x = before.surrogate.encoding.encode([setting])
    assert (after.predict(x)[1].diagonal(dim1=1, dim2=2) < 0.1 * before.predict(x)[1].diagonal(dim1=1, dim2=2)).all()
    assert after.predict(x)[0][0].tolist() == pytest.approx([math.log(1.8), math.log(190 / 18 / 20)], abs=0.02)


def test_without_trials_there_is_the_prior_predictive() -> None:
    posterior = fitted(LAPTOP, [])
    x = posterior.surrogate.encoding.encode([LAPTOP.default | {"max": 1_600_000}])
    mean, covariance = posterior.predict(x)
    assert mean[0, 0] > 0.1 and mean[0, 1] < -0.1
    assert (torch.linalg.eigvalsh(covariance) > 0).all()


def test_predictions_have_exact_gradients() -> None:
    posterior = fitted(LAPTOP, random_trials(LAPTOP, 8, seed=5))
    encoding = posterior.surrogate.encoding
    x = encoding.encode([LAPTOP.default | {"max": 2_400_000, "min": 1_000_000, "epp": "balance_power"}])
    assert torch.autograd.gradcheck(lambda x: posterior.predict(x)[0], x.clone().requires_grad_())
    assert torch.autograd.gradcheck(lambda x: posterior.predict(x)[1], x.clone().requires_grad_(), rtol=1e-4)


def test_trials_without_energy_teach_time_alone() -> None:
    trials = [trial({"max": level}, (2.0 + 18e6 / level, None)) for level in (3_600_000, 2_000_000, 1_200_000)]
    space = KnobSpace(knobs=(MAX,))
    posterior = fitted(space, trials)
    x = posterior.surrogate.encoding.encode([{"max": 1_600_000}])
    mean, covariance = posterior.predict(x)
    assert mean[0, 0].item() == pytest.approx(math.log((2 + 18 / 1.6) / 7), abs=0.03)
    assert covariance[0, 1, 1] > covariance[0, 0, 0]


@pytest.mark.parametrize("knob", ONE_OF_EACH, ids=lambda knob: knob.name)
def test_any_single_knob_can_be_fitted(knob: object) -> None:
    space = KnobSpace(knobs=(knob,))  # type: ignore[arg-type]
    posterior = fitted(space, random_trials(space, 5, seed=2))
    mean, covariance = posterior.predict(posterior.surrogate.encoding.encode([space.default]))
    assert mean.isfinite().all() and covariance.isfinite().all()


def test_matern_is_flat_at_equal_inputs() -> None:
    a = torch.zeros(1, 2, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(matern52(a, torch.zeros(1, 2, dtype=torch.float64)).sum(), a)
    assert gradient.tolist() == [[0.0, 0.0]]


@example([0.0, 0.9e-6, 0.9e-6])
@given(st.lists(st.floats(-3e-6, 3e-6), min_size=2, max_size=12))
def test_being_the_same_setting_is_a_covariance_however_near_settings_are(steps: list[float]) -> None:
    """With a sharp edge a row of settings, each nearly the next, was none: a negative variance."""
    inputs = tensor(steps).cumsum(0).unsqueeze(-1)
    alike = same(inputs, inputs)
    assert torch.linalg.eigvalsh(alike).min() > -1e-9
    assert torch.equal(alike.diagonal(), torch.ones(len(steps), dtype=torch.float64))
    assert same(inputs[:1], inputs[:1] + 1e-5).item() < 1e-30
