"""The parts of the rig that need no machine: the model, the bookkeeping of cgroups, the ACPI table's text."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from rig import quota
from rig.chip import IDLE_MW, PSTATES, REGISTER_PORTS
from rig.guest.agent import Agent, Job
from rig.helper import pin
from rig.machine import Rig
from rig.quota import Hierarchy, VcpuQuotas, find_hierarchy, period_for, remove_group
from rig.silicon import Silicon
from rig.ssdt import ssdt


class FakeCgroupFs:
    """A folder that takes every write of the quotas and keeps their order; the kernel's own files appear with mkdir."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root = root
        self.writes: list[tuple[str, str]] = []
        monkeypatch.setattr(quota, "write_value", self.write)

    def write(self, path: Path, value: int | str) -> None:
        assert path.parent.is_dir()
        self.writes.append((str(path.relative_to(self.root)), str(value)))


def mountinfo(tmp_path: Path, *lines: str) -> Path:
    path = tmp_path / "mountinfo"
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def test_finds_v1_also_when_controllers_share_a_mount(tmp_path: Path) -> None:
    line = f"33 24 0:29 / {tmp_path} rw shared:9 - cgroup cgroup rw,cpu,cpuacct"
    assert find_hierarchy(mountinfo(tmp_path, line)) == Hierarchy(1, tmp_path)


def test_finds_v2_only_with_a_cpu_controller(tmp_path: Path) -> None:
    info = mountinfo(tmp_path, f"30 23 0:26 / {tmp_path} rw shared:4 - cgroup2 cgroup2 rw,nsdelegate")
    (tmp_path / "cgroup.controllers").write_text("cpuset memory pids\n")
    assert find_hierarchy(info) is None
    (tmp_path / "cgroup.controllers").write_text("cpuset cpu memory pids\n")
    assert find_hierarchy(info) == Hierarchy(2, tmp_path)


def test_v1_moves_threads_and_sets_quotas(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeCgroupFs(tmp_path, monkeypatch)
    quotas = VcpuQuotas(Hierarchy(1, tmp_path), 42, [100, 101], 20_000)
    quotas.set_share(1, 0.25)
    assert fake.writes == [
        ("hwtune-rig-42/vcpu0/cpu.cfs_period_us", "20000"),
        ("hwtune-rig-42/vcpu0/tasks", "100"),
        ("hwtune-rig-42/vcpu1/cpu.cfs_period_us", "20000"),
        ("hwtune-rig-42/vcpu1/tasks", "101"),
        ("hwtune-rig-42/vcpu1/cpu.cfs_quota_us", "5000"),
    ]
    quotas.remove()
    assert list(tmp_path.iterdir()) == []


def test_v2_makes_a_threaded_subtree_in_the_order_the_kernel_wants(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cgroup.subtree_control").write_text("memory pids\n")
    fake = FakeCgroupFs(tmp_path, monkeypatch)
    quotas = VcpuQuotas(Hierarchy(2, tmp_path), 42, [100], 20_000)
    quotas.set_share(0, 0.5)
    quotas.remove()
    assert fake.writes == [
        ("cgroup.subtree_control", "+cpu"),
        ("hwtune-rig-42/cgroup.procs", "42"),
        ("hwtune-rig-42/vcpu0/cgroup.type", "threaded"),
        ("hwtune-rig-42/cgroup.subtree_control", "+cpu"),
        ("hwtune-rig-42/vcpu0/cgroup.threads", "100"),
        ("hwtune-rig-42/vcpu0/cpu.max", "10000 20000"),
        ("cgroup.subtree_control", "-cpu"),
    ]


def test_v2_leaves_a_controller_that_was_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cgroup.subtree_control").write_text("cpu pids\n")
    fake = FakeCgroupFs(tmp_path, monkeypatch)
    VcpuQuotas(Hierarchy(2, tmp_path), 42, [100], 20_000).remove()
    assert ("cgroup.subtree_control", "+cpu") not in fake.writes
    assert ("cgroup.subtree_control", "-cpu") not in fake.writes


def test_group_that_is_gone_is_no_error(tmp_path: Path) -> None:
    remove_group(tmp_path / "hwtune-rig-1")


def test_each_vcpu_has_a_host_cpu_of_its_own_where_there_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    pinned: dict[int, set[int]] = {}
    monkeypatch.setattr(os, "sched_setaffinity", pinned.__setitem__)
    pin([11, 12, 13], [0, 1])
    assert pinned == {}
    pin([11, 12], [0, 1, 2])
    assert pinned == {11: {0}, 12: {1}}


@pytest.mark.parametrize("share", [0.05, 0.25, 0.5, 1.0])
def test_slowest_pstate_is_a_quota_the_kernel_takes(share: float) -> None:
    assert period_for(share) * share * PSTATES[-1].mhz / PSTATES[0].mhz >= 1000


def test_fully_busy_core_draws_its_pstates_power() -> None:
    silicon = Silicon(2, 0.5)
    silicon.throttled = True
    for state, row in enumerate(PSTATES):
        silicon.states[0] = state
        silicon.ran([0.1 * silicon.capacity(0), 0.0])
        silicon.advance(0.1, ac_online=False)
        assert silicon.power_mw == pytest.approx(IDLE_MW + row.busy_mw)


def test_energy_of_work_has_its_minimum_at_2000_mhz() -> None:
    """Fixed work: time goes with 1/f, so energy is (idle + busy power) / f."""
    energy = {p.mhz: (IDLE_MW + p.busy_mw) / p.mhz for p in PSTATES}
    best = min(energy, key=energy.__getitem__)
    assert best in (1600, 2000)
    assert 1 - energy[2000] / energy[3600] == pytest.approx(0.28, abs=0.02)


def test_agent_takes_an_end_of_output_after_the_end_of_its_job(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both can be in one batch of events, in this order; PID 1 must not fall over it."""
    agent, job = Agent.__new__(Agent), Job.__new__(Job)
    job.pipes = {}  # `finish` has emptied and closed them
    sent: list[object] = []
    monkeypatch.setattr(Agent, "send", lambda *args, **kwargs: sent.append((args, kwargs)))
    agent.on_output(job, "stdout")
    assert sent == []


def test_table_text_follows_the_topology() -> None:
    own, shared = ssdt(2, "own"), ssdt(2, "shared")
    assert f"0x{REGISTER_PORTS[1]:X}" in own
    assert f"0x{REGISTER_PORTS[1]:X}" not in shared


@pytest.mark.rig
def test_v2_on_a_real_kernel(rig: Rig) -> None:
    """The guest has cgroup v2 only: there a process throttles one of its own threads."""
    script = f"""
import sys, os, threading, time
sys.path.insert(0, {str(Path(quota.__file__).parents[1])!r})
from rig.quota import VcpuQuotas, require_hierarchy
tids, stop = [], False
def spin():
    tids.append(threading.get_native_id())
    while not stop: pass
sys.setswitchinterval(0.001)
thread = threading.Thread(target=spin); thread.start()
while not tids: time.sleep(0.01)
hierarchy = require_hierarchy()
quotas = VcpuQuotas(hierarchy, os.getpid(), tids, 20000)
quotas.set_share(0, 0.2)
ran = lambda: int(open(f'/proc/self/task/{{tids[0]}}/schedstat').read().split()[0])
a, t = ran(), time.monotonic(); time.sleep(2)
print(hierarchy.version, (ran() - a) / 1e9 / (time.monotonic() - t))
stop = True; thread.join()
open(hierarchy.root / 'cgroup.procs', 'w').write(str(os.getpid()))
quotas.remove()
print(os.path.exists(hierarchy.root / f'hwtune-rig-{{os.getpid()}}'))
"""
    version, share, left = rig.run(["python", "-I", "-c", script]).check().stdout.split()
    assert (version, left) == ("2", "False")
    assert 0.1 < float(share) < 0.3


def test_help_reads_well() -> None:
    text = subprocess.run(
        [sys.executable, "-m", "rig", "--help"],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert text.startswith("usage: scripts/rig [OPTIONS] CMD")
    for option in (
        "--cpus",
        "--topology",
        "--share",
        "--ac",
        "--env",
        "--timeout",
        "--out",
        "--log",
        "--keep",
        "--install",
    ):
        assert option in text
