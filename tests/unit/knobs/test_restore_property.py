"""Whatever is applied to whatever machine, leaving it gives back the start, byte for byte."""

import contextlib
import tempfile
from pathlib import Path

import pytest
from bench import CPUFREQ, Bench, amd, intel
from fake.faults import Killed
from fake.machines import MACHINES
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hwtune.domain.knob import RangeKnob, Setting
from hwtune.knobs.cpufreq import CpufreqBackend
from hwtune.knobs.restore import restore_machine
from hwtune.knobs.transaction import Transaction

SLOW = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(autouse=True)
def _no_power_cut(monkeypatch):
    monkeypatch.setattr("hwtune.host.durable.os.fsync", lambda fd: None)


def values(knob):
    if isinstance(knob, RangeKnob):
        return st.sampled_from(knob.levels) if knob.levels else st.integers(knob.low, knob.high)
    return st.sampled_from(knob.choices)


@st.composite
def machines(draw):
    """A machine that somebody has set up by hand before."""
    kernel = Bench(MACHINES[draw(st.sampled_from(sorted(MACHINES)))]())
    for _ in range(draw(st.integers(0, 6))):
        texts = kernel.texts()
        path = draw(st.sampled_from(sorted(texts)))
        policy = kernel.policies[0]
        word = {
            "scaling_governor": st.sampled_from(policy.driver.governors),
            "scaling_max_freq": st.sampled_from(policy.table or (1_000_000, 2_000_000, 3_000_000)).map(str),
            "scaling_min_freq": st.sampled_from(policy.table or (600_000, 2_000_000)).map(str),
            "energy_performance_preference": st.sampled_from(("performance", "power", "77")),
            "boost": st.sampled_from("01"),
            "no_turbo": st.sampled_from("01"),
        }.get(path.rpartition("/")[2], st.just("50"))
        try:
            kernel.write(path, draw(word))
        except Exception:  # the kernel refused what somebody tried
            continue
    return kernel


@st.composite
def wanted(draw, space):
    """Any subset of knobs, with limits that do not cross; what is not active is left alone by the plan."""
    knobs = draw(st.lists(st.sampled_from(space.knobs), unique_by=lambda knob: knob.name))
    chosen = {knob.name: draw(values(knob)) for knob in knobs}
    for low, high in space.ordered_pairs:
        if low in chosen and high in chosen and chosen[low] > chosen[high]:
            chosen[low], chosen[high] = chosen[high], chosen[low]
    return Setting(chosen)


@given(data=st.data())
@SLOW
def test_leaving_gives_back_the_start(data):
    kernel = data.draw(machines())
    start, requests = kernel.texts(), kernel.kernel.requests()
    with tempfile.TemporaryDirectory() as run_dir:
        transaction = Transaction(CpufreqBackend(kernel), run_dir=Path(run_dir), verb="tune", files=kernel)
        with transaction:
            for _ in range(data.draw(st.integers(0, 4))):
                transaction.apply(data.draw(wanted(transaction.backend.space)))
        assert kernel.texts() == start
        if not kernel.writes:
            assert requests == kernel.kernel.requests()
        assert not (Path(run_dir) / "journal.json").exists()


@given(data=st.data(), before=st.booleans())
@SLOW
def test_killed_anywhere_even_twice(data, before):
    kernel = data.draw(machines())
    start = kernel.texts()
    moment = "kill_before" if before else "kill_after"
    with tempfile.TemporaryDirectory() as name:
        run_dir = Path(name)
        transaction = Transaction(CpufreqBackend(kernel), run_dir=run_dir, verb="tune", files=kernel)
        transaction.__enter__()
        kernel.kill(moment, data.draw(st.integers(0, 25)))
        with contextlib.suppress(Killed):
            for _ in range(3):
                transaction.apply(data.draw(wanted(transaction.backend.space)))
        transaction._lock.release()
        kernel.kill(moment, data.draw(st.integers(0, 8)))
        with contextlib.suppress(Killed):
            restore_machine(CpufreqBackend(kernel), run_dir=run_dir, files=kernel)
        kernel.spare()
        restore_machine(CpufreqBackend(kernel), run_dir=run_dir, files=kernel)
        assert kernel.texts() == start
        assert not (run_dir / "journal.json").exists()


@pytest.mark.parametrize("writes", range(5))
def test_killed_between_boost_for_all_and_for_one(writes, tmp_path):
    """The kernel switches every policy with the machine, also the one that had been switched off by itself."""
    kernel = amd()
    kernel.write(f"{CPUFREQ}/policy1/boost", "0")
    start = kernel.texts()
    transaction = Transaction(CpufreqBackend(kernel), run_dir=tmp_path, verb="tune", files=kernel)
    transaction.__enter__()
    transaction.apply(Setting(boost="0"))
    transaction._lock.release()
    kernel.kill("kill_after", writes)
    with contextlib.suppress(Killed):
        restore_machine(CpufreqBackend(kernel), run_dir=tmp_path, files=kernel)
    kernel.spare()
    restore_machine(CpufreqBackend(kernel), run_dir=tmp_path, files=kernel)
    assert kernel.texts() == start


@given(data=st.data())
@SLOW
def test_what_somebody_else_has_set_stays(data):
    """Limits and hints that no request of ours explains, on policies that we had set too; all else goes back."""
    kernel = intel()
    start = kernel.texts()
    theirs = {
        f"{CPUFREQ}/policy2/energy_performance_preference": "33",
        f"{CPUFREQ}/policy10/scaling_max_freq": "2345678",
    }
    ours = {
        "epp": data.draw(st.sampled_from(("power", "performance"))),
        "max": data.draw(st.integers(10, 40)) * 100_000,
    }
    with tempfile.TemporaryDirectory() as run_dir:
        transaction = Transaction(CpufreqBackend(kernel), run_dir=Path(run_dir), verb="tune", files=kernel)
        with transaction:
            transaction.apply(Setting(min=500_000, **ours))
            for path, text in theirs.items():
                kernel.write(path, text)
            report = transaction.restore()
    assert report.foreign == theirs
    assert kernel.texts() == {**start, **theirs}
