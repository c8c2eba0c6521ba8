"""What Linux answers to what is written to cpufreq: how it is asked, for the fake kernel and the real one alike.

The machine of the checks has acpi-cpufreq with eight P-states, 3600 to 800 MHz, and a policy for each of two CPUs.
Where the two kernels differ the fake one is wrong.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Callable
from typing import Protocol

CPU = "/sys/devices/system/cpu"
CPUFREQ = f"{CPU}/cpufreq"
P0, P1 = f"{CPUFREQ}/policy0", f"{CPUFREQ}/policy1"


class Machine(Protocol):
    """A kernel to be asked. Everything raises OSError with its errno."""

    patience_s: float
    """How long a value may take to come: limits follow in a work item of the kernel's own."""

    def read(self, path: str) -> str: ...

    def write(self, path: str, text: str) -> None: ...

    def listdir(self, path: str) -> list[str]: ...

    def hotplug(self, cpu: int, online: bool) -> None: ...

    def firmware_limit(self, khz: int | None) -> None: ...

    def read_held(self, path: str, then: tuple[str, str]) -> int | None:
        """Opens a file, writes `then` (path, text), reads the open file: its errno, None when it reads."""


def expect(machine: Machine, path: str, text: str) -> None:
    """The file comes to read so."""
    deadline = time.monotonic() + machine.patience_s
    while (found := machine.read(path).rstrip("\n")) != text:
        assert time.monotonic() < deadline, f"{path} reads {found!r}, not {text!r}"
        time.sleep(0.05)


def limits(machine: Machine, low: int, high: int, policy: str = P0) -> None:
    """Both limits of a policy, in MHz."""
    expect(machine, f"{policy}/scaling_max_freq", str(high * 1000))
    expect(machine, f"{policy}/scaling_min_freq", str(low * 1000))


def refused(call: Callable[[], object], code: int) -> None:
    """The call fails with that errno."""
    try:
        call()
    except OSError as error:
        assert error.errno == code, f"{errno.errorcode.get(error.errno or 0)}, not {errno.errorcode[code]}"
    else:
        raise AssertionError(f"accepted, not {errno.errorcode[code]}")


def set_limit(machine: Machine, which: str, text: str, policy: str = P0) -> None:
    """`which` is min or max."""
    machine.write(f"{policy}/scaling_{which}_freq", text)


def govern(machine: Machine, governor: str, policy: str = P0) -> None:
    machine.write(f"{policy}/scaling_governor", governor)
