"""Facts of the running machine, by psutil.

psutil looks at /proc and /sys of the machine it runs on and nowhere else, so nothing here is part of a `Sample`, and
nothing here may be asked about a captured or simulated machine.
"""

from __future__ import annotations

from dataclasses import dataclass

import psutil


@dataclass(frozen=True, slots=True, kw_only=True)
class HostFacts:
    """What kind of machine this is."""

    logical_cpus: int | None
    physical_cores: int | None
    memory_bytes: int


def host_facts() -> HostFacts:
    """Facts of the running machine that do not change."""
    return HostFacts(
        logical_cpus=psutil.cpu_count(logical=True),
        physical_cores=psutil.cpu_count(logical=False),
        memory_bytes=psutil.virtual_memory().total,
    )
