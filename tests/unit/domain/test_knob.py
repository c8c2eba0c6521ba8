from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwtune.domain.errors import UsageError
from hwtune.domain.knob import Activity, ChoiceKnob, KnobSpace, RangeKnob, Setting

GOVERNOR = ChoiceKnob(name="governor", role="governor", choices=("performance", "schedutil"), default="schedutil")
EPP = ChoiceKnob(
    name="epp",
    role="epp",
    choices=("performance", "power"),
    default="power",
    active_when=(Activity(knob="governor", values=("schedutil",)),),
)
MAX = RangeKnob(
    name="max", role="frequency", unit="kHz", low=800, high=3600, default=3600, levels=(800, 1200, 2000, 3600)
)
MIN = RangeKnob(name="min", role="frequency_floor", unit="kHz", low=800, high=3600, default=800, step=100)
SPACE = KnobSpace(knobs=(GOVERNOR, EPP, MAX, MIN), ordered_pairs=(("min", "max"),))


def test_a_setting_is_a_value() -> None:
    a, b = Setting(max=2000, governor="schedutil"), Setting({"governor": "schedutil", "max": 2000})
    assert a == b
    assert hash(a) == hash(b)
    assert a | {"max": 800} == Setting(governor="schedutil", max=800)
    assert a.diff(Setting(governor="schedutil", max=800)) == Setting(max=800)
    assert a.only(("max",)) == Setting(max=2000)


def test_inactive_knobs_do_not_tell_settings_apart() -> None:
    loud = SPACE.canonical(Setting(governor="performance", epp="performance", max=2000, min=800))
    quiet = SPACE.canonical(Setting(governor="performance", epp="power", max=2000, min=800))
    assert loud == quiet
    assert loud["epp"] == "power"


@pytest.mark.parametrize(
    ("values", "legal"),
    [
        ({"max": 2000, "min": 800}, True),
        ({"max": 2000, "min": 2000}, True),
        ({"max": 1200, "min": 2000}, False),
        ({"max": 2100, "min": 800}, False),
        ({"max": 2000, "min": 850}, False),
        ({"max": "2000", "min": 800}, False),
    ],
)
def test_limits_across_knobs(values: dict[str, int | str], legal: bool) -> None:
    assert SPACE.legal(SPACE.default | values) is legal


def test_allowed_rows_are_the_only_ones_on_offer() -> None:
    row = dict(SPACE.default)
    space = KnobSpace(knobs=SPACE.knobs, ordered_pairs=SPACE.ordered_pairs, allowed=(row,))
    assert space.legal(row)
    assert not space.legal({**row, "max": 2000})


def test_a_subset_keeps_the_limits_it_still_has() -> None:
    assert SPACE.subset(("min", "max")).ordered_pairs == (("min", "max"),)
    assert SPACE.subset(("max",)).ordered_pairs == ()
    with pytest.raises(UsageError, match="unknown knob 'turbo'"):
        SPACE.subset(("turbo",))


def test_what_a_subset_leaves_alone_still_decides_what_is_active() -> None:
    alone = SPACE.subset(("epp", "max"))
    assert alone.canonical(Setting(epp="performance", max=800)) == Setting(epp="performance", max=800)
    loud = KnobSpace(knobs=(replace(GOVERNOR, default="performance"), EPP, MAX))
    with pytest.raises(UsageError, match="epp does nothing while governor is performance"):
        loud.subset(("epp",))
    assert loud.subset(("epp", "governor"))["epp"].active_when


@given(st.floats(min_value=-1e6, max_value=1e6))
def test_nearest_is_legal_and_nearest(value: float) -> None:
    for knob in (MAX, MIN):
        nearest = knob.nearest(value)
        assert knob.legal(nearest)
        levels = knob.levels or range(knob.low, knob.high + 1, knob.step)
        assert abs(nearest - value) == min(abs(level - value) for level in levels)


def test_nearest_when_the_top_is_off_the_grid() -> None:
    knob = RangeKnob(name="k", role="other", unit="", low=1, high=10, default=1, step=4)
    assert knob.nearest(100) == 9
    assert knob.legal(knob.nearest(100))
