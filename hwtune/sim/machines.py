"""The imaginary machines: a laptop, a two-package server, a big.LITTLE board, and a virtual machine with nothing."""

from __future__ import annotations

from dataclasses import replace

from hwtune.sim.chip import Chip, Cluster, Package, Voltage

_LAPTOP = Chip(
    name="laptop",
    cpu_model="hwtune simulated laptop CPU @ 1.80GHz",
    driver="intel_pstate",
    governors=("performance", "powersave"),
    governor="powersave",
    epp=128,
    has_boost=True,
    tunables_per_policy=False,
    clusters=(
        Cluster(
            cpus=(0, 1, 2, 3),
            policy_cpus=1,
            package=0,
            levels_khz=None,
            min_khz=400_000,
            base_khz=1_800_000,
            max_khz=5_200_000,
            turbo_one_ghz=5.2,
            turbo_all_ghz=4.2,
            voltage=Voltage(floor_v=0.66, knee_ghz=1.5, slope_v_per_ghz=0.10, bend_ghz=3.1, bend_v_per_ghz2=0.12),
            dynamic_w=1.05,
            leakage_w=0.55,
            idle_leakage=0.15,
            idle_dynamic=0.01,
        ),
    ),
    packages=(
        Package(
            idle_w=3.2,
            uncore_w=10.0,
            uncore_floor=0.35,
            traffic_w=2.2,
            dram_idle_w=0.7,
            dram_traffic_w=2.3,
            sustained_w=34.0,
            peak_w=55.0,
            window_s=4.0,
            die_k_per_w=0.7,
            die_s=1.5,
            sink_k_per_w=0.75,
            sink_s=40.0,
        ),
    ),
    board_w=5.5,
    meter="rapl",
    has_battery=True,
)

_SERVER_PACKAGE = Package(
    idle_w=38.0,
    uncore_w=14.0,
    uncore_floor=0.45,
    traffic_w=12.0,
    dram_idle_w=7.0,
    dram_traffic_w=14.0,
    sustained_w=150.0,
    peak_w=185.0,
    window_s=8.0,
    die_k_per_w=0.15,
    die_s=2.0,
    sink_k_per_w=0.12,
    sink_s=60.0,
)
# What two of a host's CPUs take of it; the guest cannot see it.
_HOST_SHARE = replace(
    _SERVER_PACKAGE, idle_w=9.0, uncore_w=3.5, traffic_w=3.0, dram_idle_w=1.8, dram_traffic_w=3.5, sustained_w=40.0
)
_SERVER_LEVELS_KHZ = (*range(1_200_000, 2_600_001, 100_000), 2_601_000)


def _server_cluster(package: int) -> Cluster:
    return Cluster(
        cpus=tuple(range(8 * package, 8 * package + 8)),
        policy_cpus=1,
        package=package,
        levels_khz=_SERVER_LEVELS_KHZ,
        min_khz=1_200_000,
        base_khz=2_600_000,
        max_khz=2_601_000,
        turbo_one_ghz=3.7,
        turbo_all_ghz=3.4,
        turbo_is_a_level=True,
        voltage=Voltage(floor_v=0.72, knee_ghz=1.6, slope_v_per_ghz=0.14, bend_ghz=2.6, bend_v_per_ghz2=0.24),
        dynamic_w=2.2,
        leakage_w=1.6,
        idle_leakage=0.6,
        idle_dynamic=0.35,
    )


_SERVER = Chip(
    name="server",
    cpu_model="hwtune simulated server CPU @ 2.60GHz",
    driver="acpi-cpufreq",
    governors=("conservative", "ondemand", "userspace", "powersave", "performance", "schedutil"),
    governor="performance",
    epp=None,
    has_boost=True,
    tunables_per_policy=False,
    clusters=(_server_cluster(0), _server_cluster(1)),
    packages=(_SERVER_PACKAGE, _SERVER_PACKAGE),
    board_w=45.0,
    meter="rapl",
)

_BIGLITTLE = Chip(
    name="biglittle",
    cpu_model="hwtune simulated big.LITTLE board",
    driver="cpufreq-dt",
    governors=("conservative", "ondemand", "userspace", "powersave", "performance", "schedutil"),
    governor="schedutil",
    epp=None,
    has_boost=True,
    tunables_per_policy=True,
    clusters=(
        Cluster(
            cpus=(0, 1, 2, 3),
            policy_cpus=4,
            package=0,
            levels_khz=(
                408_000,
                600_000,
                816_000,
                1_008_000,
                1_200_000,
                1_296_000,
                1_416_000,
                1_608_000,
                1_704_000,
                1_800_000,
            ),
            min_khz=408_000,
            base_khz=1_800_000,
            max_khz=1_800_000,
            turbo_one_ghz=1.8,
            turbo_all_ghz=1.8,
            voltage=Voltage(floor_v=0.68, knee_ghz=0.8, slope_v_per_ghz=0.26, bend_ghz=1.52, bend_v_per_ghz2=3.2),
            dynamic_w=0.24,
            leakage_w=0.04,
            idle_leakage=0.3,
            idle_dynamic=0.32,
            capacity=0.42,
            transition_s=0.001,
        ),
        Cluster(
            cpus=(4, 5, 6, 7),
            policy_cpus=4,
            package=0,
            levels_khz=(
                408_000,
                600_000,
                816_000,
                1_008_000,
                1_200_000,
                1_416_000,
                1_608_000,
                1_800_000,
                2_016_000,
                2_208_000,
                2_400_000,
            ),
            min_khz=408_000,
            base_khz=1_608_000,
            max_khz=2_400_000,
            turbo_one_ghz=2.4,
            turbo_all_ghz=2.4,
            voltage=Voltage(floor_v=0.70, knee_ghz=0.9, slope_v_per_ghz=0.16, bend_ghz=2.05, bend_v_per_ghz2=1.5),
            dynamic_w=0.40,
            leakage_w=0.11,
            idle_leakage=0.3,
            idle_dynamic=0.32,
            transition_s=0.001,
        ),
    ),
    packages=(
        Package(
            idle_w=1.4,
            uncore_w=0.5,
            uncore_floor=0.6,
            traffic_w=0.5,
            dram_idle_w=0.2,
            dram_traffic_w=0.6,
            sustained_w=9.0,
            peak_w=12.0,
            window_s=5.0,
            die_k_per_w=2.5,
            die_s=2.0,
            sink_k_per_w=3.5,
            sink_s=50.0,
            limit_c=85.0,
        ),
    ),
    board_w=2.3,
    meter="hwmon",
)

_VM = Chip(
    name="vm",
    cpu_model="hwtune simulated virtual CPU",
    driver=None,
    governors=(),
    governor="performance",
    epp=None,
    has_boost=False,
    tunables_per_policy=False,
    clusters=(
        Cluster(
            cpus=(0, 1),
            policy_cpus=2,
            package=0,
            levels_khz=None,
            min_khz=2_500_000,
            base_khz=2_500_000,
            max_khz=2_500_000,
            turbo_one_ghz=2.5,
            turbo_all_ghz=2.5,
            voltage=Voltage(floor_v=0.8, knee_ghz=2.0, slope_v_per_ghz=0.1, bend_ghz=3.0, bend_v_per_ghz2=0.0),
            dynamic_w=2.0,
            leakage_w=1.0,
            idle_leakage=0.5,
            idle_dynamic=0.05,
        ),
    ),
    packages=(_HOST_SHARE,),
    board_w=10.0,
    meter=None,
    has_counters=False,
)

CHIPS: dict[str, Chip] = {chip.name: chip for chip in (_LAPTOP, _SERVER, _BIGLITTLE, _VM)}
