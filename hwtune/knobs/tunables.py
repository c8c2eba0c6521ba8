"""The tunables of the governors that every kernel has, with the ranges it documents.

A governor's tunables are in `cpufreq/<governor>/`, or in `policyN/<governor>/` for some drivers, and only while a
policy uses that governor: a tunable that nobody uses has no value to read, and begins with the kernel's own default.
Kernel documentation: admin-guide/pm/cpufreq.rst, "Generic Scaling Governors".
"""

from __future__ import annotations

from dataclasses import dataclass

from hwtune.domain.knob import Activity, RangeKnob
from hwtune.host.fs import HostFS
from hwtune.knobs.attributes import CPUFREQ
from hwtune.knobs.policies import Policy, read_text


@dataclass(frozen=True, slots=True, kw_only=True)
class Tunable:
    """One documented tunable.

    Args:
        governor: whose it is.
        name: of the file.
        low: smallest value of use; the kernel may refuse more (`sampling_rate` below two timer ticks).
        high: largest value of use.
        default: the kernel's, where it cannot be read.
        unit: of the values.
        step: spacing that makes a difference.
    """

    governor: str
    name: str
    low: int
    high: int
    default: int
    unit: str = ""
    step: int = 1

    @property
    def key(self) -> str:
        """As users write it."""
        return f"{self.governor}.{self.name}"


TUNABLES = (
    # 95 where the kernel counts idle time in microseconds (any with CONFIG_NO_HZ_COMMON), else 80.
    Tunable(governor="ondemand", name="up_threshold", low=1, high=100, default=95, unit="%"),
    Tunable(governor="ondemand", name="sampling_rate", low=10000, high=200000, default=10000, unit="us", step=5000),
    Tunable(governor="ondemand", name="sampling_down_factor", low=1, high=100, default=1),
    Tunable(governor="ondemand", name="powersave_bias", low=0, high=1000, default=0, step=10),
    Tunable(governor="ondemand", name="ignore_nice_load", low=0, high=1, default=0),
    Tunable(governor="ondemand", name="io_is_busy", low=0, high=1, default=0),
    # The lower threshold is 1 at least, and below the upper one.
    Tunable(governor="conservative", name="up_threshold", low=2, high=100, default=80, unit="%"),
    Tunable(governor="conservative", name="down_threshold", low=1, high=99, default=20, unit="%"),
    Tunable(governor="conservative", name="freq_step", low=1, high=100, default=5, unit="%"),
    Tunable(governor="conservative", name="sampling_rate", low=10000, high=200000, default=10000, unit="us", step=5000),
    Tunable(governor="conservative", name="sampling_down_factor", low=1, high=10, default=1),
    Tunable(governor="conservative", name="ignore_nice_load", low=0, high=1, default=0),
    Tunable(governor="schedutil", name="rate_limit_us", low=0, high=50000, default=10000, unit="us", step=500),
)


def begins_with(path: str, text: str) -> bool:
    """Whether a text is what the kernel's documentation says that the tunable in this file begins with."""
    return any(path.endswith(f"/{each.key.replace('.', '/')}") and text == str(each.default) for each in TUNABLES)


def tunable_paths(files: HostFS, key: str, policies: tuple[Policy, ...]) -> tuple[str, ...]:
    """The files of a tunable as they stand now: each policy's own, or the one for all.

    While nobody uses the governor neither is there, and the common place is returned.
    """
    inside = key.replace(".", "/")
    own = tuple(policy.path(inside) for policy in policies if read_text(files, policy.path(inside)) is not None)
    return own or (f"{CPUFREQ}/{inside}",)


def per_policy(files: HostFS, policies: tuple[Policy, ...]) -> bool:
    """Whether this driver gives every policy tunables of its own, as far as can be seen now."""
    governors = {tunable.governor for tunable in TUNABLES}
    return any(files.glob(policy.path(f"{governor}/*")) for policy in policies for governor in governors)


def tunable_knobs(
    files: HostFS, policies: tuple[Policy, ...], *, prefix: str, scope: tuple[int, ...], governor_knob: str
) -> list[RangeKnob]:
    """Knobs of every governor on offer; of one in use, those files that are there."""
    governors = {governor for policy in policies for governor in policy.governors}
    knobs = []
    for tunable in TUNABLES:
        if tunable.governor not in governors:
            continue
        text = read_text(files, tunable_paths(files, tunable.key, policies)[0])
        in_use = any(policy.governor == tunable.governor for policy in policies)
        if in_use and (text is None or not text.isdecimal()):
            continue
        knobs.append(_knob(tunable, text, prefix=prefix, scope=scope, governor_knob=governor_knob))
    return knobs


def _knob(tunable: Tunable, text: str | None, *, prefix: str, scope: tuple[int, ...], governor_knob: str) -> RangeKnob:
    default = int(text) if text is not None and text.isdecimal() else tunable.default
    grid = range(tunable.low, tunable.high + 1, tunable.step)
    # A value found off the grid is legal too, and then the grid has to be written out.
    levels = None if default in grid else tuple(sorted({*grid, default}))
    return RangeKnob(
        name=prefix + tunable.key,
        role="other",
        unit=tunable.unit,
        low=min(tunable.low, default),
        high=max(tunable.high, default),
        default=default,
        levels=levels,
        step=tunable.step,
        scope=scope,
        active_when=(Activity(knob=governor_knob, values=(tunable.governor,)),),
    )
