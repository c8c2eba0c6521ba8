"""Idle states that can be disabled, and the latency that a CPU may be asked to keep.

Kernel documentation: admin-guide/pm/cpuidle.rst; drivers/base/power/sysfs.c, `pm_qos_resume_latency_us`.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fake.attribute import Attribute, constant, kstrtouint, refuse
from fake.cpus import CPU

if TYPE_CHECKING:
    from fake.kernel import FakeKernel

# name, exit latency and target residency in microseconds
STATES = (("POLL", 0, 0), ("C1E", 10, 20), ("C6", 133, 400), ("C10", 890, 5000))
_MOST = 2**31 - 2


@dataclass
class CpuIdle:
    """States of every CPU."""

    states: Sequence[tuple[str, int, int]] = STATES
    driver: str = "intel_idle"
    disabled: dict[tuple[int, int], bool] = field(default_factory=dict)
    latencies: dict[int, int | None] = field(default_factory=dict)
    """CPU → microseconds asked for; None is `n/a`, no latency at all."""

    def attributes(self, kernel: FakeKernel) -> dict[str, Attribute]:
        """See `Tree.attributes`."""
        files = {
            f"{CPU}/cpuidle/current_driver": constant(self.driver),
            f"{CPU}/cpuidle/current_governor": constant("menu"),
        }
        for cpu in kernel.cpus.present:
            files[f"{CPU}/cpu{cpu}/power/pm_qos_resume_latency_us"] = self._latency(cpu)
            for number, (name, latency, residency) in enumerate(self.states):
                here = f"{CPU}/cpu{cpu}/cpuidle/state{number}"
                files |= {
                    f"{here}/name": constant(name),
                    f"{here}/desc": constant(f"MWAIT {name}"),
                    f"{here}/latency": constant(latency),
                    f"{here}/residency": constant(residency),
                    f"{here}/usage": constant(1000 * (cpu + 1) + number),
                    f"{here}/time": constant(100_000 * (cpu + 1) + number),
                    f"{here}/default_status": constant("enabled"),
                    f"{here}/disable": self._disable(cpu, number),
                }
        return files

    def _disable(self, cpu: int, number: int) -> Attribute:
        def store(text: str) -> None:
            self.disabled[cpu, number] = kstrtouint(text, base=0) > 0

        return Attribute(lambda: str(int(self.disabled.get((cpu, number), False))), store)

    def _latency(self, cpu: int) -> Attribute:
        def show() -> str:
            latency = self.latencies.get(cpu, 0)
            return "n/a" if latency is None else str(latency)

        def store(text: str) -> None:
            if text.removesuffix("\n") == "n/a":
                self.latencies[cpu] = None
                return
            try:
                self.latencies[cpu] = kstrtouint(text, base=0, most=_MOST)
            except OSError:
                refuse(errno.EINVAL)

        return Attribute(show, store)

    def suspended(self, lost: tuple[str, ...]) -> None:
        """Nothing is lost."""
