"""A settable share of one host core for each vCPU thread: CFS bandwidth control through cgroup v1 or v2.

A vCPU that may run 12 ms of every 50 ms does a quarter of the work per second: that is how a P-state becomes slower.

* v1 (Documentation/scheduler/sched-bwc.rst): single threads may be put in any group of the `cpu` hierarchy.
* v2 (Documentation/admin-guide/cgroup-v2.rst, "Threads"): a group takes single threads only when it is `threaded`, and
  then the whole process must sit in the group above it, the thread domain.

Both get the same two levels, `hwtune-rig-PID/vcpuN`, at the top of the mounted hierarchy (the only place of v2 where a
group with processes may hand controllers down, whatever the caller's own group is).
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rig.chip import PSTATES
from rig.errors import RigError

_MIN_QUOTA_US = 1000  # the kernel refuses less
# Shorter bursts lose more to cold caches and to neighbours on the host, most at the lowest P-states: a loop at 2000
# MHz, ideally 1.8 times as long as at 3600, took 2.5 times with periods of 20 ms and 1.8 times with 50 ms, in which
# its energy has the minimum that the table of the chip says. Two whole periods fit the window of the meter.
_MIN_PERIOD_US = 50_000


@dataclass(frozen=True, slots=True)
class Hierarchy:
    """Where the CPU controller is: the top folder of its mounted hierarchy, and which interface it speaks."""

    version: Literal[1, 2]
    root: Path


def find_hierarchy(mountinfo: Path = Path("/proc/self/mountinfo")) -> Hierarchy | None:
    """The hierarchy whose groups can limit CPU time, or None when there is none that can be written."""
    found: list[Hierarchy] = []
    for line in mountinfo.read_text().splitlines():
        fields, _, tail = line.partition(" - ")
        root = Path(fields.split()[4].replace("\\040", " "))
        kind, _, options = tail.split(" ", 2)
        if kind == "cgroup" and "cpu" in options.split()[-1].split(","):
            found.append(Hierarchy(1, root))
        elif kind == "cgroup2" and "cpu" in _read(root / "cgroup.controllers").split():
            found.append(Hierarchy(2, root))
    return next((h for h in found if os.access(h.root, os.W_OK)), None)


def require_hierarchy() -> Hierarchy:
    """As `find_hierarchy`, with the reason when there is none."""
    hierarchy = find_hierarchy()
    if hierarchy is None:
        raise RigError(
            "no cgroup hierarchy with a CPU controller can be written here, so P-states cannot slow the guest's CPUs",
            hint="run as root outside a container (or in a privileged one); --no-silicon boots with CPUs that all run "
            "at full speed and a meter that only follows the P-state",
        )
    return hierarchy


def group_of(hierarchy: Hierarchy, pid: int) -> Path:
    """The group of one rig, named after the process id of its QEMU."""
    return hierarchy.root / f"hwtune-rig-{pid}"


def period_for(share: float) -> int:
    """The shortest period in µs (50 ms or more) whose slowest P-state is still a quota that the kernel accepts."""
    slowest = share * PSTATES[-1].mhz / PSTATES[0].mhz
    return max(_MIN_PERIOD_US, round(_MIN_QUOTA_US / slowest + 0.5))


class VcpuQuotas:
    """One group per vCPU thread, with a share of a host core that can be changed at any time."""

    def __init__(self, hierarchy: Hierarchy, pid: int, tids: Sequence[int], period_us: int) -> None:
        """Creates the groups and moves the threads; the shares are unlimited until set.

        Args:
            hierarchy: From `find_hierarchy`.
            pid: Process id of QEMU.
            tids: Thread ids of its vCPUs.
            period_us: CFS period in µs.
        """
        self._hierarchy = hierarchy
        self._period_us = period_us
        self._group = group_of(hierarchy, pid)
        self._vcpus = [self._group / f"vcpu{i}" for i in range(len(tids))]
        self._enabled_cpu_at_root = False
        if hierarchy.version == 1:
            self._create_v1(tids)
        else:
            self._create_v2(pid, tids)

    def _create_v1(self, tids: Sequence[int]) -> None:
        self._group.mkdir(exist_ok=True)
        for folder, tid in zip(self._vcpus, tids, strict=True):
            folder.mkdir(exist_ok=True)
            write_value(folder / "cpu.cfs_period_us", self._period_us)
            write_value(folder / "tasks", tid)

    def _create_v2(self, pid: int, tids: Sequence[int]) -> None:
        top = self._hierarchy.root / "cgroup.subtree_control"
        if "cpu" not in _read(top).split():
            write_value(top, "+cpu")
            self._enabled_cpu_at_root = True
        self._group.mkdir(exist_ok=True)
        if _read(self._group / "cgroup.type").strip() == "domain invalid":
            # in a container the top itself holds processes, so it is a thread domain and takes threaded groups only
            write_value(self._group / "cgroup.type", "threaded")
        write_value(self._group / "cgroup.procs", pid)
        for folder in self._vcpus:
            folder.mkdir(exist_ok=True)
            write_value(folder / "cgroup.type", "threaded")
        write_value(self._group / "cgroup.subtree_control", "+cpu")
        for folder, tid in zip(self._vcpus, tids, strict=True):
            write_value(folder / "cgroup.threads", tid)

    def set_share(self, vcpu: int, share: float) -> None:
        """Lets a vCPU run this share of one host core (1.0 = all of it)."""
        quota_us = max(_MIN_QUOTA_US, round(self._period_us * share))
        if self._hierarchy.version == 1:
            write_value(self._vcpus[vcpu] / "cpu.cfs_quota_us", quota_us)
        else:
            write_value(self._vcpus[vcpu] / "cpu.max", f"{quota_us} {self._period_us}")

    def remove(self) -> None:
        """Removes the groups, once QEMU has ended, and what was changed above them."""
        remove_group(self._group)
        if self._enabled_cpu_at_root:
            with suppress(OSError):  # somebody else uses it by now
                write_value(self._hierarchy.root / "cgroup.subtree_control", "-cpu")


def remove_group(group: Path, *, patience_s: float = 5.0) -> None:
    """Removes a rig's group with its vCPU groups; a dead thread may stay in its group for a moment, so it tries again.

    Raises:
        OSError: A group is still busy after `patience_s` seconds.
    """
    deadline = time.monotonic() + patience_s
    for folder in [*sorted(group.glob("vcpu*")), group]:
        while True:
            try:
                folder.rmdir()
                break
            except FileNotFoundError:
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)


def write_value(path: Path, value: int | str) -> None:
    """One write, as the kernel wants it, so that its refusal is seen here."""
    fd = os.open(path, os.O_WRONLY)
    try:
        os.write(fd, str(value).encode())
    finally:
        os.close(fd)


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
