"""A machine that goes down at a write, and comes up again: the unmodified program on true paths."""

from __future__ import annotations

import signal
import sys

import pytest
from fake.faults import Fault
from fake.namespace import Machine, why_not

BOOST = "/sys/devices/system/cpu/cpufreq/boost"


def test_what_took_the_machine_down_is_not_tried_again() -> None:
    if reason := why_not():
        pytest.skip(reason)

    def hwtune(*words: str, status: int = 0) -> str:
        done = machine.run([sys.executable, "-m", "hwtune", *words])
        assert done.returncode == status, (words, done.stdout, done.stderr)
        return done.stdout + done.stderr

    with Machine("acpi_cpufreq") as machine:
        machine.control.faults([Fault(pattern="*/boost", operation="write", action="kill_after")])
        hwtune("apply", "governor=powersave", "boost=0", "max=2GHz", status=-signal.SIGKILL)
        machine.control.faults([])
        machine.control.reboot()
        assert "boost = 0 with acpi-cpufreq" in hwtune("quarantine", "list")
        start = machine.control.state()
        said = hwtune("apply", "boost=0", "max=2GHz", status=1)
        assert "boost = 0 not set: in quarantine" in said
        assert "hint: everything is as it was; `hwtune quarantine clear boost`" in said
        assert machine.control.state() == start
        hwtune("apply", "max=2GHz")
        hwtune("restore")
        hwtune("quarantine", "clear", "boost")
        hwtune("apply", "boost=0")
        assert machine.control.read(BOOST).strip() == "0"
        hwtune("restore")
        assert machine.control.state() == start
