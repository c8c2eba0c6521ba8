"""From events to what the model is told: names that stay, units that do not depend on the clock."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwtune.domain.interval import Interval
from hwtune.workload.features import event_features, features_of, features_of_command


def of(**rates: float) -> dict[str, float]:
    return features_of(Interval(duration_s=2.0, energy_j=None, counter_rate=rates))


def test_names_that_stores_and_priors_know_are_what_they_were():
    assert of(**{"cycles": 4e9, "instructions": 8e9, "cache-misses": 8e6, "task-clock": 2e9}) == {
        "ipc": 2.0,
        "cycles_per_instruction": 0.5,
        "cache-misses_per_instruction": 1e-3,
        "task-clock_per_instruction": 0.25,
    }
    assert of(**{"context-switches": 7.0, "task-clock": 2e9}) == {
        "context-switches_per_s": 7.0,
        "task-clock_per_s": 2e9,
    }


def test_user_and_kernel_are_shares_of_all_instructions():
    found = of(**{"instructions": 10.0, "instructions:u": 7.0, "instructions:k": 3.0})
    assert found == {"instructions:u_per_instruction": 0.7, "instructions:k_per_instruction": 0.3}


def test_top_down_events_are_shares_of_the_slots_of_their_kind_of_core():
    found = of(
        **{
            "instructions": 10.0,
            "slots": 8.0,
            "topdown-be-bound": 2.0,
            "cpu_core/slots/": 5.0,
            "cpu_core/topdown-retiring/": 4.0,
            "cpu_atom/topdown-retiring/": 1.0,
        }
    )
    assert found == {"topdown-be-bound_per_slot": 0.25, "cpu_core/topdown-retiring/_per_slot": 0.8}


def test_registers_of_the_msr_pmu_are_one_ratio():
    found = of(**{"msr/aperf/": 3e9, "msr/mperf/": 2e9, "msr/tsc/": 4e9, "instructions": 1.0})
    assert found == {"clock_ratio": 1.5}
    assert of(**{"msr/aperf/": 0.0, "msr/mperf/": 0.0, "msr/tsc/": 4e9}) == {}, "idle all the time"


def test_a_commands_own_events_have_names_of_their_own():
    counters = {"task-clock": 3e9, "cycles": 6e9, "instructions": 12e9, "page-faults": 12e3}
    assert features_of_command(counters, 2.0) == pytest.approx(
        {
            "command.ipc": 2.0,
            "command.task-clock_per_instruction": 0.25,
            "command.cycles_per_instruction": 0.5,
            "command.page-faults_per_instruction": 1e-6,
        }
    )
    assert features_of_command({"task-clock": 3e9, "page-faults": 10.0}, 2.0) == {
        "command.task-clock_per_s": 1.5e9,
        "command.page-faults_per_s": 5.0,
    }
    assert features_of_command({}, 2.0) == {}


def test_what_is_of_user_mode_alone_is_called_so():
    found = features_of_command({"cycles:u": 50.0, "instructions:u": 100.0, "task-clock": 10.0}, 1.0)
    assert found == {
        "command.ipc:u": 2.0,
        "command.cycles:u_per_instruction:u": 0.5,
        "command.task-clock_per_instruction:u": 0.1,
    }


@given(
    st.dictionaries(
        st.sampled_from(
            ["instructions", "instructions:u", "cycles", "slots", "slots:u", "topdown-x", "a/b/", "msr/aperf/"]
        ),
        st.just(0.0) | st.floats(1e-3, 1e12),
    )
)
def test_features_are_finite_whatever_is_missing(rates):
    assert all(math.isfinite(value) for value in event_features(rates).values())
