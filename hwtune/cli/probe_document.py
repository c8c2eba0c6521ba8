"""What `hwtune probe` found, as one document (docs/probe.md). Fields are added to it, never renamed or taken away."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Machine(_Part):
    """What kind of machine it is; from its files, and memory and cores only where it is the running one."""

    name: str
    live: bool
    simulated: bool
    cpu: str | None
    kernel: str | None
    virtual: bool
    online_cpus: list[int]
    physical_cores: int | None
    memory_bytes: int | None


class PolicyEntry(_Part):
    """One cpufreq policy as it stands; frequencies in kHz."""

    number: int
    online: bool
    cpus: list[int]
    related_cpus: list[int]
    driver: str | None
    governor: str | None
    current_khz: int | None
    min_khz: int | None
    max_khz: int | None
    bios_limit_khz: int | None
    epp: str | None
    boost: bool | None


class ClusterEntry(_Part):
    """Policies of like cores, and what they offer."""

    policies: list[int]
    cpus: list[int]
    driver: str | None
    governors: list[str]
    lowest_khz: int | None
    highest_khz: int | None
    base_khz: int | None
    levels_khz: list[int] | None
    epp_choices: list[str]


class KnobEntry(_Part):
    """One knob: numbers from `low` to `high` (`levels` when only these are legal), or words to choose from."""

    name: str
    role: str
    unit: str
    low: int | None
    high: int | None
    levels: int | None
    choices: list[str] | None
    now: int | str | None
    active: bool


class Finding(_Part):
    """Something that is there or not; if it is not, or not as good as it could be: why, and what to do about it."""

    available: bool
    why: str | None = None
    hint: str | None = None


class Cpufreq(Finding):
    """The knobs' side of the machine; those that are `off_by_default` are turned only where they are asked for."""

    drivers: list[str]
    policies: list[PolicyEntry]
    clusters: list[ClusterEntry]
    knobs: list[KnobEntry]
    off_by_default: list[KnobEntry]


class Energy(Finding):
    """Where energy comes from; `emulated` figures are of no real power.

    How fine it is: refreshed every `update_s` (None: not known yet; `learned`: by watching it), each time the mean of
    `average_s`, in steps of `step` (`step_unit` J of a counter, W of a power); a window of `window_s` is good to 1 %
    by that, at 5 W. `doubt` says why its figures may be wrong.
    """

    quality: Literal["package", "node", "battery", "none"]
    name: str
    zones: list[str]
    emulated: bool
    period_s: float
    update_s: float | None
    average_s: float
    learned: bool
    step: float | None
    step_unit: Literal["J", "W"] | None
    window_s: float | None
    doubt: str | None


class CommandEvents(Finding):
    """Events that can be counted of a command alone; `user_only` where the kernel's part is not ours to see."""

    events: list[str]
    user_only: bool


class Counters(Finding):
    """Events that can be counted system-wide, by perf's names; `command` is None on a machine that is not running."""

    events: list[str]
    command: CommandEvents | None = None


class Pressure(Finding):
    """Stall totals that the kernel keeps (`cpu_some`, `memory_full`, …)."""

    totals: list[str]


class Temperature(Finding):
    """The CPU's temperature now, by zone."""

    temp_c: dict[str, float]


class Idle(Finding):
    """Idle states whose residency is counted."""

    states: list[str]


class Permission(Finding):
    """Whether we may do something: `what`, and the file that decides."""

    what: str
    path: str


class Credentials(_Part):
    """Who we are to the kernel on the running machine, as far as it decides about what we do."""

    uid: int | None
    capabilities: list[str]
    user_namespace: bool
    container: bool
    security: str | None
    lockdown: str | None


class Competitor(_Part):
    """Another program that sets the same knobs: what it runs as, what it writes, which knobs here are among that."""

    name: str
    pid: int | None
    unit: str | None
    bus_name: str | None
    writes: list[str]
    knobs: list[str]
    warn_only: bool
    hint: str


class ProbeDocument(_Part):
    """The whole answer. `credentials` and `competing` are None for a machine that is not the running one.

    `competing_unseen` says why D-Bus could not be asked for other tuners, None when it was.
    """

    schema_version: Literal[1] = 1
    machine: Machine
    cpufreq: Cpufreq
    energy: Energy
    counters: Counters
    pressure: Pressure
    temperature: Temperature
    idle: Idle
    credentials: Credentials | None
    permissions: list[Permission]
    competing: list[Competitor] | None
    competing_unseen: str | None
