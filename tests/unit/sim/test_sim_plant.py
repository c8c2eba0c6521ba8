"""The plant obeys the physics it claims, whatever the length of a step."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwtune.sim.job import finish
from hwtune.sim.machines import CHIPS
from hwtune.sim.plant import Load, Plant
from hwtune.sim.settings import columns, complete, controls
from hwtune.sim.workloads import WORKLOADS


def plant_of(name, rows):
    chip = CHIPS[name]
    cols = columns(chip)
    wholes = [complete(chip, row) for row in rows]
    return Plant(chip, cols), controls(chip, [col.cluster for col in cols], wholes)


def load_of(plant, rows, *, compute=0.9):
    one = np.ones((rows, 1))
    reference = plant.reference_rate(compute, 1.0 - compute)
    return Load(
        running=one,
        compute=compute * one,
        memory=(1.0 - compute) * one,
        traffic=0.2 * one,
        intensity=one,
        reference=reference * one,
        stealing=-4.0,
    )


def run(name, workload, rows):
    plant, wanted = plant_of(name, rows)
    state = plant.idle_state(wanted)
    finish(plant, WORKLOADS[workload], state, wanted)
    return state


@given(
    name=st.sampled_from(["laptop", "server", "biglittle"]), pair=st.lists(st.floats(0.3, 4.7), min_size=2, max_size=2)
)
def test_voltage_rises_and_steepens(name, pair):
    plant, _ = plant_of(name, [{}])
    low, high = sorted(pair)
    volts = [plant.voltage(np.full(len(plant.columns), clock)) for clock in (low, (low + high) / 2, high)]
    assert (volts[0] <= volts[1]).all()
    assert (volts[1] <= volts[2]).all()
    assert (volts[2] - volts[1] >= volts[1] - volts[0] - 1e-12).all()


@pytest.mark.parametrize("name", ["laptop", "server", "biglittle"])
@pytest.mark.parametrize("workload", ["compute", "memory", "mixed"])
def test_a_lower_cap_is_slower_and_takes_less_power(name, workload):
    top = CHIPS[name].clusters[-1]
    levels = top.levels_khz or range(800_000, 3_600_001, 400_000)
    rows = [{"governor": "performance", "max": khz} for khz in levels if khz <= 3_600_000]
    state = run(name, workload, rows)
    power_w = state.package_j.sum(axis=1) / state.time_s
    assert (np.diff(state.time_s) < 0).all()
    assert (np.diff(power_w) > 0).all()


def test_energy_of_a_capped_run_has_one_valley_inside():
    rows = [{"max": khz} for khz in range(800_000, 4_700_001, 300_000)]
    state = run("laptop", "compute", rows)
    slopes = np.sign(np.diff(state.package_j.sum(axis=1)))
    falls = int((slopes < 0).sum())
    assert 0 < falls < len(slopes)
    assert (slopes[:falls] < 0).all()


def test_memory_bound_work_loses_less_from_a_cap():
    slowdown = {}
    for workload in ("compute", "memory"):
        time_s = run("laptop", workload, [{}, {"max": 1_800_000}]).time_s
        slowdown[workload] = time_s[1] / time_s[0]
    assert 1.1 < slowdown["memory"] < 0.85 * slowdown["compute"]


def test_the_parts_of_the_package_add_up():
    plant, _ = plant_of("laptop", [{}])
    state = run("laptop", "mixed", [{}])
    idle_j = plant.p["idle_w"] * state.time_s
    np.testing.assert_allclose(state.package_j[0], state.core_j[0] + state.uncore_j[0] + idle_j, rtol=1e-9)


@settings(max_examples=30, deadline=None)
@given(
    name=st.sampled_from(["laptop", "server", "biglittle"]),
    cuts=st.lists(st.floats(0.05, 1.0), min_size=1, max_size=6),
)
def test_the_length_of_a_step_does_not_matter_where_nothing_moves(name, cuts):
    plant, wanted = plant_of(name, [{"governor": "performance", "max": 1_600_000}])
    states = [plant.idle_state(wanted) for _ in range(2)]
    for state in states:
        for _ in range(60):
            plant.step(state, wanted, load_of(plant, 1), np.array([0.1]))
    whole, parts = (dataclasses.replace(state) for state in states)
    total_s = 0.02 * sum(cuts)
    plant.step(whole, wanted, load_of(plant, 1), np.array([total_s]))
    for cut in cuts:
        plant.step(parts, wanted, load_of(plant, 1), np.array([0.02 * cut]))
    np.testing.assert_allclose(whole.package_j, parts.package_j, rtol=1e-4)
    np.testing.assert_allclose(whole.die_c, parts.die_c, rtol=1e-3)


def test_sustained_power_is_limited_and_heat_raises_leakage():
    plant, wanted = plant_of("laptop", [{"governor": "performance"}])
    tight = dataclasses.replace(
        plant.chip, packages=(dataclasses.replace(plant.chip.packages[0], sustained_w=18.0, peak_w=28.0),)
    )
    small = Plant(tight, columns(tight))
    state = small.idle_state(wanted)
    powers = []
    for _ in range(400):
        small.step(state, wanted, load_of(small, 1), np.array([0.1]))
        powers.append(state.power_w.sum())
    assert max(powers[:20]) > 20.0
    assert np.mean(powers[-50:]) == pytest.approx(18.0, rel=0.03)

    hot, cold = (plant.idle_state(wanted) for _ in range(2))
    hot.die_c += 40.0
    for state in (hot, cold):
        plant.step(state, wanted, load_of(plant, 1), np.array([0.01]))
    assert hot.power_w.sum() > 1.02 * cold.power_w.sum()


def test_a_hot_die_is_throttled():
    plant, wanted = plant_of("laptop", [{"governor": "performance"}])
    warm = dataclasses.replace(plant.chip, room_c=72.0)
    oven = Plant(warm, columns(warm))
    state = oven.idle_state(wanted)
    for _ in range(1200):
        oven.step(state, wanted, load_of(oven, 1), np.array([0.1]))
    assert state.clock_ghz.max() < 3.9
    assert state.die_c.max() < warm.packages[0].limit_c + 2.0


@pytest.mark.parametrize(
    ("machine", "workload", "slow", "fast"),
    [
        ("laptop", "bursty", {"epp": "power"}, {"epp": "performance"}),
        ("biglittle", "bursty", {"governor": "conservative"}, {"governor": "performance"}),
        ("biglittle", "bursty", {"governor": "schedutil"}, {"governor": "schedutil", "min": 1_416_000}),
        ("server", "compute", {"conservative.freq_step": 1}, {"conservative.freq_step": 30}),
        ("server", "bursty", {"ondemand.powersave_bias": 300}, {"ondemand.powersave_bias": 0}),
        ("server", "bursty", {"ondemand.sampling_down_factor": 1}, {"ondemand.sampling_down_factor": 50}),
        ("server", "bursty", {"schedutil.rate_limit_us": 10_000}, {"schedutil.rate_limit_us": 50_000}),
    ],
)
def test_work_with_waits_is_served_slower_where_the_clock_is_slow_to_rise_or_quick_to_fall(
    machine, workload, slow, fast
):
    name = next(iter(slow)).partition(".")
    governor = {"governor": name[0]} if name[1] else {}
    time_s = run(machine, workload, [governor | slow, governor | fast]).time_s
    assert time_s[0] > 1.02 * time_s[1]
