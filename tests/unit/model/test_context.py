from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from model_values import MAX, trial
from torch import Tensor

from hwtune.domain.knob import KnobSpace
from hwtune.domain.trial import Trial
from hwtune.model.context import LEAST, POWER, learn_context
from hwtune.model.encoding import Encoding, tensor
from hwtune.model.fit import learn_from
from hwtune.model.learn import History, learn
from hwtune.model.observations import observe

SPACE = KnobSpace(knobs=(MAX,))
GRAM = torch.eye(4, dtype=torch.float64)


def drawn(count: int, *, noise: float = 0.2, seed: int = 0) -> tuple[list[dict[str, float]], Tensor]:
    """Misses per instruction from 0.001 to 0.1, and coefficients that follow their logarithm."""
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(count, generator=generator, dtype=torch.float64)
    apart = torch.outer(z, tensor([1.0, 0.5, 0.0, -1.0]))
    apart = apart + noise * torch.randn(count, 4, generator=generator, dtype=torch.float64)
    sensed = [{"misses_per_instruction": 0.01 * math.exp(value), "constant": 1.0} for value in z.tolist()]
    return sensed, apart - apart.mean(0)


def test_work_like_some_that_was_seen_is_expected_to_behave_like_it() -> None:
    sensed, apart = drawn(20)
    context = learn_context(sensed[1:], apart[1:], GRAM)
    assert context is not None and context.names == ("misses_per_instruction",)
    mean, covariance = context.given(torch.zeros(4, dtype=torch.float64), GRAM, sensed[0])
    assert (mean - apart[0]).norm() < 0.4 * apart[0].norm()
    assert covariance[0, 0] < 0.5


def test_features_that_have_nothing_to_do_with_it_have_no_say() -> None:
    sensed, apart = drawn(20)
    assert learn_context(sensed[7:] + sensed[:7], apart, GRAM) is None
    generator = torch.Generator().manual_seed(1)
    noise = torch.randn(20, 45, generator=generator, dtype=torch.float64).tolist()
    many = [{f"counter{index}": value for index, value in enumerate(row)} for row in noise]
    assert learn_context(many, apart, GRAM) is None


def test_too_few_histories_or_no_feature_in_common_teach_nothing() -> None:
    sensed, apart = drawn(LEAST)
    assert learn_context(sensed[1:], apart[1:], GRAM) is None
    assert learn_context([{**each, str(index): 1.0} for index, each in enumerate([{}] * LEAST)], apart, GRAM) is None
    assert learn_context([{"constant": 1.0}] * LEAST, apart, GRAM) is None


def test_where_a_feature_was_not_sensed_the_kind_stands_as_it_is() -> None:
    sensed, apart = drawn(20)
    context = learn_context(sensed, apart, GRAM)
    assert context is not None
    mean, covariance = context.given(apart[0], GRAM, {"other": 1.0})
    assert torch.equal(mean, apart[0]) and torch.equal(covariance, GRAM)


@pytest.mark.parametrize("misses", [0.0, -1.0, 1e30])
def test_what_is_far_from_all_that_was_seen_is_taken_no_farther_than_the_ends(misses: float) -> None:
    sensed, apart = drawn(20)
    context = learn_context(sensed, apart, GRAM)
    assert context is not None
    mean, covariance = context.given(torch.zeros(4, dtype=torch.float64), GRAM, {"misses_per_instruction": misses})
    assert mean.abs().max() < 4.0 and torch.isfinite(covariance).all()


def work(memory: float, seed: int) -> tuple[Trial, ...]:
    """Work of which so much waits for memory; its misses tell, a little disturbed."""
    told = memory * (1.0 + 0.1 * math.sin(seed))
    assert MAX.levels is not None
    found = []
    for level in MAX.levels:
        slow = memory + (1.0 - memory) * MAX.default / level
        power_w = 10.0 + 8.0 * (level / MAX.default) ** 2
        measured = trial({"max": level}, (10.0 * slow, 10.0 * slow * power_w))
        found.append(dataclasses.replace(measured, context={"misses_per_instruction": 0.02 * told}))
    return tuple(found)


def test_the_first_trial_of_new_work_says_how_much_of_it_waits_for_memory() -> None:
    shares = [0.05, 0.12, 0.2, 0.28, 0.35, 0.43, 0.5, 0.58, 0.65, 0.72, 0.8, 0.9]
    histories = [
        History(label=f"w{i}", kind="chip", group=f"w{i}", space=SPACE, trials=work(share, i))
        for i, share in enumerate(shares)
    ]
    (*_, component) = learn(histories)[:1]
    assert component.context is not None and "misses_per_instruction" in component.context.names
    half = Encoding(SPACE).encode([{"max": 1_800_000}])
    expected = []
    for share in (0.1, 0.85):
        mean, covariance = learn_from(SPACE, work(share, 3)[-1:], (component,)).predict(half)
        truth = math.log(share + (1.0 - share) * 2.0)
        assert abs(mean[0, 0].item() - truth) < 0.15
        assert covariance[0, 0, 0].sqrt() < 0.2
        expected.append(mean[0, 0].item())
    assert expected[0] > expected[1] + 0.25


def test_power_at_the_default_is_among_what_was_sensed() -> None:
    seen = observe(Encoding(SPACE), [trial(SPACE.default, (10.0, 200.0)), trial({"max": 1_800_000}, (15.0, 100.0))])
    assert seen.sensed[POWER] == pytest.approx(20.0)
    assert POWER not in observe(Encoding(SPACE), [trial(SPACE.default, (10.0, None))]).sensed
