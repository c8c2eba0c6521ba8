"""The event sources (PMUs) that the kernel names in sysfs: their numbers, their CPUs, and how their events are written.

Documentation: ABI/testing/sysfs-bus-event_source-devices-events and -format; perf_event_open(2), "dynamic PMU".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from hwtune.domain.errors import HostError
from hwtune.host.fs import HostFS

_DEVICES = "/sys/bus/event_source/devices"
_DECIMAL = re.compile(r"[0-9]{1,10}", re.ASCII)
_NUMBER = re.compile(r"0[xX][0-9a-fA-F]{1,16}|[0-9]{1,20}")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_BITS = re.compile(r"[0-9]{1,2}(?:-[0-9]{1,2})?")
_WIDTH = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class CorePmu:
    """The counters that cores of one kind have, on a machine with several kinds.

    Args:
        name: as in sysfs (`cpu_core`, `cpu_atom`, `armv8_cortex_a53`).
        type: number for `perf_event_attr.type`.
        cpus: those that have it.
    """

    name: str
    type: int
    cpus: tuple[int, ...]


def parse_cpu_list(text: str) -> tuple[int, ...]:
    """CPU numbers of a kernel list (Documentation/core-api/printk-formats.rst, %*pbl).

        0-3,8,10-11

    Raises:
        ValueError: when the text is something else.
    """
    cpus: list[int] = []
    for part in text.strip().split(","):
        first, _, last = part.partition("-")
        if part:
            if max(len(first), len(last)) > 5:  # NR_CPUS is 8192 at most: this is no list of CPUs
                raise ValueError(f"not a list of CPUs: {text[:40]!r}")
            cpus.extend(range(int(first), int(last or first) + 1))
    return tuple(cpus)


def parse_type(text: str) -> int:
    """The number of a PMU, for `perf_event_attr.type`, 32 bits.

        9

    Raises:
        ValueError: when the text is something else.
    """
    number = int(text) if _DECIMAL.fullmatch(text.strip()) else -1
    if not 0 <= number < 1 << 32:
        raise ValueError(f"not the number of a PMU: {text[:40]!r}")
    return number


def parse_event(text: str) -> dict[str, int]:
    """What an event sets, by term; a term without a value is 1.

        event=0x3c,umask=0x01,any

    Raises:
        ValueError: for anything else, `event=?` (a value that the user must give) included.
    """
    terms: dict[str, int] = {}
    for part in text.strip().split(","):
        name, equals, value = part.partition("=")
        if not _NAME.fullmatch(name) or (equals and not _NUMBER.fullmatch(value)):
            raise ValueError(f"not an event: {text[:80]!r}")
        terms[name] = int(value, 16 if value[:2] in ("0x", "0X") else 10) if equals else 1
    return terms


def parse_format(text: str) -> tuple[str, tuple[int, ...]]:
    """Where a term goes: a field of perf_event_attr, and the bits of it from the lowest of the term's upwards.

        config:0-7,32-35

    Raises:
        ValueError: when the text is something else.
    """
    field, colon, ranges = text.strip().partition(":")
    bits: list[int] = []
    for part in ranges.split(","):
        if not colon or not _NAME.fullmatch(field) or not _BITS.fullmatch(part):
            raise ValueError(f"not a format: {text[:80]!r}")
        first, _, last = part.partition("-")
        bits.extend(range(int(first), int(last or first) + 1))
    if max(bits, default=_WIDTH) >= _WIDTH:
        raise ValueError(f"not bits of a 64-bit field: {text[:80]!r}")
    return field, tuple(bits)


def encode(terms: Mapping[str, int], formats: Mapping[str, tuple[str, tuple[int, ...]]]) -> int:
    """`perf_event_attr.config` of an event.

    Args:
        terms: of `parse_event`.
        formats: of `parse_format`, by term.

    Raises:
        ValueError: a term of no known format, one that is too large, or one outside of `config`.
    """
    config = 0
    for name, value in terms.items():
        field, bits = formats.get(name, ("config", tuple(range(_WIDTH))) if name == "config" else ("nowhere", ()))
        if field != "config" or value >> len(bits):
            raise ValueError(f"{name}={value:#x} does not fit into config")
        config |= sum(1 << bit for index, bit in enumerate(bits) if value >> index & 1)
    return config


def find_event(files: HostFS, pmu: str, event: str) -> tuple[int, int] | None:
    """Type and config of an event by the name that sysfs has for it; None where there is none that can be opened so."""
    source = f"{_DEVICES}/{pmu}"
    try:
        kind, text = files.read(f"{source}/type"), files.read(f"{source}/events/{event}")
        if kind is None or text is None:
            return None
        terms = parse_event(text)
        formats = {name: parse_format(found) for name in terms if (found := files.read(f"{source}/format/{name}"))}
        return parse_type(kind), encode(terms, formats)
    except (HostError, ValueError):
        return None


def core_pmus(files: HostFS) -> tuple[CorePmu, ...]:
    """The PMUs of the kinds of cores, in order of their first CPU; empty where all cores are of one kind.

    Only a core's PMU has a file `cpus`; an uncore's has `cpumask`.
    """
    found = []
    for path in files.glob(f"{_DEVICES}/*/cpus"):
        source = path.rpartition("/")[0]
        with suppress(HostError, ValueError):
            pmu = CorePmu(
                name=source.rpartition("/")[2],
                type=parse_type(files.read(f"{source}/type") or ""),
                cpus=parse_cpu_list(files.read(path) or ""),
            )
            found += [pmu] if pmu.cpus else []
    return tuple(sorted(found, key=lambda pmu: pmu.cpus)) if len(found) > 1 else ()
