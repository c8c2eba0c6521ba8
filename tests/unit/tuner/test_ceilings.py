from __future__ import annotations

from hwtune.domain.knob import Activity, Ceiling, ChoiceKnob, KnobSpace, RangeKnob, Setting
from hwtune.domain.trial import Run, Trial
from hwtune.tuner.ceilings import with_ceilings

LEVELS = tuple(range(400, 4701, 100))
SPACE = KnobSpace(
    knobs=(
        ChoiceKnob(name="governor", role="governor", choices=("performance", "powersave"), default="powersave"),
        RangeKnob(name="max", role="frequency", unit="kHz", low=400, high=4700, default=4700, levels=LEVELS),
        RangeKnob(name="min", role="frequency_floor", unit="kHz", low=400, high=4700, default=400, levels=LEVELS),
        ChoiceKnob(name="boost", role="boost", choices=("0", "1"), default="1"),
    ),
    ordered_pairs=(("min", "max"),),
)
NO_BOOST = (Activity(knob="boost", values=("0",)),)


def trial(requested: Setting, **effective: int) -> Trial:
    setting = SPACE.default | requested
    return Trial(setting=setting | effective, requested=setting, runs=(Run(time_s=1.0, energy_j=1.0),))


DEFAULT = trial(Setting())


def test_what_reads_as_asked_shows_no_limit() -> None:
    assert with_ceilings(SPACE, [DEFAULT, trial(Setting(max=2000))]) == SPACE


def test_a_limit_without_boost_is_boosts() -> None:
    clamped = trial(Setting(boost="0", governor="performance", max=3000), max=1800)
    space = with_ceilings(SPACE, [DEFAULT, clamped])
    assert space.ceilings == (Ceiling(knob="max", at_most=1800, when=NO_BOOST),)
    assert space.canonical(SPACE.default | {"boost": "0"})["max"] == 1800
    assert space.canonical(SPACE.default | {"boost": "0", "max": 1200})["max"] == 1200
    assert space.canonical(SPACE.default)["max"] == 4700


def test_limits_that_act_alike_are_one_setting() -> None:
    space = with_ceilings(SPACE, [DEFAULT, trial(Setting(boost="0", max=3000), max=1800)])
    alike = {space.canonical(SPACE.default | {"boost": "0", "max": khz, "min": 2500}) for khz in (2000, 3000, 4700)}
    assert alike == {Setting(governor="powersave", boost="0", max=1800, min=1800)}
    assert space.legal(alike.pop())


def test_a_firmware_limit_holds_always() -> None:
    low = trial(Setting(max=2400))
    space = with_ceilings(SPACE, [low, trial(Setting(max=4000), max=2400)])
    assert space.ceilings == (Ceiling(knob="max", at_most=2400),)


def test_what_another_trial_contradicts_is_no_reason() -> None:
    free = trial(Setting(boost="0", max=3000))
    clamped = trial(Setting(boost="0", governor="performance", max=3000), max=1800)
    (ceiling,) = with_ceilings(SPACE, [DEFAULT, free, clamped]).ceilings
    assert ceiling.when == (Activity(knob="governor", values=("performance",)),)
    also = trial(Setting(governor="performance"))
    (ceiling,) = with_ceilings(SPACE, [DEFAULT, free, also, clamped]).ceilings
    assert {when.knob for when in ceiling.when} == {"boost", "governor"}


def test_a_limit_between_two_levels_offers_the_lower_one() -> None:
    (ceiling,) = with_ceilings(SPACE, [DEFAULT, trial(Setting(boost="0", max=3000), max=1875)]).ceilings
    assert ceiling.at_most == 1800
