"""A RAPL package: energy that counts, and limits in the register's steps (Documentation/power/powercap/powercap.rst).

drivers/powercap/powercap_sys.c answers ENODATA where the driver refuses a limit, ENOSYS where it refuses to enable;
intel_rapl_common.c rounds power down to 1/8 W and time to (1 + f/4)·2^y units, and calls a locked package not enabled.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fake.attribute import Attribute, constant, kstrtobool, kstrtouint, refuse

if TYPE_CHECKING:
    from fake.kernel import FakeKernel

POWERCAP = "/sys/class/powercap"
_POWER_UNIT_UW = 125_000
_TIME_UNIT_US = 976
_RANGE_UJ = 262_143_328_850
_MOST = 2**64 - 1


@dataclass
class Rapl:
    """One package with two limits and a subzone for its cores.

    Args:
        name: of the control type.
        limits_uw: of `long_term` and `short_term` after boot.
        locked: by firmware: every write is refused, and the package reads as not enabled.
        watts: what the package draws at its highest frequency.
    """

    name: str = "intel-rapl"
    limits_uw: tuple[int, int] = (65_000_000, 84_000_000)
    locked: bool = False
    watts: float = 30.0
    enabled: bool = True
    values: dict[str, int] = field(init=False)
    _energy_j: float = 0.0
    _read_s: float | None = None

    def __post_init__(self) -> None:
        self.values = {}
        for number, (limit, window) in enumerate(zip(self.limits_uw, (27_983_872, 2440), strict=True)):
            self.values[f"constraint_{number}_power_limit_uw"] = limit
            self.values[f"constraint_{number}_time_window_us"] = _window(window)

    def attributes(self, kernel: FakeKernel) -> dict[str, Attribute]:
        """See `Tree.attributes`."""
        package, cores = f"{POWERCAP}/{self.name}:0", f"{POWERCAP}/{self.name}:0:0"
        files = {
            f"{package}/name": constant("package-0"),
            f"{cores}/name": constant("core"),
            f"{package}/enabled": Attribute(lambda: str(int(self.enabled and not self.locked)), self._enable),
            f"{package}/constraint_0_name": constant("long_term"),
            f"{package}/constraint_1_name": constant("short_term"),
            f"{package}/constraint_0_max_power_uw": constant(self.limits_uw[0]),
        }
        for zone, share in ((package, 1.0), (cores, 0.7)):
            files |= {
                f"{zone}/energy_uj": Attribute(lambda share=share: self._energy(kernel, share), bits=0o400),
                f"{zone}/max_energy_range_uj": constant(_RANGE_UJ),
            }
        return files | {f"{package}/{name}": self._file(name) for name in self.values}

    def _energy(self, kernel: FakeKernel, share: float) -> str:
        """Power goes with the square of the frequency, and never above the long-term limit."""
        now_s = kernel.clock()
        since_s = 0.0 if self._read_s is None else now_s - self._read_s
        policies = [policy for policy in kernel.policies if kernel.active(policy)]
        effort = sum((kernel.current_khz(policy) / policy.top) ** 2 for policy in policies) / len(kernel.policies)
        power_w = 3.0 + (self.watts - 3.0) * effort
        if self.enabled:
            power_w = min(power_w, self.values["constraint_0_power_limit_uw"] / 1e6)
        self._energy_j, self._read_s = self._energy_j + power_w * since_s, now_s
        return str(int(self._energy_j * share * 1e6) % _RANGE_UJ)

    def _file(self, name: str) -> Attribute:
        def store(text: str) -> None:
            try:
                number = kstrtouint(text, most=_MOST)
            except OSError:
                refuse(errno.EINVAL)
            if self.locked:
                refuse(errno.ENODATA)
            power = name.endswith("_uw")
            self.values[name] = number // _POWER_UNIT_UW * _POWER_UNIT_UW if power else _window(number)

        return Attribute(lambda: str(self.values[name]), store)

    def _enable(self, text: str) -> None:
        on = kstrtobool(text)
        if self.locked:
            refuse(errno.ENOSYS)
        self.enabled = on

    def suspended(self, lost: tuple[str, ...]) -> None:
        """Back to what the firmware sets, unless the driver puts it back."""
        if "powercap" in lost:
            self.__post_init__()


def _window(microseconds: int) -> int:
    """The nearest time below that the register can hold."""
    units = microseconds // _TIME_UNIT_US
    if units == 0:
        return _TIME_UNIT_US
    y = min(units.bit_length() - 1, 31)
    f = min(4 * (units - (1 << y)) // (1 << y), 3)
    return (1 << y) * (4 + f) * _TIME_UNIT_US // 4
