"""A group of events on one CPU: opened, read, and asked for its last words when the CPU has gone.

Documentation: perf_event_open(2), "pid == -1 and cpu >= 0".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from hwtune.host.event_source import CorePmu
from hwtune.host.events import Event, EventGroup
from hwtune.host.fs import HostFS
from hwtune.host.perf_event import NO_SUCH_EVENT, PerfCalls, group_size, pack_attr, parse_group
from hwtune.host.perf_scaling import growth


@dataclass(slots=True, kw_only=True)
class CpuGroup:
    """An open group.

    Args:
        cpu: its number.
        events: those of the group that the CPU has.
        fds: of each, the leader's first.
        names: under which they are counted.
        before: the last reading: time enabled, time running, values.
    """

    cpu: int
    events: tuple[Event, ...]
    fds: tuple[int, ...]
    names: tuple[str, ...]
    before: tuple[int, ...]

    def read(self, perf: PerfCalls) -> tuple[int, ...] | None:
        """All of it now; None when the group no longer counts, because its CPU is or was offline."""
        try:
            now = parse_group(perf.read(self.fds[0], group_size(len(self.fds))), len(self.fds))
        except OSError:
            return None
        return now if now is not None and now[0] > self.before[0] else None

    def last_words(self, perf: PerfCalls) -> tuple[float, ...]:
        """What each event still counted until its CPU went offline: the kernel has made a group of each."""
        found = []
        for index, fd in enumerate(self.fds):
            alone = (*self.before[:2], self.before[2 + index])
            now = None
            with suppress(OSError):
                now = parse_group(perf.read(fd, group_size(1)), 1)
            found.append(growth(alone, now)[0] if now is not None else 0.0)
        return tuple(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """CPUs whose cores have the same PMU; `core` is None where all of the machine have."""

    core: CorePmu | None
    cpus: tuple[int, ...]


def kinds_of(cpus: Sequence[int], cores: Sequence[CorePmu]) -> tuple[Kind, ...]:
    """The CPUs by kind of core; those of no known kind are one more."""
    known = [Kind(core=core, cpus=tuple(cpu for cpu in cpus if cpu in core.cpus)) for core in cores]
    rest = set(cpus).difference(*(kind.cpus for kind in known))
    return tuple(kind for kind in (*known, Kind(core=None, cpus=tuple(sorted(rest)))) if kind.cpus)


def open_on_all(perf: PerfCalls, files: HostFS, wanted: EventGroup, kinds: Sequence[Kind]) -> list[CpuGroup]:
    """A group on every CPU, with those events that each CPU of the kind has.

    An event that only some kinds have is called after the kind: a part of the machine is not a smaller machine.

    Raises:
        OSError: anything else than a missing event; what was opened is closed.
    """
    found: list[tuple[Kind, list[CpuGroup]]] = []
    try:
        for kind in kinds:
            known = kind.core is not None or len(kinds) == 1
            found.append((kind, _open_kind(perf, files, wanted, kind) if known else []))
    except OSError:
        close_all(perf, [group for _, groups in found for group in groups])
        raise
    everywhere = set.intersection(*(set(groups[0].events if groups else ()) for _, groups in found))
    for kind, groups in found:
        for group in groups:
            group.names = tuple(
                event.name if event in everywhere or kind.core is None else event.of(kind.core)
                for event in group.events
            )
    return [group for _, groups in found for group in groups]


def close_all(perf: PerfCalls, groups: Iterable[CpuGroup]) -> None:
    """Give every descriptor back."""
    for group in groups:
        for fd in group.fds:
            perf.close(fd)


def _open_kind(perf: PerfCalls, files: HostFS, wanted: EventGroup, kind: Kind) -> list[CpuGroup]:
    attrs = {event: found for event in wanted.events if (found := _attrs(files, event, kind.core))}
    while attrs and not (wanted.whole and len(attrs) < len(wanted.events)):
        groups: list[CpuGroup] = []
        missing: Event | None = None
        try:
            for cpu in kind.cpus:
                group, missing = _open_one(perf, attrs, cpu)
                groups.append(group)
                if missing is not None:
                    break
        except OSError:
            close_all(perf, groups)
            raise
        if missing is None:
            return groups
        close_all(perf, groups)
        del attrs[missing]
    return []


def _attrs(files: HostFS, event: Event, core: CorePmu | None) -> tuple[bytes, ...]:
    """What to open it with, best first; nothing where it has no numbers.

    ARM knows the kind of core in a hardware event since Linux 6.6; without it an event of one CPU is still its own.
    """
    numbers = [event.numbers(files, kind) for kind in dict.fromkeys((core, None))]
    if event.named_by_sysfs:
        numbers = numbers[:1]
    return tuple(pack_attr(*found, event.bits, grouped=True) for found in dict.fromkeys(numbers) if found is not None)


def _open_one(perf: PerfCalls, attrs: Mapping[Event, Sequence[bytes]], cpu: int) -> tuple[CpuGroup, Event | None]:
    """The events of one CPU, the first one leading; and the first that the CPU does not have, or None.

    Raises:
        OSError: anything else than a missing event; what was opened is closed.
    """
    fds: list[int] = []
    missing = None
    for event, ways in attrs.items():
        fd = None
        for attr in ways:
            try:
                fd = perf.open(attr, pid=-1, cpu=cpu, group=fds[0] if fds else -1)
                break
            except OSError as error:
                if error.errno not in NO_SUCH_EVENT:
                    for opened in fds:
                        perf.close(opened)
                    raise
        if fd is None:
            missing = event
            break
        fds.append(fd)
    events = tuple(attrs)[: len(fds)]
    group = CpuGroup(cpu=cpu, events=events, fds=tuple(fds), names=(), before=(0,) * (2 + len(fds)))
    return group, missing
