"""Pressure stall information under /proc/pressure (Documentation/accounting/psi.rst)."""

from __future__ import annotations

import re

from hwtune.host.fs import HostFS
from hwtune.sensors.optional import optional_text, parse_int

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


def read_pressure(files: HostFS) -> dict[str, int]:
    """Stall time by `cpu_some`, `cpu_full`, `memory_some`, …; empty without PSI (CONFIG_PSI, or booted with psi=0)."""
    stalls = {}
    for resource in RESOURCES:
        # Without psi=1 a file may be there and answer EOPNOTSUPP.
        text = optional_text(files, f"/proc/pressure/{resource}")
        for kind, stall_us in parse_pressure(text or "").items():
            stalls[f"{resource}_{kind}"] = stall_us
    return stalls
