"""Knobs on a real kernel: apply, read back, clamp, reject, tunables; and everything put back, whatever ends us."""

from __future__ import annotations

import json
import signal
import time
from typing import Any

import pytest
from rig.calls import CPUFREQ
from rig.link import Job
from rig.machine import Rig

pytestmark = pytest.mark.rig


@pytest.fixture(autouse=True)
def _at_full_speed(rig: Rig) -> None:
    """Nothing here is timed."""
    rig.set_throttle(False)


def hwtune(rig: Rig, *words: str) -> Any:
    return json.loads(rig.run(["hwtune", *words, "--json"]).check().stdout)


def refused(rig: Rig, *words: str) -> tuple[int, str]:
    result = rig.run(["hwtune", *words])
    assert result.stderr.startswith("error: "), result.stderr
    assert "hint: " in result.stderr
    return result.returncode, result.stderr


def test_probe(rig: Rig) -> None:
    text = rig.run(["hwtune", "probe"]).check().stdout
    assert "acpi-cpufreq" in text
    assert "800 to 3600 MHz, 8 levels" in text
    assert "EMULATED" in text


def test_apply_is_read_back_and_restore_is_byte_exact(rig: Rig) -> None:
    before = rig.cpufreq()
    said = hwtune(rig, "apply", "governor=ondemand", "max=2.4GHz", "min=1200MHz", "ondemand.up_threshold=60")
    assert {outcome["result"] for outcome in said["outcomes"]} == {"applied"}
    for policy in ("policy0", "policy1"):
        assert rig.read(f"{CPUFREQ}/{policy}/scaling_governor") == "ondemand\n"
        assert rig.read(f"{CPUFREQ}/{policy}/scaling_max_freq") == "2400000\n"
        assert rig.read(f"{CPUFREQ}/{policy}/scaling_min_freq") == "1200000\n"
    assert rig.read(f"{CPUFREQ}/ondemand/up_threshold") == "60\n"
    assert rig.cpufreq() != before
    rig.run(["hwtune", "restore"]).check()
    assert rig.cpufreq() == before


def firmware_limit(rig: Rig, pstate: int, khz: int) -> None:
    """The firmware changes its mind, and the kernel has noticed."""
    rig.set_highest_pstate(pstate)
    deadline = time.monotonic() + 20
    while rig.read(f"{CPUFREQ}/policy0/bios_limit") != f"{khz}\n":
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_a_firmware_limit_clamps_and_is_told(rig: Rig) -> None:
    before = rig.cpufreq()
    rig.run(["hwtune", "apply", "max=2000MHz"]).check()
    firmware_limit(rig, 3, 2_400_000)
    said = hwtune(rig, "apply", "max=3200MHz")
    (outcome,) = said["outcomes"]
    assert (outcome["result"], outcome["effective"]) == ("clamped", "2400000")
    firmware_limit(rig, 0, 3_600_000)
    rig.run(["hwtune", "restore"]).check()
    assert rig.cpufreq() == before


def test_what_the_kernel_would_refuse_is_refused_before(rig: Rig) -> None:
    before = rig.cpufreq()
    status, said = refused(rig, "apply", "min=3GHz", "max=1.2GHz")
    assert status == 2
    assert "min" in said
    assert rig.cpufreq() == before


def test_one_policy_alone_and_somebody_elses_value(rig: Rig) -> None:
    rig.run(["hwtune", "apply", "max=2000MHz", "policy1.max=1600000", "governor=performance"]).check()
    assert rig.read(f"{CPUFREQ}/policy0/scaling_max_freq") == "2000000\n"
    assert rig.read(f"{CPUFREQ}/policy1/scaling_max_freq") == "1600000\n"
    rig.write(f"{CPUFREQ}/policy0/scaling_max_freq", "1200000")
    rig.run(["hwtune", "restore"])
    assert rig.read(f"{CPUFREQ}/policy0/scaling_max_freq") == "1200000\n"
    assert rig.read(f"{CPUFREQ}/policy1/scaling_max_freq") == "3600000\n"
    assert rig.read(f"{CPUFREQ}/policy0/scaling_governor") == "schedutil\n"


def started_tuning(rig: Rig, before: dict[str, str]) -> Job:
    """A tuner in the middle of its work, at a moment when the machine is not as it was found."""
    job = rig.start(["hwtune", "tune", "--objective", "time", "--budget", "8", "--runs", "1", "--", "sleep", "0.3"])
    deadline = time.monotonic() + 120
    while rig.cpufreq() == before:
        assert job.poll() is None, job.stderr
        assert time.monotonic() < deadline, "the tuner changed nothing"
        time.sleep(0.05)
    return job


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_tuner_that_is_interrupted_puts_everything_back(rig: Rig, number: signal.Signals, status: int) -> None:
    before = rig.cpufreq()
    job = started_tuning(rig, before)
    job.send_signal(number)
    result = job.wait(60)
    assert result.returncode == status, result.stderr
    assert rig.cpufreq() == before
    assert "Everything is back as it was." in result.stdout


def test_a_killed_tuner_leaves_a_journal_and_restore_puts_everything_back(rig: Rig) -> None:
    before = rig.cpufreq()
    job = started_tuning(rig, before)
    job.send_signal(signal.SIGKILL)
    job.wait(60)
    assert rig.cpufreq() != before
    rig.run(["hwtune", "restore"]).check()
    assert rig.cpufreq() == before
    assert rig.snapshot("/run/hwtune/journal.json") == {}
