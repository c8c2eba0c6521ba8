"""What `/sys/devices/system/cpu` says of the CPUs themselves: which are online, how they belong together."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from fake.attribute import Attribute, constant, kstrtobool

CPU = "/sys/devices/system/cpu"


def ranges(cpus: Collection[int]) -> str:
    """`0-3,8` of 0, 1, 2, 3, 8."""
    runs: list[list[int]] = []
    for cpu in sorted(cpus):
        if runs and cpu == runs[-1][-1] + 1:
            runs[-1].append(cpu)
        else:
            runs.append([cpu])
    return ",".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)


@dataclass
class Cpus:
    """All CPUs of a machine.

    Args:
        present: their numbers.
        online: those that run; shared with the kernel.
        plug: takes a CPU in or out.
        threads: CPUs of one core, for each core that has more than one.
        capacities: CPU → `cpu_capacity`, where cores are unlike.
        first_stays: whether the first CPU has no switch, as on x86 and most of ARM.
    """

    present: Sequence[int]
    online: set[int]
    plug: Callable[[int, bool], None]
    threads: Sequence[tuple[int, ...]] = ()
    capacities: dict[int, int] | None = None
    first_stays: bool = True

    def attributes(self) -> dict[str, Attribute]:
        """Path → file."""
        everything = ranges(self.present)
        files = {
            f"{CPU}/present": constant(everything),
            f"{CPU}/possible": constant(everything),
            f"{CPU}/kernel_max": constant(8191),
            f"{CPU}/online": Attribute(lambda: ranges(self.online)),
            f"{CPU}/offline": Attribute(lambda: ranges(set(self.present) - self.online)),
        }
        for cpu in self.present:
            files |= self._of(cpu)
        return files

    def _of(self, cpu: int) -> dict[str, Attribute]:
        here = f"{CPU}/cpu{cpu}"
        siblings = next((group for group in self.threads if cpu in group), (cpu,))
        files = {}
        if cpu != self.present[0] or not self.first_stays:
            files[f"{here}/online"] = Attribute(
                lambda: str(int(cpu in self.online)), lambda text: self.plug(cpu, kstrtobool(text))
            )
        if self.capacities is not None:
            files[f"{here}/cpu_capacity"] = constant(self.capacities[cpu])
        if cpu in self.online:  # the directory goes with its CPU
            files |= {
                f"{here}/topology/physical_package_id": constant(0),
                f"{here}/topology/core_id": constant(siblings[0]),
                f"{here}/topology/thread_siblings_list": constant(ranges(siblings)),
                f"{here}/topology/core_cpus_list": constant(ranges(siblings)),
            }
        return files
