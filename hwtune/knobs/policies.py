"""The cpufreq policies of a machine, and which of them are alike.

`/sys/devices/system/cpu/cpufreq/policyN/` since Linux 4.3, before that `cpuN/cpufreq/` with the sharing in
`related_cpus`. Every file may be missing, empty, or answer EBUSY (the policy of an offline CPU).
Kernel documentation: admin-guide/pm/cpufreq.rst, "Policy Interface in sysfs".
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hwtune.domain.errors import HostError, TransientError
from hwtune.host.fs import HostFS
from hwtune.knobs.attributes import BIOS_LIMIT, BOOST, CPU, CPUFREQ, EPP, GOVERNOR, MAX, MIN, name_of
from hwtune.knobs.drivers import EPP_WORDS, driver_named

# Favoured cores of one kind differ by a few percent in their top frequency; kinds of cores by a quarter and more.
_ALIKE = 0.15


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """One group of CPUs that share a frequency, as the kernel describes it; what it does not say is None or empty.

    Args:
        number: of the policy; in the old layout of its first CPU.
        directory: where its attributes are.
        online: whether any of its CPUs is; the attributes of the others cannot be read.
        cpus: online CPUs (`affected_cpus`).
        related: all CPUs (`related_cpus`).
        available_khz: the frequency table, ascending, boost frequencies included; None where any value will do.
        boost: `1` or `0` of a boost switch for this policy alone.
        capacity: of its first CPU, 1024 for the strongest of the machine.
        core: what perf calls the kind of its cores where there are several (`cpu_core`, `cpu_atom`).
    """

    number: int
    directory: str
    online: bool
    cpus: tuple[int, ...]
    related: tuple[int, ...]
    driver: str | None
    governors: tuple[str, ...]
    governor: str | None
    cpuinfo_min_khz: int | None
    cpuinfo_max_khz: int | None
    scaling_min_khz: int | None
    scaling_max_khz: int | None
    available_khz: tuple[int, ...] | None
    base_khz: int | None
    bios_limit_khz: int | None
    epp: str | None
    epp_choices: tuple[str, ...]
    boost: str | None
    capacity: int | None
    core: str | None = None

    def path(self, attribute: str) -> str:
        """The file of one of its attributes."""
        return f"{self.directory}/{attribute}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """Policies of like cores, in the order of their numbers."""

    policies: tuple[Policy, ...]

    @property
    def first(self) -> Policy:
        """The policy that names the cluster."""
        return self.policies[0]

    @property
    def cpus(self) -> tuple[int, ...]:
        """Every CPU of the cluster, online or not."""
        return tuple(sorted({cpu for policy in self.policies for cpu in policy.related}))


def parse_cpus(text: str) -> tuple[int, ...]:
    """CPUs of `related_cpus`, which lists them, or of a CPU list with ranges.

        0 1 2 3
        0-3,8

    Words that are neither are skipped.
    """
    found: set[int] = set()
    for word in re.split(r"[\s,]+", text):
        if match := re.fullmatch(r"([0-9]{1,5})(?:-([0-9]{1,5}))?", word):
            found.update(range(int(match[1]), int(match[2] or match[1]) + 1))
    return tuple(sorted(found))


def read_policies(files: HostFS) -> tuple[Policy, ...]:
    """Every policy of the machine, by number; empty where there is no cpufreq.

    A capture may hold the directories of policies without their files, which are below `cpuN/cpufreq` then.
    """
    cores = _cores(files)
    directories = files.glob(f"{CPUFREQ}/policy[0-9]*")
    read = [_read(files, directory, _number_in(directory, "policy"), cores) for directory in directories]
    found = [policy for policy in read if policy is not None]
    if any(policy.online for policy in found):
        return tuple(sorted(found, key=lambda policy: policy.number))
    return _read_old_layout(files, cores)


def offline_cpus(files: HostFS) -> tuple[int, ...]:
    """CPUs that could run and do not; those that are only possible (`possible`, not `present`) are none."""
    present, online = (parse_cpus(read_text(files, f"{CPU}/{name}") or "") for name in ("present", "online"))
    return tuple(sorted(set(present) - set(online))) if online else ()


def left_out(files: HostFS, policies: Sequence[Policy]) -> tuple[int, ...]:
    """The CPUs that nothing set now reaches: they are offline, and their policy with them."""
    reached = {cpu for policy in policies if policy.online for cpu in policy.related}
    return tuple(cpu for cpu in offline_cpus(files) if cpu not in reached)


def online_directories(files: HostFS) -> tuple[str, ...]:
    """Directories of policies with a CPU online, and which CPUs: what hotplug changes."""
    directories = files.glob(f"{CPUFREQ}/policy[0-9]*") or files.glob(f"{CPU}/cpu[0-9]*/cpufreq")
    texts = {directory: read_text(files, f"{directory}/affected_cpus") for directory in directories}
    return tuple(f"{directory}: {text}" for directory, text in texts.items() if text is not None)


def _cores(files: HostFS) -> dict[int, str]:
    """The kind of each CPU's core where perf knows several: one event source for each, with the CPUs that it counts on.

    /sys/devices/cpu_core/cpus    0-11
    /sys/devices/cpu_atom/cpus    12-19

    Documentation: admin-guide/perf and arch/x86/events/intel/core.c (hybrid PMUs); on ARM armv8_cortex_a53 and such.
    """
    found: dict[int, str] = {}
    for path in files.glob("/sys/devices/*/cpus"):
        kind = name_of(path.removesuffix("/cpus"))
        found |= dict.fromkeys(parse_cpus(read_text(files, path) or ""), kind)
    return found if len(set(found.values())) > 1 else {}


def _read_old_layout(files: HostFS, cores: Mapping[int, str]) -> tuple[Policy, ...]:
    """One policy for each group of related CPUs, told by the first of them that has a directory.

    In the middle of a hotplug a directory may speak of CPUs that its own is not among: it counts only where no other
    speaks of them.
    """
    directories = files.glob(f"{CPU}/cpu[0-9]*/cpufreq")
    read = [_read(files, directory, _number_in(directory, "cpu"), cores) for directory in directories]
    found = [policy for policy in read if policy is not None]
    policies: list[Policy] = []
    for policy in sorted(found, key=lambda policy: (policy.number not in policy.related, policy.number)):
        if not any(set(policy.related) & set(other.related) for other in policies):
            policies.append(policy)
    return tuple(sorted(policies, key=lambda policy: policy.number))


def clusters(policies: Sequence[Policy]) -> tuple[Cluster, ...]:
    """Online policies of like cores: same driver, governors, EPP words and frequency table, limits about the same.

    What is not known of a policy does not set it apart; those that tell most are sorted first.
    """
    groups: list[list[Policy]] = []
    online = [policy for policy in policies if policy.online]
    for policy in sorted(online, key=lambda policy: (policy.cpuinfo_max_khz is None, policy.number)):
        for group in groups:
            if all(alike(policy, other) for other in group):
                group.append(policy)
                break
        else:
            groups.append([policy])
    sorted_groups = (tuple(sorted(group, key=lambda policy: policy.number)) for group in groups)
    return tuple(Cluster(policies=group) for group in sorted(sorted_groups, key=lambda group: group[0].number))


def alike(one: Policy, other: Policy) -> bool:
    """Whether they are of like cores, as far as the kernel tells."""
    exact = ("driver", "governors", "available_khz", "epp_choices", "core")
    near = ("cpuinfo_min_khz", "cpuinfo_max_khz", "capacity")
    if any(_differ(getattr(one, name), getattr(other, name)) for name in exact):
        return False
    return not any(_apart(getattr(one, name), getattr(other, name)) for name in near)


def _differ(one: object, other: object) -> bool:
    return bool(one) and bool(other) and one != other


def _apart(one: int | None, other: int | None) -> bool:
    return one is not None and other is not None and abs(one - other) > _ALIKE * max(one, other)


def _read(files: HostFS, directory: str, number: int, cores: Mapping[int, str]) -> Policy | None:
    """The policy in a directory, or None when nothing of one is in there."""

    def text(attribute: str) -> str | None:
        return read_text(files, f"{directory}/{attribute}")

    def khz(attribute: str) -> int | None:
        return _whole(text(attribute))

    def words(attribute: str) -> tuple[str, ...]:
        return tuple((text(attribute) or "").split())

    online = _online(files, directory) and not _is_empty_and_asleep(files, directory, number)
    driver, governor = text("scaling_driver"), text(GOVERNOR)
    cpus = parse_cpus(text("affected_cpus") or "")
    related = parse_cpus(text("related_cpus") or "") or cpus or (number,)
    # Of a policy whose governor cannot be read nothing can be set: what it has counted is no table to choose from.
    counted = _counted(text("stats/time_in_state")) if governor is not None else ()
    listed = words("scaling_available_frequencies") or counted
    table = {found for word in listed if (found := _whole(word)) is not None}
    boosted = {found for word in words("scaling_boost_frequencies") if (found := _whole(word)) is not None}
    policy = Policy(
        number=number,
        directory=directory,
        online=online,
        cpus=cpus or (related if online else ()),
        related=related,
        driver=driver,
        governors=words("scaling_available_governors"),
        governor=governor,
        cpuinfo_min_khz=khz("cpuinfo_min_freq"),
        cpuinfo_max_khz=khz("cpuinfo_max_freq"),
        scaling_min_khz=khz(MIN),
        scaling_max_khz=khz(MAX),
        available_khz=tuple(sorted(table | boosted)) if table else None,
        base_khz=khz("base_frequency"),
        bios_limit_khz=khz(BIOS_LIMIT),
        epp=text(EPP),
        epp_choices=_epp_choices(words("energy_performance_available_preferences"), driver, governor),
        boost=text(BOOST),
        capacity=_whole(read_text(files, f"{CPU}/cpu{related[0]}/cpu_capacity")),
        core=cores.get(related[0]),
    )
    told = (policy.driver, policy.governors, policy.governor, policy.cpuinfo_max_khz, policy.scaling_max_khz)
    return policy if any(told) or not online else None


def _counted(text: str | None) -> tuple[str, ...]:
    """The frequencies of `stats/time_in_state`, which only a driver with a table has: kHz, and time in 10 ms.

    2600000 12871
    1400000 98
    """
    lines = [line.split() for line in (text or "").splitlines()]
    return tuple(words[0] for words in lines if len(words) == 2)


def _epp_choices(words: tuple[str, ...], driver: str | None, governor: str | None) -> tuple[str, ...]:
    """The words on offer, also those that a driver does not list while its EPP is locked."""
    known = driver_named(driver)
    if words and known.epp_listed_when_free and governor in known.epp_locked_under:
        return ("default", *EPP_WORDS)
    return words


def _is_empty_and_asleep(files: HostFS, directory: str, number: int) -> bool:
    """Whether a capture has files of an offline CPU's policy and nothing in them, since the kernel did not tell."""
    awake = parse_cpus(read_text(files, f"{CPU}/online") or "")
    if not awake or number in awake:
        return False
    paths = files.glob(f"{directory}/*")
    return bool(paths) and not any(read_text(files, path) for path in paths)


def _online(files: HostFS, directory: str) -> bool:
    for attribute in ("affected_cpus", GOVERNOR):
        try:
            files.read(f"{directory}/{attribute}")
        except TransientError:
            return False
        except HostError:
            continue  # EIO of one attribute says nothing about the rest
    return True


def read_text(files: HostFS, path: str) -> str | None:
    """A file's text, or None when the kernel does not tell: absent, empty, EBUSY (offline), EINVAL (no value yet)."""
    try:
        return files.read(path) or None
    except HostError:
        return None


def _whole(text: str | None) -> int | None:
    # Nine digits are 1 THz: anything longer is no frequency, and a grid up to it would never end.
    return int(text) if text is not None and re.fullmatch(r"[0-9]{1,9}", text) else None


def _number_in(directory: str, word: str) -> int:
    """N of `…/policyN` or `…/cpuN/cpufreq`."""
    match = re.search(rf"/{word}(\d+)(?:/cpufreq)?$", directory)
    return int(match[1]) if match else 0
