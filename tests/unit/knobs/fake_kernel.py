"""A cpufreq core in memory that answers as Linux 6.1 does: it clamps, remembers requests, forgets tunables."""

import errno
import fnmatch
from dataclasses import dataclass, field

from hwtune.domain.errors import HostError, PermissionDenied, TransientError
from hwtune.host.fs import natural

CPU = "/sys/devices/system/cpu"
CPUFREQ = f"{CPU}/cpufreq"
WORDS = ("performance", "balance_performance", "balance_power", "power")
TUNABLES = {
    "ondemand": {"up_threshold": 95, "powersave_bias": 0, "sampling_rate": 10000, "io_is_busy": 0},
    "conservative": {"up_threshold": 80, "down_threshold": 20, "freq_step": 5},
    "schedutil": {"rate_limit_us": 10000},
}
ALL_GOVERNORS = ("conservative", "ondemand", "userspace", "powersave", "performance", "schedutil")


class Killed(BaseException):
    """The process ends here: nothing after this point runs."""


@dataclass
class FakePolicy:
    number: int
    low: int
    base: int
    high: int
    table: tuple[int, ...] = ()
    governors: tuple[str, ...] = ALL_GOVERNORS
    governor: str = "schedutil"
    epp: str | None = None
    cpus: tuple[int, ...] = ()
    bios_limit: int | None = None
    online: bool = True
    boost: bool = True
    setspeed: int = 0
    min_request: int = 0
    max_request: int = 0

    def __post_init__(self):
        self.cpus = self.cpus or (self.number,)
        self.min_request = self.min_request or self.low
        self.max_request = self.max_request or self.high


@dataclass
class FakeKernel:
    """A HostFS. `boost_style`: None, "global", "policy" or "no_turbo"."""

    driver: str
    policies: list[FakePolicy]
    boost_style: str | None = None
    tunables_per_policy: bool = False
    forgets_epp: bool = False
    min_perf_pct: int = 10
    refuse: dict[str, int] = field(default_factory=dict)
    boot_id: str = "3b9f3c1e-0000"
    tunables: dict[str, dict[str, int]] = field(default_factory=dict)
    kill_before: int | None = None
    kill_after: int | None = None
    writes: list[tuple[str, str]] = field(default_factory=list)
    refuse_once: set[str] = field(default_factory=set)
    crossed: bool = False

    def __post_init__(self):
        self._made = None
        self._govern()

    # --- the core -----------------------------------------------------------------------------------------------

    @property
    def _resets_max(self):
        return self.driver not in ("acpi-cpufreq", "intel_pstate", "intel_cpufreq")

    @property
    def _locks_epp(self):
        return self.driver in ("intel_pstate", "amd-pstate-epp")

    def _top(self, policy):
        """acpi-cpufreq's table does not move with boost."""
        return policy.high if policy.boost or self.driver == "acpi-cpufreq" else policy.base

    def limits(self, policy):
        top = min(self._top(policy), policy.bios_limit or policy.high)
        low, high = (min(max(khz, policy.low), top) for khz in (policy.min_request, policy.max_request))
        low = min(low, high)
        if policy.table:
            inside = [khz for khz in policy.table if low <= khz <= high]
            high = max(inside) if inside else min(khz for khz in policy.table if khz >= high)
            low = min(inside) if inside else high
        return low, high

    def _places(self):
        if self.tunables_per_policy:
            return {f"{CPUFREQ}/policy{p.number}/{p.governor}": p.governor for p in self.policies if p.online}
        return {f"{CPUFREQ}/{p.governor}": p.governor for p in self.policies if p.online}

    def _govern(self):
        places = {place: governor for place, governor in self._places().items() if governor in TUNABLES}
        self.tunables = {
            place: self.tunables.get(place, dict(TUNABLES[governor])) for place, governor in places.items()
        }

    def _boost(self, policies, on):
        for policy in policies:
            policy.boost = on
            if self._resets_max:
                policy.max_request = self._top(policy)
        if not on and self.boost_style == "no_turbo":
            self.min_perf_pct = min(self.min_perf_pct, 60)

    # --- the files ----------------------------------------------------------------------------------------------

    def texts(self):
        """Everything that can be read, and is not read only."""
        return {
            path: text
            for path, (text, write) in self._files().items()
            if write is not None and not isinstance(text, OSError)
        }

    def _files(self):
        """Path → (text, writer), made anew only when the state has changed."""
        state = (
            [tuple(vars(policy).values()) for policy in self.policies],
            {place: dict(values) for place, values in self.tunables.items()},
            self.min_perf_pct,
        )
        if self._made is None or self._made[0] != state:
            self._made = (state, self._make_files())
        return self._made[1]

    def _make_files(self):
        files = {"/proc/sys/kernel/random/boot_id": (self.boot_id, None)}
        for place, values in self.tunables.items():
            for name in values:
                files[f"{place}/{name}"] = (str(values[name]), self._tunable_writer(place, name))
        if self.boost_style == "global":
            files[f"{CPUFREQ}/boost"] = (
                str(int(self.policies[0].boost)),
                lambda v: self._boost(self.policies, bool(self._bit(v))),
            )
        if self.boost_style == "no_turbo":
            files[f"{CPU}/intel_pstate/no_turbo"] = (
                str(int(not self.policies[0].boost)),
                lambda v: self._boost(self.policies, not self._bit(v)),
            )
            files[f"{CPU}/intel_pstate/min_perf_pct"] = (str(self.min_perf_pct), self._set_min_perf_pct)
        for policy in self.policies:
            files.update(self._policy_files(policy))
        return files

    def _policy_files(self, policy):
        low, high = self.limits(policy)
        related = " ".join(map(str, policy.cpus))
        files = {
            "affected_cpus": (related, None),
            "related_cpus": (related, None),
            "scaling_driver": (self.driver, None),
            "scaling_available_governors": (" ".join(policy.governors) + " ", None),
            "cpuinfo_min_freq": (str(policy.low), None),
            "cpuinfo_max_freq": (str(self._top(policy)), None),
            "scaling_governor": (policy.governor, lambda v: self._set_governor(policy, v)),
            "scaling_min_freq": (str(low), lambda v: setattr(policy, "min_request", self._number(v))),
            "scaling_max_freq": (str(high), lambda v: setattr(policy, "max_request", self._number(v))),
            "scaling_setspeed": ("<unsupported>", lambda v: self._refuse(errno.EINVAL)),
        }
        if policy.governor == "userspace":
            files["scaling_setspeed"] = (str(policy.setspeed), lambda v: setattr(policy, "setspeed", self._number(v)))
        if policy.table:
            files["scaling_available_frequencies"] = (" ".join(map(str, reversed(policy.table))) + " ", None)
        if policy.bios_limit is not None:
            files["bios_limit"] = (str(policy.bios_limit), None)
        if policy.epp is not None:
            files["energy_performance_available_preferences"] = ("default " + " ".join(WORDS) + " ", None)
            locked = self._locks_epp and policy.governor == "performance"
            files["energy_performance_preference"] = (
                "performance" if locked else policy.epp,
                lambda v: self._set_epp(policy, v),
            )
        if self.boost_style == "policy":
            files["boost"] = (str(int(policy.boost)), lambda v: self._boost([policy], bool(self._bit(v))))
        directory = f"{CPUFREQ}/policy{policy.number}"
        if not policy.online:
            busy = OSError(errno.EBUSY, "offline")
            return {f"{directory}/{name}": (busy, lambda v: self._refuse(errno.EBUSY)) for name in files}
        return {f"{directory}/{name}": value for name, value in files.items()}

    def _set_governor(self, policy, value):
        value = value.lower()
        if value == "":
            return
        if value not in policy.governors:
            self._refuse(errno.EINVAL)
        if value == "performance" and self._locks_epp and self.forgets_epp and policy.epp is not None:
            policy.epp = "performance"
        if value == "userspace" and policy.governor != "userspace":
            policy.setspeed = self.limits(policy)[1]
        policy.governor = value
        self._govern()

    def _set_epp(self, policy, value):
        if value == "default":
            value = "balance_performance"
        if value.isdigit() and int(value) <= 255 and self.driver != "other":
            value = {"0": "performance", "128": "balance_performance", "192": "balance_power", "255": "power"}.get(
                value, value
            )
        elif value not in WORDS:
            self._refuse(errno.EINVAL)
        if self._locks_epp and policy.governor == "performance" and value != "performance":
            self._refuse(errno.EBUSY)
        policy.epp = value

    def _tunable_writer(self, place, name):
        def write(value):
            number, values = self._number(value), self.tunables[place]
            if name == "up_threshold" and not values.get("down_threshold", 0) < number <= 100:
                self._refuse(errno.EINVAL)
            if name == "down_threshold" and not 0 < number < values["up_threshold"]:
                self._refuse(errno.EINVAL)
            if name == "sampling_rate" and number < 8000:
                self._refuse(errno.EINVAL)
            values[name] = min(number, 1000) if name == "powersave_bias" else number

        return write

    def _set_min_perf_pct(self, value):
        self.min_perf_pct = self._number(value)

    def _bit(self, value):
        if value not in ("0", "1"):
            self._refuse(errno.EINVAL)
        return int(value)

    def _number(self, value):
        word = value.split()[0] if value.split() else ""
        if not word.isdigit():
            self._refuse(errno.EINVAL)
        return int(word)

    @staticmethod
    def _refuse(code):
        raise OSError(code, "refused")

    # --- HostFS -------------------------------------------------------------------------------------------------

    def read(self, path):
        text, _ = self._files().get(path, (None, None))
        if isinstance(text, OSError):
            raise TransientError(path, "read", errno=text.errno)
        return text.rstrip() if text is not None else None

    def write(self, path, value):
        number = len(self.writes)
        if number == self.kill_before:
            raise Killed
        self.writes.append((path, value))
        files = self._files()
        if path not in files:
            raise HostError(path, "write", errno=errno.ENOENT)
        if files[path][1] is None:
            raise PermissionDenied(path, "write", errno=errno.EACCES)
        try:
            if path in self.refuse:
                self._refuse(self.refuse[path])
            if path in self.refuse_once:
                self.refuse_once.discard(path)
                self._refuse(errno.EBUSY)
            files[path][1](value)
        except OSError as error:
            kind = {errno.EBUSY: TransientError, errno.EPERM: PermissionDenied, errno.EACCES: PermissionDenied}
            raise kind.get(error.errno, HostError)(path, "write", errno=error.errno) from error
        self.crossed |= any(policy.min_request > policy.max_request for policy in self.policies)
        if number == self.kill_after:
            raise Killed

    def glob(self, pattern):
        depth = pattern.count("/") + 1
        known = {"/".join(path.split("/")[:depth]) for path in self._files() if path.count("/") >= depth - 1}
        return tuple(sorted((path for path in known if fnmatch.fnmatchcase(path, pattern)), key=natural))

    def writable(self, path):
        return self._files().get(path, (None, None))[1] is not None


TABLE = (800_000, 1_200_000, 1_600_000, 2_000_000, 2_400_000, 2_800_000, 3_200_000, 3_600_000)
LITTLE = (500_000, 900_000, 1_300_000, 1_700_000)
BIG = (700_000, 1_400_000, 2_100_000, 2_800_000)


def acpi():
    """A desktop of two policies with a P-state table."""
    policies = [FakePolicy(n, 800_000, 3_600_000, 3_600_000, TABLE, bios_limit=3_600_000) for n in (0, 1)]
    return FakeKernel("acpi-cpufreq", policies, boost_style="global")


def intel():
    """A laptop with intel_pstate in active mode."""
    governors = ("performance", "powersave")
    policies = [
        FakePolicy(n, 400_000, 2_600_000, 4_200_000, (), governors, "powersave", "balance_performance")
        for n in (0, 2, 10)
    ]
    return FakeKernel("intel_pstate", policies, boost_style="no_turbo", min_perf_pct=80)


def amd():
    """amd-pstate-epp: boost for each policy, which overwrites the maximum; an EPP that performance makes forget."""
    governors = ("performance", "powersave")
    policies = [
        FakePolicy(n, 550_000, 3_800_000, 4_900_000, (), governors, "powersave", "balance_power") for n in (0, 1)
    ]
    return FakeKernel("amd-pstate-epp", policies, boost_style="policy", forgets_epp=True)


def biglittle():
    """Two clusters with tunables of their own and a boost that overwrites the maximum."""
    little = FakePolicy(0, LITTLE[0], LITTLE[-1], LITTLE[-1], LITTLE, governor="ondemand", cpus=(0, 1, 2, 3))
    big = FakePolicy(4, BIG[0], BIG[2], BIG[-1], BIG, governor="schedutil", cpus=(4, 5, 6, 7))
    return FakeKernel("cpufreq-dt", [little, big], boost_style="global", tunables_per_policy=True)


MACHINES = {"acpi": acpi, "intel": intel, "amd": amd, "biglittle": biglittle}
