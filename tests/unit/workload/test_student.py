"""Student's t against the printed table and scipy."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwtune.workload.student import as_normal, as_t, t_quantile


@pytest.mark.parametrize(
    ("degrees", "quantile"), [(1, 12.7062), (2, 4.3027), (3, 3.1824), (4, 2.7764), (7, 2.3646), (30, 2.0423)]
)
def test_student_t_is_the_printed_table(degrees, quantile):
    assert t_quantile(0.95, degrees) == pytest.approx(quantile, abs=5e-5)


@pytest.mark.parametrize("central", [0.5, 0.9, 0.95, 0.999])
def test_student_t_agrees_with_scipy(central):
    stats = pytest.importorskip("scipy.stats")
    for degrees in range(1, 80):
        assert t_quantile(central, degrees) == pytest.approx(stats.t.ppf((1 + central) / 2, degrees), rel=1e-9)


@given(st.floats(-5.0, 5.0), st.integers(1, 60))
def test_a_t_and_its_normal_deviation_are_the_same_probability(deviation, degrees):
    t = as_t(deviation, degrees)
    assert abs(t) >= abs(deviation) * (1 - 1e-9) - 1e-12, "the tails of t are heavier"
    assert as_normal(t, degrees) == pytest.approx(deviation, abs=1e-6)


def test_what_no_number_tells_from_certainty_is_seven_deviations():
    assert as_normal(1e9, 40) == 7.0
    assert as_normal(-1e9, 40) == -7.0
