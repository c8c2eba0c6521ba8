"""What the CPUs did: /proc/stat, and what cpufreq and cpuidle say under /sys/devices/system/cpu.

Documentation: filesystems/proc.rst (1.7), admin-guide/pm/cpufreq.rst, cpu-freq/cpufreq-stats.rst,
admin-guide/pm/cpuidle.rst.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping

from hwtune.domain.sample import CpuTimes
from hwtune.host.fs import HostFS
from hwtune.sensors.optional import optional_int, optional_text, parse_int

_log = logging.getLogger(__name__)
_CPU = "/sys/devices/system/cpu"


def parse_cpu_times(text: str) -> CpuTimes | None:
    """Time of all CPUs from /proc/stat, in USER_HZ ticks; None when its first kind of line is not there.

        cpu  7677 0 3865 209514 691 0 114 53 0 0
        cpu0 1981 0 1481 107100 308 0 5 24 0 0

    Fields: user, nice, system, idle, iowait, irq, softirq, steal; guest times that follow are in user and nice already.
    """
    for line in text.splitlines():
        words = line.split()
        if not words or words[0] != "cpu":
            continue
        numbers = [parse_int(word) for word in words[1:9]]
        ticks = [number for number in numbers if number is not None and number >= 0]
        if len(ticks) < 4 or len(ticks) != len(numbers):
            return None
        user, nice, system, idle, iowait, irq, softirq, steal = ticks + [0] * (8 - len(ticks))
        return CpuTimes(
            user_ticks=user,
            nice_ticks=nice,
            system_ticks=system,
            idle_ticks=idle,
            iowait_ticks=iowait,
            irq_ticks=irq,
            softirq_ticks=softirq,
            steal_ticks=steal,
        )
    return None


def parse_time_in_state(text: str) -> dict[int, int]:
    """Ticks (10 ms) by frequency in kHz, from cpufreq's stats/time_in_state; lines of another form are left out.

    3600000 89
    3400000 0
    """
    ticks = {}
    for line in text.splitlines():
        numbers = [parse_int(word) for word in line.split()]
        if len(numbers) == 2 and numbers[0] is not None and numbers[1] is not None:
            ticks[numbers[0]] = numbers[1]
    return ticks


class CpuSensor:
    """CPU time, frequency and idle states of one machine.

    The directories are looked up once; a CPU that goes offline is left out of a sample, and one that appears later is
    not seen: build a new sensor after hotplug.
    """

    def __init__(self, files: HostFS) -> None:
        self._files = files
        self._policies = _policy_directories(files)
        self._states = _idle_directories(files)

    def times(self) -> CpuTimes | None:
        """Time of all CPUs since boot."""
        text = optional_text(self._files, "/proc/stat")
        times = parse_cpu_times(text) if text is not None else None
        if times is None and text is not None:
            _log.debug("/proc/stat: no line of CPU times: %r", text[:80])
        return times

    def freq_khz(self) -> dict[int, int]:
        """`scaling_cur_freq` by policy: what the driver last asked for or measured, which may be outside the limits."""
        return _known(
            {policy: optional_int(self._files, f"{path}/scaling_cur_freq") for policy, path in self._policies.items()}
        )

    def time_in_state(self) -> dict[int, Mapping[int, int]]:
        """`stats/time_in_state` by policy, where the driver has a table of frequencies."""
        found: dict[int, Mapping[int, int]] = {}
        for policy, path in self._policies.items():
            text = optional_text(self._files, f"{path}/stats/time_in_state")
            ticks = parse_time_in_state(text) if text is not None else {}
            if ticks:
                found[policy] = ticks
        return found

    def idle_us(self) -> dict[str, Mapping[int, int]]:
        """Residency in µs by idle state and CPU."""
        found: dict[str, Mapping[int, int]] = {}
        for state, directories in self._states.items():
            stays = _known({cpu: optional_int(self._files, f"{path}/time") for cpu, path in directories.items()})
            if stays:
                found[state] = stays
        return found


def _known(values: Mapping[int, int | None]) -> dict[int, int]:
    return {number: value for number, value in values.items() if value is not None}


def _policy_directories(files: HostFS) -> dict[int, str]:
    """Directory by policy number; kernels before 4.3 and some captures have only cpuN/cpufreq, or only that filled."""
    for pattern in (f"{_CPU}/cpufreq/policy[0-9]*", f"{_CPU}/cpu[0-9]*/cpufreq"):
        found = {}
        for path in files.glob(pattern):
            number = re.search(r"/(?:policy|cpu)([0-9]+)(?:/cpufreq)?$", path)
            if number and (files.glob(f"{path}/scaling_*") or files.glob(f"{path}/stats/*")):
                found[int(number[1])] = path
        if found:
            return found
    return {}


def _idle_directories(files: HostFS) -> dict[str, dict[int, str]]:
    """Directories of cpuidle states by state name and CPU."""
    found: dict[str, dict[int, str]] = {}
    for path in files.glob(f"{_CPU}/cpu[0-9]*/cpuidle/state[0-9]*"):
        number = re.search(r"/cpu([0-9]+)/cpuidle/", path)
        name = optional_text(files, f"{path}/name")
        if number and name:
            found.setdefault(name, {})[int(number[1])] = path
    return found
