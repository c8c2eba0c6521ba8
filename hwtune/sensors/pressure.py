"""Pressure stall information under /proc/pressure (Documentation/accounting/psi.rst)."""

from __future__ import annotations

import re

from hwtune.host.fs import HostFS
from hwtune.sensors.found import FoundFiles
from hwtune.sensors.optional import parse_int

RESOURCES = ("cpu", "memory", "io")
_LINE = re.compile(r"(some|full) .*\btotal=([0-9]+)")


def parse_pressure(text: str) -> dict[str, int]:
    """Stall time since boot in µs, by `some` and `full`; lines of another form are left out.

    some avg10=1.02 avg60=0.71 avg300=0.44 total=11826819
    full avg10=0.00 avg60=0.00 avg300=0.00 total=0

    The `full` line of cpu is absent before Linux 5.13 and 0 since.
    """
    stalls = {}
    for line in text.splitlines():
        found = _LINE.fullmatch(line.strip())
        stall_us = parse_int(found[2]) if found else None
        if found and stall_us is not None:
            stalls[found[1]] = stall_us
    return stalls


class PressureSensor:
    """Stall times of the whole machine. Without PSI (CONFIG_PSI, or booted with psi=0) there are none."""

    def __init__(self, files: HostFS) -> None:
        self._found = FoundFiles(files, lambda _: {resource: f"/proc/pressure/{resource}" for resource in RESOURCES})

    def stall_us(self) -> dict[str, int]:
        """Stall time in µs by `cpu_some`, `cpu_full`, `memory_some`, …; a file may be there and answer EOPNOTSUPP."""
        return {
            f"{resource}_{kind}": stall_us
            for resource, text in self._found.texts()
            for kind, stall_us in parse_pressure(text).items()
        }
