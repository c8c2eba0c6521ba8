"""perf's `power` PMU as a tree and as system calls: counters that a test turns."""

from __future__ import annotations

import errno
import os
import struct

SOURCE = "/sys/bus/event_source/devices/power"
SCALE = 2.0**-32


def power_pmu(cpumask: str, *events: str, packages: dict[int, tuple[int, int]] | None = None, vendor="GenuineIntel"):
    """Files of a machine; `packages` gives (package, die) by CPU of the mask."""
    texts = {
        f"{SOURCE}/type": "20",
        f"{SOURCE}/cpumask": cpumask,
        f"{SOURCE}/format/event": "config:0-7",
        "/proc/cpuinfo": f"processor\t: 0\nvendor_id\t: {vendor}\nmodel name\t: A CPU",
    }
    codes = {"energy-cores": 1, "energy-pkg": 2, "energy-ram": 3, "energy-gpu": 4, "energy-psys": 5}
    for event in events or ("energy-cores", "energy-pkg", "energy-ram"):
        texts[f"{SOURCE}/events/{event}"] = f"event=0x{codes[event]:02x}"
        texts[f"{SOURCE}/events/{event}.scale"] = "2.3283064365386962890625e-10"
        texts[f"{SOURCE}/events/{event}.unit"] = "Joules"
    for cpu, (package, die) in (packages or {0: (0, 0)}).items():
        texts[f"/sys/devices/system/cpu/cpu{cpu}/topology/physical_package_id"] = str(package)
        texts[f"/sys/devices/system/cpu/cpu{cpu}/topology/die_id"] = str(die)
    return texts


class FakePerf:
    """See `PerfCalls`: counts by (CPU, config), from when they were opened; a CPU in `gone` has no counter any more."""

    def __init__(self) -> None:
        self.used_j: dict[tuple[int, int], float] = {}
        self.refuse: int | None = None
        self.gone: set[int] = set()
        self.open_fds: dict[int, tuple[int, int, float]] = {}
        self.opened = 0

    def open(self, attr: bytes, *, pid: int, cpu: int, group: int) -> int:
        if self.refuse is not None:
            raise OSError(self.refuse, os.strerror(self.refuse))
        if cpu in self.gone:
            raise OSError(errno.ENODEV, "no such CPU")
        kind, size, config, period = struct.unpack("=IIQQ", attr[:24])
        assert (kind, size, period, pid, group) == (20, 64, 0, -1, -1)
        self.opened += 1
        self.open_fds[self.opened] = (cpu, config, self.used_j.get((cpu, config), 0.0))
        return self.opened

    def read(self, fd: int, size: int) -> bytes:
        cpu, config, begin_j = self.open_fds[fd]
        if cpu in self.gone:
            return b""
        count = round((self.used_j.get((cpu, config), 0.0) - begin_j) / SCALE)
        return struct.pack("=3Q", count, 7, 7)[:size]

    def close(self, fd: int) -> None:
        del self.open_fds[fd]

    def spare_files(self) -> int:
        return 100
