from __future__ import annotations

import math
import random

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from model_values import EPP, GOVERNOR, LAPTOP, LEVELS, MAX, MIN, ONE_OF_EACH, random_setting

from hwtune.domain.knob import KnobSpace, RangeKnob
from hwtune.model.encoding import Encoding


@given(seed=st.integers(0, 10_000))
def test_a_legal_setting_survives_encoding(seed: int) -> None:
    setting = random_setting(LAPTOP, random.Random(seed))
    encoding = Encoding(LAPTOP)
    assert LAPTOP.canonical(encoding.decode(encoding.encode([setting])[0])) == setting


def test_a_frequency_is_a_logarithm_and_a_choice_one_hot() -> None:
    encoding = Encoding(LAPTOP)
    row = encoding.encode([LAPTOP.default | {"max": 1_800_000}])[0]
    assert row[encoding.columns["max"]].item() == pytest.approx(math.log(1_800_000))
    assert row[encoding.columns["epp"]].tolist() == [0.0, 1.0, 0.0, 0.0]


def test_settings_that_act_alike_are_one_row() -> None:
    encoding = Encoding(LAPTOP)
    locked = LAPTOP.default | {"governor": "performance"}
    a, b = encoding.encode([locked | {"epp": "power"}, locked | {"epp": "performance"}])
    assert torch.equal(a, b)
    assert not torch.equal(*encoding.encode([LAPTOP.default | {"epp": "power"}, LAPTOP.default]))


def test_a_floor_above_the_cap_is_lowered_to_it() -> None:
    encoding = Encoding(LAPTOP)
    row = encoding.encode([LAPTOP.default | {"max": LEVELS[3], "min": LEVELS[9]}])[0]
    assert row[encoding.columns["min"]].item() == row[encoding.columns["max"]].item()


def test_a_floor_counted_otherwise_than_its_cap_is_compared_in_the_same_unit() -> None:
    low = RangeKnob(name="low", role="other", unit="", low=0, high=100, default=0)
    high = RangeKnob(name="high", role="power_cap", unit="", low=10, high=100, default=100)
    encoding = Encoding(KnobSpace(knobs=(low, high), ordered_pairs=(("low", "high"),)))
    row = encoding.encode([{"low": 90, "high": 50}])[0]
    assert row[encoding.columns["low"]].item() == pytest.approx(50.0)
    assert row[encoding.columns["high"]].item() == pytest.approx(math.log(50.0))


def test_half_a_governor_activates_half_a_preference() -> None:
    encoding = Encoding(KnobSpace(knobs=(GOVERNOR, EPP)))
    row = torch.tensor([0.5, 0.5, 0.0, 0.0, 0.0, 1.0], dtype=torch.float64)
    assert encoding.settle(row)[2:].tolist() == [0.0, 0.5, 0.0, 0.5]


def test_what_is_not_on_offer_stands_as_the_default() -> None:
    encoding = Encoding(LAPTOP)
    odd = LAPTOP.default | {"governor": "schedutil"}
    assert torch.equal(encoding.encode([odd])[0], encoding.default)
    assert torch.equal(encoding.encode([{}])[0], encoding.default)


def test_a_default_outside_the_range_widens_the_column() -> None:
    knob = RangeKnob(name="max", role="frequency", unit="kHz", low=100, high=200, default=300)
    encoding = Encoding(KnobSpace(knobs=(knob,)))
    scaled = (encoding.default - encoding.low) / encoding.span
    assert scaled.item() == pytest.approx(1.0)


@pytest.mark.parametrize("knob", ONE_OF_EACH, ids=lambda knob: knob.name)
def test_any_single_knob_is_encoded_and_decoded(knob: object) -> None:
    space = KnobSpace(knobs=(knob,))  # type: ignore[arg-type]
    encoding = Encoding(space)
    assert encoding.decode(encoding.default) == space.default


def test_gradients_pass_the_limits_across_knobs() -> None:
    encoding = Encoding(KnobSpace(knobs=(MAX, MIN), ordered_pairs=(("min", "max"),)))
    x = encoding.encode([{"max": LEVELS[4], "min": LEVELS[4]}]).requires_grad_()
    encoding.settle(x + torch.tensor([0.0, 0.5])).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [[2.0, 0.0]]  # the floor follows the cap
