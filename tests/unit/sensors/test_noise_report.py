"""What the figures of the runs mean: each disturbance is named when it is there, and only then."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwtune.domain.trial import Run
from hwtune.sensors.circumstances import Circumstances
from hwtune.sensors.noise import DisturbedRun
from hwtune.sensors.noise_report import noise_report

CALM = Circumstances(aslr=2, on_mains=True, governors=("performance",))


def disturbed(time_s=1.0, *, cpu_time_s=None, own_cpu_s=None, features=None, **counted):
    run = Run(time_s=time_s, energy_j=None, cpu_time_s=cpu_time_s, own_cpu_s=own_cpu_s, features=features or {})
    return DisturbedRun(run=run, **counted)


def kinds(*runs, circumstances=CALM, cpus=4):
    return [finding.kind for finding in noise_report({"A": runs}, circumstances, cpus=cpus).findings]


def test_a_calm_machine_has_nothing_to_say():
    calm = disturbed(
        cpu_time_s=0.99,
        features={"busy_ratio": 0.25, "steal_ratio": 0.0, "temp_c": 60.0, "pressure.io_some": 0.001},
        throttles=0,
        swapped_pages=0,
        clock_khz={"p0": 3_000_000},
        limit_khz={"p0": 3_000_000},
        demanded_khz={"p0": 3_000_000},
    )
    report = noise_report({"A": [calm] * 4, "B": [calm] * 4}, CALM, cpus=4)
    assert report.findings == ()
    assert report.runs == 8
    assert report.spread == {"A": 0.0, "B": 0.0}
    assert report.other_load_cpus == pytest.approx(0.01)
    assert report.clock_hz == {"A": 3e9, "B": 3e9}


@pytest.mark.parametrize(
    ("run", "kind"),
    [
        (disturbed(features={"steal_ratio": 0.02}), "steal"),
        (disturbed(cpu_time_s=1.0, features={"busy_ratio": 0.5}), "other_load"),
        (disturbed(throttles=2), "throttling"),
        (disturbed(features={"temp_c": 99.0}), "heat"),
        (disturbed(swapped_pages=1), "swap"),
        (disturbed(features={"pressure.memory_some": 0.1}), "memory_stall"),
        (disturbed(features={"pressure.io_some": 0.1}), "io_stall"),
        (disturbed(clock_khz={"p0": 24}, limit_khz={"p0": 20}), "clock_above_limit"),
        (disturbed(clock_khz={"p0": 18}, demanded_khz={"p0": 20}), "clock_below_limit"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_each_disturbance_is_named(run, kind):
    assert kinds(run) == [kind]


def test_throttling_tells_how_hot_it_was():
    (finding,) = noise_report({"A": [disturbed(throttles=3, features={"temp_c": 98.0})]}, CALM, cpus=1).findings
    assert "3 times, 98 °C" in finding.words


def test_the_circumstances_have_a_word_where_they_are_unusual():
    assert kinds(disturbed(), circumstances=Circumstances(on_mains=False, aslr=0)) == ["battery", "aslr"]
    assert kinds(disturbed(), circumstances=Circumstances()) == []


def test_our_own_work_is_nobody_elses():
    run = disturbed(cpu_time_s=1.0, own_cpu_s=0.9, features={"busy_ratio": 0.5})
    assert noise_report({"A": [run]}, CALM, cpus=4).other_load_cpus == pytest.approx(0.1)
    assert noise_report({"A": [run]}, CALM, cpus=0).other_load_cpus is None
    more = disturbed(cpu_time_s=2.5, features={"busy_ratio": 0.5})
    assert noise_report({"A": [more]}, CALM, cpus=4).other_load_cpus == 0.0, "counted in ticks, never below nothing"


def test_waiting_for_a_cpu_is_a_figure_and_no_finding():
    """A command with more threads than CPUs waits for itself."""
    report = noise_report({"A": [disturbed(features={"pressure.cpu_some": 0.5})]}, CALM, cpus=1)
    assert report.cpu_stall_ratio == 0.5 and report.findings == ()


def test_shares_weigh_by_time():
    runs = [disturbed(1.0, features={"steal_ratio": 0.4}), disturbed(3.0, features={"steal_ratio": 0.0})]
    assert noise_report({"A": runs}, CALM, cpus=1).steal_ratio == pytest.approx(0.1)


def test_jitter_is_within_a_setting_and_of_the_fastest_policy():
    steady = [disturbed(clock_khz={"p0": 3_000_000} | ({"p1": 1_500_000 - n} if n else {})) for n in range(5)]
    slower = [disturbed(clock_khz={"p0": 1_000_000})] * 5
    assert noise_report({"A": steady, "B": slower}, CALM, cpus=1).clock_spread == 0.0
    khz = (3000, 2900, 2800, 3000, 2700)
    unsteady = [disturbed(3000 / each, clock_khz={"p0": each}) for each in khz]
    report = noise_report({"A": unsteady}, Circumstances(turbo=True, frequency_fixed=False), cpus=1)
    assert report.clock_spread == pytest.approx(1.4826 * 100 / 2900)
    jitter, spread = report.findings
    assert (jitter.kind, spread.kind) == ("clock_jitter", "spread")
    assert "boost=0, min as high as max" in jitter.advice
    assert kinds(*[disturbed(clock_khz={"p0": each}) for each in khz]) == [], "of no effect on the runs"


def test_a_clock_off_its_limit_now_and_then_is_not_worth_a_word():
    runs = [disturbed(clock_khz={"p0": khz}, demanded_khz={"p0": 20}, limit_khz={"p0": 20}) for khz in (20, 20, 10, 40)]
    assert kinds(*runs) == []


def test_one_outlier_is_no_spread_and_many_are():
    times = [1.0, 1.001, 0.999, 1.0, 1.9]
    assert kinds(*map(disturbed, times)) == []
    assert kinds(*map(disturbed, [1.0, 1.05, 0.96, 1.03, 0.95])) == ["spread"]


def test_drift_is_that_of_each_setting():
    fast, slow = ([factor * (1.0 + 0.01 * n) for n in range(8)] for factor in (1.0, 3.0))
    report = noise_report({"A": [*map(disturbed, fast)], "B": [*map(disturbed, slow)]}, CALM, cpus=1)
    assert report.drift == pytest.approx(0.039, abs=0.002)
    assert [finding.kind for finding in report.findings] == ["drift", "spread"]
    assert "slower than earlier" in report.findings[0].words
    shuffled = [*map(disturbed, (1.0, 1.0, 3.0, 3.0, 1.0, 1.0, 3.0, 3.0))]
    assert noise_report({"A": shuffled}, CALM, cpus=1).drift == pytest.approx(0.0)


@given(
    st.lists(
        st.builds(
            disturbed,
            st.floats(1e-3, 1e3),
            cpu_time_s=st.none() | st.floats(0.0, 1e3),
            features=st.dictionaries(st.sampled_from(["busy_ratio", "steal_ratio"]), st.floats(0.0, 1.0)),
            throttles=st.none() | st.integers(0, 9),
            clock_khz=st.dictionaries(st.sampled_from(["p0", "p1"]), st.integers(1, 5_000_000)),
        )
    ),
    st.integers(0, 8),
)
def test_any_runs_make_a_report(runs, cpus):
    report = noise_report({"A": runs, "B": runs[:1]}, Circumstances(), cpus=cpus)
    assert report.runs == len(runs) + len(runs[:1])
    assert all(finding.words and finding.advice for finding in report.findings)
