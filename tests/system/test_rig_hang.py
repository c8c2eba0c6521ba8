"""A machine that hangs is found out, described and replaced; its test is repeated, and only for that reason."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from rig.diagnosis import describe_threads
from rig.errors import RigHung
from rig.machine import Rig

SYSTEM_TESTS = Path(__file__).parent

# A session of its own with a machine that is only pretended. Its n-th boot hangs, or goes down, where PLAN says.
CONFTEST = f"""
import sys
import pytest
sys.path.insert(0, {str(SYSTEM_TESTS)!r})
from rig.errors import RigError, RigHung, RigTimeout
from rig.standing import Standing, pytest_collection_modifyitems, pytest_terminal_summary, report_lost, rig

PLAN = {{plan!r}}
boots = []

class Pretended:
    def __init__(self):
        self.lost = None
        self.calls = 0

    def __enter__(self):
        boots.append(self)
        return self

    def use(self):
        if self.lost:
            raise self.lost
        self.calls += 1
        fate = PLAN.get((len(boots), self.calls))
        if fate:
            self.lost = RigHung("it hangs", emulator="CPU 0 spins") if fate == "hang" else RigError("it went down")
            raise self.lost

    ping = put_back = use

    def close(self):
        print(f"closed {{{{boots.index(self) + 1}}}}")

@pytest.fixture(scope="session")
def standing_rig(pytestconfig):
    standing = Standing(Pretended, report_lost(pytestconfig))
    yield standing
    standing.close()
"""
TESTS = """
import pytest
from rig.errors import RigTimeout

def test_one(rig):
    rig.use()

def test_two(rig):
    rig.use()
"""


def session(folder: Path, plan: dict[tuple[int, int], str], tests: str = TESTS) -> tuple[str, dict[str, str]]:
    """What a session of pytest says, and its counts of outcomes. The calls of a boot: use, put back, ping, use, …"""
    (folder / "conftest.py").write_text(CONFTEST.format(plan=plan))
    (folder / "test_it.py").write_text(tests)
    command = [sys.executable, "-m", "pytest", "-p", "pytest_rerunfailures", "-p", "no:cacheprovider"]
    command += ["--strict-markers", "-W", "error", "-raR", "--rootdir", str(folder), str(folder)]
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    text = subprocess.run(command, capture_output=True, text=True, check=False, env=environment).stdout
    counts = text.splitlines()[-1].strip("= ").split(" in ")[0]
    return text, {name.rstrip("s"): number for number, name in (part.split() for part in counts.split(", "))}


def test_a_machine_that_answers_stays(tmp_path: Path) -> None:
    text, counts = session(tmp_path, {})
    assert counts == {"passed": "2"}
    assert "lost" not in text


def test_a_test_whose_machine_hung_is_repeated_on_a_fresh_one_and_that_is_said(tmp_path: Path) -> None:
    text, counts = session(tmp_path, {(1, 1): "hang"})
    assert counts == {"passed": "2", "rerun": "1"}
    assert "RERUN test_it.py::test_one" in text
    assert text.count("WARNING: a machine of the rig was lost and replaced") == 1
    assert "in test_it.py::test_one: it hangs\n--- the emulator ---\nCPU 0 spins" in text


def test_a_second_hang_of_the_same_test_is_a_failure(tmp_path: Path) -> None:
    text, counts = session(tmp_path, {(1, 1): "hang", (2, 1): "hang"})
    assert counts == {"passed": "1", "failed": "1", "rerun": "1"}
    assert text.count("WARNING: a machine of the rig was lost and replaced") == 2


@pytest.mark.parametrize("fate", ["hang", "down"])
def test_a_machine_found_dead_before_a_test_costs_no_test(tmp_path: Path, fate: str) -> None:
    text, counts = session(tmp_path, {(1, 3): fate})  # use, put back, ping
    assert counts == {"passed": "2"}
    assert "before test_it.py::test_two: it " in text


def test_a_hang_while_putting_back_costs_no_test(tmp_path: Path) -> None:
    text, counts = session(tmp_path, {(1, 2): "hang"})
    assert counts == {"passed": "2"}
    assert "after test_it.py::test_one: it hangs" in text


def test_a_guest_that_went_down_fails_its_test_once_and_is_not_repeated(tmp_path: Path) -> None:
    """That is what a kernel does that the product made panic."""
    assert session(tmp_path, {(1, 1): "down"})[1] == {"passed": "1", "failed": "1"}
    assert session(tmp_path, {(1, 2): "down"})[1] == {"passed": "2", "error": "1"}


def test_no_other_failure_is_repeated(tmp_path: Path) -> None:
    bad = ("assert False", "raise RigTimeout('killed after 1 s: sleep')", "raise OSError(5, 'in the guest')")
    tests = "".join(f"\ndef test_bad_{i}(rig):\n    {failure}\n" for i, failure in enumerate(bad))
    text, counts = session(tmp_path, {}, TESTS + tests)
    assert counts == {"passed": "2", "failed": "3"}
    assert "RERUN" not in text


@pytest.mark.rig  # boots nothing, but beside other workers a task may wait for seconds: it goes where there are none
def test_threads_that_run_and_threads_that_wait() -> None:
    program = [sys.executable, "-c", "print(flush=True)\nwhile True: pass"]
    with subprocess.Popen(program, stdout=subprocess.PIPE, start_new_session=True) as spinning:
        assert spinning.stdout is not None and spinning.stdout.read(1)
        for _ in range(30):  # a busy host may not let it run at once
            (line,) = describe_threads(spinning.pid, apart_s=0.3)
            if "ran 0.00 s" not in line:
                break
        spinning.send_signal(signal.SIGSTOP)
        (stopped,) = describe_threads(spinning.pid, apart_s=0.1)
        spinning.kill()
    assert "then R" in line
    assert "ran 0.00 s" not in line
    assert "then T" in stopped
    assert "ran 0.00 s of 0.1 s" in stopped
    assert describe_threads(spinning.pid, apart_s=0.0) == [f"process {spinning.pid} has no threads any more"]


def emulators() -> list[psutil.Process]:
    return [child for child in psutil.Process().children() if child.name().startswith("qemu")]


@pytest.mark.rig
def test_a_stopped_emulator_is_a_hang_with_a_diagnosis_and_leaves_nothing(rig: Rig) -> None:
    """A machine of its own; the session's is asked for so that a host without one skips this test."""
    before = emulators()
    with Rig() as own:
        (emulator,) = (child for child in emulators() if child not in before)
        own.ping()
        os.kill(emulator.pid, signal.SIGSTOP)
        with pytest.raises(RigHung) as caught:
            own.ping(timeout_s=2)
        began = time.monotonic()
        with pytest.raises(RigHung):
            own.cpufreq()
        assert time.monotonic() - began < 1  # it is known by now
        groups = list(Path("/sys/fs/cgroup").glob(f"**/hwtune-rig-{emulator.pid}"))
        assert groups
    said = str(caught.value)
    assert "did not answer in 2 s" in said
    assert "the silicon lives" in said
    assert "CPU 0/TCG" in said
    assert "then T do_signal_stop; ran 0.00 s" in said
    assert "QEMU's monitor does not answer" in said
    assert not any(group.exists() for group in groups)
    assert not psutil.pid_exists(emulator.pid)
    rig.ping()


@pytest.mark.rig
def test_a_guest_that_lives_tells_of_itself(rig: Rig) -> None:
    """Nothing is wrong with it but its caller's patience, so every witness has something to say."""
    with Rig() as own, pytest.raises(RigHung) as caught:
        own.ping(timeout_s=0)
    said = str(caught.value)
    assert "'status': 'running'" in said
    assert "HLT=1" in said
    assert "the guest's agent:\ntask:python" in said
    assert "sysrq: Show Blocked State" in said
