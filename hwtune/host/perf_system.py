"""Events of everything that runs on the machine, CPU by CPU; one read for each group of events of each CPU."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from hwtune.domain.errors import HostError
from hwtune.host.denial import Denial
from hwtune.host.event_source import core_pmus, parse_cpu_list
from hwtune.host.events import HARDWARE, MSR, SOFTWARE, TASK_CLOCK, Event, EventGroup
from hwtune.host.fs import HostFS, LinuxFS
from hwtune.host.perf_access import explain
from hwtune.host.perf_cpu import CpuGroup, close_all, kinds_of, open_on_all
from hwtune.host.perf_event import LinuxPerf, PerfCalls
from hwtune.host.perf_scaling import ENOUGH, believed, growth
from hwtune.host.reader import open_reader

_ONLINE = "/sys/devices/system/cpu/online"
_WATCHDOG = "/proc/sys/kernel/nmi_watchdog"
# Those that never want for a counter come first; of the rest the most important.
_GROUPS: tuple[EventGroup, ...] = (SOFTWARE, MSR, *HARDWARE)
_HARDWARE_RANK = 2
_RETRY_READS = 600


class NoCounters:
    """The counters of a machine that is not running: none."""

    why: str | None = "a captured machine is not running"
    hint: str | None = "count on the machine itself"
    gaps: Mapping[str, int] = {}

    def read(self) -> Mapping[str, int]:
        """See `CounterSource.read`."""
        return {}


class LinuxCounters:
    """Events of all CPUs of the running machine, opened at the first read.

    Totals never go back: what a CPU counted until it went offline stays, and one that comes is counted from then on. An
    event that some CPU lacks is left out; one that only one kind of core has is called `PMU/NAME/`. Hardware groups for
    which the PMU has too little time are given up, the least important first, so that those that stay can be believed;
    after a while they are tried again.

    Nothing raises; `why` and `hint` say what was missing at the last read.

    Args:
        perf: the system calls.
        files: the machine's.
    """

    def __init__(self, perf: PerfCalls | None = None, files: HostFS | None = None) -> None:
        self._perf = perf or LinuxPerf()
        self._files = files or LinuxFS("/")
        self._online = open_reader(self._files, _ONLINE)
        self._opened_for: str | None = None
        self._open: dict[int, list[CpuGroup]] | None = None  # by rank in _GROUPS
        self._wanted = len(_GROUPS)
        self._reads_without = 0
        self._totals: dict[str, float] = {}
        self._gaps: dict[str, int] = {}
        self._missing: dict[int, tuple[Event, ...]] = {}
        self._without_files: dict[int, None] = {}
        self._refused: OSError | None = None
        self._starved: tuple[str, ...] = ()  # at the last read
        self._given_up: tuple[str, ...] = ()  # until they are tried again

    @property
    def gaps(self) -> Mapping[str, int]:
        """See `CounterSource.gaps`."""
        return dict(self._gaps)

    def read(self) -> Mapping[str, int]:
        """See `CounterSource.read`."""
        online = self._online_now()
        if self._open is None:
            self._open = {}
            self._open_ranks(range(self._wanted), online)
        elif not self._advance() or online != self._opened_for:
            # A CPU came or went, or both since the last read: what is open is not what there is.
            self._close_ranks(range(len(_GROUPS)))
            self._open_ranks(range(self._wanted), online)
        elif self._wanted < len(_GROUPS):
            self._reads_without += 1
            if self._reads_without >= _RETRY_READS:
                first, self._wanted, self._given_up = self._wanted, len(_GROUPS), ()
                self._open_ranks(range(first, self._wanted), online)
        return {name: round(self._totals[name]) for name in self._names()}

    def close(self) -> None:
        """Close every event; a later read opens them anew and goes on from the same totals."""
        self._close_ranks(range(len(_GROUPS)))
        self._open = None

    @property
    def why(self) -> str | None:
        """What is not counted, and why; None when everything is."""
        return "; ".join(finding.why for finding in self._findings()) or None

    @property
    def hint(self) -> str | None:
        """What to do about the first thing that something can be done about."""
        return next((finding.hint for finding in self._findings() if finding.hint), None)

    def _online_now(self) -> str:
        try:
            return self._online.read() or ""
        except HostError:
            return self._opened_for or ""

    def _names(self) -> list[str]:
        open_now = self._open or {}
        names = [name for groups in open_now.values() for group in groups for name in group.names]
        return list(dict.fromkeys([TASK_CLOCK.name, *names] if open_now.get(0) else names))

    def _advance(self) -> bool:
        """Add what was counted since the last read; whether every CPU still counts."""
        alive = True
        starved: dict[str, None] = {}
        for rank, groups in (self._open or {}).items():
            for group in groups:
                now = group.read(self._perf)
                if now is None:
                    alive = False
                    self._add(group.names, group.last_words(self._perf))
                    continue
                if not believed(now[0] - group.before[0], now[1] - group.before[1]):
                    starved.update(dict.fromkeys(group.names))
                self._add(group.names, growth(group.before, now))
                if rank == 0:
                    # System-wide the kernel counts for it the time in which it watched the CPU, idle or not; this is
                    # that time. As one of a group of other software events it reads 0 on Linux 6.18.
                    self._add((TASK_CLOCK.name,), (now[0] - group.before[0],))
                group.before = now
        self._starved = tuple(starved)
        self._lose(starved)
        if starved:
            self._make_room()
        return alive

    def _add(self, names: Sequence[str], counts: Sequence[float]) -> None:
        for name, count in zip(names, counts, strict=True):
            self._totals[name] += count

    def _lose(self, names: Iterable[str]) -> None:
        for name in names:
            self._gaps[name] = self._gaps.get(name, 0) + 1

    def _make_room(self) -> None:
        """Give up the less important half of the hardware groups that are open; the most important one stays."""
        ranks = [rank for rank, groups in (self._open or {}).items() if rank >= _HARDWARE_RANK and groups]
        self._wanted, self._reads_without = ranks[max(len(ranks) // 2, 1) - 1] + 1, 0
        before = self._names()
        self._close_ranks(range(self._wanted, len(_GROUPS)))
        self._given_up += tuple(name for name in before if name not in self._names())

    def _open_ranks(self, ranks: Iterable[int], online: str) -> None:
        """Open groups on the CPUs that are online, as far as there are files for them, until the kernel refuses."""
        self._opened_for, self._refused = online, None
        try:
            cpus = parse_cpu_list(online)
        except ValueError:
            cpus = ()
        cores = core_pmus(self._files)
        opened = self._open if self._open is not None else {}
        spare = self._perf.spare_files() - sum(len(group.fds) for groups in opened.values() for group in groups)
        for rank in ranks if cpus else ():
            wanted = _GROUPS[rank]
            self._without_files.pop(rank, None)
            if len(wanted.events) * len(cpus) > spare:
                self._without_files[rank] = None
                continue
            kinds = kinds_of(cpus, cores if rank >= _HARDWARE_RANK else ())
            try:
                opened[rank] = open_on_all(self._perf, self._files, wanted, kinds)
            except OSError as error:
                self._refused = error
                break
            spare -= sum(len(group.fds) for group in opened[rank])
            had = {event for group in opened[rank] for event in group.events}
            self._missing[rank] = tuple(event for event in wanted.events if event not in had)
        for name in self._names():
            self._totals.setdefault(name, 0.0)

    def _close_ranks(self, ranks: Iterable[int]) -> None:
        """What they counted from now on is lost."""
        before = self._names()
        for rank in ranks:
            close_all(self._perf, (self._open or {}).pop(rank, ()))
        self._lose(set(before).difference(self._names()))

    def _findings(self) -> Iterator[Denial]:
        """What is missing: the reason, and the hint where there is one."""
        opened = self._open or {}
        if self._refused is not None:
            yield explain(self._refused, self._files, system_wide=True)
        if self._without_files:
            names = ", ".join(event.name for rank in self._without_files for event in _GROUPS[rank].events)
            yield Denial(
                why=f"not counted for want of open files: {names}",
                hint="raise the limit of open files (ulimit -n, LimitNOFILE= of a unit)",
            )
        if self._given_up or self._starved:
            names = ", ".join(dict.fromkeys((*self._given_up, *self._starved)))
            busy = _text(self._files, _WATCHDOG) == "1"
            yield Denial(
                why=f"not counted at the moment: {names} (on the PMU for less than {ENOUGH:.0%} of the time: it has "
                "too few counters, or somebody else uses them)",
                hint="`sysctl kernel.nmi_watchdog=0` frees a counter" if busy else "",
            )
        if not opened or self._refused is not None or self._without_files:
            return
        if not any(groups for rank, groups in opened.items() if rank >= _HARDWARE_RANK):
            yield Denial(
                why="no hardware events (no PMU driver, or the hypervisor hides the PMU)",
                hint="without cycles and instructions, learning relies on time, load and power alone",
            )
            return
        missing = [event.name for events in self._missing.values() for event in events if not event.named_by_sysfs]
        if missing:
            yield Denial(why=f"this PMU does not count: {', '.join(missing)}", hint="")


def _text(files: HostFS, path: str) -> str | None:
    try:
        return files.read(path)
    except HostError:
        return None
