import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwtune.sensors.refresh import RefreshWatch


def watched(update_s, polls_s, shown=lambda refresh: refresh):
    watch = RefreshWatch()
    for t_s in polls_s:
        watch.see(round(t_s * 1e9), shown(int(t_s / update_s)))
    return watch.update_s


@given(
    update_s=st.floats(0.05, 40.0),
    share=st.floats(0.02, 0.9),
    seed=st.integers(0, 1000),
)
def test_it_is_never_taken_for_faster_and_at_most_two_polls_slower(update_s, share, seed):
    polls, t_s, chance = [], 0.0, random.Random(seed)
    while t_s < 12 * update_s:
        polls.append(t_s)
        t_s += update_s * share * chance.uniform(0.5, 1.0)
    found = watched(update_s, polls)
    assert update_s * (1 - 1e-6) <= found <= update_s * (1 + 2 * share) + 1e-6


def test_read_slower_than_it_is_refreshed_it_counts_as_refreshed_at_every_second_reading():
    assert watched(0.001, [float(second) for second in range(9)]) == 2.0


def test_a_close_look_is_not_forgotten_for_a_few_loose_ones():
    close = [0.001 * step for step in range(30)]
    assert watched(0.0033, [*close, *map(float, range(1, 40))]) == pytest.approx(0.005, abs=0.001)


def test_one_long_rest_is_not_the_rule():
    """Power that stays the same to the last digit for a while, as when idle."""
    rest = lambda refresh: min(refresh, 5) if refresh < 100 else refresh  # noqa: E731
    assert watched(1.0, [0.25 * step for step in range(420)], rest) < 2.0


def test_too_little_was_seen():
    assert RefreshWatch().update_s is None
    assert watched(1.0, [0.0, 1.0, 2.0, 3.0]) is None
    assert watched(1.0, [0.25 * step for step in range(400)], lambda refresh: 7) is None


def test_failed_and_repeated_readings_are_left_out():
    watch = RefreshWatch()
    for second in range(20):
        watch.see(second * 10**9, second // 2)
        watch.see(second * 10**9, 77)
        watch.see(second * 10**9, second // 2)
        watch.see(second * 10**9 + 1, None)
    assert watch.update_s == pytest.approx(2.0, abs=1.0)
