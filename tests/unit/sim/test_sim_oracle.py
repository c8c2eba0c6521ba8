"""The brute-force oracle, and how much there is to find on the simulated machines."""

import math

import numpy as np
import pytest

from hwtune.domain.knob import Activity, ChoiceKnob, KnobSpace, RangeKnob, Setting
from hwtune.domain.objective import Bound, Objective
from hwtune.sim.machine import SimulatedMachine
from hwtune.sim.machines import CHIPS
from hwtune.sim.noise import Noise
from hwtune.sim.truth import Truth
from hwtune.sim.workloads import WORKLOADS

CELLS = [
    (machine, workload) for machine in ("laptop", "server", "biglittle") for workload in ("compute", "memory", "mixed")
]
EPPS = ("performance", "balance_performance", "balance_power", "power")


def machine_of(tmp_path, name, workload):
    return SimulatedMachine(name, workload=workload, seed=0, run_dir=tmp_path)


def space_of(name, *, levels=slice(None), governors=None):
    """governor, min, max, epp, boost as they are read from the machine's files; `levels` leaves out some."""
    chip, knobs, pairs = CHIPS[name], [], []
    for cluster in chip.clusters if name == "biglittle" else chip.clusters[:1]:
        prefix = f"policy{cluster.cpus[0]}." if name == "biglittle" else ""
        choices = governors or tuple(word for word in chip.governors if word != "userspace")
        knobs.append(ChoiceKnob(name=f"{prefix}governor", role="governor", choices=choices, default=chip.governor))
        table = cluster.levels_khz or tuple(range(400_000, 4_700_001, 100_000))
        for key, role, default in (("max", "frequency", table[-1]), ("min", "frequency_floor", table[0])):
            some = tuple(sorted({*table[levels], default}))
            knobs.append(
                RangeKnob(
                    name=prefix + key, role=role, unit="kHz", low=some[0], high=some[-1], default=default, levels=some
                )
            )
        pairs.append((f"{prefix}min", f"{prefix}max"))
    if chip.epp is not None:
        active = (Activity(knob="governor", values=("powersave",)),)
        knobs.append(
            ChoiceKnob(name="epp", role="epp", choices=EPPS, default=EPPS[1], ordered=True, active_when=active)
        )
    knobs.append(ChoiceKnob(name="boost", role="boost", choices=("0", "1"), default="1"))
    return KnobSpace(knobs=tuple(knobs), ordered_pairs=tuple(pairs))


def random_setting(space, rng):
    """Uniform over the legal settings."""
    while True:
        values = {}
        for knob in space.knobs:
            options = knob.choices if isinstance(knob, ChoiceKnob) else knob.levels
            values[knob.name] = options[rng.integers(len(options))]
        if space.legal(values):
            return Setting(values)


def edp(figures):
    return math.log(figures[0] * figures[1])


@pytest.mark.parametrize("bound", [Bound(), Bound(max_slowdown=0.05), Bound(max_power_w=14.0), Bound(max_temp_c=36.0)])
@pytest.mark.parametrize("objective", [Objective.EDP, Objective.ENERGY])
def test_no_random_setting_within_the_bound_beats_the_oracle(tmp_path, objective, bound):
    machine, space = machine_of(tmp_path, "laptop", "mixed"), space_of("laptop", levels=slice(0, None, 4))
    setting, time_s, energy_j = machine.oracle(space, objective, bound)
    assert (time_s, energy_j) == machine.true(setting)
    assert space.legal(setting)
    limit_s = machine.true({})[0] * (1 + (bound.max_slowdown if bound.max_slowdown is not None else math.inf))
    assert time_s <= limit_s + 1e-6
    assert bound.max_power_w is None or energy_j / time_s <= bound.max_power_w
    rng = np.random.default_rng(1)
    truth = Truth(CHIPS["laptop"], WORKLOADS["mixed"])
    for other_s, other_j in truth.of_all([random_setting(space, rng) for _ in range(60)]):
        if bound.max_temp_c is None and other_s <= limit_s and other_j / other_s <= (bound.max_power_w or math.inf):
            assert objective.value_of(other_s, other_j) >= objective.value_of(time_s, energy_j) * (1 - 1e-9)


@pytest.mark.parametrize(
    ("name", "workload", "one", "other"),
    [
        ("laptop", "mixed", {"governor": "performance", "epp": "power"}, {"governor": "performance"}),
        ("laptop", "compute", {"boost": "0", "max": 4_000_000}, {"boost": "0"}),
        ("laptop", "compute", {"boost": "0", "max": 1_500_000}, {"max": 1_500_000}),
        ("server", "memory", {"governor": "powersave", "max": 2_000_000}, {"governor": "powersave"}),
        ("server", "compute", {"min": 2_000_000}, {}),
        ("server", "compute", {"conservative.freq_step": 20}, {}),
    ],
)
def test_what_does_nothing_changes_nothing(tmp_path, name, workload, one, other):
    assert machine_of(tmp_path, name, workload).true(one) == machine_of(tmp_path, name, workload).true(other)


def test_settings_run_together_are_as_if_run_alone(tmp_path):
    space = space_of("biglittle")
    together, rng = machine_of(tmp_path, "biglittle", "mixed"), np.random.default_rng(5)
    small = space_of("biglittle", levels=slice(6, None), governors=("schedutil", "ondemand"))
    best = together.oracle(small, Objective.EDP, Bound())
    for setting in (best[0], *(random_setting(space, rng) for _ in range(5))):
        alone = machine_of(tmp_path, "biglittle", "mixed").true(setting)
        assert together.true(setting) == pytest.approx(alone, rel=1e-9)


def test_the_default_is_the_oracle_where_nothing_else_is_allowed(tmp_path):
    machine, space = machine_of(tmp_path, "server", "mixed"), space_of("server")
    setting, time_s, energy_j = machine.oracle(space, Objective.EDP, Bound(max_power_w=1.0))
    assert setting == space.default
    assert (time_s, energy_j) == machine.true({})


def test_a_table_of_settings_is_searched_row_by_row(tmp_path):
    machine, space = machine_of(tmp_path, "server", "mixed"), space_of("server")
    rows = tuple(space.default | {"max": khz} for khz in (1_200_000, 2_000_000, 2_601_000))
    allowed = KnobSpace(knobs=space.knobs, allowed=rows)
    setting, _, _ = machine.oracle(allowed, Objective.ENERGY, Bound())
    assert setting == min(rows, key=lambda row: machine.true(row)[1])


def test_tunables_are_searched_too(tmp_path):
    machine = machine_of(tmp_path, "server", "bursty")
    governor = ChoiceKnob(name="governor", role="governor", choices=("conservative",), default="conservative")
    step = RangeKnob(name="conservative.freq_step", role="other", unit="%", low=1, high=100, default=5)
    setting, time_s, _ = machine.oracle(KnobSpace(knobs=(governor, step)), Objective.TIME, Bound())
    assert setting["conservative.freq_step"] != 5
    assert time_s < machine.true({"governor": "conservative"})[0]


def random_search(space, truth, seeds):
    """The default and 13 random settings, one noisy run each: what is true of the best measured, for each seed."""
    tried = []
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        tried += [space.default, *(random_setting(space, rng) for _ in range(13))]
    costs = np.array([edp(figures) for figures in truth.of_all(tried)]).reshape(seeds, 14)
    drawn = [
        [noise.draw(10.0 * number) for number in range(14)] for noise in (Noise(seed, 1.0) for seed in range(seeds))
    ]
    error = np.array([[math.log(draw.work**2 * draw.meter) for draw in row] for row in drawn])
    return costs[np.arange(seeds), np.argmin(costs + error, axis=1)]


def clocks_of(name, setting):
    """Lowest level, the clock that busy cores get, and highest level, for each cluster."""
    for cluster in CHIPS[name].clusters:
        prefix = f"policy{cluster.cpus[0]}." if name == "biglittle" else ""
        pinned = setting[f"{prefix}governor"] == "powersave" and "epp" not in setting
        yield cluster.min_khz, setting[f"{prefix}{'min' if pinned else 'max'}"], cluster.max_khz


def test_there_is_headroom_that_random_search_does_not_find():
    hard, everywhere = [], []
    for name, workload in CELLS:
        truth, space = Truth(CHIPS[name], WORKLOADS[workload]), space_of(name)
        # A worse oracle of fewer levels makes headroom smaller and random search look better: on the safe side.
        fewer = space_of(name, levels=slice(5, None), governors=("powersave", "ondemand"))
        best, *figures = truth.oracle(fewer if name == "biglittle" else space, Objective.EDP, Bound())
        default = edp(truth.of({}))
        headroom = default - edp(figures)
        assert headroom < -math.log(0.4), "absurd"
        if headroom < -math.log(0.9):
            continue
        assert all(low < khz < high for low, khz, high in clocks_of(name, best)), "an interior optimum"
        shares = (default - random_search(space, truth, 40)) / headroom
        everywhere += list(shares)
        if np.median(shares) <= 0.6:
            hard.append((name, workload))
    assert len(hard) >= 6, hard
    assert np.median(everywhere) <= 0.6


def test_compute_and_memory_want_different_settings(tmp_path):
    space = space_of("laptop")
    compute, memory = (
        machine_of(tmp_path, "laptop", workload).oracle(space, Objective.EDP, Bound())[0]
        for workload in ("compute", "memory")
    )
    assert compute["max"] > memory["max"]
    assert compute["epp"] != memory["epp"]
