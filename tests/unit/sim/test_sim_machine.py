"""The simulated machine behind the seam: runs, meters, clock, noise."""

import io
import math
from itertools import pairwise

import numpy as np
import pytest

from hwtune.domain.errors import UsageError
from hwtune.sim.machine import MACHINES, WORKLOADS, SimulatedMachine
from hwtune.sim.noise import Noise

CPUFREQ = "/sys/devices/system/cpu/cpufreq"


def machine_of(tmp_path, name="laptop", workload="compute", seed=0, noise=0.0):
    return SimulatedMachine(name, workload=workload, seed=seed, run_dir=tmp_path, noise=noise)


def run(machine, tick=lambda: None, period_s=0.5, give_up_s=None, output=None):
    return machine.host.runner.run(
        ["anything"], cwd=None, user=None, tick=tick, period_s=period_s, give_up_s=give_up_s, output=output
    )


def energy_uj(files):
    """What the energy sensor adds up: package zones, or the board's meter."""
    zones = [zone for zone in files.glob("/sys/class/powercap/*") if files.read(f"{zone}/name").startswith("package")]
    paths = [f"{zone}/energy_uj" for zone in zones] or ["/sys/class/hwmon/hwmon0/energy1_input"]
    return sum(int(files.read(path)) for path in paths)


def apply(files, setting):
    """Write a setting in the order in which the kernel takes it."""
    for key, name in (("governor", "scaling_governor"), ("epp", "energy_performance_preference")):
        for knob, value in setting.items():
            if knob.split(".")[-1] == key:
                write(files, knob, name, value)
    if "boost" in setting:
        if files.read("/sys/devices/system/cpu/intel_pstate/no_turbo") is None:
            files.write(f"{CPUFREQ}/boost", str(setting["boost"]))
        else:
            files.write("/sys/devices/system/cpu/intel_pstate/no_turbo", str(1 - int(setting["boost"])))
    for knob, value in setting.items():
        if knob.split(".")[-1] in ("min", "max"):
            write(files, knob, f"scaling_{knob.split('.')[-1]}_freq", value)


def write(files, knob, name, value):
    prefix = knob.split(".")[0] if "." in knob else "policy*"
    for policy in files.glob(f"{CPUFREQ}/{prefix}"):
        files.write(f"{policy}/{name}", str(value))


@pytest.mark.parametrize(
    ("name", "workload", "setting"),
    [
        ("laptop", "compute", {}),
        ("laptop", "memory", {"governor": "performance", "max": 2_700_000}),
        ("laptop", "mixed", {"epp": "power", "min": 2_000_000, "max": 3_000_000}),
        ("laptop", "bursty", {"epp": "balance_power"}),
        ("laptop", "compute", {"boost": "0"}),
        ("server", "compute", {"governor": "schedutil"}),
        ("server", "memory", {"max": 2_000_000}),
        ("server", "mixed", {"governor": "ondemand", "boost": "0"}),
        ("server", "bursty", {"governor": "conservative", "min": 1_800_000}),
        ("biglittle", "compute", {}),
        ("biglittle", "memory", {"policy0.governor": "powersave", "policy0.min": 1_416_000, "policy4.max": 1_800_000}),
        ("biglittle", "mixed", {"policy0.max": 1_200_000, "policy4.governor": "performance"}),
        ("biglittle", "bursty", {"policy4.governor": "ondemand", "policy4.max": 2_016_000}),
    ],
)
def test_a_run_without_noise_is_what_is_true(tmp_path, name, workload, setting):
    machine = machine_of(tmp_path, name, workload)
    files = machine.host.files
    apply(files, setting)
    before = energy_uj(files)
    done = run(machine, period_s=0.37)
    time_s, energy_j = machine.true(setting)
    assert (done.end_ns - done.start_ns) / 1e9 == pytest.approx(time_s, rel=0.01)
    assert (energy_uj(files) - before) / 1e6 == pytest.approx(energy_j, rel=0.01)


def test_a_run_is_given_up_at_its_time_on_the_virtual_clock(tmp_path):
    machine = machine_of(tmp_path)
    files, clock = machine.host.files, machine.host.clock
    time_s, energy_j = machine.true({})
    ticks, before = [], energy_uj(files)
    done = run(machine, lambda: ticks.append((clock.monotonic_ns(), energy_uj(files))), 0.4 * time_s, 0.5 * time_s)
    assert done.given_up
    assert (done.end_ns - done.start_ns) / 1e9 == pytest.approx(0.5 * time_s, abs=1e-5)
    assert clock.monotonic_ns() == done.end_ns
    assert [t_ns - done.start_ns for t_ns, _ in ticks] == pytest.approx([0.4e9 * time_s, 0.5e9 * time_s], abs=1e4)
    assert 0.3 * energy_j < (ticks[-1][1] - before) / 1e6 < 0.7 * energy_j
    # Nothing of it goes on: the machine falls to rest, and the next run is a whole one.
    clock.sleep(60.0)
    idle = energy_uj(files)
    clock.sleep(10.0)
    assert (energy_uj(files) - idle) / 1e6 / 10.0 < 0.5 * energy_j / time_s
    said = io.BytesIO()
    whole = run(machine, give_up_s=2.0 * time_s, output=said)
    assert not whole.given_up
    assert (whole.end_ns - whole.start_ns) / 1e9 == pytest.approx(time_s, rel=0.01)
    name, speed = said.getvalue().decode().split(": ")
    assert name == "rounds/s"
    assert float(speed) == pytest.approx(22 / time_s, rel=0.01)
    run(machine, give_up_s=0.5 * time_s, output=said)
    assert said.getvalue().count(b"\n") == 1, "it was stopped before it could say anything"


@pytest.mark.parametrize(("name", "low_w", "high_w"), [("laptop", 15, 45), ("server", 100, 300), ("biglittle", 2, 10)])
@pytest.mark.parametrize("workload", ["compute", "memory", "mixed"])
def test_the_defaults_are_plausible(tmp_path, name, workload, low_w, high_w):
    time_s, energy_j = machine_of(tmp_path, name, workload).true({})
    assert 5.0 <= time_s <= 10.0
    assert low_w <= energy_j / time_s <= high_w


def test_the_seed_fixes_everything(tmp_path):
    def story(seed):
        machine = machine_of(tmp_path, workload="mixed", seed=seed, noise=1.0)
        spans = []
        for _ in range(4):
            done = run(machine)
            machine.host.clock.sleep(1.5)
            spans.append((done.end_ns - done.start_ns, energy_uj(machine.host.files), done.cpu_time_s))
        return spans, machine.host.counters.read(), machine.host.files.read("/proc/sys/kernel/random/boot_id")

    assert story(3) == story(3)
    assert story(3) != story(4)


def test_noise_is_of_the_documented_size_with_rare_outliers():
    noise = Noise(7, 1.0)
    draws = [noise.draw(20.0 * number) for number in range(4000)]
    work = np.log([draw.work for draw in draws])
    assert 0.008 < np.percentile(work, 84) - np.median(work) < 0.015
    assert 0.012 < np.log([draw.meter for draw in draws]).std() < 0.022
    assert 0.005 < (work > 0.05).mean() < 0.04
    drift = np.log([draw.meter for draw in draws]).reshape(-1, 20).mean(axis=1)
    assert drift.std() > 1.5 * 0.014 / math.sqrt(20)  # neighbours in time err alike


def test_ticks_come_in_virtual_time(tmp_path):
    machine = machine_of(tmp_path)
    at_ns, energies = [], []

    def tick():
        at_ns.append(machine.host.clock.monotonic_ns())
        energies.append(energy_uj(machine.host.files))

    done = run(machine, tick, period_s=0.25)
    assert len(at_ns) == int((done.end_ns - done.start_ns) / 0.25e9)
    assert all(b - a == pytest.approx(0.25e9, rel=0.01) for a, b in pairwise(at_ns))
    assert all(a < b for a, b in pairwise(energies))
    assert 0 < done.cpu_time_s < 4 * (done.end_ns - done.start_ns) / 1e9


def test_a_tick_that_raises_ends_the_run(tmp_path):
    machine = machine_of(tmp_path)

    def tick():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(machine, tick)
    before = machine.host.counters.read()["instructions"]
    machine.host.clock.sleep(5.0)
    assert machine.host.counters.read()["instructions"] == before


def test_meters_wrap_where_they_say(tmp_path):
    machine = machine_of(tmp_path, "server", "compute")
    files, zone = machine.host.files, "/sys/class/powercap/intel-rapl:0"
    most = int(files.read(f"{zone}/max_energy_range_uj"))
    seen = []
    for _ in range(8):
        machine.host.clock.sleep(120.0)
        seen.append(int(files.read(f"{zone}/energy_uj")))
    assert max(seen) < most
    assert sum(b < a for a, b in pairwise(seen)) == 1


def test_an_hour_passes_in_few_steps_and_counters_never_go_back(tmp_path):
    machine = machine_of(tmp_path, "biglittle", "bursty")
    before = machine.host.counters.read(), machine.host.clock.monotonic_ns()
    machine.host.clock.sleep(3600.0)
    run(machine)
    after = machine.host.counters.read(), machine.host.clock.monotonic_ns()
    assert after[1] - before[1] > 3600e9
    assert all(after[0][name] >= count for name, count in before[0].items())


def test_counters_tell_the_workloads_apart(tmp_path):
    rates = {}
    for workload in ("compute", "memory"):
        machine = machine_of(tmp_path, workload=workload)
        before = machine.host.counters.read()
        run(machine)
        delta = {name: count - before[name] for name, count in machine.host.counters.read().items()}
        rates[workload] = delta["instructions"] / delta["cycles"], delta["cache-misses"] / delta["instructions"]
    assert rates["compute"][0] > 2 * rates["memory"][0]
    assert rates["memory"][1] > 20 * rates["compute"][1]


def test_the_figures_beside_the_run_advance_with_it(tmp_path):
    machine = machine_of(tmp_path, "biglittle", "compute")
    files = machine.host.files
    base = f"{CPUFREQ}/policy4"

    def figures():
        stat = [int(word) for word in files.read("/proc/stat").split("\n")[0].split()[1:]]
        states = dict(line.split() for line in files.read(f"{base}/stats/time_in_state").split("\n"))
        idle = int(files.read("/sys/devices/system/cpu/cpu4/cpuidle/state1/time"))
        io = int(files.read("/proc/pressure/io").split("total=")[1].split()[0])
        return stat, {int(khz): int(ticks) for khz, ticks in states.items()}, idle, io

    before, clocks = figures(), []
    done = run(machine, lambda: clocks.append(int(files.read(f"{base}/scaling_cur_freq"))), period_s=0.05)
    after = figures()
    span_s = (done.end_ns - done.start_ns) / 1e9
    assert sum(after[0]) - sum(before[0]) == pytest.approx(span_s * 800, rel=0.02)
    assert sum(after[1].values()) - sum(before[1].values()) == pytest.approx(span_s * 100, abs=len(after[1]))
    assert after[2] >= before[2]
    assert 0.2e6 < after[3] - before[3] < span_s * 1e6
    assert max(clocks) == pytest.approx(2_400_000, rel=0.01)
    assert min(clocks) < 2_300_000
    assert int(files.read(f"{base}/stats/total_trans")) > 10


def test_the_laptop_drains_its_battery_and_warms_up(tmp_path):
    machine = machine_of(tmp_path)
    files, battery = machine.host.files, "/sys/class/power_supply/BAT0"
    temp, energy = "/sys/class/thermal/thermal_zone0/temp", f"{battery}/energy_now"
    powers, before = [], (int(files.read(temp)), int(files.read(energy)))
    run(machine, lambda: powers.append(int(files.read(f"{battery}/power_now"))))
    assert files.read(f"{battery}/status") == "Discharging"
    assert max(powers) > 20e6
    assert int(files.read(temp)) > before[0] + 5000
    assert int(files.read(energy)) < before[1]


def test_names_of_machines_and_workloads(tmp_path):
    assert MACHINES == ("laptop", "server", "biglittle", "vm")
    assert WORKLOADS == ("compute", "memory", "mixed", "bursty")
    with pytest.raises(UsageError) as caught:
        machine_of(tmp_path, "labtop")
    assert "laptop" in caught.value.hint
    with pytest.raises(UsageError) as caught:
        machine_of(tmp_path, workload="video")
    assert "bursty" in caught.value.hint
    host = machine_of(tmp_path).host
    assert host.simulated
    assert host.name == "simulated laptop"


@pytest.mark.parametrize(
    "setting", [{"colour": 1}, {"governor": "fast"}, {"epp": "more"}, {"max": "much"}, {"policy0.uncore": 3}]
)
def test_an_unknown_setting_is_a_usage_error(tmp_path, setting):
    with pytest.raises(UsageError):
        machine_of(tmp_path).true(setting)
