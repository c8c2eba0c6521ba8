"""What an imaginary machine says of itself in /proc, and of its CPUs: topology, capacity, idle states."""

from __future__ import annotations

import random
import uuid
from functools import partial

from hwtune.sim.cpufreq import CPU
from hwtune.sim.engine import Engine
from hwtune.sim.sysfs import SimulatedFS

_USER_HZ = 100
# Shares of user and system in busy time, and of the shallow state in idle time.
_USER, _SHALLOW = 0.96, 0.08
_KERNEL = "6.1.0-simulated"


def add_procfs(files: SimulatedFS, engine: Engine, seed: int) -> None:
    """CPU times, pressure, the processor's name, the kernel's, this boot's id."""
    cpus, model = engine.chip.cpus, engine.chip.cpu_model
    files.add("/proc/stat", partial(_stat, engine))
    files.add("/proc/cpuinfo", "\n".join(f"processor\t: {cpu}\nmodel name\t: {model}\n" for cpu in range(cpus)))
    files.add("/proc/pressure/cpu", lambda: _pressure(0.02 * _busy_s(engine), 0.0))
    files.add("/proc/pressure/io", lambda: _pressure(engine.wait_s, engine.wait_s))
    files.add("/proc/pressure/memory", lambda: _pressure(0.0, 0.0))
    files.add("/proc/sys/kernel/osrelease", _KERNEL)
    files.add("/proc/sys/kernel/perf_event_paranoid", "-1" if engine.chip.has_counters else "2")
    boot_id = uuid.UUID(int=random.Random(f"{engine.chip.name} {seed}").getrandbits(128), version=4)
    files.add("/proc/sys/kernel/random/boot_id", str(boot_id))
    files.add("/proc/uptime", lambda: f"{engine.uptime_s:.2f} {engine.uptime_s * cpus:.2f}")


def _busy_s(engine: Engine) -> float:
    return float((engine.state.busy_s[0] * engine.plant.cpus).sum())


def _ticks(engine: Engine, busy_s: float, cpus: float) -> str:
    busy, waited = busy_s * _USER_HZ, engine.wait_s * _USER_HZ * cpus
    idle = engine.uptime_s * _USER_HZ * cpus - busy - waited
    return f"{int(busy * _USER)} 0 {int(busy * (1 - _USER))} {int(idle)} {int(waited)} 0 0 0 0 0"


def _stat(engine: Engine) -> str:
    lines = [f"cpu  {_ticks(engine, _busy_s(engine), float(engine.chip.cpus))}"]
    cpu = 0
    for column, each in enumerate(engine.plant.columns):
        busy_s = float(engine.state.busy_s[0, column])
        for _ in range(each.cpus):
            lines.append(f"cpu{cpu} {_ticks(engine, busy_s, 1.0)}")
            cpu += 1
    lines.append(f"ctxt {switches(engine)}")
    lines.append("btime 1700000000\nprocesses 1000")
    lines.append(f"procs_running {engine.chip.cpus if engine.job is not None else 1}\nprocs_blocked 0")
    return "\n".join(lines)


def switches(engine: Engine) -> int:
    """Context switches: the tick, and the work."""
    return int(120 * engine.uptime_s + 90 * _busy_s(engine))


def _pressure(some_s: float, full_s: float) -> str:
    return "\n".join(
        f"{kind} avg10=0.00 avg60=0.00 avg300=0.00 total={int(stall_s * 1e6)}"
        for kind, stall_s in (("some", some_s), ("full", full_s))
    )


def add_cpus(files: SimulatedFS, engine: Engine) -> None:
    """Which CPUs there are, where they sit, how they idle."""
    chip = engine.chip
    listed = f"0-{chip.cpus - 1}"
    for name in ("online", "present", "possible"):
        files.add(f"{CPU}/{name}", listed)
    states = ("WFI", "cpu-sleep") if chip.driver == "cpufreq-dt" else ("POLL", "C1", "C6")
    unequal = len({cluster.capacity for cluster in chip.clusters}) > 1
    for column, each in enumerate(engine.plant.columns):
        first = sum(before.cpus for before in engine.plant.columns[:column])
        for cpu in range(first, first + each.cpus):
            base = f"{CPU}/cpu{cpu}"
            files.add(f"{base}/topology/physical_package_id", str(each.cluster.package))
            files.add(f"{base}/topology/core_id", str(cpu))
            if unequal:
                files.add(f"{base}/cpu_capacity", str(round(1024 * each.cluster.capacity)))
            for index, state in enumerate(states if chip.driver is not None else ()):
                files.add(f"{base}/cpuidle/state{index}/name", state)
                files.add(f"{base}/cpuidle/state{index}/time", partial(_idle_us, engine, column, index, len(states)))


def _idle_us(engine: Engine, column: int, index: int, states: int) -> str:
    """The deepest state gets most, the one before it the rest, polling nothing."""
    share = {states - 1: 1.0 - _SHALLOW, states - 2: _SHALLOW}.get(index, 0.0)
    return str(int((engine.uptime_s - float(engine.state.busy_s[0, column])) * share * 1e6))
