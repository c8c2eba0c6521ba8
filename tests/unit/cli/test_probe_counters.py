"""What the probe says of events, at each level of rights."""

from __future__ import annotations

import errno
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from hwtune.cli.host import OpenHost, open_host
from hwtune.cli.probe_counters import counting_permissions, find_counters
from hwtune.host.perf_command import CommandCounters
from hwtune.host.perf_system import LinuxCounters
from hwtune.host.runner import LinuxRunner

sys.path.insert(0, str(Path(__file__).parents[1] / "host"))

from counting_kernel import EXCLUDE_KERNEL, FakePerf


def opened_on(perf: FakePerf) -> OpenHost:
    with open_host(simulate="laptop") as simulated:
        host = replace(
            simulated.host,
            files=perf.files,
            counters=LinuxCounters(perf, perf.files),
            runner=LinuxRunner(CommandCounters(perf, perf.files)),
        )
        return OpenHost(host=host, config=simulated.config, live=True)


def level_2(event):
    return errno.EACCES if event.cpu != -1 or not event.flags & EXCLUDE_KERNEL else None


@pytest.mark.parametrize(
    ("refuse", "system", "command"),
    [
        (lambda event: None, True, "cycles"),
        (level_2, False, "cycles:u"),
        (lambda event: errno.EACCES, False, None),
    ],
    ids=["root", "level 2", "level 3"],
)
def test_what_may_be_counted_and_why_not(tmp_path, refuse, system, command):
    perf = FakePerf(tmp_path, refuse=refuse)
    perf.put("/proc/sys/kernel/perf_event_paranoid", "3" if command is None else "2")
    opened = opened_on(perf)
    found = find_counters(opened)
    assert (found.available, "cycles" in found.events) == (system, system)
    assert (found.why is None and found.hint is None) is system
    assert found.command.available is (command is not None)
    assert found.command.user_only is (command == "cycles:u")
    assert command is None or command in found.command.events
    whole, own = counting_permissions(opened, found)
    assert (whole.available, own.available) == (system, command is not None)
    assert all(each.available or (each.why and each.hint) for each in (whole, own))
    assert ("in user mode" in own.what) is (command == "cycles:u")
    opened.host.counters.close()
    assert perf.events == {}


def test_a_pmu_that_is_shared_is_said(tmp_path):
    perf = FakePerf(tmp_path)
    opened = opened_on(perf)
    opened.host.counters.read()
    perf.run(1.0, {}, share=lambda event: 0.5 if event.type == 0 else 1.0)
    found = find_counters(opened)
    assert "80%" in found.why and "branches" in found.why
    assert found.available


def test_a_machine_that_is_not_running_has_no_commands(tmp_path):
    with open_host(simulate="vm") as opened:
        found = find_counters(opened)
    assert found.command is None and counting_permissions(opened, found) == []
    assert "cycles" not in found.events and found.why
