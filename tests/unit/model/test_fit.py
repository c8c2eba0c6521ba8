from __future__ import annotations

import math
import random

import pytest
import torch
from model_values import LAPTOP, LEVELS, MAX, clock_bound, fitted, managed, random_trials, trial

from hwtune.domain.knob import KnobSpace
from hwtune.model.encoding import Encoding
from hwtune.model.fit import adam, fit_constants
from hwtune.model.observations import observe
from hwtune.model.prior import CONSTANTS, HYPERPARAMETERS, prior_of
from hwtune.model.surrogate import Posterior, Surrogate

CAPS = KnobSpace(knobs=(MAX,))


def test_a_few_trials_predict_the_rest_of_a_simple_machine() -> None:
    trials = [trial({"max": level}, clock_bound({"max": level})) for level in (LEVELS[-1], LEVELS[6], LEVELS[2])]
    posterior = fitted(CAPS, trials)
    rows = posterior.surrogate.encoding.encode([{"max": level} for level in LEVELS])
    mean, _ = posterior.predict(rows)
    reference = clock_bound(CAPS.default)
    for level, (log_time, log_power) in zip(LEVELS, mean.tolist(), strict=True):
        time_s, energy_j = clock_bound({"max": level})
        assert log_time == pytest.approx(math.log(time_s / reference[0]), abs=0.04)
        assert log_power == pytest.approx(math.log(energy_j / time_s / reference[1] * reference[0]), abs=0.05)


def test_intervals_hold_about_as_often_as_they_say() -> None:
    held = []
    for seed in range(6):
        posterior = fitted(LAPTOP, random_trials(LAPTOP, 10, seed=seed, truth=managed))
        fresh_trials = random_trials(LAPTOP, 12, seed=100 + seed, truth=managed, noise=0.0)
        fresh = observe(posterior.surrogate.encoding, fresh_trials)
        mean, covariance = posterior.predict(fresh.x)
        z = (fresh.y - mean)[1:] / covariance.diagonal(dim1=1, dim2=2)[1:].sqrt()
        held.append((z.abs() < 1.645).double().mean().item())
    assert 0.75 <= sum(held) / len(held) <= 1.0


def test_repeats_teach_the_noise() -> None:
    calm = fitted(CAPS, random_trials(CAPS, 6, seed=0, noise=0.003, runs=5))
    wild = fitted(CAPS, random_trials(CAPS, 6, seed=0, noise=0.05, runs=5))
    assert calm.seen.run_sd[0] < 0.01
    assert wild.seen.run_sd[0] > 0.025


def test_what_repeated_runs_agree_on_is_believed_though_the_model_does_not_fit() -> None:
    """Every other setting is 8 % slower, for no reason that a smooth curve knows."""

    trials = []
    for index, level in enumerate(reversed(LEVELS)):
        time_s, energy_j = clock_bound({"max": level})
        off = 1.08 if index % 2 else 1.0
        trials.append(trial({"max": level}, *[(time_s * off, energy_j * off)] * 3))
    posterior = fitted(CAPS, trials)
    mean, covariance = posterior.predict(posterior.seen.x)
    missed = (posterior.seen.y - mean)[:, 0]
    assert missed.abs().max() < 0.01
    assert covariance[:, 0, 0].max().sqrt() < 0.015
    assert posterior.seen.run_sd[0] < 0.005


def test_newton_steps_lower_the_cost_and_end_where_it_is_flat() -> None:
    surrogate = Surrogate(Encoding(LAPTOP))
    seen = observe(surrogate.encoding, random_trials(LAPTOP, 8, seed=4))
    start = Posterior(surrogate, seen, surrogate.physics.mean, surrogate.hyper_mean)
    end = fit_constants(start)
    assert start.cost(end.theta) < start.cost(start.theta)
    rng = random.Random(0)
    for _ in range(10):
        nudge = torch.tensor([rng.gauss(0, 0.05) for _ in surrogate.physics.names]) * surrogate.physics.sd
        assert end.cost(end.theta + nudge) > end.cost(end.theta) - 0.02


def test_the_same_trials_give_the_same_posterior_bit_for_bit() -> None:
    a, b = (fitted(LAPTOP, random_trials(LAPTOP, 7, seed=9)) for _ in range(2))
    assert torch.equal(a.theta, b.theta) and torch.equal(a.hyper, b.hyper)


def test_adam_finds_a_minimum_inside_what_is_allowed() -> None:
    start = torch.tensor([3.0, -2.0], dtype=torch.float64)
    goal = torch.tensor([0.25, 1.5], dtype=torch.float64)
    end = adam(start, lambda at: (at - goal).square().sum(), steps=200, rate=0.2, project=lambda at: at.clamp(max=1.0))
    assert end.tolist() == pytest.approx([0.25, 1.0], abs=1e-3)


def test_a_name_is_looked_up_by_itself_then_by_its_family() -> None:
    assert prior_of("governor.schedutil", CONSTANTS) is CONSTANTS["governor"]
    assert prior_of("governor.userspace", CONSTANTS) is CONSTANTS["governor.userspace"]
    assert prior_of("length.frequency_floor", HYPERPARAMETERS) is HYPERPARAMETERS["length"]
    with pytest.raises(KeyError):
        prior_of("unheard.of", CONSTANTS)


def test_of_many_trials_some_are_fitted_to_and_all_are_believed() -> None:
    """A setting that the fit leaves out is foretold nearer to what was measured there than to what the others say."""
    trials = [trial(CAPS.default, *[clock_bound(CAPS.default)] * 3)]
    trials += [trial({"max": level}, *[clock_bound({"max": level})] * 3) for level in LEVELS[1:]] * 10
    odd = trial({"max": LEVELS[0]}, *[(99.0, 500.0)] * 3)
    trials.insert(2, odd)
    seen = observe(Encoding(CAPS), trials)
    thinned = seen.thinned(96)
    assert (len(seen.x), len(thinned.x)) == (142, 96)
    assert torch.equal(thinned.x[0], seen.x[0])
    assert not (thinned.y == seen.y[2]).all(1).any()
    posterior = fitted(CAPS, trials)
    mean, _ = posterior.predict(posterior.surrogate.encoding.encode([odd.setting]))
    usual, slow = clock_bound(odd.setting)[0], 99.0
    assert math.sqrt(usual * slow) < clock_bound(CAPS.default)[0] * mean[0, 0].exp().item() < 1.05 * slow
