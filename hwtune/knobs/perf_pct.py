"""Limits of all CPUs in percent of the highest P-state (admin-guide/pm/intel_pstate.rst, "Global Attributes").

    /sys/devices/system/cpu/intel_pstate/max_perf_pct    100    %
    /sys/devices/system/cpu/intel_pstate/min_perf_pct    9      %

Knobs: `perf_pct.max`, `perf_pct.min`. Each is clamped by the other, and the minimum by the hardware's lowest and, while
turbo is off, by its highest P-state: what was there before is forgotten then, so that both are put back. In passive
mode they are requests on every policy's limits too, beside those in `scaling_max_freq` and `scaling_min_freq`.
Absent where the kernel was told to have limits for each CPU only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hwtune.domain.knob import RangeKnob
from hwtune.host.fs import HostFS
from hwtune.knobs.attributes import CPU, CPUFREQ, NO_TURBO, PERF_PCT
from hwtune.knobs.policies import read_text
from hwtune.knobs.target import FileTarget, Unit, read_unit, whole

WORD = "perf_pct"
UNIT = "intel_pstate"
_DIRECTORY = f"{CPU}/intel_pstate"
_HIGHEST = 100


def units(files: HostFS) -> tuple[Unit, ...]:
    """The one directory, where the driver is there."""
    unit = read_unit(files, UNIT, _DIRECTORY, ("max_perf_pct", "min_perf_pct"))
    if len(unit.texts) != len(PERF_PCT):
        return ()
    low, high = (whole(read_text(files, f"{CPUFREQ}/policy0/cpuinfo_{end}_freq")) for end in ("min", "max"))
    lowest = 1 if not low or not high else -(-100 * low // high)
    return (Unit(name=UNIT, directory=_DIRECTORY, texts={**unit.texts, "lowest": str(lowest)}),)


def targets(group: tuple[Unit, ...], prefix: str) -> list[FileTarget]:
    """Both limits, from the lowest P-state on."""
    first, found = group[0], []
    limits = {word: first.number(f"{word}_perf_pct") or 0 for word in ("min", "max")}
    lowest = min(first.number("lowest") or 1, *limits.values())
    if max(limits.values()) > _HIGHEST or lowest == _HIGHEST:
        return []
    for word, reset in (("min", lowest), ("max", _HIGHEST)):
        knob = RangeKnob(
            name=f"{prefix}{WORD}.{word}", role="other", unit="%", low=lowest, high=_HIGHEST, default=limits[word]
        )
        path = first.path(f"{word}_perf_pct")
        found.append(FileTarget(knob=knob, key=f"{WORD}.{word}", files=(path,), reset=reset))
    return found


def coupled(files: HostFS, path: str) -> tuple[str, ...]:
    """What a write may change: the other one, and the limits of the policies, which are watched anyway."""
    return PERF_PCT


def owns(path: str) -> bool:
    """Whether it is a file of these."""
    return path in PERF_PCT


def accepts(path: str, wanted: str, text: str) -> bool:
    """A limit may be clamped, by the other one and by what the hardware can do."""
    return None not in (whole(wanted), whole(text))


def explains(path: str, text: str, *, ours: Mapping[str, Sequence[str]], original: Mapping[str, str]) -> bool:
    """Squashed while turbo was off by our doing, or a request of ours clamped by its counterpart."""
    now, before = whole(text), whole(original.get(path))
    if now is None:
        return False
    if NO_TURBO in ours and now <= (_HIGHEST if before is None else before):
        return True
    # Putting back a turbo that was off squashes a request of ours, before that is put back itself.
    off = NO_TURBO in ours and original.get(NO_TURBO) == "1"
    if off and any(now < asked for mine in ours.get(path, ()) if (asked := whole(mine)) is not None):
        return True
    return path in ours and any(text in (*ours.get(other, ()), original.get(other)) for other in PERF_PCT)
