"""Percentiles of latencies, of however many there are.

Latencies are counted in buckets that are 1 % wide (as HdrHistogram does), so a million of them take a few kilobytes; a
percentile is the upper end of its bucket, at most 1 % too high.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable

from hwtune.domain.errors import UsageError, WorkloadError
from hwtune.domain.measure import seconds_per

_WIDTH = math.log(1.01)
_NAME = re.compile(r"p([0-9]{1,2}(?:\.[0-9]{1,3})?)")
_LIMIT = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([a-zµ]+)")


class Latencies:
    """Latencies of one run or window."""

    def __init__(self) -> None:
        self._buckets: Counter[int] = Counter()
        self.count = 0

    def add(self, each_s: Iterable[float]) -> None:
        """Count some, each positive; what is shorter than a nanosecond counts as one."""
        for latency_s in each_s:
            self._buckets[math.ceil(math.log(max(latency_s, 1e-9)) / _WIDTH - 1e-9)] += 1
            self.count += 1

    def percentiles(self, names: Iterable[str]) -> dict[str, float]:
        """Percentiles in seconds by name (`p99`), by the nearest rank.

        Raises:
            WorkloadError: there are too few to know one: of the 99th, less than a hundred.
        """
        return {name: self._percentile(name) for name in names}

    def _percentile(self, name: str) -> float:
        share = _share(name)
        needed = needed_for(share)
        if self.count < needed:
            raise WorkloadError(
                f"{name} needs {needed} latencies or more, and there were {self.count}",
                hint="a longer run, a lower percentile, or the right --latency expression",
            )
        rank, seen = math.ceil(share * self.count - 1e-9), 0
        for bucket in sorted(self._buckets):
            seen += self._buckets[bucket]
            if seen >= rank:
                return math.exp(bucket * _WIDTH)
        raise AssertionError("a rank beyond the count")


def needed_for(share: float) -> int:
    """How many latencies tell the percentile of a share, 0-1: so many that one of them is expected beyond it."""
    return math.ceil(1.0 / (1.0 - share) - 1e-9)


def _share(name: str) -> float:
    found = _NAME.fullmatch(name)
    share = float(found[1]) / 100.0 if found else 0.0
    if not share:
        raise UsageError(f"{name!r} is no percentile", hint="write p50, p99 or p99.9")
    return share


def parse_latency_bounds(texts: Iterable[str]) -> dict[str, float]:
    """Limits in seconds by percentile, out of `p99=20ms`.

    Raises:
        UsageError: anything else.
    """
    return dict(_parse_bound(text) for text in texts)


def _parse_bound(text: str) -> tuple[str, float]:
    name, _, limit = (part.strip() for part in text.partition("="))
    found = _LIMIT.fullmatch(limit)
    seconds = None if found is None else seconds_per(found[2])
    if found is None or seconds is None or not 0.0 < (limit_s := float(found[1]) * seconds) < math.inf:
        raise UsageError(f"{text!r} is no bound of a latency", hint="write p99=20ms; units are s, ms, us, ns")
    _share(name)
    return name, limit_s


def parse_pressure_bounds(texts: Iterable[str]) -> dict[str, float]:
    """Limits as shares 0-1 by the kernel's name, out of `cpu_some=0.2` or `io_full=10%`.

    Raises:
        UsageError: anything else.
    """
    return dict(_parse_pressure(text) for text in texts)


def _parse_pressure(text: str) -> tuple[str, float]:
    name, _, limit = (part.strip() for part in text.partition("="))
    number, percent = (limit[:-1], 100.0) if limit.endswith("%") else (limit, 1.0)
    try:
        share = float(number) / percent
    except ValueError:
        share = math.nan
    if not re.fullmatch("(cpu|memory|io)_(some|full)", name) or not 0.0 <= share <= 1.0:
        raise UsageError(
            f"{text!r} is no bound of a pressure",
            hint="write cpu_some=0.2 or io_full=5%; there are cpu, memory and io, each some and full",
        )
    return name, share
