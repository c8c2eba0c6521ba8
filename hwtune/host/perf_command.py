"""Events of one command: from its exec until it and every process it started have ended.

They are opened on our own thread, for processes that it starts to inherit, and are not enabled before an exec: the
command is started as ever, by fork or vfork, without a hook, and nothing of it changes. Our own are never enabled.

Each event is read by itself: with PERF_FORMAT_GROUP Linux up to 4.12 refuses inheritance (EINVAL), and newer kernels
refuse the read while processes come and go (ECHILD). It is read when the command has ended, so that nothing changes
between one event and the next.

A program that runs with another user's rights (set-user-ID, sudo) is counted until its exec only: the kernel takes its
events away (fs/exec.c). `credible` tells.

Documentation: perf_event_open(2), "inherit", "enable_on_exec".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from hwtune.host.denial import Denial
from hwtune.host.event_source import CorePmu, core_pmus
from hwtune.host.events import HARDWARE, SOFTWARE, TASK_CLOCK, Event, EventGroup
from hwtune.host.fs import HostFS, LinuxFS
from hwtune.host.perf_access import explain
from hwtune.host.perf_event import (
    DENIED,
    DISABLED,
    ENABLE_ON_EXEC,
    INHERIT,
    NO_SUCH_EVENT,
    LinuxPerf,
    PerfCalls,
    pack_attr,
    parse_single,
)
from hwtune.host.perf_scaling import believed

_INHERITED = frozenset({DISABLED, INHERIT, ENABLE_ON_EXEC})
_SINGLE_BYTES = 24
# Software events want no counter; each stands alone.
_ALONE = tuple(EventGroup(events=(event,)) for event in (TASK_CLOCK, *SOFTWARE.events))
# A process that escaped us is missing in our count of its time, and is not in that of the kernel's accounting.
_SEEN_SHARE = 0.9
_TICK_S = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class _Opened:
    """One event on one kind of core."""

    event: Event
    fd: int


class CommandCount:
    """Events that wait for a command, or count it; to be closed.

    Args:
        perf: the system calls.
        opened: events; one that is on several kinds of core is there for each.
    """

    def __init__(self, perf: PerfCalls, opened: Iterable[_Opened]) -> None:
        self._perf = perf
        self._opened = tuple(opened)
        self.starved: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Of the events, by perf."""
        return tuple(dict.fromkeys(opened.event.name for opened in self._opened))

    def read(self) -> Mapping[str, float]:
        """Counts until now by perf's name, of all processes together.

        Kinds of cores are added up: an event is on one of their PMUs at a time, and scaled for the rest. One that was
        on them for too little of the time is left out, and is then among `starved`.
        """
        counts: dict[str, float] = {}
        times: dict[str, tuple[int, int]] = {}
        for opened in self._opened:
            try:
                found = parse_single(self._perf.read(opened.fd, _SINGLE_BYTES))
            except OSError:
                found = None
            enabled, running, value = found or (1, 0, 0)
            name = opened.event.name
            longest, together = times.get(name, (0, 0))
            times[name] = max(longest, enabled), together + running
            counts[name] = counts.get(name, 0.0) + value
        self.starved = tuple(name for name, (enabled, running) in times.items() if not believed(enabled, running))
        return {
            name: count * (times[name][0] / times[name][1] if times[name][1] else 1.0)
            for name, count in counts.items()
            if name not in self.starved
        }

    def close(self) -> None:
        """Give the descriptors back."""
        for opened in self._opened:
            self._perf.close(opened.fd)
        self._opened = ()


class CommandCounters:
    """Opens the events of commands, as many as we may.

    Without the right to look into the kernel only what happens in user mode is counted, under names that end with `:u`.
    Hardware groups for which the PMU had too little time in one command are given up in the next ones, the less
    important half first. Nothing raises; `why` and `hint` say what the last command could not be asked.

    Args:
        perf: the system calls.
        files: the machine's.
    """

    def __init__(self, perf: PerfCalls | None = None, files: HostFS | None = None) -> None:
        self._perf = perf or LinuxPerf()
        self._files = files or LinuxFS("/")
        self._groups: tuple[EventGroup, ...] = HARDWARE
        self._last: CommandCount | None = None
        self._denial: Denial | None = None

    @property
    def why(self) -> str | None:
        """What was not counted, and why; None when everything was."""
        if self._denial is not None:
            return self._denial.why
        if self._last is not None and self._last.starved:
            return f"too little of the time on the PMU: {', '.join(self._last.starved)}"
        return None

    @property
    def hint(self) -> str | None:
        """What to do about it."""
        return None if self._denial is None else self._denial.hint

    def open(self) -> CommandCount:
        """Events for the next command that the calling thread starts; whatever else it starts counts as well.

        They are closed by `CommandCount.close`.
        """
        if self._last is not None and self._last.starved:
            self._groups = self._groups[: max(len(self._groups) // 2, 1)]
        cores = core_pmus(self._files) or (None,)
        self._denial = None
        opened: list[_Opened] = []
        for user_only in (False, True):
            try:
                for group in (*_ALONE, *self._groups):
                    opened += self._open_on_all(group, cores if group in HARDWARE else (None,), user_only=user_only)
                break
            except OSError as error:
                self._close(opened)
                opened = []
                self._denial = explain(error, self._files, system_wide=False)
                if error.errno not in DENIED:
                    break
        if opened:
            self._denial = None
        self._last = CommandCount(self._perf, opened)
        return self._last

    def _open_on_all(self, group: EventGroup, cores: Sequence[CorePmu | None], *, user_only: bool) -> Sequence[_Opened]:
        """Those events of a group that every kind of core has: a part would look like all of the command.

        Raises:
            OSError: anything else than a missing event; what was opened is closed.
        """
        found: list[_Opened] = []
        had: list[set[Event]] = []
        try:
            for core in cores:
                new = self._open_group(group, core, user_only=user_only)
                found += new
                had.append({one.event for one in new})
        except OSError:
            self._close(found)
            raise
        everywhere = set.intersection(*had)
        if group.whole and len(everywhere) < len(group.events):
            everywhere = set()
        self._close(one for one in found if one.event not in everywhere)
        return [one for one in found if one.event in everywhere]

    def _open_group(self, group: EventGroup, core: CorePmu | None, *, user_only: bool) -> list[_Opened]:
        found: list[_Opened] = []
        for each in group.events:
            event = each.in_user_mode() if user_only else each
            numbers = None if event is None else event.numbers(self._files, core)
            if event is None or numbers is None:
                continue
            attr = pack_attr(*numbers, event.bits | _INHERITED, grouped=False)
            try:
                fd = self._perf.open(attr, pid=0, cpu=-1, group=found[0].fd if found else -1)
            except OSError as error:
                if error.errno in NO_SUCH_EVENT:
                    continue
                self._close(found)
                raise
            found.append(_Opened(event=event, fd=fd))
        return found

    def _close(self, opened: Iterable[_Opened]) -> None:
        for one in opened:
            self._perf.close(one.fd)


def credible(counts: Mapping[str, float], cpu_time_s: float | None) -> bool:
    """Whether nobody of the command escaped: its own clock has seen what the kernel's accounting says it used.

    Args:
        counts: of the command.
        cpu_time_s: of wait4(2), to a tick of 10 ms; None where it is not known.
    """
    clock_s = counts.get(TASK_CLOCK.name, 0.0) / 1e9
    return cpu_time_s is None or clock_s + _TICK_S >= _SEEN_SHARE * cpu_time_s
