"""Energy between readings: exact but for the counter's unit, or None, never wrong."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwtune.domain.energy import MOST_POWER_W, energy_between_j, error_j, lag_s, least_window_s, longest_gap_s
from hwtune.domain.sample import EnergyReading, Resolution, Sample


class FakeRapl:
    """A counter as the powercap driver shows it: `bits` wide, each count `unit_nj`, shown in whole µJ."""

    def __init__(self, bits: int, unit_nj: int, most_w: float | None) -> None:
        self.period, self.unit_nj, self.most_w = 2**bits, unit_nj, most_w
        self.max_uj = (self.period - 1) * unit_nj // 1000

    def reading(self, counts: int) -> EnergyReading:
        return EnergyReading(
            zone="package-0",
            source="powercap",
            energy_uj=counts % self.period * self.unit_nj // 1000,
            max_energy_uj=self.max_uj,
            max_power_w=self.most_w,
            resolution=Resolution(update_s=0.001, step=self.unit_nj / 1e9),
        )

    def between_j(self, start: int, growth: int, duration_s: float) -> float | None:
        a = Sample(t_ns=0, energy=(self.reading(start),))
        b = Sample(t_ns=round(duration_s * 1e9), energy=(self.reading(start + growth),))
        return energy_between_j(a, b)

    def true_j(self, growth: int) -> float:
        return growth * self.unit_nj / 1e9


def test_every_phase_growth_and_period_of_a_small_counter():
    """64 counts of 0.9995 J and 10 W at most: at every phase, up to three turns, gaps of 1 to 20 s."""
    counter = FakeRapl(6, 999_500_000, 10.0)
    safe_s = longest_gap_s(counter.reading(0))
    told: set[bool] = set()
    for duration_s in range(1, 21):
        for growth in range(int(10 * duration_s / 0.9995) + 1):
            for start in range(64):
                energy_j = counter.between_j(start, growth, duration_s)
                if energy_j is None:
                    assert duration_s > safe_s, (start, growth, duration_s)
                else:
                    assert energy_j == pytest.approx(counter.true_j(growth), abs=3e-6), (start, growth, duration_s)
            told.add(energy_j is None)
    assert told == {True, False}
    assert 5.0 < safe_s < 5.5


def test_a_second_turn_is_never_taken_for_the_first():
    """Whatever wraps twice may, seen at its ends only, have wrapped once: no figure."""
    counter = FakeRapl(6, 1_000_000_000, 10.0)
    for start in range(64):
        for growth in range(64, 129):
            assert counter.between_j(start, growth, 13.0) is None


@given(
    start=st.integers(0, 2**32 - 1),
    share=st.floats(0.0, 1.0),
    duration_s=st.floats(0.001, 3000.0),
    kind=st.sampled_from([(61_035, None), (15_258, None), (61_035, 253.0), (15_258, 700.0)]),
)
def test_real_units_at_any_phase_power_and_gap(start, share, duration_s, kind):
    counter = FakeRapl(32, *kind)
    growth = int(share * (kind[1] or MOST_POWER_W) * duration_s / kind[0] * 1e9)
    energy_j = counter.between_j(start, growth, duration_s)
    if energy_j is not None:
        assert energy_j == pytest.approx(counter.true_j(growth), abs=2e-6, rel=1e-9)
    else:
        assert duration_s > longest_gap_s(counter.reading(0))


def test_what_grew_faster_than_possible_was_reset():
    """A suspend sets the counter to nothing: seen as a turn, that would be most of its range in a second."""
    counter = FakeRapl(32, 61_035, 253.0)
    assert counter.between_j(2**31, 2**31 + 5, 1.0) is None
    assert counter.between_j(2**32 - 10, 15, 1.0) == pytest.approx(counter.true_j(15), abs=2e-6)


def test_a_counter_that_does_not_wrap_has_no_longest_gap():
    assert longest_gap_s(EnergyReading(zone="z", source="hwmon", energy_uj=5)) is None
    assert longest_gap_s(EnergyReading(zone="z", source="hwmon", power_uw=5)) is None


def counter_of(update_s=0.001, step=0.0, zone="package-0"):
    return EnergyReading(zone=zone, source="powercap", energy_uj=1, resolution=Resolution(update_s=update_s, step=step))


def power_of(update_s=1.0, average_s=1.0, step=0.0):
    return EnergyReading(
        zone="p", source="hwmon", power_uw=1, resolution=Resolution(update_s=update_s, average_s=average_s, step=step)
    )


def test_the_error_is_what_the_sensor_had_not_shown_and_its_steps():
    assert error_j([counter_of()], 100.0, 10.0) == pytest.approx(0.01)
    assert error_j([counter_of(step=0.5), counter_of(step=0.25, zone="b")], 100.0, 10.0) == pytest.approx(0.76)
    assert error_j([power_of(step=0.2)], 100.0, 10.0) == pytest.approx(20.0 + 1.0)
    assert error_j([counter_of(), counter_of(update_s=None, zone="b")], 100.0, 10.0) is None
    assert lag_s([counter_of(), counter_of(update_s=0.02)]) == 0.02
    assert lag_s([]) is None


@given(
    reading=st.builds(counter_of, st.floats(0.0005, 10.0), st.floats(0.0, 0.1))
    | st.builds(power_of, st.floats(0.01, 10.0), st.floats(0.0, 10.0), st.floats(0.0, 0.1)),
    power_w=st.floats(1.0, 500.0),
    precision=st.floats(0.001, 0.2),
)
def test_the_least_window_is_where_the_error_is_as_wanted(reading, power_w, precision):
    window_s = least_window_s([reading], power_w, precision)
    if window_s == float("inf"):
        assert error_j([reading], power_w * 1e9, 1e9) > precision * power_w * 1e9 * 0.999
    else:
        assert error_j([reading], power_w * window_s, window_s) == pytest.approx(precision * power_w * window_s)


def test_rapl_needs_a_tenth_of_a_second_for_a_percent():
    assert least_window_s([counter_of(step=61e-6)], 20.0) == pytest.approx(0.1, rel=0.01)
    assert least_window_s([power_of(update_s=None)], 20.0) is None
