"""What a measure of work makes of time and energy."""

from __future__ import annotations

from math import isclose

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwtune.domain.errors import UsageError
from hwtune.domain.measure import RUN_TIME, Better, Measure, energy_unit, measure_of


@pytest.mark.parametrize(
    ("better", "unit", "value", "time", "time_unit", "joules"),
    [
        (Better.HIGHER, "transaction", 50.0, 0.02, "s/transaction", "J/transaction"),
        (Better.HIGHER, "transaction/s", 50.0, 0.02, "s/transaction", "J/transaction"),
        (Better.HIGHER, None, 4.0, 0.25, "s/unit", "J/unit"),
        (Better.LOWER, "ms", 50.0, 0.05, "s", "J"),
        (Better.LOWER, "µs", 50.0, 5e-5, "s", "J"),
        (Better.LOWER, None, 50.0, 50.0, "s", "J"),
        (Better.LOWER, "points", 50.0, 50.0, "points", "W·points"),
    ],
)
def test_a_measure_takes_the_place_of_time(
    better: Better, unit: str | None, value: float, time: float, time_unit: str, joules: str
) -> None:
    measure = measure_of("tps", better=better, unit=unit)
    assert isclose(measure.time_of(value), time)
    assert isclose(measure.value_of(time), value)
    assert measure.time_unit == time_unit
    assert energy_unit(time_unit) == joules


def test_run_time_is_time() -> None:
    assert RUN_TIME.time_of(3.0) == 3.0
    assert RUN_TIME.time_unit == "s"


@pytest.mark.parametrize(
    ("better", "unit"),
    [
        (Better.HIGHER, ""),
        (Better.HIGHER, "/s"),
        (Better.HIGHER, "MB/min"),
        (Better.HIGHER, "ms"),
        (Better.HIGHER, "two words"),
        (Better.LOWER, "s/request"),
        (Better.LOWER, "x" * 25),
        (Better.LOWER, "m\x1bs"),
    ],
)
def test_units_that_are_none(better: Better, unit: str) -> None:
    with pytest.raises(UsageError) as caught:
        measure_of("x", better=better, unit=unit)
    assert caught.value.hint


@given(unit=st.text(max_size=30), better=st.sampled_from(Better))
def test_any_words_give_a_measure_or_a_usage_error(unit: str, better: Better) -> None:
    try:
        measure = measure_of("x", better=better, unit=unit)
    except UsageError:
        return
    assert isinstance(measure, Measure)
    assert isclose(measure.value_of(measure.time_of(7.0)), 7.0)
    assert measure.time_unit.startswith("s/") == (better is Better.HIGHER)
