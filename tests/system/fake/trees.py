"""What a machine has beside cpufreq: temperatures, meters, cooling; and what every such part answers to."""

from __future__ import annotations

import errno
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from fake.attribute import Attribute, constant, kstrtouint, refuse

if TYPE_CHECKING:
    from fake.kernel import FakeKernel

THERMAL = "/sys/class/thermal"
HWMON = "/sys/class/hwmon"


class Tree(Protocol):
    """A part of a machine with files of its own."""

    def attributes(self, kernel: FakeKernel) -> dict[str, Attribute]:
        """Path → file."""

    def suspended(self, lost: tuple[str, ...]) -> None:
        """The machine has slept, and lost the settings of these names."""


@dataclass
class Heat:
    """A zone for the package and a cooling device for every policy (driver-api/thermal/sysfs-api.rst).

    Args:
        devices: how many cooling devices.
        state: of all of them; above 0 frequencies are held down.
        temp_mc: of the zone, millidegrees Celsius.
    """

    devices: int
    state: int = 0
    temp_mc: int = 41000

    def attributes(self, kernel: FakeKernel) -> dict[str, Attribute]:
        """See `Tree.attributes`."""
        files = {
            f"{THERMAL}/thermal_zone0/type": constant("x86_pkg_temp"),
            f"{THERMAL}/thermal_zone0/temp": Attribute(lambda: str(self.temp_mc)),
        }
        for number in range(self.devices):
            here = f"{THERMAL}/cooling_device{number}"
            files |= {
                f"{here}/type": constant("Processor"),
                f"{here}/max_state": constant(3),
                # Writable in Linux; here the thermal framework alone does it, so that `state()` is what knobs change.
                f"{here}/cur_state": Attribute(lambda: str(self.state)),
            }
        return files

    def suspended(self, lost: tuple[str, ...]) -> None:
        """Cools down."""
        self.state = 0


@dataclass
class Hwmon:
    """A power meter of hwmon, which has no answer while it has measured nothing (ENODATA)."""

    name: str = "power_meter"
    power_uw: int | None = 17_500_000

    def attributes(self, kernel: FakeKernel) -> dict[str, Attribute]:
        """See `Tree.attributes`."""

        def power() -> str:
            if self.power_uw is None:
                refuse(errno.ENODATA)
            return str(self.power_uw)

        here = f"{HWMON}/hwmon0"
        return {
            f"{here}/name": constant(self.name),
            f"{here}/power1_average": Attribute(power),
            f"{here}/temp1_input": constant(41000),
            f"{here}/temp1_label": constant("Package id 0"),
        }

    def suspended(self, lost: tuple[str, ...]) -> None:
        """Nothing to lose."""


@dataclass
class Uncore:
    """`intel_uncore_frequency`: steps of 100 MHz, rounded down; no order between minimum and maximum is kept.

    Args:
        low: kHz after boot.
        high: kHz after boot.
        locked: by firmware: EPERM.
    """

    low: int = 800_000
    high: int = 4_200_000
    locked: bool = False
    values: dict[str, int] = field(init=False)

    def __post_init__(self) -> None:
        self.values = {"min_freq_khz": self.low, "max_freq_khz": self.high}

    def attributes(self, kernel: FakeKernel) -> dict[str, Attribute]:
        """See `Tree.attributes`."""
        here = "/sys/devices/system/cpu/intel_uncore_frequency/package_00_die_00"
        files = {f"{here}/{name}": self._file(name) for name in self.values}
        return files | {
            f"{here}/initial_min_freq_khz": constant(self.low),
            f"{here}/initial_max_freq_khz": constant(self.high),
            f"{here}/current_freq_khz": Attribute(lambda: str(self.values["max_freq_khz"])),
        }

    def _file(self, name: str) -> Attribute:
        def store(text: str) -> None:
            ratio = kstrtouint(text) // 100_000
            if not 1 <= ratio <= 127:
                refuse(errno.EINVAL)
            if self.locked:
                refuse(errno.EPERM)
            self.values[name] = ratio * 100_000

        return Attribute(lambda: str(self.values[name]), store)

    def suspended(self, lost: tuple[str, ...]) -> None:
        """Back to what it was after boot, unless the driver puts it back."""
        if "uncore" in lost:
            self.__post_init__()
