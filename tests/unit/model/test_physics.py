from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from model_values import BOOST, EPP, GOVERNOR, LAPTOP, LEVELS, MAX, MIN, ONE_OF_EACH

from hwtune.domain.knob import ChoiceKnob, KnobSpace, RangeKnob, Value
from hwtune.model.encoding import Encoding
from hwtune.model.physics import Physics

GOVERNORS = ("ondemand", "powersave", "performance", "schedutil")


def answer(space: KnobSpace, **values: Value) -> tuple[float, float]:
    """Log time and log power relative to the default, by the prior means."""
    encoding = Encoding(space)
    physics = Physics(encoding)
    rows = encoding.encode([space.default | values, space.default])
    out = physics(rows, physics.mean)
    time, power = (out[0] - out[1]).tolist()
    return time, power


@given(data=st.data())
@settings(max_examples=60)
def test_a_lower_cap_never_saves_time_and_never_costs_power(data: st.DataObject) -> None:
    encoding = Encoding(LAPTOP)
    physics = Physics(encoding)
    count = len(physics.names)
    noise = torch.tensor(data.draw(st.lists(st.floats(-2, 2), min_size=count, max_size=count)))
    theta = physics.mean + noise * physics.sd
    rows = encoding.encode([LAPTOP.default | {"max": level} for level in LEVELS])
    out = physics(rows, theta)
    assert (out[1:, 0] - out[:-1, 0] <= 1e-9).all()
    assert (out[1:, 1] - out[:-1, 1] >= -1e-9).all()


def test_time_never_grows_faster_than_the_clock_falls() -> None:
    space = KnobSpace(knobs=(MAX,))
    time, _ = answer(space, max=LEVELS[0])
    assert 0.0 < time < torch.log(torch.tensor(LEVELS[-1] / LEVELS[0])).item()


def test_the_floor_counts_where_the_hardware_chooses() -> None:
    assert answer(LAPTOP, epp="power", min=LEVELS[-1])[0] < answer(LAPTOP, epp="power")[0]
    locked = answer(LAPTOP, governor="performance")
    assert answer(LAPTOP, governor="performance", min=LEVELS[5]) == pytest.approx(locked, abs=1e-6)


def test_performance_forces_the_preference() -> None:
    encoding = Encoding(LAPTOP)
    physics = Physics(encoding)
    rows = encoding.encode([LAPTOP.default | {"governor": "performance"}])
    assert physics.domains[0].preference(rows).tolist() == [0.0]


def test_powersave_of_a_plain_driver_is_the_floor() -> None:
    governor = ChoiceKnob(name="governor", role="governor", choices=GOVERNORS, default="performance")
    space = KnobSpace(knobs=(governor, MAX, MIN), ordered_pairs=(("min", "max"),))
    lowest = answer(space, max=LEVELS[0])
    assert answer(space, governor="powersave") == pytest.approx(lowest, abs=0.02)


def test_boost_off_slows_and_saves() -> None:
    time, power = answer(LAPTOP, boost="0", governor="performance")
    reference = answer(LAPTOP, governor="performance")
    assert time > reference[0] and power < reference[1]


def test_the_level_that_stands_for_boost_is_worth_more_than_its_number() -> None:
    levels = (1_200_000, 1_800_000, 2_300_000, 2_301_000)
    turbo = RangeKnob(
        name="max", role="frequency", unit="kHz", low=levels[0], high=levels[-1], default=levels[-1], levels=levels
    )
    space = KnobSpace(knobs=(turbo, BOOST))
    capped = answer(space, max=2_300_000)
    assert capped[0] > 0.05
    assert answer(space, boost="0") == pytest.approx(capped, abs=1e-3)


def test_more_cpus_help_less_and_less() -> None:
    threads = RangeKnob(name="threads", role="active_cpus", unit="1", low=1, high=32, default=32)
    space = KnobSpace(knobs=(threads,))
    times = [answer(space, threads=n)[0] for n in (1, 2, 4, 8, 16, 32)]
    gains = [a - b for a, b in pairwise(times)]
    assert all(gain > 0 for gain in gains[:3])
    assert gains == sorted(gains, reverse=True)
    assert answer(space, threads=1)[1] < 0.0


@pytest.mark.parametrize("knob", ONE_OF_EACH, ids=lambda knob: knob.name)
def test_any_single_knob_has_a_finite_answer_and_gradient(knob: object) -> None:
    encoding = Encoding(KnobSpace(knobs=(knob,)))  # type: ignore[arg-type]
    physics = Physics(encoding)
    x = encoding.default.unsqueeze(0).clone().requires_grad_()
    theta = physics.mean.clone().requires_grad_()
    out = physics(x, theta)
    assert out.shape == (1, 2) and out.isfinite().all()
    for gradient in torch.autograd.grad(out.sum(), [x, theta], allow_unused=True):
        assert gradient is None or gradient.isfinite().all()


@pytest.mark.parametrize("role", ["power_cap", "other"])
def test_an_unknown_knob_leaves_the_mean_flat(role: str) -> None:
    knob = RangeKnob(name="k", role=role, unit="", low=1, high=9, default=9)  # type: ignore[arg-type]
    assert answer(KnobSpace(knobs=(knob,)), k=1) == (0.0, 0.0)


def test_each_cluster_has_its_own_clock() -> None:
    knobs = []
    for number in (0, 4):
        name = f"policy{number}.max"
        knobs.append(
            RangeKnob(
                name=name,
                role="frequency",
                unit="kHz",
                low=LEVELS[0],
                high=LEVELS[-1],
                default=LEVELS[-1],
                levels=LEVELS,
                scope=(number,),
            )
        )
        knobs.append(
            ChoiceKnob(
                name=f"policy{number}.governor",
                role="governor",
                choices=GOVERNORS,
                default="performance",
                scope=(number,),
            )
        )
    space = KnobSpace(knobs=(*knobs, BOOST))
    encoding = Encoding(space)
    physics = Physics(encoding)
    rows = encoding.encode([space.default | {"policy4.max": LEVELS[2]}, space.default])
    clocks = physics.log_frequencies(rows, physics.mean)
    assert clocks.shape == (2, 2)
    assert clocks[0, 0] == clocks[1, 0] and clocks[0, 1] < clocks[1, 1]


def test_the_jacobian_in_the_constants_is_exact() -> None:
    encoding = Encoding(LAPTOP)
    physics = Physics(encoding)
    rows = encoding.encode([LAPTOP.default | {"max": 2_000_000, "epp": "balance_power"}, LAPTOP.default])
    assert torch.autograd.gradcheck(lambda theta: physics(rows, theta), physics.mean.clone().requires_grad_())


def test_without_a_cap_the_governor_still_steers() -> None:
    space = KnobSpace(knobs=(GOVERNOR, EPP))
    assert answer(space, epp="power")[0] > 0.0 > answer(space, governor="performance")[0]
