"""In the rig's guest: runs of a busy loop at every P-state, each measured as `tune` measures, told in JSON lines.

python energy_series.py SECONDS KHZ...
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hwtune.host.clock import LinuxClock
from hwtune.host.fs import LinuxFS
from hwtune.host.machine import Host
from hwtune.host.perf_system import NoCounters
from hwtune.host.runner import Completed, LinuxRunner
from hwtune.sensors.collector import Collector
from hwtune.workload.command import CommandWorkload

CPUFREQ = "/sys/devices/system/cpu/cpufreq"
# Nothing is started while it lasts, so that its length is that of its clock.
BUSY = "end=$((${EPOCHREALTIME/./} + 1000000 * %s)); while ((${EPOCHREALTIME/./} < end)); do :; done"


class TellingRunner(LinuxRunner):
    """Remembers when the last command began and ended."""

    last: Completed

    def run(self, command: Sequence[str], **options: Any) -> Completed:
        self.last = super().run(command, **options)
        return self.last


def main(seconds: str, *levels_khz: str) -> None:
    runner = TellingRunner()
    clock = LinuxClock()
    host = Host(
        name="rig", files=LinuxFS("/"), clock=clock, counters=NoCounters(), runner=runner, run_dir=Path("/run/hwtune")
    )
    collector = Collector(host)
    work = CommandWorkload(
        runner=runner,
        clock=clock,
        sample=collector.sample,
        sample_energy=collector.sample_energy,
        period_s=collector.energy.period_s,
        command=("bash", "-c", BUSY % seconds),
    )
    for khz in levels_khz:
        for policy in sorted(Path(CPUFREQ).glob("policy*")):
            (policy / "scaling_governor").write_text("performance")
            (policy / "scaling_max_freq").write_text(khz)
        run = work.measure(1)[0]
        told = {
            "khz": int(khz),
            "start_s": runner.last.start_ns / 1e9,
            "end_s": runner.last.end_ns / 1e9,
            "energy_j": run.energy_j,
            "source": collector.energy.name,
        }
        print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
