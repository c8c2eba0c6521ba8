from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwtune.cli.command import check_words
from hwtune.cli.options import listed, spread_optional_values
from hwtune.cli.problem import choose_knobs
from hwtune.cli.tuning import parse_duration_s
from hwtune.domain.errors import UsageError
from hwtune.domain.knob import ChoiceKnob, KnobSpace, RangeKnob


def knob(name: str, role: str = "frequency") -> RangeKnob:
    return RangeKnob(name=name, role=role, unit="kHz", low=1, high=9, default=9)  # type: ignore[arg-type]


BIG_LITTLE = KnobSpace(
    knobs=(
        knob("policy0.max"),
        knob("policy4.max"),
        ChoiceKnob(name="boost", role="boost", choices=("0", "1"), default="1"),
        knob("schedutil.rate_limit_us", "other"),
    )
)


def test_a_bare_simulate_is_the_laptop() -> None:
    assert spread_optional_values(["tune", "--simulate", "--json"]) == ["tune", "--simulate=laptop", "--json"]
    assert spread_optional_values(["tune", "--simulate=server"]) == ["tune", "--simulate=server"]


def test_words_of_the_measured_command_are_its_own() -> None:
    assert spread_optional_values(["tune", "--", "run", "--simulate"]) == ["tune", "--", "run", "--simulate"]


def test_a_list_is_separated_by_commas() -> None:
    assert listed(" max , policy4.max,,") == ("max", "policy4.max")
    assert listed("") == ()
    assert listed(None) is None


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90.0), ("90s", 90.0), ("10m", 600.0), ("1.5 h", 5400.0), ("2min", 120.0)]
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration_s(text) == seconds


@given(st.text())
def test_no_text_breaks_the_parser_of_durations(text: str) -> None:
    try:
        assert parse_duration_s(text) > 0
    except UsageError as error:
        assert error.hint


def test_governor_tunables_are_turned_only_by_name() -> None:
    assert choose_knobs(BIG_LITTLE, None).names == ("policy0.max", "policy4.max", "boost")
    assert choose_knobs(BIG_LITTLE, ["schedutil.rate_limit_us"]).names == ("schedutil.rate_limit_us",)


def test_a_knob_without_a_policy_is_that_of_every_cluster() -> None:
    assert choose_knobs(BIG_LITTLE, ["max"]).names == ("policy0.max", "policy4.max")
    assert choose_knobs(BIG_LITTLE, ["policy4.max"]).names == ("policy4.max",)


def test_unknown_knobs_are_named() -> None:
    with pytest.raises(UsageError, match="unknown knob 'turbo'"):
        choose_knobs(BIG_LITTLE, ["max", "turbo"])


@pytest.mark.parametrize(
    ("command", "simulate", "root", "dry_run", "keep", "message"),
    [
        (["make"], "laptop", None, False, False, "cannot run on a simulated machine"),
        ([], None, None, False, False, "no command"),
        (["make"], None, "/tree", False, False, "cannot be measured from here"),
        (["make"], None, None, True, True, "nothing to keep"),
    ],
)
def test_words_that_contradict_each_other(
    command: list[str], simulate: str | None, root: str | None, dry_run: bool, keep: bool, message: str
) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        check_words(command, simulate=simulate, root=root, dry_run=dry_run, keep=keep)  # type: ignore[arg-type]
    assert caught.value.hint
