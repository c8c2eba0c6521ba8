"""Asking the rooms what a machine offers. What fails to be there is a finding, never an error."""

from __future__ import annotations

import re
from collections.abc import Sequence

from hwtune.cli.host import OpenHost
from hwtune.cli.probe_counters import counting_permissions, find_counters
from hwtune.cli.probe_cpufreq import find_cpufreq
from hwtune.cli.probe_document import (
    Competitor,
    Credentials,
    Idle,
    Machine,
    Permission,
    Pressure,
    ProbeDocument,
    Temperature,
)
from hwtune.cli.probe_energy import find_energy
from hwtune.domain.errors import HostError, PermissionDenied
from hwtune.domain.sample import Sample
from hwtune.host.bus import system_bus
from hwtune.host.denial import refused, why_denied
from hwtune.host.fs import HostFS
from hwtune.host.rights import CAPABILITIES, read_rights
from hwtune.knobs.attributes import BOOST, EPP, GLOBAL_BOOST, GOVERNOR, MAX, NO_TURBO
from hwtune.knobs.cpufreq import CpufreqBackend
from hwtune.knobs.policies import Policy, parse_cpus
from hwtune.sensors.collector import Collector
from hwtune.sensors.competitors import CompetingTuner, competing_tuners
from hwtune.sensors.energy import EnergySource
from hwtune.sensors.optional import optional_text


def probe_machine(opened: OpenHost) -> ProbeDocument:
    """Everything this machine offers, and why the rest is missing."""
    host = opened.host
    collector = Collector(host)
    sample = collector.sample()
    machine = _machine(opened)
    backend = CpufreqBackend(host.files)
    cpufreq = find_cpufreq(backend, machine, sample)
    bus = system_bus() if opened.live else None
    rivals = None if bus is None else competing_tuners(host.files, bus)
    names = [knob.name for knob in (*cpufreq.knobs, *cpufreq.off_by_default)]
    energy = find_energy(collector, host.clock, sample, machine, _no_energy(collector.energy, machine))
    counters = find_counters(opened)
    return ProbeDocument(
        machine=machine,
        cpufreq=cpufreq,
        energy=energy,
        counters=counters,
        pressure=_pressure(sample, machine),
        temperature=_temperature(sample, machine),
        idle=_idle(sample, machine),
        credentials=_credentials(host.files) if opened.live else None,
        permissions=[*_permissions(opened, backend.policies), *counting_permissions(opened, counters)],
        competing=None if rivals is None else [_competitor(rival, names) for rival in rivals],
        competing_unseen=None if bus is None else bus.why,
    )


def _machine(opened: OpenHost) -> Machine:
    files = opened.host.files
    facts = None
    if opened.live:
        from hwtune.sensors.process import host_facts

        facts = host_facts()
    cpuinfo = optional_text(files, "/proc/cpuinfo") or ""
    return Machine(
        name=opened.host.name,
        live=opened.live,
        simulated=opened.host.simulated,
        cpu=parse_cpu_model(cpuinfo),
        kernel=optional_text(files, "/proc/sys/kernel/osrelease"),
        virtual=re.search(r"^flags\s*:.*\bhypervisor\b", cpuinfo, re.MULTILINE) is not None,
        online_cpus=list(parse_cpus(optional_text(files, "/sys/devices/system/cpu/online") or "")),
        physical_cores=facts.physical_cores if facts else None,
        memory_bytes=facts.memory_bytes if facts else None,
    )


def parse_cpu_model(text: str) -> str | None:
    """The CPU's name from /proc/cpuinfo: x86 has it per CPU, ARM once for the board or not at all.

    model name	: Intel(R) Core(TM) i7-8650U CPU @ 1.90GHz
    Hardware	: Qualcomm Technologies, Inc SDM845
    """
    for key in ("model name", "Hardware", "cpu model", "Processor"):
        found = re.search(rf"^{key}\s*:[ \t]*(\S.*)$", text, re.MULTILINE)
        if found:
            return found[1].strip()
    return None


def _no_energy(source: EnergySource, machine: Machine) -> str:
    """What to do where energy cannot be measured."""
    return _missing(
        machine,
        "/sys/class/powercap, /sys/class/hwmon and /sys/class/power_supply",
        virtual="a virtual machine has no meter; `--objective time` works without",
        real=f"{source.hint}; `--objective time` works without" if source.hint else "`--objective time` works without",
    )


def _missing(machine: Machine, where: str, *, virtual: str, real: str) -> str:
    """What to do about files that are not there: it depends on the kind of machine."""
    if machine.simulated or machine.virtual:
        return virtual
    return real if machine.live else f"add {where} to the capture"


def _pressure(sample: Sample, machine: Machine) -> Pressure:
    if sample.pressure:
        return Pressure(available=True, totals=list(sample.pressure))
    boot = "boot with psi=1 on a kernel with CONFIG_PSI"
    hint = _missing(machine, "/proc/pressure", virtual=boot, real=boot)
    return Pressure(available=False, why="no /proc/pressure: stalls are not seen", hint=hint, totals=[])


def _temperature(sample: Sample, machine: Machine) -> Temperature:
    if sample.temp_mc:
        return Temperature(available=True, temp_c={zone: temp / 1e3 for zone, temp in sample.temp_mc.items()})
    hint = _missing(
        machine,
        "/sys/class/thermal and /sys/class/hwmon",
        virtual="a virtual machine has none",
        real="load the sensor: `modprobe coretemp` (Intel) or `modprobe k10temp` (AMD)",
    )
    why = "no CPU zone that answers in /sys/class/thermal or /sys/class/hwmon"
    return Temperature(available=False, why=why, hint=hint, temp_c={})


def _idle(sample: Sample, machine: Machine) -> Idle:
    if sample.idle_us:
        return Idle(available=True, states=list(sample.idle_us))
    hint = _missing(
        machine,
        "/sys/devices/system/cpu/cpu*/cpuidle",
        virtual="a virtual machine often has none",
        real="let the OS control C-states in the BIOS setup",
    )
    why = "no idle state in /sys/devices/system/cpu/cpu*/cpuidle"
    return Idle(available=False, why=why, hint=hint, states=[])


def _credentials(files: HostFS) -> Credentials:
    rights = read_rights(files)
    who = rights.credentials
    return Credentials(
        uid=None if who is None else who.uid,
        capabilities=[] if who is None else [name for name, number in CAPABILITIES.items() if who.has(number)],
        user_namespace=rights.inside_user_namespace,
        container=rights.container,
        security=rights.security,
        lockdown=rights.lockdown,
    )


def _permissions(opened: OpenHost, policies: tuple[Policy, ...]) -> list[Permission]:
    """What decides whether we may write and measure; only files that are there are asked about."""
    files = opened.host.files
    found = []
    for attribute in (GOVERNOR, MAX, EPP, BOOST):
        paths = [policy.path(attribute) for policy in policies]
        paths += [NO_TURBO, GLOBAL_BOOST] if attribute == BOOST else []
        path = next((path for path in paths if optional_text(files, path) is not None), None)
        if path is not None:
            found.append(_may_write(opened, path, attribute))
    counter = next(iter(files.glob("/sys/class/powercap/intel-rapl*:*/energy_uj")), None)
    if counter is not None:
        found.append(_may_read(opened, counter))
    return found


def _may_write(opened: OpenHost, path: str, attribute: str) -> Permission:
    may, why, hint = (
        opened.host.files.writable(path),
        "this root can only be read",
        "`--dry-run` keeps writes in memory",
    )
    if opened.live:
        code = refused(path)
        may, denial = code is None, why_denied(path, errno=code)
        why, hint = denial.why, denial.hint
    return Permission(
        what=f"write {attribute}", path=path, available=may, why=None if may else why, hint=None if may else hint
    )


def _may_read(opened: OpenHost, path: str) -> Permission:
    why = hint = None
    try:
        opened.host.files.read(path)
    except PermissionDenied as error:
        denial = why_denied(path, write=False, errno=error.errno)
        why, hint = denial.why, denial.hint
    except HostError as error:
        why, hint = str(error), "see `dmesg | grep -i rapl`"
    return Permission(what="read energy counters", path=path, available=why is None, why=why, hint=hint)


def _competitor(found: CompetingTuner, knobs: Sequence[str]) -> Competitor:
    return Competitor(
        name=found.tuner.name,
        pid=found.pid,
        unit=found.unit,
        bus_name=found.bus_name,
        writes=[*found.tuner.knobs, *found.tuner.besides],
        knobs=list(found.collides(knobs)),
        warn_only=found.tuner.warn_only,
        hint=found.stop,
    )
