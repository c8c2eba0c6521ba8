"""What the CPUs did: /proc/stat, and what cpufreq and cpuidle say under /sys/devices/system/cpu.

Documentation: filesystems/proc.rst (1.7), admin-guide/pm/cpufreq.rst, cpu-freq/cpufreq-stats.rst,
admin-guide/pm/cpuidle.rst.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping

from hwtune.domain.errors import HostError
from hwtune.domain.sample import CpuTimes
from hwtune.host.fs import HostFS
from hwtune.host.reader import Reader, open_reader
from hwtune.sensors.found import FoundFiles
from hwtune.sensors.optional import optional_text, parse_int

_log = logging.getLogger(__name__)
_CPU = "/sys/devices/system/cpu"
# Small files that read differently once CPUs or drivers have come or gone.
_MARKS = (f"{_CPU}/online", f"{_CPU}/cpufreq/policy0/scaling_driver", f"{_CPU}/cpuidle/current_driver")
_TABLE = re.compile(r"(?:[0-9]{1,20} [0-9]{1,20}(?:\n|\Z))+")


def parse_cpu_times(text: str) -> CpuTimes | None:
    """Time of all CPUs from /proc/stat, in USER_HZ ticks; None when its first kind of line is not there.

        cpu  7677 0 3865 209514 691 0 114 53 0 0
        cpu0 1981 0 1481 107100 308 0 5 24 0 0

    Fields: user, nice, system, idle, iowait, irq, softirq, steal; guest times that follow are in user and nice already.
    """
    for line in text.splitlines() if not text.startswith("cpu ") else (text.partition("\n")[0],):
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
    if _TABLE.fullmatch(text):  # nearly always, and five times as fast
        words = text.split()
        return dict(zip(map(int, words[::2]), map(int, words[1::2]), strict=True))
    ticks = {}
    for line in text.splitlines():
        numbers = [parse_int(word) for word in line.split()]
        if len(numbers) == 2 and numbers[0] is not None and numbers[1] is not None:
            ticks[numbers[0]] = numbers[1]
    return ticks


class CpuSensor:
    """CPU time, frequency and idle states of one machine.

    What there is is looked up once, and again after hotplug or a change of driver; a CPU that is offline is left out.
    """

    def __init__(self, files: HostFS) -> None:
        self._stat = open_reader(files, "/proc/stat")
        self._freq_khz = FoundFiles(files, lambda files: _policy_files(files, "scaling_cur_freq"))
        self._time_in_state = FoundFiles(files, lambda files: _policy_files(files, "stats/time_in_state"))
        self._idle_us = FoundFiles(files, _idle_files)
        self._marks = [open_reader(files, path) for path in _MARKS]
        self._marked = [_text(mark) for mark in self._marks]

    def look_again(self) -> None:
        """Look whether CPUs or drivers have come or gone, and if so find their files anew at the next reading."""
        marked = [_text(mark) for mark in self._marks]
        if marked != self._marked:
            self._marked = marked
            for found in (self._freq_khz, self._time_in_state, self._idle_us):
                found.look_again()

    def times(self) -> CpuTimes | None:
        """Time of all CPUs since boot."""
        text = _text(self._stat)
        times = parse_cpu_times(text) if text is not None else None
        if times is None and text is not None:
            _log.debug("/proc/stat: no line of CPU times: %r", text[:80])
        return times

    def freq_khz(self) -> dict[int, int]:
        """`scaling_cur_freq` by policy: what the driver last asked for or measured, which may be outside the limits."""
        return self._freq_khz.ints()

    def time_in_state(self) -> dict[int, Mapping[int, int]]:
        """`stats/time_in_state` by policy, where the driver has a table of frequencies."""
        return {policy: ticks for policy, text in self._time_in_state.texts() if (ticks := parse_time_in_state(text))}

    def idle_us(self) -> dict[str, Mapping[int, int]]:
        """Residency in µs by idle state and CPU."""
        found: dict[str, dict[int, int]] = {}
        for (state, cpu), stay_us in self._idle_us.ints().items():
            found.setdefault(state, {})[cpu] = stay_us
        return dict(found)


def _text(reader: Reader) -> str | None:
    try:
        return reader.read()
    except HostError as error:
        _log.debug("%s", error)
        return None


def _policy_files(files: HostFS, name: str) -> dict[int, str]:
    """A file of each policy; kernels before 4.3 and some captures have only cpuN/cpufreq, or only that filled."""
    for directories in ("cpufreq/policy[0-9]*", "cpu[0-9]*/cpufreq"):
        if paths := files.glob(f"{_CPU}/{directories}/{name}"):
            return {int(number[1]): path for path in paths if (number := re.search(r"/(?:policy|cpu)([0-9]+)/", path))}
    return {}


def _idle_files(files: HostFS) -> dict[tuple[str, int], str]:
    """The residencies of cpuidle states by state name and CPU."""
    found = {}
    for path in files.glob(f"{_CPU}/cpu[0-9]*/cpuidle/state[0-9]*"):
        number = re.search(r"/cpu([0-9]+)/cpuidle/", path)
        name = optional_text(files, f"{path}/name")
        if number and name:
            found[name, int(number[1])] = f"{path}/time"
    return found
