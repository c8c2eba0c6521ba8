"""Governors' tunables: there only while a policy uses the governor, and new each time.

drivers/cpufreq/cpufreq_ondemand.c, cpufreq_conservative.c, cpufreq_governor.c; kernel/sched/cpufreq_schedutil.c.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from fake.attribute import Attribute, kstrtouint, refuse, scan

DEFAULTS: Mapping[str, Mapping[str, int]] = {
    "ondemand": {
        "ignore_nice_load": 0,
        "io_is_busy": 0,
        "powersave_bias": 0,
        "sampling_down_factor": 1,
        "sampling_rate": 10000,
        "up_threshold": 95,
    },
    "conservative": {
        "down_threshold": 20,
        "freq_step": 5,
        "ignore_nice_load": 0,
        "sampling_down_factor": 1,
        "sampling_rate": 10000,
        "up_threshold": 80,
    },
    "schedutil": {"rate_limit_us": 10000},
}
# Two ticks of a kernel with HZ=250.
_LEAST_SAMPLING_US = 8000
_MOST_DOWN_FACTOR = {"ondemand": 100_000, "conservative": 10}
# Above these the kernel takes the bound itself.
_CLAMPED = {"powersave_bias": 1000, "freq_step": 100, "ignore_nice_load": 1, "io_is_busy": 1}


@dataclass
class Tunables:
    """The directories of tunables that there are now."""

    places: dict[str, dict[str, int]] = field(default_factory=dict)
    births: dict[str, int] = field(default_factory=dict)
    """Directory → how many times it has come; a file opened in an earlier life is dead."""

    def settle(self, users: Iterable[tuple[str, str]]) -> None:
        """Directories come and go with their users.

        Args:
            users: directory and governor of every policy that is online.
        """
        wanted = {place: governor for place, governor in users if governor in DEFAULTS}
        for place in self.places.keys() - wanted.keys():
            del self.places[place]
        for place in wanted.keys() - self.places.keys():
            self.places[place] = dict(DEFAULTS[wanted[place]])
            self.births[place] = self.births.get(place, 0) + 1

    def attributes(self) -> dict[str, Attribute]:
        """Path → file of all of them."""
        return {
            f"{place}/{name}": _attribute(values, place.rpartition("/")[2], name)
            for place, values in self.places.items()
            for name in values
        }


def _attribute(values: dict[str, int], governor: str, name: str) -> Attribute:
    def store(text: str) -> None:
        number = _whole(text) if governor == "schedutil" else scan(text)
        if not _allowed(values, governor, name, number):
            refuse(errno.EINVAL)
        values[name] = min(number, _CLAMPED.get(name, number))

    return Attribute(lambda: str(values[name]), store)


def _whole(text: str) -> int:
    """What schedutil reads; it says EINVAL for every kind of wrong."""
    try:
        return kstrtouint(text)
    except OSError:
        refuse(errno.EINVAL)


def _allowed(values: Mapping[str, int], governor: str, name: str, number: int) -> bool:
    match name:
        case "sampling_rate":
            return number >= _LEAST_SAMPLING_US
        case "sampling_down_factor":
            return 1 <= number <= _MOST_DOWN_FACTOR[governor]
        case "up_threshold":
            return values.get("down_threshold", 0) < number <= 100
        case "down_threshold":
            return 1 <= number < values["up_threshold"]
    return True
