"""The boost switch: one for all, one for each policy, or Intel's `no_turbo`; and what switching does to the limits.

* acpi-cpufreq: a bit in a register; every limit stays.
* cpufreq-dt, cppc_cpufreq, amd-pstate since Linux 6.11: the hardware maximum moves, and the request becomes it.
* amd-pstate before: the hardware maximum moves, and the request is only cut while it lasts.
* intel_pstate: the limits are cut while it lasts; `cpuinfo_max_freq` moves since Linux 6.10.

drivers/cpufreq/cpufreq.c: `store_boost`, `store_local_boost`, `cpufreq_boost_trigger_state`; intel_pstate.c:
`store_no_turbo`, `store_max_perf_pct`, `update_qos_requests`.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fake.attribute import Attribute, constant, kstrtobool, refuse, scan
from fake.driver import BoostRules
from fake.policy import Policy


@dataclass
class Boost:
    """The switches of a machine.

    Args:
        rules: how its driver does it.
        policies: all of them.
        active: whether a policy has a CPU online.
    """

    rules: BoostRules
    policies: Sequence[Policy]
    active: Callable[[Policy], bool]
    on: bool = True

    def switch_all(self, on: bool) -> None:
        """Nothing at all happens when the switch already stands so."""
        if on == self.on:
            return
        self.on = on
        for policy in self.policies:
            if self.active(policy):
                self._switch(policy, on)

    def switch_one(self, policy: Policy, on: bool) -> None:
        """One policy's own switch, which does nothing for a machine that is switched off as a whole."""
        if not self.on:
            refuse(errno.EINVAL)
        self._switch(policy, on)

    def mirror(self, policy: Policy) -> None:
        """A policy that comes back takes what the machine's switch says."""
        self._switch(policy, self.on)

    def _switch(self, policy: Policy, on: bool) -> None:
        if policy.boost == on:
            return
        policy.boost = on
        if self.rules.overwrites_max:
            policy.rebase()

    def global_file(self) -> Attribute:
        """`cpufreq/boost`."""
        return Attribute(lambda: str(int(self.on)), lambda text: self.switch_all(_bit(text)))

    def policy_file(self, policy: Policy) -> Attribute:
        """`policyN/boost`."""
        return Attribute(lambda: str(int(policy.boost)), lambda text: self.switch_one(policy, kstrtobool(text)))


def _bit(text: str) -> bool:
    number = scan(text)
    if number > 1:
        refuse(errno.EINVAL)
    return bool(number)


@dataclass
class IntelPstate:
    """The files of `/sys/devices/system/cpu/intel_pstate/`.

    Args:
        boost: the switch.
        status: `active` or `passive`; in passive mode the percentages hold the limits of the policies down.
        min_perf_pct: after boot.
    """

    boost: Boost
    status: str
    min_perf_pct: int
    max_perf_pct: int = 100

    @property
    def _first(self) -> Policy:
        return self.boost.policies[0]

    def attributes(self) -> dict[str, Attribute]:
        """Name → file."""
        return {
            "status": constant(self.status),
            "no_turbo": Attribute(lambda: str(int(not self.boost.on)), self._store_no_turbo),
            "max_perf_pct": Attribute(lambda: str(self.max_perf_pct), self._store_max),
            "min_perf_pct": Attribute(lambda: str(self.min_perf_pct), self._store_min),
            "turbo_pct": constant(100 - 100 * self._states_to(self._first.nominal) // self._states_to(self._first.top)),
            "num_pstates": constant(self._states_to(self._first.top)),
        }

    def _states_to(self, khz: int) -> int:
        return (khz - self._first.low) // 100_000 + 1

    def _store_no_turbo(self, text: str) -> None:
        off = scan(text) > 0
        if self.boost.rules.locked:
            refuse(errno.EPERM)
        self.boost.switch_all(not off)
        if off:
            self.min_perf_pct = min(self.min_perf_pct, 100 * self._first.nominal // self._first.top)
            self._hold()

    def _store_max(self, text: str) -> None:
        self.max_perf_pct = min(max(scan(text), self.min_perf_pct), 100)
        self._hold()

    def _store_min(self, text: str) -> None:
        least = 100 * self._first.low // self._first.top
        self.min_perf_pct = min(max(scan(text), least), self.max_perf_pct)
        self._hold()

    def _hold(self) -> None:
        if self.status != "passive":
            return  # the driver's own governor takes them into account, and the limits read as before
        for policy in self.boost.policies:
            policy.held_max["max_perf_pct"] = -(-policy.top * self.max_perf_pct // 100)
            policy.held_min["min_perf_pct"] = -(-policy.top * self.min_perf_pct // 100)
