"""What a machine that hangs can still be asked: from outside, through QEMU's monitor, and its kernel by SysRq.

Nothing here waits for long or raises: every witness may be as dead as the machine, and that too is an answer.
"""

from __future__ import annotations

import re
import socket
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from rig.qmp import QemuGone, Qmp
from rig.quota import find_hierarchy, group_of

_LOOKS_APART_S = 1.0
_MONITOR_PATIENCE_S = 5.0
# Documentation/admin-guide/sysrq.rst: all tasks, memory, backtraces of active CPUs, blocked tasks. The console's end is
# what is read first, so the shortest and most telling come last; of all tasks only the agent is picked out.
_SYSRQ_KEYS = b"tmlw"
_AGENT = re.compile(r"task:\S+ +state:\S+ +stack:\S* *\d* +pid: *1 .*?(?=task:|sysrq:|\Z)", re.DOTALL)
_SYSRQ_PATIENCE_S = 5.0
# QEMU's `mux=on`: Ctrl-A b on its standard input is a break on the serial line, and Linux takes that for SysRq
_BREAK = b"\x01b"


def examine(
    qemu: subprocess.Popen[bytes],
    silicon: subprocess.Popen[str] | None,
    monitor: socket.socket,
    cpus: int,
    console: Callable[[], str],
) -> str:
    """All that can be found out, in 10 to 20 s.

    Args:
        qemu: With the guest's serial line as its standard input.
        silicon: The process beside it, or None when the rig has none.
        monitor: A monitor of QEMU's that nobody else has spoken to.
        cpus: Number of vCPUs.
        console: Gives the guest's console so far.
    """
    assert qemu.stdin is not None
    if silicon is None:
        lines = ["the silicon was never started"]
    else:
        ended = silicon.poll()
        lines = ["the silicon lives" if ended is None else f"the silicon has ended with status {ended}"]
        lines += describe_threads(silicon.pid)
    lines += describe_threads(qemu.pid)
    lines += describe_quotas(qemu.pid)
    lines += ask_monitor(monitor, cpus)
    lines += ask_kernel(qemu.stdin, console)
    return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class _Thread:
    """A thread of the host at one moment (Documentation/filesystems/proc.rst); `ran_s` is its CPU time so far."""

    name: str
    state: str
    wchan: str
    ran_s: float


def describe_threads(pid: int, *, apart_s: float = _LOOKS_APART_S) -> list[str]:
    """A line for each thread of a process: does it run, or where in the host's kernel does it wait?"""
    before = _threads(pid)
    time.sleep(apart_s)
    lines = []
    for tid, now in _threads(pid).items():
        was = before.get(tid, now)
        ran = f"ran {now.ran_s - was.ran_s:.2f} s of {apart_s:g} s, {now.ran_s:.1f} s in all"
        lines.append(f"{now.name} ({tid}): {was.state} {was.wchan}, then {now.state} {now.wchan}; {ran}")
    return lines or [f"process {pid} has no threads any more"]


def _threads(pid: int) -> dict[str, _Thread]:
    found = {}
    for task in sorted(Path(f"/proc/{pid}/task").glob("*")):
        try:
            # comm may hold blanks and brackets; the state follows its closing one
            state = (task / "stat").read_text().rpartition(")")[2].split()[0]
            ran_s = int((task / "schedstat").read_text().split()[0]) / 1e9
            name, wchan = ((task / file).read_text().strip() for file in ("comm", "wchan"))
        except OSError:
            continue  # it has ended
        found[task.name] = _Thread(name, state, wchan if wchan != "0" else "-", ran_s)
    return found


def describe_quotas(pid: int) -> list[str]:
    """How the vCPUs' groups are limited, and how often they were held back so far."""
    hierarchy = find_hierarchy()
    if hierarchy is None:
        return []
    lines = []
    for group in sorted(group_of(hierarchy, pid).glob("vcpu*")):
        limit = group / ("cpu.cfs_quota_us" if hierarchy.version == 1 else "cpu.max")
        try:
            lines.append(f"{group.name}: {limit.name} {limit.read_text().strip()}, {_one_line(group / 'cpu.stat')}")
        except OSError:
            continue  # it is being removed
    return lines or ["no groups of the vCPUs"]


def _one_line(path: Path) -> str:
    return ", ".join(path.read_text().splitlines())


def ask_monitor(monitor: socket.socket, cpus: int) -> list[str]:
    """What QEMU says of itself and its vCPUs: run state, program counters, halted or not, pending interrupts."""
    monitor.settimeout(_MONITOR_PATIENCE_S)
    try:
        qmp = Qmp(monitor)
        lines = [f"query-status: {qmp.execute('query-status')}"]
        commands = ["info registers -a", *(f"info lapic {cpu}" for cpu in range(cpus))]
        for command in commands:
            text = qmp.execute("human-monitor-command", **{"command-line": command})
            lines += [line.strip() for line in text.splitlines() if re.match(r"CPU#|RIP=|ISR|IRR", line)]
    except (QemuGone, OSError, RuntimeError, ValueError) as error:
        return [f"QEMU's monitor does not answer: {error!r}"]
    return lines


def ask_kernel(serial: IO[bytes], console: Callable[[], str]) -> list[str]:
    """Has the guest's kernel print tasks, memory and backtraces on its console (SysRq over the serial line)."""
    at_first = len(console())
    for key in _SYSRQ_KEYS:
        try:
            serial.write(_BREAK + bytes([key]))
            serial.flush()
        except OSError as error:
            return [f"the serial line is gone: {error}"]
        _until_quiet(console)
        if len(console()) == at_first:
            return ["SysRq: the guest's kernel printed nothing, so it takes no interrupts of its serial port"]
    printed = console()[at_first:]
    agent = _AGENT.search(printed)
    said = f"SysRq: the guest's kernel is alive and printed {len(printed)} characters, see the console"
    return [said, "the guest's agent:", agent[0].strip() if agent else "not among the tasks"]


def _until_quiet(console: Callable[[], str]) -> None:
    """Waits until the console has begun to grow and has stopped again."""
    deadline = time.monotonic() + _SYSRQ_PATIENCE_S
    at_first = last = len(console())
    while time.monotonic() < deadline:
        time.sleep(0.5)
        now = len(console())
        if now == last and now != at_first:
            return
        last = now
