"""The process that plays the chip beside QEMU: obeys the P-state registers, publishes telemetry, cleans up last.

A process of its own, because it must not wait for the tests' Python: it looks at the registers a hundred times a
second. It ends when QEMU does and removes its cgroups then, so also when the rig's own process was killed. The rig
talks to it in JSON lines: on its stdin `{"throttle": true}`, `{"highest_pstate": 3}`, `{"ac_online": true}`; on its
stdout one line when it is ready (or why not).
"""

from __future__ import annotations

import argparse
import json
import mmap
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from rig.chip import PSTATES, TELEMETRY_ADDRESS, Topology, register_port
from rig.errors import RigError
from rig.qmp import QemuGone, Qmp
from rig.quota import VcpuQuotas, period_for, require_hierarchy
from rig.silicon import Silicon

POLL_S = 0.01
WINDOW_S = 0.1


class Helper:
    """Joins one QEMU (its monitor, its vCPU threads, its memory) to one `Silicon`."""

    def __init__(self, qmp: Qmp, ram_fd: int, quotas: VcpuQuotas, tids: list[int], options: argparse.Namespace) -> None:
        topology: Topology = options.topology
        self._qmp = qmp
        self._quotas = quotas
        self._tids = tids
        self._ports = [register_port(cpu, topology) for cpu in range(len(tids))]
        self._page = mmap.mmap(ram_fd, mmap.PAGESIZE, offset=TELEMETRY_ADDRESS)
        self._silicon = Silicon(len(tids), options.share)
        self._ac_online: bool = options.ac
        self._highest_pstate = 0
        self._commands = ""

    def run(self, log: TextIO | None) -> None:
        """Works until QEMU is gone. With a log: time, P-states, mW, °C and J of every window."""
        ran = [_ran_s(tid) for tid in self._tids]
        window_start = time.monotonic()
        while True:
            self._obey_stdin()
            now = [_ran_s(tid) for tid in self._tids]
            # what ran since the last look ran at the P-state seen at that look, because that set its quota
            self._silicon.ran([after - before for before, after in zip(ran, now, strict=True)])
            ran = now
            self._follow_registers()
            elapsed = time.monotonic() - window_start
            if elapsed >= WINDOW_S:
                window_start += elapsed
                self._silicon.advance(elapsed, ac_online=self._ac_online)
                self._publish()
                if log:
                    s = self._silicon
                    print(
                        f"{window_start:.3f}",
                        *s.states,
                        round(s.power_mw),
                        f"{s.temp_c:.1f} {s.energy_j:.3f}",
                        file=log,
                    )
            time.sleep(POLL_S)

    def _follow_registers(self) -> None:
        for cpu, value in enumerate(self._qmp.read_ports(self._ports)):
            state = min(value, len(PSTATES) - 1)
            if state != self._silicon.states[cpu]:
                self._silicon.states[cpu] = state
                self._apply_share(cpu)

    def _apply_share(self, cpu: int) -> None:
        if self._silicon.throttled:
            self._quotas.set_share(cpu, self._silicon.capacity(cpu))

    def _publish(self) -> None:
        data = self._silicon.telemetry(ac_online=self._ac_online, highest_pstate=self._highest_pstate).pack()
        self._page[: len(data)] = data

    def _obey_stdin(self) -> None:
        if not select.select([sys.stdin], [], [], 0)[0]:
            return
        text = os.read(sys.stdin.fileno(), 4096).decode()
        if not text:  # the rig has gone; QEMU is about to follow it, and that ends the loop
            return
        *lines, self._commands = (self._commands + text).split("\n")
        for line in lines:
            command = json.loads(line)
            self._ac_online = command.get("ac_online", self._ac_online)
            self._highest_pstate = command.get("highest_pstate", self._highest_pstate)
            if "throttle" in command:
                self._silicon.throttled = bool(command["throttle"])
                for cpu in range(len(self._tids)):
                    self._quotas.set_share(cpu, self._silicon.capacity(cpu))


def main() -> int:
    """Runs beside the QEMU whose file descriptors it was given."""
    options = _parser().parse_args()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # it ends with QEMU, never before
    try:
        hierarchy = require_hierarchy()
        qmp = Qmp(socket.socket(fileno=options.qmp_fd))
        tids = [int(vcpu["thread-id"]) for vcpu in qmp.execute("query-cpus-fast")]
        pin(tids, sorted(os.sched_getaffinity(0)))
        quotas = VcpuQuotas(hierarchy, options.pid, tids, period_for(options.share))
    except QemuGone:
        print(json.dumps({"error": "QEMU ended at once", "hint": ""}), flush=True)
        return 1
    except RigError as error:
        print(json.dumps({"error": error.message, "hint": error.hint}), flush=True)
        return 1
    except OSError as error:
        print(
            json.dumps({"error": f"cgroup: {error}", "hint": "--no-silicon boots without P-states that matter"}),
            flush=True,
        )
        return 1
    try:
        helper = Helper(qmp, options.ram_fd, quotas, tids, options)
        print(json.dumps({"ready": True}), flush=True)
        if options.log:
            with Path(options.log).open("w", buffering=1) as log:
                helper.run(log)
        else:
            helper.run(None)
    except (QemuGone, FileNotFoundError, ProcessLookupError):
        pass  # the end of the monitor, or of the vCPU threads' files in /proc: QEMU has ended
    finally:
        quotas.remove()
    return 0


def pin(tids: Sequence[int], host_cpus: Sequence[int]) -> None:
    """Each vCPU thread on a host CPU of its own, where there are enough: a wandering one finds its caches cold.

    Args:
        tids: of the vCPU threads.
        host_cpus: numbers of the host's CPUs.
    """
    if len(tids) <= len(host_cpus):
        for tid, cpu in zip(tids, host_cpus, strict=False):
            os.sched_setaffinity(tid, {cpu})


def _ran_s(tid: int) -> float:
    """CPU time of one thread (Documentation/scheduler/sched-stats.rst: /proc/PID/schedstat, first field, ns)."""
    with open(f"/proc/{tid}/schedstat") as file:
        return int(file.read().split()[0]) / 1e9


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pid", type=int, required=True)
    parser.add_argument("--qmp-fd", type=int, required=True)
    parser.add_argument("--ram-fd", type=int, required=True)
    parser.add_argument("--topology", choices=("own", "shared"), required=True)
    parser.add_argument("--share", type=float, required=True)
    parser.add_argument("--ac", action="store_true")
    parser.add_argument("--log", default="")
    return parser


if __name__ == "__main__":
    sys.exit(main())
