"""Percentiles of latencies, and bounds as people write them."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwtune.domain.errors import UsageError, WorkloadError
from hwtune.workload.latency import Latencies, needed_for, parse_latency_bounds, parse_pressure_bounds


@given(
    st.lists(st.floats(min_value=1e-6, max_value=100.0), min_size=100, max_size=300),
    st.sampled_from(("p50", "p90", "p99")),
)
def test_a_percentile_is_that_of_the_nearest_rank_to_one_percent(each_s: list[float], name: str) -> None:
    latencies = Latencies()
    latencies.add(each_s[:7])
    latencies.add(each_s[7:])
    exact = sorted(each_s)[math.ceil(float(name[1:]) / 100 * len(each_s) - 1e-9) - 1]
    found = latencies.percentiles([name])[name]
    assert exact * 0.9999 <= found <= exact * 1.0101


@pytest.mark.parametrize(("share", "needed"), [(0.5, 2), (0.9, 10), (0.99, 100), (0.999, 1000)])
def test_a_percentile_needs_latencies_beyond_it(share: float, needed: int) -> None:
    assert needed_for(share) == needed
    name = f"p{share * 100:g}"
    few, enough = Latencies(), Latencies()
    few.add([0.01] * (needed - 1))
    enough.add([0.01] * needed)
    with pytest.raises(WorkloadError, match=f"{name} needs {needed} latencies or more, and there were {needed - 1}"):
        few.percentiles([name])
    assert enough.percentiles([name])[name] == pytest.approx(0.01, rel=0.011)


def test_nothing_asked_needs_nothing() -> None:
    assert Latencies().percentiles([]) == {}


def test_a_million_of_them_take_little() -> None:
    latencies = Latencies()
    latencies.add(1e-6 * (1 + n % 100_000) for n in range(200_000))
    assert len(latencies._buckets) < 1500


def test_bounds_as_they_are_written() -> None:
    found = parse_latency_bounds(["p99=20ms", "p50 = 1.5 s", "p99.9=30us"])
    assert found == pytest.approx({"p99": 0.02, "p50": 1.5, "p99.9": 3e-5})
    assert parse_pressure_bounds(["cpu_some=0.2", "io_full=5%"]) == {"cpu_some": 0.2, "io_full": 0.05}


@pytest.mark.parametrize(
    "text", ["", "p99", "p99=20", "p99=ms", "p0=1s", "p100=1s", "99=1s", "p99=-1s", "p99=0s", "p99=1h", "p99=1e3s"]
)
def test_what_is_no_bound_of_a_latency(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_latency_bounds([text])
    assert caught.value.hint


@pytest.mark.parametrize(
    "text", ["", "cpu_some", "cpu_some=", "cpu=0.2", "gpu_some=0.2", "cpu_some=1.1", "cpu_some=-1%", "cpu_some=nan"]
)
def test_what_is_no_bound_of_a_pressure(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_pressure_bounds([text])
    assert caught.value.hint


@given(st.text(max_size=20))
def test_any_words_are_a_bound_or_a_usage_error(text: str) -> None:
    for parse in (parse_latency_bounds, parse_pressure_bounds):
        try:
            (limit,) = parse([text]).values()
        except UsageError as error:
            assert error.hint
        else:
            assert limit >= 0.0 and math.isfinite(limit)
