"""Machines of every kind of cpufreq driver, made anew at each call."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from fake.cpuidle import CpuIdle
from fake.driver import BoostRules, Driver, EppRules
from fake.epp import AMD, INTEL
from fake.kernel import FakeKernel
from fake.policy import Policy
from fake.powercap import Rapl
from fake.trees import Hwmon, Uncore

TABLE = (800_000, 1_200_000, 1_600_000, 2_000_000, 2_400_000, 2_800_000, 3_200_000, 3_600_000)
LITTLE = (500_000, 900_000, 1_300_000, 1_700_000)
BIG = (700_000, 1_400_000, 2_100_000, 2_800_000)
_NO_TURBO = BoostRules(files=("no_turbo",), clamps=True)
_NO_TURBO_6_10 = BoostRules(files=("no_turbo",), clamps=True, moves_cpuinfo=True)
_HWP = EppRules(values=INTEL, numbers=True, locks=True, remembers=True)


def _policies(driver: Driver, cpus: Sequence[int], governor: str, khz: Sequence[int], **more: object) -> list[Policy]:
    """One policy for each CPU, with the same lowest, nominal and highest frequency."""
    low, nominal, top = khz
    return [
        Policy(number=cpu, cpus=(cpu,), low=low, nominal=nominal, top=top, driver=driver, governor=governor, **more)
        for cpu in cpus
    ]


def acpi_cpufreq() -> FakeKernel:
    """A desktop with a P-state table; what the rig's real kernel is, with a boost switch."""
    driver = Driver(name="acpi-cpufreq", boost=BoostRules(files=("global",)), bios_limit=True, table_descends=True)
    policies = _policies(driver, (0, 1), "schedutil", (TABLE[0], TABLE[-1], TABLE[-1]), table=TABLE)
    return FakeKernel(driver, policies, trees=[Hwmon(), CpuIdle(driver="acpi_idle")])


def acpi_cpufreq_shared() -> FakeKernel:
    """The same with one policy for both CPUs and no boost switch."""
    driver = Driver(name="acpi-cpufreq", bios_limit=True, table_descends=True)
    policy = Policy(
        number=0, cpus=(0, 1), low=TABLE[0], nominal=TABLE[-1], top=TABLE[-1], driver=driver, governor="ondemand",
        table=TABLE,
    )  # fmt: skip
    return FakeKernel(driver, [policy], trees=[Hwmon()])


def intel_pstate_hwp() -> FakeKernel:
    """A laptop in active mode with hardware P-states, Linux 6.10 or later."""
    driver = Driver(name="intel_pstate", governs_itself=True, boost=_NO_TURBO_6_10, epp=_HWP, status="active")
    policies = _policies(
        driver, (0, 1, 2, 10), "powersave", (400_000, 2_600_000, 4_200_000), facts={"base_frequency": "2600000"}
    )
    trees = [Rapl(), Uncore(), CpuIdle()]
    return FakeKernel(driver, policies, threads=[(0, 1)], trees=trees, min_perf_pct=80)


def intel_pstate_nohwp() -> FakeKernel:
    """An older one without hardware P-states: no preference, and a maximum in the turbo range becomes the top."""
    driver = Driver(name="intel_pstate", governs_itself=True, boost=_NO_TURBO, status="active")
    policies = _policies(driver, (0, 1), "powersave", (800_000, 2_400_000, 3_400_000), snaps_above=2_400_000)
    return FakeKernel(driver, policies, trees=[Rapl(locked=True), CpuIdle()], min_perf_pct=23)


def intel_cpufreq() -> FakeKernel:
    """intel_pstate in passive mode with HWP: all governors, a preference that is never locked, no table."""
    driver = Driver(name="intel_cpufreq", boost=_NO_TURBO, epp=EppRules(values=INTEL, numbers=True), status="passive")
    policies = _policies(
        driver, (0, 1), "schedutil", (800_000, 4_100_000, 4_800_000), facts={"base_frequency": "4100000"}
    )
    return FakeKernel(driver, policies, trees=[Rapl(), CpuIdle()], min_perf_pct=16)


def amd_pstate_epp() -> FakeKernel:
    """A desktop in active mode, Linux 6.11 or later: boost for each policy and for all."""
    driver = Driver(
        name="amd-pstate-epp",
        governs_itself=True,
        boost=BoostRules(files=("global", "policy"), moves_cpuinfo=True),
        epp=EppRules(values=AMD, default=191, locks=True, offers_one=True),
        status="active",
    )
    facts = {"amd_pstate_max_freq": "4900000", "amd_pstate_lowest_nonlinear_freq": "1700000"}
    policies = _policies(driver, (0, 1), "powersave", (550_000, 3_800_000, 4_900_000), facts=facts)
    return FakeKernel(driver, policies, trees=[Rapl(), CpuIdle(driver="acpi_idle")])


def amd_pstate_passive() -> FakeKernel:
    """The same driver in passive mode, whose firmware forgets boost over a suspend."""
    driver = Driver(
        name="amd-pstate",
        boost=BoostRules(files=("global", "policy"), moves_cpuinfo=True),
        status="passive",
        loses=("boost",),
    )
    policies = _policies(driver, (0, 1), "schedutil", (550_000, 3_800_000, 4_900_000))
    return FakeKernel(driver, policies, trees=[Rapl(), CpuIdle(driver="acpi_idle")])


def amd_pstate_guided() -> FakeKernel:
    """Guided mode of Linux 6.4: one boost switch for all."""
    driver = Driver(name="amd-pstate", boost=BoostRules(files=("global",), moves_cpuinfo=True), status="guided")
    policies = _policies(driver, (0, 1), "ondemand", (400_000, 3_300_000, 4_700_000))
    return FakeKernel(driver, policies, trees=[CpuIdle(driver="acpi_idle")])


def cppc_cpufreq() -> FakeKernel:
    """An ARM server: no table, and a boost that makes the new maximum the request."""
    driver = Driver(
        name="cppc_cpufreq",
        boost=BoostRules(files=("global",), moves_cpuinfo=True, overwrites_max=True),
        tunables_per_policy=True,
    )
    policies = _policies(driver, (0, 1, 2, 3), "ondemand", (1_000_000, 2_600_000, 3_000_000))
    return FakeKernel(driver, policies, trees=[Hwmon(name="apm_xgene")])


def cpufreq_dt_biglittle() -> FakeKernel:
    """Two clusters with tunables of their own and a boost that makes the new maximum the request."""
    driver = Driver(
        name="cpufreq-dt",
        boost=BoostRules(files=("global",), moves_cpuinfo=True, overwrites_max=True),
        tunables_per_policy=True,
    )
    little = Policy(
        number=0, cpus=(0, 1, 2, 3), low=LITTLE[0], nominal=LITTLE[-1], top=LITTLE[-1], driver=driver,
        governor="ondemand", table=LITTLE,
    )  # fmt: skip
    big = Policy(
        number=4, cpus=(4, 5, 6, 7), low=BIG[0], nominal=BIG[2], top=BIG[-1], driver=driver, governor="schedutil",
        table=BIG,
    )  # fmt: skip
    capacities = {cpu: 446 if cpu < 4 else 1024 for cpu in range(8)}
    return FakeKernel(driver, [little, big], capacities=capacities)


def hybrid() -> FakeKernel:
    """P and E cores, favoured ones among them, and a firmware that forgets much over a suspend."""
    driver = Driver(
        name="intel_pstate",
        governs_itself=True,
        boost=_NO_TURBO_6_10,
        epp=_HWP,
        status="active",
        loses=("epp", "powercap", "uncore"),
    )
    base, small = {"base_frequency": "2100000"}, {"base_frequency": "1500000"}
    favoured = _policies(driver, (0, 1), "powersave", (400_000, 2_100_000, 4_800_000), facts=base)
    fast = _policies(driver, (2, 3), "powersave", (400_000, 2_100_000, 4_700_000), facts=base)
    efficient = _policies(driver, range(4, 8), "powersave", (400_000, 1_500_000, 3_500_000), facts=small)
    capacities = {cpu: 1024 if cpu < 4 else 640 for cpu in range(8)}
    return FakeKernel(
        driver, [*favoured, *fast, *efficient], threads=[(0, 1), (2, 3)], capacities=capacities,
        trees=[Rapl(), Uncore(), CpuIdle()], min_perf_pct=8,
    )  # fmt: skip


def old_layout() -> FakeKernel:
    """Linux 4.1: no policy directories, a directory that goes with its CPU, EINVAL for limits that would cross."""
    driver = Driver(name="acpi-cpufreq", bios_limit=True, table_descends=True, old_layout=True)
    policies = _policies(driver, (0, 1), "ondemand", (TABLE[0], TABLE[-1], TABLE[-1]), table=TABLE)
    return FakeKernel(driver, policies)


def no_table() -> FakeKernel:
    """A driver that hwtune has never heard of: no table, no boost, no preference."""
    driver = Driver(name="vexpress-spc-cpufreq", tunables_per_policy=True)
    policy = Policy(
        number=0, cpus=(0, 1), low=350_000, nominal=1_000_000, top=1_000_000, driver=driver, governor="conservative"
    )
    return FakeKernel(driver, [policy])


MACHINES: dict[str, Callable[[], FakeKernel]] = {
    make.__name__: make
    for make in (
        acpi_cpufreq,
        acpi_cpufreq_shared,
        intel_pstate_hwp,
        intel_pstate_nohwp,
        intel_cpufreq,
        amd_pstate_epp,
        amd_pstate_passive,
        amd_pstate_guided,
        cppc_cpufreq,
        cpufreq_dt_biglittle,
        hybrid,
        old_layout,
        no_table,
    )
}
