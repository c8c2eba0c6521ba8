"""The cpufreq files of an imaginary machine, answering as a kernel does.

What a kernel answers: numbers never fail, they are clamped silently, and the request is remembered; text is EINVAL, but
a number with junk behind it is taken; governor names are case-insensitive; tunables exist while a policy uses their
governor, and start afresh; under intel_pstate's `performance` the EPP reads `performance` and takes nothing else
(EBUSY). Sources: drivers/cpufreq/{cpufreq,freq_table,intel_pstate,acpi-cpufreq}.c of Linux 6.1.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

from hwtune.domain.errors import UsageError
from hwtune.domain.knob import Value
from hwtune.sim.chip import Chip, Cluster
from hwtune.sim.governors import Controls
from hwtune.sim.plant import Column
from hwtune.sim.settings import EPP_OF_WORD, controls, epp_number
from hwtune.sim.sysfs import KernelError, SimulatedFS
from hwtune.sim.tunables import Tunables

CPU = "/sys/devices/system/cpu"
_PSTATE = f"{CPU}/intel_pstate"
_WORD_OF_EPP = {number: word for word, number in EPP_OF_WORD.items() if word != "default"}


@dataclass(slots=True, kw_only=True)
class Policy:
    """One cpufreq policy: what was asked of it.

    Args:
        number: of its first CPU.
        column: of the plant.
        cluster: of the chip.
        governor: in use.
        min_khz: requested lower limit, as it was written.
        max_khz: requested upper limit, as it was written.
        epp: energy-performance preference remembered for `powersave`.
        speed_khz: what `scaling_setspeed` holds under `userspace`.
    """

    number: int
    column: int
    cluster: Cluster
    governor: str
    min_khz: int
    max_khz: int
    epp: int
    speed_khz: int

    @property
    def cpus(self) -> range:
        """CPUs of the policy."""
        return range(self.number, self.number + self.cluster.policy_cpus)

    def limits_khz(self, ceiling_khz: int) -> tuple[int, int]:
        """The limits in force: the requests, clamped, and set to levels where there is a table."""
        cluster = self.cluster
        low = min(max(self.min_khz, cluster.min_khz), ceiling_khz)
        high = min(max(self.max_khz, cluster.min_khz), ceiling_khz)
        low = min(low, high)
        levels = cluster.levels_khz
        if levels is None:
            return low, high
        if not any(low <= level <= high for level in levels):
            high = next((level for level in levels if level > high), levels[-1])
        return min(level for level in levels if level >= low), max(level for level in levels if level <= high)

    def resolve_khz(self, wanted_khz: float, ceiling_khz: int) -> int:
        """The level for a wished speed: the next one up, within the limits."""
        low, high = self.limits_khz(ceiling_khz)
        wanted = min(max(wanted_khz, low), high)
        return next((level for level in self.cluster.levels_khz or () if level >= wanted), high)


def parse_number(text: str) -> int:
    """What the kernel makes of a number: digits after white space, whatever follows.

    Raises:
        KernelError: EINVAL when there are none.
    """
    match = re.match(r"\s*(\d+)", text)
    if match is None:
        raise KernelError(errno.EINVAL)
    return int(match[1])


@dataclass(slots=True)
class Cpufreq:
    """State of the driver, and its files.

    Args:
        chip: the machine.
        files: the tree they go into.
        clock_khz: the present clock of a column, where `userspace` starts from.
    """

    chip: Chip
    files: SimulatedFS
    clock_khz: Callable[[int], int]
    policies: tuple[Policy, ...] = field(init=False)
    columns: tuple[Column, ...] = field(init=False)
    boost: bool = field(init=False, default=True)
    _perf_pct: dict[str, int] = field(init=False)
    _tunables: Tunables = field(init=False)
    _controls: Controls | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        starts = [
            (cluster, number)
            for cluster in self.chip.clusters
            for number in range(cluster.cpus[0], cluster.cpus[-1] + 1, cluster.policy_cpus)
        ]
        self.columns = tuple(Column(cluster=cluster, cpus=cluster.policy_cpus) for cluster, _ in starts)
        self.policies = tuple(
            Policy(
                number=number,
                column=column,
                cluster=cluster,
                governor=self.chip.governor,
                min_khz=cluster.min_khz,
                max_khz=cluster.max_khz,
                epp=self.chip.epp or 0,
                speed_khz=cluster.min_khz,
            )
            for column, (cluster, number) in enumerate(starts)
        )
        lowest = self.chip.clusters[0].min_khz * 100 // self.chip.clusters[0].max_khz
        self._perf_pct = {"min_perf_pct": lowest, "max_perf_pct": 100}
        self._tunables = Tunables(self.files, self.changed, per_policy=self.chip.tunables_per_policy)
        if self.chip.driver is None:
            return
        for policy in self.policies:
            self._add_policy(policy)
            self._tunables.attach(policy.number, policy.governor)
        if self.chip.hardware_managed:
            self._add_pstate()
        elif self.chip.has_boost:
            self.files.add(f"{CPU}/cpufreq/boost", lambda: str(int(self.boost)), self._store_boost)

    def changed(self) -> None:
        """A file was written: the plant must look again."""
        self._controls = None

    def controls(self) -> Controls:
        """All policies in the plant's terms, one row."""
        if self._controls is None:
            row = [self._whole(policy) for policy in self.policies]
            self._controls = controls(self.chip, [column.cluster for column in self.columns], [row])
        return self._controls

    def _whole(self, policy: Policy) -> Mapping[str, Value]:
        low, high = policy.limits_khz(self._ceiling_khz(policy))
        return {
            "governor": policy.governor,
            "min": low,
            "max": high,
            "boost": str(int(self.boost)),
            "epp": policy.epp,
            "speed": policy.resolve_khz(policy.speed_khz, self._ceiling_khz(policy)),
            **self._tunables.of(policy.number, policy.governor),
        }

    def _ceiling_khz(self, policy: Policy) -> int:
        """Where limits are clamped: boost moves it, except where turbo is one of the levels (acpi-cpufreq)."""
        cluster = policy.cluster
        top = cluster.max_khz if self.boost or cluster.turbo_is_a_level else cluster.base_khz
        if not self.chip.hardware_managed:
            return top
        return min(top, cluster.max_khz * self._perf_pct["max_perf_pct"] // 100)

    def _cpuinfo_max_khz(self, policy: Policy) -> str:
        # intel_pstate clamps the limits under no_turbo, but goes on to tell what the silicon could do.
        return str(policy.cluster.max_khz if self.chip.hardware_managed else self._ceiling_khz(policy))

    def _add_policy(self, policy: Policy) -> None:
        base, cluster = f"{CPU}/cpufreq/policy{policy.number}", policy.cluster
        cpus = " ".join(str(cpu) for cpu in policy.cpus)
        fixed = {
            "affected_cpus": cpus,
            "related_cpus": cpus,
            "cpuinfo_min_freq": str(cluster.min_khz),
            "cpuinfo_transition_latency": "0" if self.chip.hardware_managed else str(int(cluster.transition_s * 1e9)),
            "scaling_driver": self.chip.driver or "",
            "scaling_available_governors": " ".join(self.chip.governors),
        }
        if cluster.levels_khz is not None:
            levels = sorted(cluster.levels_khz, reverse=self.chip.driver == "acpi-cpufreq")
            plain = [khz for khz in levels if khz <= cluster.base_khz or cluster.turbo_is_a_level]
            fixed["scaling_available_frequencies"] = " ".join(map(str, plain))
            if self.chip.has_boost and not cluster.turbo_is_a_level:
                boosted = [khz for khz in levels if khz not in plain]
                fixed["scaling_boost_frequencies"] = " ".join(map(str, boosted))
        if self.chip.hardware_managed:
            fixed["base_frequency"] = str(cluster.base_khz)
            fixed["energy_performance_available_preferences"] = " ".join(EPP_OF_WORD)
            path = f"{base}/energy_performance_preference"
            self.files.add(path, partial(self._show_epp, policy), partial(self._store_epp, policy))
        for name, text in fixed.items():
            self.files.add(f"{base}/{name}", text)
        self.files.add(f"{base}/cpuinfo_max_freq", partial(self._cpuinfo_max_khz, policy))
        self.files.add(f"{base}/scaling_governor", lambda: policy.governor, partial(self._store_governor, policy))
        for name, side in (("scaling_min_freq", 0), ("scaling_max_freq", 1)):
            self.files.add(
                f"{base}/{name}",
                partial(self._show_limit, policy, side),
                partial(self._store_limit, policy, side),
            )
        self.files.add(
            f"{base}/scaling_setspeed", partial(self._show_speed, policy), partial(self._store_speed, policy)
        )
        for cpu in policy.cpus:
            self.files.link(f"{CPU}/cpu{cpu}/cpufreq", base)

    def _show_limit(self, policy: Policy, side: int) -> str:
        return str(policy.limits_khz(self._ceiling_khz(policy))[side])

    def _store_limit(self, policy: Policy, side: int, text: str) -> None:
        setattr(policy, ("min_khz", "max_khz")[side], parse_number(text))
        self.changed()

    def _store_governor(self, policy: Policy, text: str) -> None:
        wanted = "".join(text.split(maxsplit=1)[:1]).lower()
        if wanted not in self.chip.governors:
            raise KernelError(errno.EINVAL)
        if wanted == policy.governor:
            return
        if wanted == "userspace":
            policy.speed_khz = self.clock_khz(policy.column)
        self._tunables.detach(policy.number, policy.governor)
        policy.governor = wanted
        self._tunables.attach(policy.number, wanted)
        self.changed()

    def _show_speed(self, policy: Policy) -> str:
        if policy.governor != "userspace":
            return "<unsupported>"
        return str(policy.resolve_khz(policy.speed_khz, self._ceiling_khz(policy)))

    def _store_speed(self, policy: Policy, text: str) -> None:
        if policy.governor != "userspace":
            raise KernelError(errno.EINVAL)
        policy.speed_khz = policy.resolve_khz(parse_number(text), self._ceiling_khz(policy))
        self.changed()

    def _show_epp(self, policy: Policy) -> str:
        epp = 0 if policy.governor == "performance" else policy.epp
        return _WORD_OF_EPP.get(epp, str(epp))

    def _store_epp(self, policy: Policy, text: str) -> None:
        try:
            epp = epp_number(text.strip())
        except UsageError as error:
            raise KernelError(errno.EINVAL) from error
        if policy.governor == "performance":
            if epp:
                raise KernelError(errno.EBUSY)
            return
        policy.epp = epp
        self.changed()

    def _add_pstate(self) -> None:
        self.files.add(f"{_PSTATE}/status", "active")
        self.files.add(f"{_PSTATE}/no_turbo", lambda: str(int(not self.boost)), self._store_no_turbo)
        cluster = self.chip.clusters[0]
        states = (cluster.max_khz - cluster.min_khz) // 100_000 + 1
        turbo = (cluster.max_khz - cluster.base_khz) // 100_000
        self.files.add(f"{_PSTATE}/num_pstates", str(states))
        self.files.add(f"{_PSTATE}/turbo_pct", str(100 * turbo // states))
        for name in self._perf_pct:
            self.files.add(f"{_PSTATE}/{name}", partial(self._show_pct, name), partial(self._store_pct, name))

    def _store_no_turbo(self, text: str) -> None:
        self.boost = parse_number(text) == 0
        if not self.boost:
            # The driver squashes the global minimum into what is left, and does not raise it again.
            cluster = self.chip.clusters[0]
            left = cluster.base_khz * 100 // cluster.max_khz
            self._perf_pct["min_perf_pct"] = min(self._perf_pct["min_perf_pct"], left)
        self.changed()

    def _show_pct(self, name: str) -> str:
        return str(self._perf_pct[name])

    def _store_pct(self, name: str, text: str) -> None:
        low, high = (
            (self._perf_pct["min_perf_pct"], 100) if name == "max_perf_pct" else (0, self._perf_pct["max_perf_pct"])
        )
        self._perf_pct[name] = min(max(parse_number(text), low), high)
        self.changed()

    def _store_boost(self, text: str) -> None:
        if text.strip() not in ("0", "1"):
            raise KernelError(errno.EINVAL)
        if self.boost != (text.strip() == "1"):
            self.boost = not self.boost
            for policy in self.policies:
                # The core overwrites the requested maximum where the table has boost frequencies.
                if not policy.cluster.turbo_is_a_level:
                    policy.max_khz = self._ceiling_khz(policy)
        self.changed()
