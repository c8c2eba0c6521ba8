"""Meters and thermometers of an imaginary machine: powercap, hwmon, thermal, battery, cpufreq's figures."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from hwtune.sim.cpufreq import CPU, Policy
from hwtune.sim.engine import Engine
from hwtune.sim.sysfs import SimulatedFS

_POWERCAP = "/sys/class/powercap"
# What a real counter of 32 bits at 61 µJ counts up to.
_RANGE_UJ = 262_143_328_850
# Counters have been running since boot.
_START_UJ = 241_000_000_000
_BATTERY_UWH = 57_000_000


def add_cpufreq_figures(files: SimulatedFS, engine: Engine, policies: tuple[Policy, ...]) -> None:
    """scaling_cur_freq, and the time in each state where the driver has a table."""
    for policy in policies:
        base, column = f"{CPU}/cpufreq/policy{policy.number}", policy.column
        files.add(f"{base}/scaling_cur_freq", partial(_clock_khz, engine, column))
        if policy.cluster.levels_khz is not None:
            files.add(f"{base}/stats/time_in_state", partial(_time_in_state, engine, policy))
            files.add(f"{base}/stats/total_trans", partial(_transitions, engine, column))


def _clock_khz(engine: Engine, column: int) -> str:
    return str(round(float(engine.state.clock_ghz[0, column]) * 1e6))


def _transitions(engine: Engine, column: int) -> str:
    return str(engine.transitions[column])


def _time_in_state(engine: Engine, policy: Policy) -> str:
    seconds = engine.in_level_s[policy.column]
    levels = policy.cluster.levels_khz or ()
    return "\n".join(f"{khz} {int(time_s * 100)}" for khz, time_s in zip(levels, seconds, strict=True))


def add_powercap(files: SimulatedFS, engine: Engine) -> None:
    """RAPL: a zone per package with its sub-zones, and on a machine with a battery psys for all of it."""
    packages = len(engine.chip.packages)
    inside = ("core", "uncore", "dram") if engine.chip.has_battery else ("dram",)
    for package in range(packages):
        zone = f"{_POWERCAP}/intel-rapl:{package}"
        _add_zone(files, zone, f"package-{package}", partial(_meter_j, engine, "package", package))
        for index, name in enumerate(inside):
            _add_zone(
                files, f"{_POWERCAP}/intel-rapl:{package}:{index}", name, partial(_meter_j, engine, name, package)
            )
    if engine.chip.has_battery:
        _add_zone(files, f"{_POWERCAP}/intel-rapl:{packages}", "psys", lambda: engine.board_j)


def _meter_j(engine: Engine, name: str, package: int) -> float:
    return float(engine.meter_j[name][package])


def _add_zone(files: SimulatedFS, zone: str, name: str, used_j: Callable[[], float]) -> None:
    files.add(f"{zone}/name", name)
    files.add(f"{zone}/enabled", "1")
    files.add(f"{zone}/max_energy_range_uj", str(_RANGE_UJ))
    files.add(f"{zone}/energy_uj", lambda: str((_START_UJ + int(used_j() * 1e6)) % _RANGE_UJ))


def add_power_meter(files: SimulatedFS, engine: Engine) -> None:
    """A board's own meter: energy and power of everything."""
    meter = "/sys/class/hwmon/hwmon0"
    files.add(f"{meter}/name", "power_meter")
    files.add(f"{meter}/energy1_input", lambda: str(int(engine.board_j * 1e6)))
    files.add(f"{meter}/power1_input", lambda: str(int(engine.power_w * 1e6)))


def add_thermal(files: SimulatedFS, engine: Engine) -> None:
    """A thermal zone for each die, and the board's."""
    kind = "x86_pkg_temp" if engine.chip.meter == "rapl" else "soc-thermal"
    for package in range(len(engine.chip.packages)):
        _add_zone_c(files, package, kind, partial(_die_c, engine, package))
    _add_zone_c(files, len(engine.chip.packages), "acpitz", lambda: float(np.mean(engine.state.sink_c)))


def _die_c(engine: Engine, package: int) -> float:
    return float(engine.state.die_c[0, package])


def _add_zone_c(files: SimulatedFS, number: int, kind: str, temp_c: Callable[[], float]) -> None:
    zone = f"/sys/class/thermal/thermal_zone{number}"
    files.add(f"{zone}/type", kind)
    files.add(f"{zone}/temp", lambda: str(int(temp_c()) * 1000))


def add_battery(files: SimulatedFS, engine: Engine) -> None:
    """A battery that is being drained, its charger unplugged."""
    mains, battery = "/sys/class/power_supply/AC", "/sys/class/power_supply/BAT0"
    files.add(f"{mains}/type", "Mains")
    files.add(f"{mains}/online", "0")
    for name, text in (("type", "Battery"), ("status", "Discharging"), ("present", "1")):
        files.add(f"{battery}/{name}", text)
    files.add(f"{battery}/energy_full", str(_BATTERY_UWH))
    files.add(f"{battery}/energy_now", lambda: str(max(0, _BATTERY_UWH - int(engine.board_j / 3600 * 1e6))))
    files.add(f"{battery}/power_now", lambda: str(int(engine.power_w * 1e6)))
