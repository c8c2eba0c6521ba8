"""The knobs of a cluster of cpufreq policies, and the files behind each.

Kernel documentation: admin-guide/pm/cpufreq.rst, "Policy Interface in sysfs"; for the energy-performance preference
admin-guide/pm/intel_pstate.rst and admin-guide/pm/amd-pstate.rst.
"""

from __future__ import annotations

from dataclasses import dataclass

from hwtune.domain.knob import Activity, ChoiceKnob, Knob, RangeKnob, Value
from hwtune.host.fs import HostFS
from hwtune.knobs.attributes import (
    BOOST,
    EPP,
    GLOBAL_BOOST,
    GOVERNOR,
    MAX,
    MIN,
    NO_TURBO,
    directory_of,
    flipped,
    inverted,
    name_of,
)
from hwtune.knobs.drivers import EPP_WORDS, driver_named
from hwtune.knobs.policies import Policy, read_text
from hwtune.knobs.target import whole
from hwtune.knobs.tunables import tunable_paths

# Where a driver takes any frequency, every 100 MHz is enough to choose from.
_GRID_KHZ = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyTarget:
    """A knob whose files are those of policies, or a global one of cpufreq; see `Target`.

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
            case "boost" if self.knob.scope:
                return tuple(policy.path(BOOST) for policy in self.policies if policy.boost is not None)
            case "boost":
                return (NO_TURBO,) if read_text(files, NO_TURBO) is not None else (GLOBAL_BOOST,)
            case _:
                return tunable_paths(files, self.key, self.policies)

    def text(self, path: str, value: Value) -> str:
        """What to write into an attribute for a value of the knob.

        A limit that only the favoured cores of a cluster can reach is for each of the others its own hardware's; one
        that none can reach now (boost is off) stays a request.
        """
        if inverted(path):
            return flipped(str(value))
        if name_of(path) in (MAX, MIN) and isinstance(value, int):
            policy = next(policy for policy in self.policies if policy.directory == directory_of(path))
            if value <= max(other.cpuinfo_max_khz or 0 for other in self.policies):
                value = min(value, policy.cpuinfo_max_khz or value)
        return str(value)

    def value(self, files: HostFS) -> Value | None:
        """What the kernel reports for it now; None when the file is not there or its policies are offline.

        Of favoured cores in one cluster, which clamp a common limit each to its own, the widest limit counts.
        """
        texts = {path: text for path in self.paths(files) if (text := read_text(files, path)) is not None}
        if isinstance(self.knob, RangeKnob):
            numbers = [number for text in texts.values() if (number := whole(text)) is not None]
            widest = min if self.key == "min" else max
            return widest(numbers) if numbers else None
        return next((flipped(text) if inverted(path) else text for path, text in texts.items()), None)


def governor_knob(group: tuple[Policy, ...], prefix: str, scope: tuple[int, ...]) -> ChoiceKnob | None:
    """The governors on offer; `userspace` has no policy of its own and is left out unless it is in use."""
    current = group[0].governor
    if current is None:
        return None
    choices = tuple(word for word in group[0].governors if word != "userspace" or current == word)
    if current not in choices:
        choices = (current, *choices)
    return ChoiceKnob(name=f"{prefix}governor", role="governor", choices=choices, default=current, scope=scope)


def frequency_knob(group: tuple[Policy, ...], prefix: str, scope: tuple[int, ...], *, upper: bool) -> RangeKnob | None:
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


def epp_knob(
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


def boost_knob(name: str, current: str, scope: tuple[int, ...]) -> ChoiceKnob:
    """Boost off or on, whichever way round its file says it."""
    return ChoiceKnob(name=name, role="boost", choices=("0", "1"), default=current, scope=scope)
