"""The probe's document for people: one subject a line, and under every "no" why and what to do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from hwtune.cli.probe_document import ClusterEntry, Credentials, Finding, KnobEntry, Machine, PolicyEntry, ProbeDocument
from hwtune.cli.probe_energy import energy_text

_WIDTH = 13  # of the first column


def probe_text(document: ProbeDocument) -> str:
    """The whole answer as text."""
    return "\n".join(_lines(document))


def _lines(document: ProbeDocument) -> Iterator[str]:
    yield from _machine(document.machine)
    yield from _cpufreq(document)
    energy = document.energy
    kind = "an EMULATED meter, no real power; " if energy.emulated else ""
    said = f"{energy.name} ({kind}quality: {energy.quality})" if energy.available else "none"
    yield from _finding("energy", said, energy)
    fine = energy_text(energy)
    if fine is not None:
        yield _line("", f"  {fine}")
    if energy.doubt is not None:
        yield _line("", f"  DOUBTFUL: {energy.doubt}")
    yield from _finding("counters", ", ".join(document.counters.events) or "none", document.counters)
    if document.counters.command is not None:
        own = document.counters.command
        yield _line("", f"of a command: {', '.join(own.events) or 'none'}")
    yield from _finding("pressure", ", ".join(document.pressure.totals) or "none", document.pressure)
    temps = ", ".join(f"{zone} {temp_c:.1f} °C" for zone, temp_c in document.temperature.temp_c.items())
    yield from _finding("temperature", temps or "none", document.temperature)
    yield from _finding("idle states", ", ".join(document.idle.states) or "none", document.idle)
    if document.credentials is not None:
        yield _line("rights", _rights(document.credentials))
    for index, permission in enumerate(document.permissions):
        said = f"{'may' if permission.available else 'may NOT'} {permission.what}"
        before = document.permissions[index - 1] if index else None
        if before is not None and (before.why, before.hint) == (permission.why, permission.hint):
            yield _line("", said)  # one reason for several files is given once
        else:
            yield from _finding("" if index else "permissions", said, permission)
    yield from _competing(document)


def _rights(who: Credentials) -> str:
    user = "user not known" if who.uid is None else "root" if who.uid == 0 else f"user {who.uid}"
    capabilities = " ".join(who.capabilities) or "no capability that helps"
    places = [
        "in a user namespace" if who.user_namespace else "",
        "in a container" if who.container else "",
        who.security or "",
        f"kernel locked down ({who.lockdown})" if who.lockdown else "",
    ]
    return ", ".join(filter(None, (user, capabilities, *places)))


def _competing(document: ProbeDocument) -> Iterator[str]:
    for index, other in enumerate(document.competing or []):
        traces = [
            "" if other.pid is None else f"process {other.pid}",
            other.unit or "",
            "" if other.bus_name is None else f"D-Bus name {other.bus_name}",
        ]
        found = ", ".join(filter(None, traces)) or "its state file is there"
        yield _line("" if index else "competing", f"{other.name} ({found}) sets {', '.join(other.writes)}")
        here = f"{', '.join(other.knobs) or 'none'} of these knobs"
        yield _line("", f"  here: {here}" + ("; hwtune warns and goes on" if other.warn_only else ""))
        yield _line("", f"  hint: {other.hint}")
    if document.competing == []:
        yield _line("competing", "no other tuner is running")
    if document.competing_unseen is not None:
        yield _line("", f"  why:  nothing was learned from D-Bus: {document.competing_unseen}")


def _machine(machine: Machine) -> Iterator[str]:
    kind = "simulated: nothing here is real" if machine.simulated else "" if machine.live else "not the running machine"
    yield _line("machine", machine.name + (f" ({kind})" if kind else ""))
    cores = "" if machine.physical_cores is None else f", {machine.physical_cores} cores"
    memory = "" if machine.memory_bytes is None else f", {machine.memory_bytes / 2**30:.1f} GiB"
    online = f"{len(machine.online_cpus)} CPUs online" if machine.online_cpus else "CPUs online not known"
    virtual = ", virtual" if machine.virtual else ""
    yield _line("cpu", f"{machine.cpu or 'name not known'}, {online}{cores}{memory}{virtual}")
    if machine.kernel:
        yield _line("kernel", machine.kernel)


def _cpufreq(document: ProbeDocument) -> Iterator[str]:
    cpufreq = document.cpufreq
    if not cpufreq.available:
        yield from _finding("cpufreq", "none", cpufreq)
        return
    online = [policy for policy in cpufreq.policies if policy.online]
    off = len(cpufreq.policies) - len(online)
    counts = f"{_count(len(cpufreq.policies), 'policy', 'policies')} in {_count(len(cpufreq.clusters), 'cluster')}"
    drivers = ", ".join(cpufreq.drivers) or "driver not named"
    yield _line("cpufreq", f"{drivers}: {counts}" + (f", {off} offline" if off else ""))
    for cluster in cpufreq.clusters:
        yield from _cluster(cluster, [policy for policy in online if policy.number in cluster.policies])
    active = [_knob(knob) for knob in cpufreq.knobs if knob.active]
    # The tunables of a governor come and go together, so one word stands for all of them.
    inactive = {
        f"{knob.name.rpartition('.')[0]}.*" if knob.role == "other" else knob.name: None
        for knob in cpufreq.knobs
        if not knob.active
    }
    if inactive:
        active.append(f"not active under the present governor: {', '.join(inactive)}")
    for index, line in enumerate(active or ["none: no limit and no governor can be read"]):
        yield _line("" if index else "knobs", line)
    for index, knob in enumerate(cpufreq.off_by_default):
        yield _line("" if index else "by request", _knob(knob) + ("" if knob.active else ", not in force"))
    if cpufreq.off_by_default:
        yield _line("", "  hint: off by default; `hwtune apply` takes them, and tune with `tune.extra` (docs/knobs.md)")


def _cluster(cluster: ClusterEntry, policies: list[PolicyEntry]) -> Iterator[str]:
    levels = "any frequency" if cluster.levels_khz is None else f"{len(cluster.levels_khz)} levels"
    base = "" if cluster.base_khz is None else f", base {_mhz(cluster.base_khz)}"
    limits = f"{_mhz(cluster.lowest_khz)} to {_mhz(cluster.highest_khz)} MHz{base}, {levels}"
    cpus = f"{'CPU' if len(cluster.cpus) == 1 else 'CPUs'} {ranges(cluster.cpus)}"
    policy = f"{'policy' if len(cluster.policies) == 1 else 'policies'} {ranges(cluster.policies)}"
    yield _line("", f"{cpus} ({policy}): {limits}")
    yield _line("", f"  governors {' '.join(cluster.governors) or 'not known'}")
    now = {
        (policy.governor, policy.min_khz, policy.max_khz, policy.epp, policy.bios_limit_khz): None
        for policy in policies
    }
    for governor, min_khz, max_khz, epp, bios_khz in now:
        extra = ("" if epp is None else f", EPP {epp}") + ("" if bios_khz is None else f", firmware {_mhz(bios_khz)}")
        yield _line("", f"  now {governor or 'not known'}, limits {_mhz(min_khz)} to {_mhz(max_khz)} MHz{extra}")


def _knob(knob: KnobEntry) -> str:
    if knob.choices is not None:
        legal = " ".join(knob.choices)
    else:
        legal = f"{knob.low} to {knob.high} {knob.unit}".rstrip()
        legal += f", {knob.levels} levels" if knob.levels is not None else ""
    return f"{knob.name} = {'?' if knob.now is None else knob.now}  ({legal})"


def _finding(subject: str, said: str, finding: Finding) -> Iterator[str]:
    yield _line(subject, said)
    if finding.why:
        yield _line("", f"  why:  {finding.why}")
    if finding.hint:
        yield _line("", f"  hint: {finding.hint}")


def _line(subject: str, text: str) -> str:
    return f"{subject:<{_WIDTH}}{text}".rstrip()


def _count(number: int, one: str, many: str | None = None) -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"


def _mhz(khz: int | None) -> str:
    return "?" if khz is None else f"{khz / 1000:g}"


def ranges(numbers: Sequence[int]) -> str:
    """CPU numbers as the kernel lists them: 0-3,8."""
    parts = []
    for _, run in groupby(enumerate(sorted(numbers)), key=lambda pair: pair[1] - pair[0]):
        members = [number for _, number in run]
        parts.append(f"{members[0]}-{members[-1]}" if len(members) > 1 else str(members[0]))
    return ",".join(parts)
