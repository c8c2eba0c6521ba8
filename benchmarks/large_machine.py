"""The files that a collector reads, of a machine with any number of CPUs, as plain files in a directory.

Laid out as Linux shows an x86 server: a cpufreq policy per CPU with 16 frequencies, four idle states, a package of 64
CPUs with its RAPL zone and temperature, and a /proc/stat whose `intr` line is long.
"""

from __future__ import annotations

import os
from pathlib import Path

from hwtune.host.fs import LinuxFS
from hwtune.host.perf_event import LinuxPerf

_CPU = "sys/devices/system/cpu"
_STATES = ("POLL", "C1", "C1E", "C6")
_PSI = "some avg10=1.02 avg60=0.71 avg300=0.44 total=11826819\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=7"
_CPUS_OF_A_PACKAGE = 64


class KernelLike(LinuxFS):
    """A directory whose files are read as the kernel's own are: through descriptors that stay open."""

    live = True  # type: ignore[assignment]


class FoldedPerf(LinuxPerf):
    """Real event counters for more CPUs than there are: those that are missing share the ones that are not."""

    def open(self, attr: bytes, *, pid: int, cpu: int, group: int) -> int:
        """See `PerfCalls.open`."""
        return super().open(attr, pid=pid, cpu=cpu % (os.cpu_count() or 1), group=group)


def build(folder: Path, cpus: int) -> list[Path]:
    """Write the files; returns those that are read at every sample."""
    texts = {
        "proc/stat": _stat(cpus),
        **{f"proc/pressure/{resource}": _PSI for resource in ("cpu", "memory", "io")},
    }
    facts = {f"{_CPU}/online": f"0-{cpus - 1}", f"{_CPU}/cpuidle/current_driver": "intel_idle"}
    for cpu in range(cpus):
        policy = f"{_CPU}/cpufreq/policy{cpu}"
        texts[f"{policy}/scaling_cur_freq"] = str(800_000 + cpu)
        texts[f"{policy}/stats/time_in_state"] = "\n".join(f"{800_000 + 100_000 * n} {12_345 * n}" for n in range(16))
        facts |= {f"{policy}/affected_cpus": str(cpu), f"{policy}/scaling_driver": "acpi-cpufreq"}
        for number, name in enumerate(_STATES):
            state = f"{_CPU}/cpu{cpu}/cpuidle/state{number}"
            facts[f"{state}/name"] = name
            texts[f"{state}/time"] = str(123_456_789 * (number + 1) + cpu)
    for package in range(-(-cpus // _CPUS_OF_A_PACKAGE)):
        zone, rapl = f"sys/class/thermal/thermal_zone{package}", f"sys/class/powercap/intel-rapl:{package}"
        facts |= {f"{zone}/type": "x86_pkg_temp", f"{rapl}/name": f"package-{package}"}
        facts[f"{rapl}/max_energy_range_uj"] = "262143328850"
        texts |= {f"{zone}/temp": "61000", f"{rapl}/energy_uj": "240422366267"}
    for path, text in (texts | facts).items():
        place = folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(f"{text}\n")
    return [folder / path for path in texts]


def _stat(cpus: int) -> str:
    ticks = "1981000 120 1481000 107100000 30800 0 51000 2400 0 0"
    each = [f"cpu{cpu} {ticks}" for cpu in range(cpus)]
    interrupts = "intr 41175058" + " 0 1 9547" * (200 + 5 * cpus)
    return "\n".join([f"cpu  {ticks}", *each, interrupts, "ctxt 91391460", "btime 1700000000", "processes 4910"])
