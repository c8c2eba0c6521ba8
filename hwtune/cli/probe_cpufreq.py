"""The cpufreq part of the probe: policies as they stand, clusters and what they offer, knobs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hwtune.cli.probe_document import ClusterEntry, Cpufreq, KnobEntry, Machine, PolicyEntry
from hwtune.domain.knob import Knob, RangeKnob, Value
from hwtune.domain.sample import Sample
from hwtune.knobs.cpufreq import CpufreqBackend
from hwtune.knobs.extra import WORDS
from hwtune.knobs.policies import Cluster, Policy, clusters


def find_cpufreq(backend: CpufreqBackend, machine: Machine, sample: Sample) -> Cpufreq:
    """What can be turned on this machine; where there is nothing, why and what to do."""
    policies = backend.policies
    why, hint = (None, None) if policies else _no_cpufreq(machine)
    return Cpufreq(
        available=bool(policies),
        why=why,
        hint=hint,
        drivers=sorted({policy.driver for policy in policies if policy.driver}),
        policies=[_policy(policy, sample.freq_khz) for policy in policies],
        clusters=[_cluster(cluster, policies) for cluster in clusters(policies)],
        knobs=_knobs(backend) if policies else [],
        off_by_default=_off_by_default(backend) if policies else [],
    )


def _no_cpufreq(machine: Machine) -> tuple[str, str]:
    if machine.simulated or machine.virtual:
        return (
            "this machine has no cpufreq policies: the hypervisor keeps the frequency to itself",
            "tune the host below, or see how it goes: `hwtune tune --simulate --workload mixed`",
        )
    if not machine.live:
        return (
            "no cpufreq policy below this root",
            "capture /sys/devices/system/cpu and /proc of a machine that has /sys/devices/system/cpu/cpufreq/policy0",
        )
    return (
        "this machine has no cpufreq policies: no driver is loaded, or the firmware keeps the frequency to itself",
        "let the OS control P-states in the BIOS setup, or `modprobe acpi-cpufreq`; without hardware: "
        "`hwtune tune --simulate --workload mixed`",
    )


def _policy(policy: Policy, freq_khz: Mapping[int, int]) -> PolicyEntry:
    return PolicyEntry(
        number=policy.number,
        online=policy.online,
        cpus=list(policy.cpus),
        related_cpus=list(policy.related),
        driver=policy.driver,
        governor=policy.governor,
        current_khz=freq_khz.get(policy.number),
        min_khz=policy.scaling_min_khz,
        max_khz=policy.scaling_max_khz,
        bios_limit_khz=policy.bios_limit_khz,
        epp=policy.epp,
        boost=None if policy.boost is None else policy.boost == "1",
    )


def _cluster(cluster: Cluster, policies: Sequence[Policy]) -> ClusterEntry:
    """What the cluster offers: a figure that one policy does not tell is taken from the others.

    Governors are registered with the kernel and not with a policy: every policy of a driver offers the same ones.
    """
    members = cluster.policies
    driver = next((policy.driver for policy in members if policy.driver), None)
    related = (*members, *(policy for policy in policies if driver in (None, policy.driver)))
    lows = [policy.cpuinfo_min_khz for policy in members if policy.cpuinfo_min_khz is not None]
    highs = [policy.cpuinfo_max_khz for policy in members if policy.cpuinfo_max_khz is not None]
    levels = {khz for policy in members for khz in policy.available_khz or ()}
    return ClusterEntry(
        policies=[policy.number for policy in members],
        cpus=list(cluster.cpus),
        driver=driver,
        governors=list(next((policy.governors for policy in related if policy.governors), ())),
        lowest_khz=min(lows or levels, default=None),
        highest_khz=max(highs or levels, default=None),
        base_khz=next((policy.base_khz for policy in members if policy.base_khz), None),
        levels_khz=sorted(levels) or None,
        epp_choices=list(next((policy.epp_choices for policy in members if policy.epp_choices), ())),
    )


def _knobs(backend: CpufreqBackend) -> list[KnobEntry]:
    effective = backend.effective()
    space = backend.space
    return [_knob(knob, effective.get(knob.name), active=space.active(knob, effective)) for knob in space.knobs]


def _off_by_default(backend: CpufreqBackend) -> list[KnobEntry]:
    found = {target.knob.name: (target, backend.value(target)) for target in backend.off_by_default(WORDS)}
    return [
        _knob(target.knob, now, active=all(found[when.knob][1] in when.values for when in target.knob.active_when))
        for target, now in found.values()
    ]


def _knob(knob: Knob, now: Value | None, *, active: bool) -> KnobEntry:
    if isinstance(knob, RangeKnob):
        return KnobEntry(
            name=knob.name,
            role=knob.role,
            unit=knob.unit,
            low=knob.low,
            high=knob.high,
            levels=None if knob.levels is None else len(knob.levels),
            choices=None,
            now=now,
            active=active,
        )
    return KnobEntry(
        name=knob.name,
        role=knob.role,
        unit="",
        low=None,
        high=None,
        levels=None,
        choices=list(knob.choices),
        now=now,
        active=active,
    )
