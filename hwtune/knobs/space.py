"""From policies to knobs: one set for each cluster, with the files behind every name.

Names are `governor`, `max`, `min`, `epp`, `boost`, `ondemand.up_threshold` on a machine of like cores, and carry the
first policy of their cluster where there are several (`policy4.max`). Policies of like cores that are set differently
now count as several clusters, so that the default setting is exactly what was found. What is global has no prefix.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from hwtune.domain.knob import Activity, ChoiceKnob, Knob, KnobSpace, RangeKnob
from hwtune.host.fs import HostFS
from hwtune.knobs.attributes import BOOST, EPP, GLOBAL_BOOST, GOVERNOR, MAX, MIN, NO_TURBO
from hwtune.knobs.drivers import driver_named
from hwtune.knobs.policies import Policy, clusters, read_text
from hwtune.knobs.tunables import THRESHOLDS, per_policy, tunable_knobs, tunable_paths

# Where a driver takes any frequency, every 100 MHz is enough to choose from.
_GRID_KHZ = 100_000
# The energy-performance hint behind each word, 0 for most performance; a kernel may map a word otherwise on a model.
EPP_WORDS = {"performance": 0, "balance_performance": 128, "balance_power": 192, "power": 255}


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A name that can be set, and where it goes.

    Args:
        knob: its values.
        key: the name without a policy.
        policies: whose attributes are written; empty for a global attribute.
    """

    knob: Knob
    key: str
    policies: tuple[Policy, ...]

    def paths(self, files: HostFS) -> tuple[str, ...]:
        """The files that hold it now."""
        match self.key:
            case "governor":
                return tuple(policy.path(GOVERNOR) for policy in self.policies)
            case "max":
                return tuple(policy.path(MAX) for policy in self.policies if policy.scaling_max_khz is not None)
            case "min":
                return tuple(policy.path(MIN) for policy in self.policies if policy.scaling_min_khz is not None)
            case "epp":
                return tuple(policy.path(EPP) for policy in self.policies if policy.epp is not None)
            case "boost" if self.policies:
                return tuple(policy.path(BOOST) for policy in self.policies if policy.boost is not None)
            case "boost":
                return (NO_TURBO,) if read_text(files, NO_TURBO) is not None else (GLOBAL_BOOST,)
            case _:
                return tunable_paths(files, self.key, self.policies)


class Layout:
    """Every name of a machine.

    Args:
        files: the machine as it was found.
        policies: its policies.
    """

    def __init__(self, files: HostFS, policies: tuple[Policy, ...]) -> None:
        self.policies = policies
        self._files = files
        self.groups = _set_alike(policies)
        several = len(self.groups) > 1
        self.targets: list[Target] = []
        for group in self.groups:
            self.targets += self._targets_of(group, f"policy{group[0].number}." if several else "")
        self.targets += self._global_targets()
        self._by_name = {target.knob.name: target for target in self.targets}

    def __getitem__(self, name: str) -> Target:
        """The target of a name: a knob of the space, or one policy's own (`policy3.max`).

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
        raise KeyError(name)

    @property
    def space(self) -> KnobSpace:
        """All knobs, with low ≤ high where two limit the same thing."""
        names = set(self._by_name)
        pairs = []
        for low, high in (("min", "max"), THRESHOLDS):
            pairs += [
                (name, name.removesuffix(low) + high)
                for name in self._by_name
                if (name == low or name.endswith(f".{low}")) and name.removesuffix(low) + high in names
            ]
        return KnobSpace(knobs=tuple(target.knob for target in self.targets), ordered_pairs=tuple(pairs))

    def _targets_of(self, group: tuple[Policy, ...], prefix: str) -> list[Target]:
        scope = tuple(policy.number for policy in group)
        governor = _governor_knob(group, prefix, scope)
        knobs: list[Knob | None] = [
            governor,
            _frequency_knob(group, prefix, scope, upper=True),
            _frequency_knob(group, prefix, scope, upper=False),
            _epp_knob(group, prefix, scope, governor),
        ]
        if self._boost_text() is None and group[0].boost in ("0", "1"):
            knobs.append(_boost_knob(f"{prefix}boost", group[0].boost, scope))
        if governor is not None and _can_change(governor) and self._tunables_in(group, prefix):
            knobs += tunable_knobs(self._files, group, prefix=prefix, scope=scope, governor_knob=governor.name)
        return [
            Target(knob=knob, key=knob.name.removeprefix(prefix), policies=group)
            for knob in knobs
            if knob is not None and _can_change(knob)
        ]

    def _tunables_in(self, group: tuple[Policy, ...], prefix: str) -> bool:
        """Tunables go with the cluster when they are its own, or when there is but one cluster."""
        return not prefix or per_policy(self._files, group)

    def _global_targets(self) -> list[Target]:
        found = []
        boost = self._boost_text()
        if boost is not None:
            found.append(Target(knob=_boost_knob("boost", boost, ()), key="boost", policies=()))
        # Common tunables of several clusters: the first one's governor stands for their being there.
        first = self.groups[0] if len(self.groups) > 1 else ()
        governor = _governor_knob(first, f"policy{first[0].number}.", ()) if first else None
        if governor is not None and _can_change(governor) and not per_policy(self._files, self.policies):
            knobs = tunable_knobs(self._files, first, prefix="", scope=(), governor_knob=governor.name)
            found += [Target(knob=knob, key=knob.name, policies=first) for knob in knobs]
        return found

    def _boost_text(self) -> str | None:
        """`1` or `0` of the switch for the whole machine, None where there is none."""
        no_turbo = read_text(self._files, NO_TURBO)
        if no_turbo in ("0", "1"):
            return "0" if no_turbo == "1" else "1"
        boost = read_text(self._files, GLOBAL_BOOST)
        return boost if boost in ("0", "1") else None


def _set_alike(policies: tuple[Policy, ...]) -> tuple[tuple[Policy, ...], ...]:
    """Clusters, split where policies of like cores are set differently now."""
    groups: dict[tuple[object, ...], list[Policy]] = {}
    for cluster in clusters(policies):
        for policy in cluster.policies:
            top = policy.scaling_max_khz == policy.cpuinfo_max_khz or policy.scaling_max_khz
            bottom = policy.scaling_min_khz == policy.cpuinfo_min_khz or policy.scaling_min_khz
            key = (cluster.first.number, policy.governor, top, bottom, policy.epp, policy.boost)
            groups.setdefault(key, []).append(policy)
    return tuple(tuple(group) for group in sorted(groups.values(), key=lambda group: group[0].number))


def _governor_knob(group: tuple[Policy, ...], prefix: str, scope: tuple[int, ...]) -> ChoiceKnob | None:
    """The governors on offer; `userspace` has no policy of its own and is left out unless it is in use."""
    current = group[0].governor
    if current is None:
        return None
    choices = tuple(word for word in group[0].governors if word != "userspace" or current == word)
    if current not in choices:
        choices = (current, *choices)
    return ChoiceKnob(name=f"{prefix}governor", role="governor", choices=choices, default=current, scope=scope)


def _frequency_knob(group: tuple[Policy, ...], prefix: str, scope: tuple[int, ...], *, upper: bool) -> RangeKnob | None:
    """The cap or the floor of a cluster; favoured cores count with their own, higher limit."""
    lows = [khz for p in group for khz in (p.cpuinfo_min_khz or p.scaling_min_khz,) if khz is not None]
    highs = [khz for p in group for khz in (p.cpuinfo_max_khz or p.scaling_max_khz,) if khz is not None]
    limits = [khz for p in group for khz in (p.scaling_max_khz if upper else p.scaling_min_khz,) if khz is not None]
    if not lows or not highs or not limits:
        return None
    default = max(limits) if upper else min(limits)
    low, high = min(*lows, default), max(*highs, default)
    table = {khz for policy in group for khz in policy.available_khz or ()}
    grid = table or set(range(low - low % _GRID_KHZ + _GRID_KHZ, high, _GRID_KHZ))
    return RangeKnob(
        name=f"{prefix}{'max' if upper else 'min'}",
        role="frequency" if upper else "frequency_floor",
        unit="kHz",
        low=min(low, *grid) if grid else low,
        high=max(high, *grid) if grid else high,
        default=default,
        levels=tuple(sorted({low, high, default, *grid})),
        scope=scope,
    )


def _epp_knob(
    group: tuple[Policy, ...], prefix: str, scope: tuple[int, ...], governor: ChoiceKnob | None
) -> ChoiceKnob | None:
    """The words on offer, from most performance to most saving; a number found now stands at its place among them.

    `default` is another name for one of the rest, so it is no choice of its own.
    """
    current = group[0].epp
    if current is None:
        return None
    words = {word for word in group[0].epp_choices if word in EPP_WORDS} | {current}
    active: tuple[Activity, ...] = ()
    locked = driver_named(group[0].driver).epp_locked_under
    if governor is not None and governor.choices == (governor.default,) and governor.default in locked:
        return None  # locked for good
    if governor is not None and any(word in locked for word in governor.choices):
        free = tuple(word for word in governor.choices if word not in locked)
        active = (Activity(knob=governor.name, values=free),)
    return ChoiceKnob(
        name=f"{prefix}epp",
        role="epp",
        choices=tuple(sorted(words, key=_epp_rank)),
        default=current,
        ordered=True,
        scope=scope,
        active_when=active,
    )


def _epp_rank(word: str) -> int:
    return int(word) if word.isdecimal() else EPP_WORDS.get(word, len(EPP_WORDS) * 256)


def _boost_knob(name: str, current: str, scope: tuple[int, ...]) -> ChoiceKnob:
    return ChoiceKnob(name=name, role="boost", choices=("0", "1"), default=current, scope=scope)


def _can_change(knob: Knob) -> bool:
    """A knob with one value is none."""
    return knob.low < knob.high if isinstance(knob, RangeKnob) else len(knob.choices) > 1
