from __future__ import annotations

import math

import pytest
import torch
from tuner_values import LAPTOP, LEVELS, MAX, RandomSurrogate, searched

from hwtune.domain.knob import ChoiceKnob, KnobSpace, RangeKnob
from hwtune.model.encoding import Encoding
from hwtune.tuner import relaxation
from hwtune.tuner.relaxation import Relaxation, few_values


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_its_best_is_enumerations_best_on_random_surrogates() -> None:
    """Within 1e-6 on at least 95 of 100 random surrogates of up to 500 cells; nothing is enumerated on the way."""
    agreed, most = 0, 0
    for seed in range(100):
        surrogate = RandomSurrogate(seed)
        most = max(most, Relaxation(surrogate.encoding).cells)
        found, _ = searched(surrogate.encoding, surrogate, surrogate.space.default, seed=seed)
        agreed += found >= surrogate.enumerated() - 1e-6
    assert agreed >= 95
    assert most > 100


def test_gradient_steps_alone_come_close() -> None:
    """Without the climb the decoded ends already hold one of the best few per cent, so the climb only finishes."""
    close = 0
    for seed in range(20):
        surrogate = RandomSurrogate(seed)
        ends = Relaxation(surrogate.encoding).maximise(surrogate, [], generator(seed))
        values = surrogate(surrogate.encoding.encode(ends))
        close += values.max().item() >= surrogate.enumerated() - math.log(1.5)
    assert close >= 16


def test_the_exact_gradient_agrees_with_central_differences() -> None:
    surrogate = RandomSurrogate(3)
    relaxed = Relaxation(surrogate.encoding)
    at = relaxed.starts([], generator()).requires_grad_()
    assert torch.autograd.gradcheck(lambda at: relaxed.expectation(surrogate, at, 0.5, None), at, rtol=1e-5)


def test_the_sampled_gradient_is_the_exact_one_on_average() -> None:
    surrogate = RandomSurrogate(3)
    relaxed = Relaxation(surrogate.encoding)
    at = relaxed.starts([], generator())[:1].requires_grad_()
    (exact,) = torch.autograd.grad(relaxed.expectation(surrogate, at, 0.5, None).sum(), at)
    rng, total = generator(1), torch.zeros_like(at)
    for _ in range(300):
        total += torch.autograd.grad(relaxed.expectation(surrogate, at, 0.5, rng).sum(), at)[0]
    cosine = torch.nn.functional.cosine_similarity(total.flatten(), exact.flatten(), dim=0)
    assert cosine > 0.97


def test_beyond_the_exact_limit_samples_still_find_the_best(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relaxation, "EXACT_CELLS", 1)
    agreed = 0
    for seed in range(20):
        surrogate = RandomSurrogate(seed)
        found, _ = searched(surrogate.encoding, surrogate, surrogate.space.default, seed=seed)
        agreed += found >= surrogate.enumerated() - 1e-6
    assert agreed >= 18


def test_continuous_and_discrete_knobs_move_together() -> None:
    encoding = Encoding(LAPTOP)
    target = encoding.encode([LAPTOP.default | {"max": 2_200_000, "epp": "power", "boost": "0"}])[0]

    def near_target(x: torch.Tensor) -> torch.Tensor:
        return -10.0 * (x - target).square().sum(-1)

    ends = Relaxation(encoding).maximise(near_target, [], generator())
    assert any(
        end["epp"] == "power" and end["boost"] == "0" and abs(int(end["max"]) - 2_200_000) <= 400_000 for end in ends
    )


def test_ends_are_the_same_for_the_same_seed() -> None:
    surrogate = RandomSurrogate(7)
    ends = [Relaxation(surrogate.encoding).maximise(surrogate, [], generator(5)) for _ in range(2)]
    assert ends[0] == ends[1]


def test_which_knobs_are_drawn_from() -> None:
    assert few_values(MAX) == ()
    assert few_values(ChoiceKnob(name="c", role="other", choices=("a", "b"), default="a")) == ("a", "b")
    assert few_values(RangeKnob(name="r", role="other", unit="", low=0, high=1, default=0)) == (0, 1)
    assert few_values(RangeKnob(name="r", role="other", unit="", low=0, high=255, default=0)) == ()
    few = RangeKnob(name="r", role="other", unit="", low=1, high=9, default=1, levels=(1, 3, 9))
    assert few_values(few) == (1, 3, 9)


def test_a_space_without_choices_is_one_cell() -> None:
    encoding = Encoding(KnobSpace(knobs=(MAX,)))
    relaxed = Relaxation(encoding)
    assert relaxed.cells == 1
    goal = math.log(LEVELS[4])
    ends = relaxed.maximise(lambda x: -(x[:, 0] - goal).square(), [], generator())
    assert {"max": LEVELS[4]} in [dict(end) for end in ends]
