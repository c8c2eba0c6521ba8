"""Which settings a sweep visits: legal, different in effect, thinned, picked."""

from __future__ import annotations

import pytest

from hwtune.domain.errors import UsageError
from hwtune.domain.knob import KnobSpace, RangeKnob, Setting
from hwtune.workload.grid import build_grid

LEVELS = (1, 2, 3, 4, 6, 8)
MAX = RangeKnob(name="max", role="frequency", unit="kHz", low=1, high=8, default=8, levels=LEVELS)
MIN = RangeKnob(name="min", role="frequency_floor", unit="kHz", low=1, high=8, default=1, levels=LEVELS)
WHOLE = KnobSpace(knobs=(MAX, MIN), ordered_pairs=(("min", "max"),))


def test_ranges_are_thinned_evenly_with_both_ends_and_the_default() -> None:
    knob = RangeKnob(name="max", role="frequency", unit="%", low=1, high=101, default=42)
    space = KnobSpace(knobs=(knob,))
    assert build_grid(space, space, levels=5).values == {"max": (1, 26, 42, 51, 76, 101)}
    assert len(build_grid(space, space).settings) == 101
    assert build_grid(space, space, levels=2).settings[0] == Setting(max=42)


def test_limits_hold_across_knobs_also_against_those_that_are_held() -> None:
    both = WHOLE.subset(("max", "min"))
    settings = build_grid(WHOLE, both).settings
    assert len(settings) == 21
    assert all(int(setting["min"]) <= int(setting["max"]) for setting in settings)
    high = KnobSpace(
        knobs=(MAX, RangeKnob(name="min", role="frequency_floor", unit="kHz", low=1, high=8, default=4, levels=LEVELS)),
        ordered_pairs=(("min", "max"),),
    )
    assert {setting["max"] for setting in build_grid(high, high.subset(("max",))).settings} == {4, 6, 8}


def test_a_random_part_of_the_grid_has_the_default_and_follows_the_seed() -> None:
    both = WHOLE.subset(("max", "min"))
    parts = [build_grid(WHOLE, both, settings=5, seed=seed).settings for seed in (0, 0, 1)]
    assert parts[0] == parts[1] != parts[2]
    assert all(part[0] == both.default and len(set(part)) == 5 for part in parts)
    assert len(build_grid(WHOLE, both, settings=500).settings) == 21


def test_a_grid_without_sense_is_refused() -> None:
    def wide(number: int) -> RangeKnob:
        return RangeKnob(name=f"knob{number}", role="other", unit="", low=1, high=50, default=1)

    two, four = (KnobSpace(knobs=tuple(wide(number) for number in range(count))) for count in (2, 4))
    with pytest.raises(UsageError, match="2500 settings"):
        build_grid(two, two)
    assert len(build_grid(two, two, settings=2400).settings) == 2400
    with pytest.raises(UsageError, match="combinations"):
        build_grid(four, four, settings=10)
    fixed = KnobSpace(knobs=(RangeKnob(name="max", role="frequency", unit="kHz", low=3, high=3, default=3),))
    with pytest.raises(UsageError, match="nothing to sweep"):
        build_grid(fixed, fixed)
