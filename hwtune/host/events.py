"""The table of what is counted, to be read beside include/uapi/linux/perf_event.h.

Hardware events that are to be compared with each other are of one group: the kernel puts a group on the PMU as a whole
or not at all, so that ratios within it compare like with like. Groups are in order of importance: when the PMU has too
few counters for all, the last ones go.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from hwtune.host.event_source import CorePmu, find_event
from hwtune.host.fs import HostFS
from hwtune.host.perf_event import EXCLUDE_HV, EXCLUDE_KERNEL, EXCLUDE_USER

_HARDWARE = 0  # PERF_TYPE_HARDWARE, enum perf_type_id
_SOFTWARE = 1  # PERF_TYPE_SOFTWARE
_PMU_SHIFT = 32  # PERF_PMU_TYPE_SHIFT: above it, the PMU of one kind of core that a hardware event is meant for

_EXCLUDE = {
    "": frozenset[int](),
    "u": frozenset({EXCLUDE_KERNEL, EXCLUDE_HV}),
    "k": frozenset({EXCLUDE_USER, EXCLUDE_HV}),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One event.

    Args:
        event: perf's name of it.
        constant: the kernel's name of `config`: enum perf_hw_id, enum perf_sw_ids; or its file in sysfs.
        config: its number, None where sysfs has it.
        type: enum perf_type_id, None where sysfs has it.
        source: the PMU in sysfs that has it (`cpu` stands for each kind of core), None for a numbered event.
        modifier: `u` in user mode only, `k` in the kernel only, as perf writes it behind the name.
        happens: where: in `both`; in the `kernel`, so that its user-mode count is always 0; or it is a `clock`, which
            takes no notice of modes.
    """

    event: str
    constant: str
    config: int | None = None
    type: int | None = None
    source: str | None = None
    modifier: Literal["", "u", "k"] = ""
    happens: Literal["both", "kernel", "clock"] = "both"

    @property
    def name(self) -> str:
        """As perf writes it: `cycles`, `cycles:u`, `msr/aperf/`."""
        bare = self.event if self.source in (None, "cpu") else f"{self.source}/{self.event}/"
        return f"{bare}:{self.modifier}" if self.modifier and self.happens != "clock" else bare

    @property
    def bits(self) -> frozenset[int]:
        """Flags of perf_event_attr that the modifier stands for."""
        return _EXCLUDE[self.modifier]

    @property
    def named_by_sysfs(self) -> bool:
        """Whether only machines that have it know its name."""
        return self.source is not None

    def of(self, core: CorePmu) -> str:
        """Perf's name of it on one kind of core: `cpu_core/cycles/`, `cpu_core/cycles/u`."""
        return f"{core.name}/{self.event}/{self.modifier}"

    def in_user_mode(self) -> Event | None:
        """What of it may be counted without a look into the kernel; None when that is nothing, or counted anyway.

        A clock must be opened so as well, but shows the same.
        """
        return None if self.happens == "kernel" or self.modifier else replace(self, modifier="u")

    def numbers(self, files: HostFS, core: CorePmu | None) -> tuple[int, int] | None:
        """`type` and `config` of perf_event_attr, for one kind of core where there are several; None without it."""
        if self.type is not None and self.config is not None:
            pmu = core.type << _PMU_SHIFT if core is not None and self.type == _HARDWARE else 0
            return self.type, self.config | pmu
        pmu_name = core.name if core is not None and self.source == "cpu" else self.source
        return None if pmu_name is None else find_event(files, pmu_name, self.constant)


@dataclass(frozen=True, slots=True, kw_only=True)
class EventGroup:
    """Events that are counted together.

    Args:
        events: the first one leads.
        whole: whether they mean nothing without each other.
    """

    events: tuple[Event, ...]
    whole: bool = False


def _hardware(event: str, config: int, constant: str, modifier: Literal["", "u", "k"] = "") -> Event:
    return Event(event=event, constant=constant, config=config, type=_HARDWARE, modifier=modifier)


def _software(event: str, config: int, constant: str, happens: Literal["both", "kernel", "clock"] = "both") -> Event:
    return Event(event=event, constant=constant, config=config, type=_SOFTWARE, happens=happens)


def _sysfs(source: str, event: str) -> Event:
    return Event(event=event, constant=event, source=source)


TASK_CLOCK = _software("task-clock", 1, "PERF_COUNT_SW_TASK_CLOCK", "clock")
SOFTWARE = EventGroup(
    events=(
        _software("context-switches", 3, "PERF_COUNT_SW_CONTEXT_SWITCHES", "kernel"),
        _software("cpu-migrations", 4, "PERF_COUNT_SW_CPU_MIGRATIONS", "kernel"),
        _software("page-faults", 2, "PERF_COUNT_SW_PAGE_FAULTS"),
        _software("major-faults", 6, "PERF_COUNT_SW_PAGE_FAULTS_MAJ"),
    )
)
# The cache is the last level's on Intel, the second level's on AMD's Zen, the first level's on many ARM cores.
HARDWARE = (
    EventGroup(
        events=(
            _hardware("cycles", 0, "PERF_COUNT_HW_CPU_CYCLES"),
            _hardware("instructions", 1, "PERF_COUNT_HW_INSTRUCTIONS"),
        )
    ),
    EventGroup(
        events=(
            _hardware("cache-references", 2, "PERF_COUNT_HW_CACHE_REFERENCES"),
            _hardware("cache-misses", 3, "PERF_COUNT_HW_CACHE_MISSES"),
        )
    ),
    # Top-down: what became of each slot in which an instruction could have been issued. Intel since Ice Lake; the
    # others are read from the same register as `slots`, which must lead (tools/perf/Documentation/topdown.txt).
    EventGroup(
        events=(
            _sysfs("cpu", "slots"),
            _sysfs("cpu", "topdown-retiring"),
            _sysfs("cpu", "topdown-bad-spec"),
            _sysfs("cpu", "topdown-fe-bound"),
            _sysfs("cpu", "topdown-be-bound"),
        ),
        whole=True,
    ),
    # By itself: Intel has a counter for it alone; on AMD it would take one of six from the first two groups.
    EventGroup(events=(_hardware("ref-cycles", 9, "PERF_COUNT_HW_REF_CPU_CYCLES"),)),
    EventGroup(
        events=(
            _hardware("branches", 4, "PERF_COUNT_HW_BRANCH_INSTRUCTIONS"),
            _hardware("branch-misses", 5, "PERF_COUNT_HW_BRANCH_MISSES"),
        )
    ),
    EventGroup(
        events=(
            _hardware("cycles", 0, "PERF_COUNT_HW_CPU_CYCLES", "u"),
            _hardware("instructions", 1, "PERF_COUNT_HW_INSTRUCTIONS", "u"),
        )
    ),
    EventGroup(
        events=(
            _hardware("cycles", 0, "PERF_COUNT_HW_CPU_CYCLES", "k"),
            _hardware("instructions", 1, "PERF_COUNT_HW_INSTRUCTIONS", "k"),
        )
    ),
    EventGroup(
        events=(
            _hardware("stalled-cycles-frontend", 7, "PERF_COUNT_HW_STALLED_CYCLES_FRONTEND"),
            _hardware("stalled-cycles-backend", 8, "PERF_COUNT_HW_STALLED_CYCLES_BACKEND"),
        )
    ),
)
# Registers of x86 that need no counter of the PMU: while a CPU is not idle, aperf runs at its clock and mperf at that
# of the time stamp counter (Intel SDM vol. 3B, "Hardware Feedback"; arch/x86/events/msr.c).
MSR = EventGroup(events=(_sysfs("msr", "aperf"), _sysfs("msr", "mperf"), _sysfs("msr", "tsc")), whole=True)
