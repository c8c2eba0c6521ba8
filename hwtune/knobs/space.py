"""From policies to knobs: one set for each cluster, and what is off by default but wanted.

Names are `governor`, `max`, `min`, `epp`, `boost`, `ondemand.up_threshold` on a machine of like cores, and carry the
first policy of their cluster where there are several (`policy4.max`). Policies of like cores that are set differently
now count as several clusters, so that the default setting is exactly what was found. What is global has no prefix.
A policy whose CPUs go offline keeps its place; one that comes later joins the cluster whose cores it is like.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from hwtune.domain.knob import Knob, KnobSpace, RangeKnob
from hwtune.host.fs import HostFS
from hwtune.knobs import extra
from hwtune.knobs.attributes import GLOBAL_BOOST, NO_TURBO, flipped
from hwtune.knobs.policies import Policy, alike, clusters, read_text
from hwtune.knobs.policy_knobs import PolicyTarget, boost_knob, epp_knob, frequency_knob, governor_knob
from hwtune.knobs.target import LIMITS, FileTarget, Target
from hwtune.knobs.tunables import per_policy, tunable_knobs

_Group = tuple[Policy, ...]


class Layout:
    """Every name of a machine.

    Args:
        files: the machine as it was found.
        policies: its policies.
        wanted: which of the knobs that are off by default are there (`extra.find_targets`).
    """

    def __init__(self, files: HostFS, policies: _Group, wanted: Sequence[str] = ()) -> None:
        self.policies = policies
        self._files = files
        self._wanted = tuple(wanted)
        self.groups = _set_alike(policies)
        several = len(self.groups) > 1
        self.targets: list[Target] = []
        for group in self.groups:
            self.targets += self._targets_of(group, f"policy{group[0].number}." if several else "")
        self.targets += self._global_targets()
        self._group_of = {
            target.knob.name: self.groups.index(target.policies)
            for target in self.targets
            if isinstance(target, PolicyTarget) and target.policies
        }
        self.targets += extra.find_targets(files, self._wanted)
        self._by_name = {target.knob.name: target for target in self.targets}

    def __getitem__(self, name: str) -> Target:
        """The target of a name: a knob of the space, or one policy's or unit's own (`policy3.max`).

        Raises:
            KeyError: when there is none.
        """
        if name in self._by_name:
            return self._by_name[name]
        if match := re.match(r"policy(\d+)\.", name):
            group = tuple(policy for policy in self.policies if policy.number == int(match[1]) and policy.online)
            for target in self._targets_of(group, match[0]) if group else []:
                if target.knob.name == name:
                    return target
        if {name, extra.word_of(name)} & set(self._wanted):
            own = extra.own_target(self._files, name)
            if own is not None:
                return own
        raise KeyError(name)

    @property
    def space(self) -> KnobSpace:
        """All knobs, with low ≤ high where two limit the same thing and do so as found."""
        pairs = []
        for low, high, _ in LIMITS:
            for name in self._by_name:
                stem = name.removesuffix(low)
                if stem != name and (not stem or stem.endswith(".")) and stem + high in self._by_name:
                    pairs.append((name, stem + high))
        knobs = {target.knob.name: target.knob for target in self.targets}
        ordered = tuple(pair for pair in pairs if _as_found(knobs[pair[0]], knobs[pair[1]]))
        return KnobSpace(knobs=tuple(knobs.values()), ordered_pairs=ordered)

    def extra_paths(self, wanted: Sequence[str]) -> tuple[str, ...]:
        """The files of the wanted knobs that are off by default, one unit's own among them."""
        own = [extra.own_target(self._files, word) for word in wanted if word not in self._by_name]
        there = [target for target in (*self.targets, *own) if isinstance(target, FileTarget)]
        return tuple(dict.fromkeys(path for target in there for path in target.files))

    def admit(self, policies: _Group) -> None:
        """A policy that has come since joins the first cluster that it is like; those that went keep their place.

        The knobs, their levels and their defaults stay as they were found.
        """
        known = {policy.number for group in self.groups for policy in group}
        groups = [list(group) for group in self.groups]
        for late in (policy for policy in policies if policy.online and policy.number not in known):
            for group in groups:
                if all(alike(late, other) for other in group):
                    group.append(late)
                    break
        self.policies = policies
        self.groups = tuple(tuple(group) for group in groups)
        for index, target in enumerate(self.targets):
            if isinstance(target, PolicyTarget) and target.knob.name in self._group_of:
                self.targets[index] = replace(target, policies=self.groups[self._group_of[target.knob.name]])
        self._by_name = {target.knob.name: target for target in self.targets}

    def _targets_of(self, group: _Group, prefix: str) -> list[PolicyTarget]:
        scope = tuple(policy.number for policy in group)
        governor = governor_knob(group, prefix, scope)
        knobs: list[Knob | None] = [
            governor,
            frequency_knob(group, prefix, scope, upper=True),
            frequency_knob(group, prefix, scope, upper=False),
            epp_knob(group, prefix, scope, governor),
        ]
        if self._boost_text() is None and group[0].boost in ("0", "1"):
            knobs.append(boost_knob(f"{prefix}boost", group[0].boost, scope))
        if governor is not None and _can_change(governor) and self._tunables_in(group, prefix):
            knobs += tunable_knobs(self._files, group, prefix=prefix, scope=scope, governor_knob=governor.name)
        return [
            PolicyTarget(knob=knob, key=knob.name.removeprefix(prefix), policies=group)
            for knob in knobs
            if knob is not None and _can_change(knob)
        ]

    def _tunables_in(self, group: _Group, prefix: str) -> bool:
        """Tunables go with the cluster when they are its own, or when there is but one cluster."""
        return not prefix or per_policy(self._files, group)

    def _global_targets(self) -> list[PolicyTarget]:
        found = []
        boost = self._boost_text()
        if boost is not None:
            found.append(PolicyTarget(knob=boost_knob("boost", boost, ()), key="boost", policies=()))
        # Common tunables of several clusters: the first one's governor stands for their being there.
        first = self.groups[0] if len(self.groups) > 1 else ()
        governor = governor_knob(first, f"policy{first[0].number}.", ()) if first else None
        if governor is not None and _can_change(governor) and not per_policy(self._files, self.policies):
            knobs = tunable_knobs(self._files, first, prefix="", scope=(), governor_knob=governor.name)
            found += [PolicyTarget(knob=knob, key=knob.name, policies=first) for knob in knobs]
        return found

    def _boost_text(self) -> str | None:
        """`1` or `0` of the switch for the whole machine, None where there is none."""
        no_turbo = read_text(self._files, NO_TURBO)
        if no_turbo in ("0", "1"):
            return flipped(no_turbo)
        boost = read_text(self._files, GLOBAL_BOOST)
        return boost if boost in ("0", "1") else None


def _set_alike(policies: _Group) -> tuple[_Group, ...]:
    """Clusters, split where policies of like cores are set differently now."""
    groups: dict[tuple[object, ...], list[Policy]] = {}
    for cluster in clusters(policies):
        for policy in cluster.policies:
            top = policy.scaling_max_khz == policy.cpuinfo_max_khz or policy.scaling_max_khz
            bottom = policy.scaling_min_khz == policy.cpuinfo_min_khz or policy.scaling_min_khz
            key = (cluster.first.number, policy.governor, top, bottom, policy.epp, policy.boost)
            groups.setdefault(key, []).append(policy)
    return tuple(tuple(group) for group in sorted(groups.values(), key=lambda group: group[0].number))


def _as_found(low: Knob, high: Knob) -> bool:
    """Whether the limits are the right way round as they were found."""
    return isinstance(low, RangeKnob) and isinstance(high, RangeKnob) and low.default <= high.default


def _can_change(knob: Knob) -> bool:
    """A knob with one value is none."""
    return knob.low < knob.high if isinstance(knob, RangeKnob) else len(knob.choices) > 1
