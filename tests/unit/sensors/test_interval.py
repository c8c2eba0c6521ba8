from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from hwtune.domain.interval import Interval
from hwtune.domain.sample import CpuTimes, EnergyReading, Resolution, Sample

MAX_UJ = 262_143_328_850  # an Intel client's max_energy_range_uj: (2**32 - 1) * 61035 nJ


def counter(uj, zone="package-0", max_uj=MAX_UJ):
    return EnergyReading(zone=zone, source="powercap", energy_uj=uj, max_energy_uj=max_uj)


def meter(uw, zone="hwmon1/power1"):
    return EnergyReading(zone=zone, source="hwmon", power_uw=uw)


def at(t_s, *energy, **rest):
    return Sample(t_ns=round(t_s * 1e9), energy=energy, **rest)


@given(st.lists(st.integers(0, 2_000_000_000), min_size=1, max_size=200), st.integers(0, MAX_UJ))
def test_over_sums_every_pair_through_any_number_of_wraps(steps, start):
    samples, total = [at(0, counter(start))], start
    for second, step in enumerate(steps, 1):
        total += step
        samples.append(at(second, counter(total % (MAX_UJ + 1))))
    interval = Interval.over(samples)
    assert interval.energy_j == pytest.approx(sum(steps) / 1e6)
    assert interval.power_w == pytest.approx(sum(steps) / 1e6 / len(steps))
    assert interval.duration_s == len(steps)


def test_how_far_off_an_energy_may_be_comes_with_it():
    a = at(0, replace(counter(0), resolution=Resolution(update_s=0.001)))
    b = at(10, replace(counter(50_000_000), resolution=Resolution(update_s=0.001)))
    assert Interval.between(a, b).energy_error_j == pytest.approx(0.005)
    assert Interval.between(at(0, counter(0)), at(1, counter(5))).energy_error_j is None


def test_energy_of_packages_adds_up():
    a = at(0, counter(1_000_000), counter(5_000_000, "package-1"))
    b = at(2, counter(4_000_000), counter(6_000_000, "package-1"))
    assert Interval.between(a, b).energy_j == 4.0
    assert Interval.between(a, b).power_w == 2.0


def test_power_is_integrated_by_the_trapezoid():
    samples = [at(0, meter(10_000_000)), at(1, meter(20_000_000)), at(3, meter(10_000_000))]
    assert Interval.over(samples).energy_j == 15.0 + 30.0
    assert Interval.between(samples[0], samples[2]).energy_j == 30.0


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ((), ()),
        ((counter(1),), ()),
        ((counter(1),), (counter(2), counter(2, "package-1"))),
        ((counter(1),), (counter(None),)),
        ((meter(1),), (meter(None),)),
        ((counter(5),), (meter(5, "package-0"),)),
        ((counter(9, max_uj=None),), (counter(3, max_uj=None),)),
        ((counter(MAX_UJ + 9),), (counter(3),)),
        ((counter(MAX_UJ // 2),), (counter(3),)),
    ],
    ids=[
        "none",
        "vanished",
        "appeared",
        "unreadable",
        "off",
        "changed kind",
        "reset",
        "reset beyond the range",
        "reset within it",
    ],
)
def test_energy_is_none_when_a_zone_is_not_known_at_both_ends(before, after):
    interval = Interval.between(at(0, *before), at(1, *after))
    assert interval.energy_j is None
    assert interval.power_w is None


def test_one_pair_without_energy_leaves_none_of_the_whole():
    assert Interval.over([at(0, counter(1)), at(1), at(2, counter(3))]).energy_j is None


@pytest.mark.parametrize("later_s", [0.0, -1.0])
def test_time_must_advance(later_s):
    with pytest.raises(ValueError, match="does not advance"):
        Interval.between(at(1), at(1 + later_s))


def test_over_needs_two_samples():
    with pytest.raises(ValueError, match="two samples"):
        Interval.over([at(0)])


def times(**ticks):
    return CpuTimes(**{"user_ticks": 0, "nice_ticks": 0, "system_ticks": 0, "idle_ticks": 0} | ticks)


def test_busy_and_stolen_time():
    a = at(0, cpu=times(user_ticks=100, idle_ticks=100))
    b = at(1, cpu=times(user_ticks=130, system_ticks=10, idle_ticks=140, iowait_ticks=10, steal_ticks=10))
    interval = Interval.between(a, b)
    assert interval.busy_ratio == pytest.approx(0.4)
    assert interval.steal_ratio == pytest.approx(0.1)


ticks = st.integers(0, 10**9)
cpu_times = st.builds(CpuTimes, **dict.fromkeys(CpuTimes.__slots__, ticks))


@given(cpu_times, cpu_times)
def test_ratios_of_cpu_time_stay_between_0_and_1_even_when_the_kernel_goes_back(a, b):
    interval = Interval.between(at(0, cpu=a), at(1, cpu=b))
    assume(interval.busy_ratio is not None)
    assert 0 <= interval.steal_ratio <= 1
    assert 0 <= interval.busy_ratio + interval.steal_ratio <= 1 + 1e-9


def test_an_event_of_which_some_was_lost_has_no_rate():
    """In between its count was extrapolated from too little, or a CPU came; before and after that it is whole."""
    a = at(0, counters={"cycles": 0, "branches": 0}, counter_gaps={"branches": 1})
    b = at(1, counters={"cycles": 10, "branches": 20}, counter_gaps={"branches": 1, "cycles": 1})
    c = at(2, counters={"cycles": 30, "branches": 20}, counter_gaps={"branches": 1, "cycles": 1})
    assert Interval.between(a, b).counter_rate == {"branches": 20.0}
    assert Interval.between(b, c).counter_rate == {"branches": 0.0, "cycles": 20.0}
    assert Interval.over([a, b, c]).counter_rate == {"branches": 10.0}


def test_an_interval_shorter_than_a_tick_has_no_busy_ratio():
    assert Interval.between(at(0, cpu=times()), at(0.001, cpu=times())).busy_ratio is None
    assert Interval.between(at(0, cpu=times()), at(1)).busy_ratio is None


def test_pressure_frequency_temperature_idle_and_counters():
    a = at(
        0,
        pressure={"cpu_some": 1_000_000, "io_full": 9, "memory_some": 5},
        freq_khz={0: 800_000, 4: 1_000_000},
        time_in_state={0: {800_000: 10, 2_000_000: 5}},
        idle_us={"C1": {0: 0, 1: 100, 2: 7}},
        temp_mc={"x86_pkg_temp": 61_000, "gone": 1},
        counters={"cycles": 0, "instructions": 100, "reset": 5},
    )
    b = at(
        2,
        pressure={"cpu_some": 1_500_000, "io_full": 9, "memory_some": 9_000_005},
        freq_khz={0: 800_000, 4: 3_000_000},
        time_in_state={0: {800_000: 60, 2_000_000: 155, 2_400_000: 4}},
        idle_us={"C1": {0: 2_000_000, 1: 1_000_100, 3: 7}},
        temp_mc={"x86_pkg_temp": 58_500},
        counters={"cycles": 4_000, "instructions": 2_100, "reset": 3},
    )
    interval = Interval.between(a, b)
    assert interval.pressure == {"cpu_some": 0.25, "io_full": 0.0, "memory_some": 1.0}
    assert interval.freq_hz == pytest.approx({0: 1.7e9, 4: 2e9})
    assert interval.temp_c == {"x86_pkg_temp": 61.0}
    assert interval.idle_ratio == pytest.approx({"C1": 0.75})
    assert interval.counter_rate == {"cycles": 2000.0, "instructions": 1000.0}
    assert interval.ipc == 0.5


def test_absent_stays_absent():
    interval = Interval.between(at(0), at(1))
    assert (interval.pressure, interval.freq_hz, interval.temp_c, interval.idle_ratio) == ({}, {}, {}, {})
    assert interval.ipc is None
