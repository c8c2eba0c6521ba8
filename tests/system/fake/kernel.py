"""A kernel in memory: a tree of files, and the moments that change it."""

from __future__ import annotations

import copy
import errno
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from fake.attribute import Attribute, refuse
from fake.boost import Boost, IntelPstate
from fake.calls import Calls
from fake.cpus import CPU, Cpus
from fake.driver import Driver
from fake.governors import Tunables
from fake.policy import Policy
from fake.tree import FileTree, build, lasting
from fake.trees import Heat, Tree

CPUFREQ = f"{CPU}/cpufreq"


@dataclass
class FakeKernel(Calls):
    """A machine, to be asked as `Calls` says.

    Args:
        driver: rules of its cpufreq driver.
        policies: its cpufreq policies.
        threads: CPUs of one core, for each core that has more than one.
        capacities: CPU → `cpu_capacity`, where cores are unlike.
        trees: what else is there: powercap, uncore, cpuidle, hwmon …
        min_perf_pct: of intel_pstate, after boot.
    """

    driver: Driver
    policies: list[Policy]
    threads: Sequence[tuple[int, ...]] = ()
    capacities: dict[int, int] | None = None
    trees: list[Tree] = field(default_factory=list)
    min_perf_pct: int = 10
    clock: Callable[[], float] = time.monotonic
    ignore_limits: bool = False
    """Limits are accepted and read back, and the hardware runs as it likes."""
    busy: bool = True
    """Whether there is work, for governors that ask."""
    boots: int = 0

    def __post_init__(self) -> None:
        self._as_built = copy.deepcopy((self.policies, self.trees))
        self._boot()

    def _boot(self) -> None:
        self.boots += 1
        self.boot_id = f"{self.boots:08x}-0000-4000-8000-000000000000"
        self.online = {cpu for policy in self.policies for cpu in policy.cpus}
        self.boost = Boost(self.driver.boost, self.policies, self.active) if self.driver.boost else None
        if self.boost is not None and self.boost.rules.locked:
            self.boost.switch_all(False)
        self.intel = None
        if self.boost is not None and "no_turbo" in self.boost.rules.files:
            self.intel = IntelPstate(self.boost, self.driver.status or "active", self.min_perf_pct)
        self.tunables = Tunables()
        self.cpus = Cpus(sorted(self.online), self.online, self.hotplug, self.threads, self.capacities)
        self.heat = Heat(len(self.policies))
        self._tree: FileTree | None = None
        self._lasting: dict[str, Attribute] = {}
        self._governors_changed()

    # --- the files ----------------------------------------------------------------------------------------------

    def state(self) -> dict[str, str]:
        """Path → text of every writable file that can be read now: what "byte for byte" is judged by."""
        texts = {}
        for path, file in self.tree().files.items():
            if file.mode & 0o222:
                try:
                    texts[path] = f"{file.show()}\n"
                except OSError:
                    continue
        return texts

    def requests(self) -> dict[str, int]:
        """Path of every limit → the request that the kernel remembers for it."""
        found = {}
        for policy in self.policies:
            found[f"{self.directory(policy)}/scaling_min_freq"] = policy.min_request
            found[f"{self.directory(policy)}/scaling_max_freq"] = policy.max_request
        return found

    def tree(self) -> FileTree:
        """All files; put together anew when some have come or gone."""
        if self._tree is None:
            self._lasting = self._lasting or lasting(self)
            self._tree = build(self, self._lasting)
        return self._tree

    def lives(self, directory: str) -> int:
        """How many times a directory has come by now; only those of tunables come more than once."""
        return self.tunables.births.get(directory, 1)

    # --- what the files ask for ---------------------------------------------------------------------------------

    def directory(self, policy: Policy) -> str:
        """Where a policy's files are."""
        return f"{CPU}/cpu{policy.number}/cpufreq" if self.driver.old_layout else f"{CPUFREQ}/policy{policy.number}"

    def active(self, policy: Policy) -> bool:
        """Whether any of its CPUs is online."""
        return not self.online.isdisjoint(policy.cpus)

    def current_khz(self, policy: Policy) -> int:
        """What the policy's CPUs run at."""
        return policy.frequency(busy=self.busy, obeys=not self.ignore_limits)

    def govern(self, policy: Policy, governor: str) -> None:
        """A policy takes a governor; taking the one it has changes nothing."""
        if governor == policy.governor:
            return
        speed = self.current_khz(policy)
        policy.governor = governor
        policy.setspeed = speed
        if policy.epp is not None:
            policy.epp.govern(governor)
        self._governors_changed()

    def _governors_changed(self) -> None:
        self._tree = None
        common = not self.driver.tunables_per_policy
        self.tunables.settle(
            (f"{CPUFREQ if common else self.directory(policy)}/{policy.governor}", policy.governor)
            for policy in self.policies
            if self.active(policy)
        )

    # --- moments ------------------------------------------------------------------------------------------------

    def hotplug(self, cpu: int, online: bool) -> None:
        """A CPU comes or goes; a policy without CPUs keeps its governor and its requests, not its tunables."""
        if cpu not in self.cpus.present:
            refuse(errno.ENODEV)
        if not online and self.online == {cpu}:
            refuse(errno.EBUSY)
        before = {policy.number: self.active(policy) for policy in self.policies}
        (self.online.add if online else self.online.discard)(cpu)
        self._governors_changed()
        for policy in self.policies:
            if self.active(policy) and not before[policy.number]:
                self._came_back(policy)

    def _came_back(self, policy: Policy) -> None:
        if self.boost is not None:
            self.boost.mirror(policy)
        policy.setspeed = policy.frequency(busy=False) if policy.governor != "userspace" else policy.limits[1]
        if self.driver.old_layout:
            policy.min_request, policy.max_request = policy.low, policy.cpuinfo_max

    def suspend(self) -> None:
        """To RAM and back: all CPUs but the first go and come, and the driver's firmware loses what it loses."""
        went = sorted(self.online)[1:]
        for cpu in went:
            self.hotplug(cpu, False)
        for cpu in went:
            self.hotplug(cpu, True)
        lost = self.driver.loses
        for policy, built in zip(self.policies, copy.deepcopy(self._as_built[0]), strict=True):
            if "limits" in lost:
                policy.min_request, policy.max_request = built.min_request, built.max_request
            if "epp" in lost and policy.epp is not None:
                policy.epp.value = policy.epp.rules.default
                policy.epp.govern(policy.governor)
            if "governor" in lost:
                self.govern(policy, built.governor)
        if "boost" in lost and self.boost is not None:
            self.boost.switch_all(True)
        for tree in self.trees:
            tree.suspended(lost)

    def firmware_limit(self, khz: int | None) -> None:
        """The firmware holds every maximum down, or lets it go: `bios_limit`, elsewhere a cooling device."""
        for policy in self.policies:
            if khz is None:
                policy.held_max.pop("firmware", None)
            else:
                policy.held_max["firmware"] = khz
        self.heat.state = 0 if khz is None or self.driver.bios_limit else 1

    def somebody(self, path: str, text: str) -> None:
        """Another program writes; no fault strikes it and no log has it."""
        handle = self.open(path, write=True)
        self.store(handle, text)

    def reboot(self) -> None:
        """Everything as after power-on, and another boot id."""
        policies, self.trees = copy.deepcopy(self._as_built)
        self.policies[:] = policies
        self.ignore_limits = False
        self.modes.clear()
        self._boot()
