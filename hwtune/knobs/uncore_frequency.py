"""Limits of the uncore's clock: mesh, ring, last-level cache (admin-guide/pm/intel_uncore_frequency_scaling.rst).

    /sys/devices/system/cpu/intel_uncore_frequency/package_00_die_00/max_freq_khz            2400000    kHz
    /sys/devices/system/cpu/intel_uncore_frequency/package_00_die_00/min_freq_khz            1200000    kHz
    /sys/devices/system/cpu/intel_uncore_frequency/package_00_die_00/initial_max_freq_khz    2400000    kHz, read only

Knobs: `uncore.max`, `uncore.min`. The hardware counts in steps of 100 MHz and rounds down. The driver takes a minimum
above its maximum (drivers/platform/x86/intel/uncore-frequency), so that the order of writing is up to us. Where there
are fabric clusters as well (`uncore00`), a write to their package and die is written through to each of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hwtune.domain.knob import RangeKnob, Role
from hwtune.host.fs import HostFS
from hwtune.knobs.attributes import CPU, directory_of, name_of
from hwtune.knobs.policies import read_text
from hwtune.knobs.target import FileTarget, Unit, grid, read_unit, whole

WORD = "uncore"
UNIT = r"package_\d+_die_\d+"
_ROOT = f"{CPU}/intel_uncore_frequency"
_STEP_KHZ = 100_000
_ROLES: Mapping[str, Role] = {"max": "memory_frequency", "min": "other"}
_FILES = ("max_freq_khz", "min_freq_khz", "initial_max_freq_khz", "initial_min_freq_khz")


def units(files: HostFS) -> tuple[Unit, ...]:
    """Every die of every package."""
    found = [
        read_unit(files, name_of(directory), directory, _FILES)
        for directory in files.glob(f"{_ROOT}/package_[0-9]*_die_[0-9]*")
    ]
    return tuple(unit for unit in found if None not in (unit.number("max_freq_khz"), unit.number("min_freq_khz")))


def targets(group: tuple[Unit, ...], prefix: str) -> list[FileTarget]:
    """The upper and the lower limit of a group of like dies."""
    first, found = group[0], []
    now = [khz for khz in (first.number("min_freq_khz"), first.number("max_freq_khz")) if khz is not None]
    low = min(*now, first.number("initial_min_freq_khz") or now[0])
    high = max(*now, first.number("initial_max_freq_khz") or now[-1])
    if low >= high:
        return []
    for word, default in zip(("min", "max"), now, strict=True):
        knob = RangeKnob(
            name=f"{prefix}{WORD}.{word}",
            role=_ROLES[word],
            unit="kHz",
            low=low,
            high=high,
            default=default,
            levels=grid(low, high, _STEP_KHZ, default),
        )
        paths = tuple(unit.path(f"{word}_freq_khz") for unit in group)
        reset = first.number(f"initial_{word}_freq_khz")
        found.append(FileTarget(knob=knob, key=f"{WORD}.{word}", files=paths, reset=reset))
    return found


def coupled(files: HostFS, path: str) -> tuple[str, ...]:
    """What a write may change: both limits of its own, and of the fabric clusters in the same package."""
    inside = [directory_of(path), *_clusters_of(files, directory_of(path))]
    return tuple(f"{directory}/{name}" for directory in inside for name in ("max_freq_khz", "min_freq_khz"))


def owns(path: str) -> bool:
    """Whether it is a file of these."""
    return path.startswith(f"{_ROOT}/")


def accepts(path: str, wanted: str, text: str) -> bool:
    """A limit may be rounded, or clamped to what the hardware can do."""
    return None not in (whole(wanted), whole(text))


def explains(path: str, text: str, *, ours: Mapping[str, Sequence[str]], original: Mapping[str, str]) -> bool:
    """A request of ours rounded down, made here or of the package and die that a fabric cluster belongs to."""
    now, cluster = whole(text), "/uncore" in directory_of(path).removeprefix(_ROOT)
    for other, texts in ours.items():
        if other == path or (cluster and owns(other) and name_of(other) == name_of(path)):
            requests = [whole(mine) for mine in texts]
            if any(want is not None and want - want % _STEP_KHZ == now for want in requests):
                return True
    return False


def _clusters_of(files: HostFS, directory: str) -> list[str]:
    package = whole(name_of(directory).split("_")[1])
    return [
        directory_of(path)
        for path in files.glob(f"{_ROOT}/uncore[0-9]*/package_id")
        if package is not None and whole(read_text(files, path)) == package
    ]
