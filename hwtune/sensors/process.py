"""Processes and facts of the running machine, by psutil.

psutil looks at /proc and /sys of the machine it runs on and nowhere else, so nothing here is part of a `Sample`, and
nothing here may be asked about a captured or simulated machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import psutil

# Programs that write the same knobs, by process name (the kernel keeps 15 characters), and how to stop each.
_TUNERS = {
    "tuned": "systemctl stop tuned",
    "tuned-ppd": "systemctl stop tuned-ppd",
    "auto-cpufreq": "systemctl stop auto-cpufreq",
    "power-profiles-daemon": "systemctl stop power-profiles-daemon",
    "thermald": "systemctl stop thermald (on a laptop only for the time of a measurement: it guards the temperature)",
    "tlp-pd": "systemctl stop tlp-pd",
    "gamemoded": "end the game, or `systemctl --user stop gamemoded`",
    "system76-power": "systemctl stop com.system76.PowerDaemon",
    "intel_lpmd": "systemctl stop intel_lpmd",
    "watt": "systemctl stop watt",
}
# TLP is no daemon: it writes at boot and on plug events, and leaves its state here (tlp-func-base).
_TLP_STATE = Path("/run/tlp/last_pwr")


@dataclass(frozen=True, slots=True, kw_only=True)
class CompetingTuner:
    """Another program that sets the knobs we set: its name, process (None: none stays), and how to stop it."""

    name: str
    pid: int | None
    hint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HostFacts:
    """What kind of machine this is."""

    logical_cpus: int | None
    physical_cores: int | None
    memory_bytes: int


def competing_tuners() -> tuple[CompetingTuner, ...]:
    """Programs now running here that set the same knobs, in order of process id."""
    found = []
    for process in psutil.process_iter(["name", "pid"]):
        name = process.info["name"] or ""
        for tuner, hint in _TUNERS.items():
            if name in {tuner, tuner[:15]}:
                found.append(CompetingTuner(name=tuner, pid=process.info["pid"], hint=hint))
    if _TLP_STATE.exists():
        found.append(CompetingTuner(name="tlp", pid=None, hint="systemctl stop tlp && systemctl mask tlp"))
    return tuple(found)


def host_facts() -> HostFacts:
    """Facts of the running machine that do not change."""
    return HostFacts(
        logical_cpus=psutil.cpu_count(logical=True),
        physical_cores=psutil.cpu_count(logical=False),
        memory_bytes=psutil.virtual_memory().total,
    )
