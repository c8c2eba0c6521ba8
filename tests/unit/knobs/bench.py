"""Fake machines on the bench: a `HostFS` of each, with what a test does to it and asks of it."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from typing import Literal

from fake import machines
from fake.faults import Fault
from fake.host import InProcess
from fake.kernel import FakeKernel
from fake.policy import Policy

CPU = "/sys/devices/system/cpu"
CPUFREQ = f"{CPU}/cpufreq"


class Bench(InProcess):
    """A machine within reach. Limits that were ever asked for crosswise are remembered in `crossed`."""

    def __init__(self, kernel: FakeKernel) -> None:
        super().__init__(kernel)
        self.crossed = False

    @property
    def policies(self) -> list[Policy]:
        return self.kernel.policies

    def write(self, path: str, value: str) -> None:
        super().write(path, value)
        self.crossed |= any(policy.min_request > policy.max_request for policy in self.policies)

    def texts(self) -> dict[str, str]:
        """Everything that can be read and is not read only."""
        return {path: text.rstrip() for path, text in self.kernel.state().items()}

    @property
    def writes(self) -> list[tuple[str, str]]:
        """All that were tried."""
        return [(path, text) for operation, path, text, _ in self.kernel.log if operation == "write"]

    def plug(self, index: int, online: bool) -> None:
        """All CPUs of a policy go or come."""
        for cpu in self.policies[index].cpus:
            self.kernel.hotplug(cpu, online)

    def refuse(self, answers: Mapping[str, int], times: int | None = None) -> None:
        """From now on, path → errno, and nothing else."""
        self.kernel.faults = [Fault(pattern=path, errno=code, times=times) for path, code in answers.items()]

    def refuse_once(self, *paths: str) -> None:
        """EBUSY, which passes."""
        self.refuse(dict.fromkeys(paths, errno.EBUSY), times=1)

    def kill(self, moment: Literal["kill_before", "kill_after"], writes: int) -> None:
        """The process ends around the write after so many more."""
        self.kernel.faults = [Fault(action=moment, skip=writes)]

    def spare(self) -> None:
        """Nothing goes wrong any more."""
        self.kernel.faults = []


def acpi() -> Bench:
    """A desktop of two policies with a P-state table."""
    return Bench(machines.acpi_cpufreq())


def intel() -> Bench:
    """A laptop with intel_pstate in active mode."""
    return Bench(machines.intel_pstate_hwp())


def amd() -> Bench:
    """amd-pstate-epp: boost for each policy and for all, and an EPP that `performance` makes forget."""
    return Bench(machines.amd_pstate_epp())


def biglittle() -> Bench:
    """Two clusters with tunables of their own and a boost that overwrites the maximum."""
    return Bench(machines.cpufreq_dt_biglittle())


MACHINES = {"acpi": acpi, "intel": intel, "amd": amd, "biglittle": biglittle}
