"""Governor tunables: directories that exist while their governor is in use, and start afresh each time.

    cpufreq/ondemand/up_threshold 95    (for all policies)    policy0/schedutil/rate_limit_us 10000    (per policy)

What is refused is from drivers/cpufreq/cpufreq_{ondemand,conservative,governor}.c and kernel/sched/cpufreq_schedutil.c.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Callable
from functools import partial

from hwtune.sim.governors import DEFAULT_TUNABLES
from hwtune.sim.sysfs import KernelError, SimulatedFS

_CPUFREQ = "/sys/devices/system/cpu/cpufreq"
# Smallest and largest value that is taken; beyond is EINVAL, except for the clamped ones.
_RANGES = {
    "schedutil.rate_limit_us": (0, 2**32 - 1),
    "ondemand.sampling_rate": (1, 2**32 - 1),
    "ondemand.up_threshold": (1, 100),
    "ondemand.powersave_bias": (0, 1000),
    "ondemand.sampling_down_factor": (1, 100_000),
    "ondemand.ignore_nice_load": (0, 1),
    "ondemand.io_is_busy": (0, 1),
    "conservative.sampling_rate": (1, 2**32 - 1),
    "conservative.up_threshold": (1, 100),
    "conservative.down_threshold": (1, 99),
    "conservative.freq_step": (0, 100),
    "conservative.sampling_down_factor": (1, 10),
    "conservative.ignore_nice_load": (0, 1),
}
_CLAMPED = {"ondemand.powersave_bias", "ondemand.ignore_nice_load", "ondemand.io_is_busy"} | {
    "conservative.ignore_nice_load",
    "conservative.freq_step",
}
# Two ticks at 250 Hz: a shorter period cannot be kept.
_SHORTEST_US = 8000


class Tunables:
    """Values of the governors in use.

    Args:
        files: the tree they go into.
        changed: called after every change.
        per_policy: whether each policy has its own.
    """

    def __init__(self, files: SimulatedFS, changed: Callable[[], None], *, per_policy: bool) -> None:
        self._files = files
        self._changed = changed
        self._per_policy = per_policy
        self._users: dict[str, set[int]] = {}
        self._values: dict[str, dict[str, int]] = {}

    def _directory(self, policy: int, governor: str) -> str:
        return f"{_CPUFREQ}/policy{policy}/{governor}" if self._per_policy else f"{_CPUFREQ}/{governor}"

    def attach(self, policy: int, governor: str) -> None:
        """A policy begins to use a governor."""
        names = [name for name in DEFAULT_TUNABLES if name.startswith(f"{governor}.")]
        if not names:
            return
        directory = self._directory(policy, governor)
        users = self._users.setdefault(directory, set())
        users.add(policy)
        if len(users) > 1:
            return
        values = self._values[directory] = {name: int(DEFAULT_TUNABLES[name]) for name in names}
        for name in names:
            path = f"{directory}/{name.split('.')[1]}"
            self._files.add(path, partial(lambda v, n: str(v[n]), values, name), partial(self._store, values, name))

    def detach(self, policy: int, governor: str) -> None:
        """A policy leaves a governor; the last one takes its values along."""
        directory = self._directory(policy, governor)
        users = self._users.get(directory, set())
        users.discard(policy)
        if not users and directory in self._values:
            del self._values[directory]
            self._files.remove(directory)

    def of(self, policy: int, governor: str) -> dict[str, int]:
        """`governor.tunable` → value of the governor that a policy uses."""
        return dict(self._values.get(self._directory(policy, governor), {}))

    def _store(self, values: dict[str, int], name: str, text: str) -> None:
        match = re.match(r"\s*(\d+)", text)
        if match is None:
            raise KernelError(errno.EINVAL)
        number, (low, high) = int(match[1]), _RANGES[name]
        if name in _CLAMPED:
            number = min(max(number, low), high)
        if not low <= number <= high or (name.endswith("sampling_rate") and number < _SHORTEST_US):
            raise KernelError(errno.EINVAL)
        crossed = {**values, name: number}
        if (
            name.startswith("conservative.")
            and crossed["conservative.down_threshold"] >= crossed["conservative.up_threshold"]
        ):
            raise KernelError(errno.EINVAL)
        values[name] = number
        self._changed()
