"""Knobs that are off by default: what there is of them, and that they go back like all others."""

import contextlib
import tempfile
from pathlib import Path

import pytest
from fake.faults import Fault, Killed
from fake.host import InProcess
from fake.machines import MACHINES
from fake.powercap import Rapl
from fake.trees import Uncore
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hwtune.domain.errors import UsageError
from hwtune.domain.knob import RangeKnob, Setting
from hwtune.knobs import extra
from hwtune.knobs import journal as journals
from hwtune.knobs.cpufreq import CpufreqBackend
from hwtune.knobs.keys import parse_assignments
from hwtune.knobs.reset import reset
from hwtune.knobs.restore import restore_machine
from hwtune.knobs.transaction import Transaction

WITH_EXTRAS = ("intel_pstate_hwp", "intel_pstate_nohwp", "intel_cpufreq", "amd_pstate_passive", "hybrid")
ZONE = "/sys/class/powercap/intel-rapl:0"
CPU = "/sys/devices/system/cpu"
UNCORE = f"{CPU}/intel_uncore_frequency/package_00_die_00"


def machine(name="intel_pstate_hwp"):
    kernel = MACHINES[name]()
    return kernel, InProcess(kernel)


def transaction(files, run_dir, wanted=extra.WORDS, verb="tune"):
    backend = CpufreqBackend(files, baseline=journals.baseline(run_dir, files), wanted=wanted)
    return Transaction(backend, run_dir=run_dir, verb=verb, files=files)


def settle_states(kernel):
    """What byte-exact is judged by."""
    return kernel.state(), kernel.requests()


def values(knob):
    if isinstance(knob, RangeKnob):
        return st.integers(knob.low, knob.high)
    return st.sampled_from(knob.choices)


@st.composite
def wanted(draw, space):
    """Some of these knobs, and some of cpufreq's, with limits the right way round."""
    knobs = draw(st.lists(st.sampled_from(space.knobs), unique_by=lambda knob: knob.name, min_size=1))
    chosen = {knob.name: draw(values(knob)) for knob in knobs}
    for low, high in space.ordered_pairs:
        if low in chosen and high in chosen and chosen[low] > chosen[high]:
            chosen[low], chosen[high] = chosen[high], chosen[low]
    return Setting(chosen)


EXACT = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@given(data=st.data())
@EXACT
def test_leaving_gives_back_the_start(data):
    kernel, files = machine(data.draw(st.sampled_from(WITH_EXTRAS)))
    start = settle_states(kernel)
    with tempfile.TemporaryDirectory() as run_dir:
        with transaction(files, Path(run_dir)) as stay:
            for _ in range(data.draw(st.integers(1, 3))):
                stay.apply(data.draw(wanted(stay.backend.space)))
        assert settle_states(kernel)[0] == start[0]


@given(data=st.data(), action=st.sampled_from(("kill_before", "kill_after")))
@EXACT
def test_killed_anywhere_then_restored(data, action):
    kernel, files = machine(data.draw(st.sampled_from(WITH_EXTRAS)))
    start = kernel.state()
    with tempfile.TemporaryDirectory() as name:
        run_dir = Path(name)
        stay = transaction(files, run_dir)
        stay.__enter__()
        kernel.faults = [Fault(skip=data.draw(st.integers(0, 20)), action=action)]
        with contextlib.suppress(Killed):
            for _ in range(2):
                stay.apply(data.draw(wanted(stay.backend.space)))
        stay._lock.release()
        kernel.faults = []
        restore_machine(CpufreqBackend(files), run_dir=run_dir, files=files)
        assert kernel.state() == start


def test_off_by_default_is_off():
    _, files = machine()
    backend = CpufreqBackend(files)
    assert not [name for name in backend.space.names if extra.word_of(name)]
    # The percentages are there for the sake of no_turbo, which squashes them.
    assert {path for path in backend.snapshot() if extra.source_of(path)} == {
        f"{CPU}/intel_pstate/max_perf_pct",
        f"{CPU}/intel_pstate/min_perf_pct",
    }
    with pytest.raises(UsageError, match=r"unknown knob 'powercap\.long_term'"):
        backend.target("powercap.long_term")


def test_only_what_is_named_is_watched():
    _, files = machine()
    backend = CpufreqBackend(files, wanted=("cpuidle.C6",))
    assert [name for name in backend.space.names if extra.word_of(name)] == ["cpuidle.C6"]
    idle = {path for path in backend.snapshot() if "/cpuidle/" in path}
    assert idle == {f"{CPU}/cpu{cpu}/cpuidle/state2/disable" for cpu in (0, 1, 2, 10)}


def test_an_idle_state_is_allowed_or_not(tmp_path):
    kernel, files = machine()
    backend = CpufreqBackend(files, wanted=("cpuidle",))
    names = [name for name in backend.space.names if extra.word_of(name)]
    assert names == ["cpuidle.C1E", "cpuidle.C6", "cpuidle.C10"]  # and never the one it polls in
    assert backend.effective()["cpuidle.C10"] == "1"
    with Transaction(backend, run_dir=tmp_path, verb="tune", files=files) as stay:
        outcome = stay.apply(Setting({"cpuidle.C10": "0"})).outcomes[0]
        assert (outcome.result, outcome.effective) == ("applied", "0")
        assert all(kernel.read(f"{CPU}/cpu{cpu}/cpuidle/state3/disable") == "1\n" for cpu in (0, 1, 2, 10))


def test_cpus_that_are_set_apart_keep_their_own_defaults(tmp_path):
    kernel, files = machine()
    kernel.somebody(f"{CPU}/cpu2/cpuidle/state2/disable", "1")
    kernel.somebody(f"{CPU}/cpu10/power/pm_qos_resume_latency_us", "20")
    start = kernel.state()
    with transaction(files, tmp_path, ("cpuidle", "pm_qos")) as stay:
        space = stay.backend.space
        assert (space["cpu0.cpuidle.C6"].default, space["cpu2.cpuidle.C6"].default) == ("1", "0")
        assert space["cpu10.pm_qos.resume_latency_us"].choices == ("n/a", "10", "20", "133", "890", "0")
        assert not stay.backend.plan(space.default)
        stay.apply(parse_assignments(["cpuidle.C6=0", "pm_qos.resume_latency_us=n/a"], stay.backend))
        assert kernel.read(f"{CPU}/cpu10/power/pm_qos_resume_latency_us") == "n/a\n"
    assert kernel.state() == start


def test_limits_never_cross_on_their_way(tmp_path):
    kernel, files = machine()
    with transaction(files, tmp_path, ("uncore", "powercap")) as stay:
        low = Setting({"uncore.max": 1_000_000, "powercap.long_term": 20_000_000, "powercap.short_term": 20_000_000})
        stay.apply(low)
        stay.apply(Setting({"uncore.min": 900_000}))
        high = Setting({"uncore.min": 3_000_000, "uncore.max": 3_500_000})
        stay.apply(high | {"powercap.long_term": 50_000_000, "powercap.short_term": 60_000_000})
        stay.apply(low | {"uncore.min": 900_000})
    now = {}
    for operation, path, text, _ in kernel.log:
        if operation == "write":
            now[path] = int(text)
            assert now.get(f"{UNCORE}/min_freq_khz", 0) <= now.get(f"{UNCORE}/max_freq_khz", 4_200_000)
            limits = [now.get(f"{ZONE}/constraint_{index}_power_limit_uw") for index in (0, 1)]
            assert None in limits or limits[0] <= limits[1]


def test_what_firmware_has_locked_is_rejected_and_left(tmp_path):
    kernel, files = machine()
    kernel.trees[:] = [Rapl(locked=True), Uncore(locked=True)]
    start = kernel.state()
    with transaction(files, tmp_path, ("powercap", "uncore")) as stay:
        wanted = Setting({"powercap.long_term": 20_000_000, "uncore.max": 2_000_000, "max": 2_000_000})
        found = {outcome.knob: outcome.result for outcome in stay.apply(wanted).outcomes}
        assert found == {"uncore.max": "rejected", "max": "applied"}, "a package that is not enabled has no limit"
        found = {each.knob: each.result for each in stay.apply(wanted | {"powercap.enabled": "1"}).outcomes}
        assert (found["powercap.long_term"], found["powercap.enabled"]) == ("rejected", "rejected")
    assert kernel.state() == start


def test_a_limit_is_put_in_force_only_after_it_is_set(tmp_path):
    kernel, files = machine()
    kernel.trees[:] = [Rapl(enabled=False)]
    with transaction(files, tmp_path, ("powercap.long_term",)) as stay:
        with pytest.raises(UsageError, match=r"does nothing under powercap\.enabled=0"):
            parse_assignments(["powercap.long_term=20W"], stay.backend)
        stay.apply(parse_assignments(["powercap.long_term=20W", "powercap.enabled=1"], stay.backend))
        writes = [path.removeprefix(f"{ZONE}/") for operation, path, _, _ in kernel.log if operation == "write"]
        assert writes == ["constraint_0_power_limit_uw", "enabled"]
    assert kernel.read(f"{ZONE}/enabled") == "0\n"
    # Where a limit is in force, there is no way to turn it off.
    assert "powercap.enabled" not in CpufreqBackend(machine()[1], wanted=("powercap",)).space.names


def test_what_somebody_else_has_set_stays(tmp_path):
    kernel, files = machine()
    theirs = {
        f"{ZONE}/constraint_0_power_limit_uw": "33000000",
        f"{UNCORE}/max_freq_khz": "2700000",
        f"{CPU}/cpu0/power/pm_qos_resume_latency_us": "7",
    }
    start = kernel.state()
    with transaction(files, tmp_path) as stay:
        ours = {"powercap.long_term": 20_000_000, "uncore.max": 2_000_000, "pm_qos.resume_latency_us": "133"}
        stay.apply(Setting(ours))
        for path, text in theirs.items():
            kernel.somebody(path, text)
        assert stay.restore().foreign == theirs
    assert kernel.state() == {**start, **{path: f"{text}\n" for path, text in theirs.items()}}


def test_a_later_run_without_them_leaves_what_was_kept(tmp_path):
    kernel, files = machine()
    start = kernel.state()
    with transaction(files, tmp_path, ("powercap",), verb="apply") as stay:
        stay.apply(Setting({"powercap.long_term": 20_000_000}))
        stay.keep()
    kept = kernel.state()
    with transaction(files, tmp_path, ()) as stay:
        stay.apply(Setting(max=1_000_000))
    assert kernel.state() == kept != start
    restore_machine(CpufreqBackend(files), run_dir=tmp_path, files=files)
    assert kernel.state() == start


def die_after(kernel, stay, pattern, setting):
    """Killed right behind a write, before anything could be read back."""
    kernel.faults = [Fault(pattern=pattern, action="kill_after")]
    with pytest.raises(Killed):
        stay.apply(setting)
    stay._lock.release()
    kernel.faults = []


@pytest.mark.parametrize(
    ("pattern", "setting", "reads"),
    [
        (f"{ZONE}/constraint_0_power_limit_uw", Setting({"powercap.long_term": 20_100_000}), "20000000\n"),
        (f"{UNCORE}/max_freq_khz", Setting({"uncore.max": 1_550_000}), "1500000\n"),
    ],
)
def test_what_was_rounded_down_unseen_is_ours(pattern, setting, reads, tmp_path):
    kernel, files = machine()
    start = kernel.state()
    stay = transaction(files, tmp_path)
    stay.__enter__()
    die_after(kernel, stay, pattern, setting)
    assert kernel.read(pattern) == reads
    assert restore_machine(CpufreqBackend(files), run_dir=tmp_path, files=files).foreign == {}
    assert kernel.state() == start


def test_what_no_turbo_squashes_unseen_is_ours(tmp_path):
    kernel, files = machine()
    start = kernel.state()
    stay = transaction(files, tmp_path, ())
    stay.__enter__()
    die_after(kernel, stay, "*/no_turbo", Setting(boost="0"))
    assert kernel.read(f"{CPU}/intel_pstate/min_perf_pct") == "61\n"
    restore_machine(CpufreqBackend(files), run_dir=tmp_path, files=files)
    assert kernel.state() == start


def test_in_passive_mode_percentages_hold_the_limits(tmp_path):
    kernel, files = machine("intel_cpufreq")
    start = kernel.state()
    stay = transaction(files, tmp_path, ("perf_pct",))
    stay.__enter__()
    # Killed before the journal knows what came of it: the lower maximum is ours all the same.
    stay.apply(Setting(max=4_000_000))
    die_after(kernel, stay, "*/max_perf_pct", Setting({"perf_pct.max": 50}))
    assert kernel.read(f"{CPU}/cpufreq/policy0/scaling_max_freq") == "2400000\n"
    assert restore_machine(CpufreqBackend(files), run_dir=tmp_path, files=files).foreign == {}
    assert kernel.state() == start


def test_reset_goes_to_what_the_kernel_names_as_the_default(tmp_path):
    kernel, files = machine()
    start = kernel.state()
    kernel.somebody(f"{CPU}/cpu0/cpuidle/state2/disable", "1")
    kernel.somebody(f"{CPU}/cpu1/power/pm_qos_resume_latency_us", "n/a")
    kernel.somebody(f"{UNCORE}/max_freq_khz", "2000000")
    kernel.somebody(f"{CPU}/intel_pstate/max_perf_pct", "90")
    limit = f"{ZONE}/constraint_0_power_limit_uw"
    kernel.somebody(limit, "20000000")
    untouched = kernel.state()
    reset(files)
    assert {path: text for path, text in kernel.state().items() if extra.source_of(path)} == {
        path: text for path, text in untouched.items() if extra.source_of(path)
    }
    reset(files, {limit: start[limit].strip()}, wanted=extra.WORDS)
    for path, text in kernel.state().items():
        if extra.source_of(path) and not path.endswith("min_perf_pct"):
            assert text == start[path], path


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        (["powercap.long_term=5W"], "out of range", "16250000 to 65000000 uW"),
        (["powercap.long_term=20C"], "not a power", "15W"),
        (["powercap.long_term=0.5uW"], "whole number of uW", "15W"),
        (["powercap.long_term=60W", "powercap.short_term=40W"], "is above powercap.short_term", "cannot be above"),
        (["cpuidle.C10=2"], "cannot be '2'", "0, 1"),
        (["cpuidel.C10=0"], "unknown knob", "did you mean 'cpuidle.C10'"),
        (["uncore.mx=1GHz"], "unknown knob", "did you mean 'uncore.max'"),
        (["pm_qos.resume_latency_us=2147483647"], "cannot be", "n/a, 10, 133, 890, 0, 0-2147483646"),
        (["uncore.min=3GHz", "uncore.max=2GHz"], "uncore.min=3000000 is above", "min cannot be above max"),
        (["perf_pct.max=101"], "out of range", "10 to 100 %"),
    ],
)
def test_refusals(words, message, hint):
    backend = CpufreqBackend(machine()[1], wanted=extra.WORDS)
    with pytest.raises(UsageError) as caught:
        parse_assignments(words, backend)
    assert message in str(caught.value)
    assert hint in caught.value.hint


def test_a_misspelt_word_is_known_though_none_is_wanted():
    with pytest.raises(UsageError) as caught:
        parse_assignments(["powrcap.long_term=20W"], CpufreqBackend(machine()[1]))
    assert caught.value.hint == "did you mean 'powercap.long_term'?"


def test_words_and_units_of_names():
    assert extra.named(["max", "powercap.long_term", "cpu4.cpuidle.C6", "uncore", "policy0.min", "cpuidle"]) == (
        "powercap.long_term",
        "cpu4.cpuidle.C6",
        "uncore",
        "cpuidle",
    )
    assert extra.word_of("package_00_die_00.uncore.max") == "uncore"
    assert extra.word_of("ondemand.up_threshold") is None


def test_one_unit_by_its_own_name(tmp_path):
    kernel, files = machine()
    start = kernel.state()
    with transaction(files, tmp_path, ("cpu2.cpuidle.C6",)) as stay:
        stay.apply(parse_assignments(["cpu2.cpuidle.C6=0"], stay.backend))
        assert [kernel.read(f"{CPU}/cpu{cpu}/cpuidle/state2/disable") for cpu in (0, 2)] == ["0\n", "1\n"]
    assert kernel.state() == start
