"""The simulated machine: an imaginary chip behind the same seam as a real one, in virtual time."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

from hwtune.domain.errors import UsageError
from hwtune.domain.knob import KnobSpace, Setting, Value
from hwtune.domain.objective import Bound, Objective
from hwtune.host.heartbeat import VARIABLE
from hwtune.host.machine import Host
from hwtune.host.runner import Completed
from hwtune.sim.cpufreq import Cpufreq
from hwtune.sim.devices import (
    add_battery,
    add_cpufreq_figures,
    add_power_meter,
    add_powercap,
    add_thermal,
)
from hwtune.sim.engine import Engine
from hwtune.sim.heartbeat import SimulatedInbox
from hwtune.sim.job import Job
from hwtune.sim.machines import CHIPS
from hwtune.sim.noise import Disturbance, Noise
from hwtune.sim.procfs import add_cpus, add_procfs, switches
from hwtune.sim.sysfs import SimulatedFS
from hwtune.sim.truth import Truth
from hwtune.sim.workloads import WORKLOADS as _PROGRAMS
from hwtune.sim.workloads import Workload

MACHINES: tuple[str, ...] = tuple(CHIPS)
WORKLOADS: tuple[str, ...] = tuple(_PROGRAMS)
_NOMINAL = Disturbance(work=1.0, meter=1.0)


class VirtualClock:
    """See `hwtune.host.clock.Clock`; waiting takes no time of ours."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def monotonic_ns(self) -> int:
        """See `Clock.monotonic_ns`."""
        return round(self._engine.uptime_s * 1e9)

    def sleep(self, duration_s: float) -> None:
        """See `Clock.sleep`."""
        self._engine.pass_time(duration_s)


class SimulatedCounters:
    """See `hwtune.host.machine.CounterSource`: system-wide, as a PMU would count."""

    gaps: Mapping[str, int] = {}

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.why: str | None = None if engine.chip.has_counters else "the hypervisor exposes no PMU"
        self.hint: str | None = None

    def read(self) -> Mapping[str, int]:
        """See `CounterSource.read`."""
        engine = self._engine
        counts = {
            "task-clock": round(engine.elapsed_s * engine.chip.cpus * 1e9),
            "context-switches": switches(engine),
            "cpu-migrations": switches(engine) // 50,
            "page-faults": int(40 * engine.elapsed_s),
        }
        if engine.chip.has_counters:
            counts["cycles"] = int(float((engine.state.cycles[0] * engine.plant.cpus).sum()) * 1e9)
            counts["instructions"] = int(engine.instructions)
            counts["cache-references"] = int(3.1 * engine.misses)
            counts["cache-misses"] = int(engine.misses)
            counts["branches"] = int(0.18 * engine.instructions)
            counts["branch-misses"] = int(0.002 * engine.instructions)
        return counts


class SimulatedRunner:
    """See `hwtune.host.runner.Runner`: whatever the command, one run of the workload."""

    def __init__(
        self, engine: Engine, workload: Workload, begin: Callable[[], Disturbance], inbox: SimulatedInbox
    ) -> None:
        self._engine = engine
        self._workload = workload
        self._begin = begin
        self._inbox = inbox

    def run(
        self,
        command: Sequence[str],
        *,
        cwd: str | None,
        user: str | None,
        tick: Callable[[], object],
        period_s: float,
        give_up_s: float | None = None,
        output: BinaryIO | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> Completed:
        """See `Runner.run`; the ticks come in virtual time.

        What has run to its end prints its mean speed; what is told where to, reports each round.
        """
        engine = self._engine
        start_ns, busy_s = self._now_ns(), self._busy_s()
        job = Job(engine.plant, self._workload, 1, self._begin().work)
        engine.job = job
        reports = VARIABLE in (environment or {})
        self._inbox.begin(job if reports else None)
        due_s = engine.elapsed_s + period_s
        until_s = math.inf if give_up_s is None else engine.elapsed_s + give_up_s
        given_up = False
        try:
            while not (job.done[0] or given_up):
                engine.advance(max(min(due_s, until_s) - engine.elapsed_s, 1e-6))
                given_up = engine.elapsed_s >= until_s - 1e-9 and not job.done[0]
                if given_up or (engine.elapsed_s >= due_s - 1e-9 and not job.done[0]):
                    given_up |= tick() is True
                    due_s = max(due_s + period_s, engine.elapsed_s)
        finally:
            engine.end_job()
            self._inbox.begin(None)
        end_ns = self._now_ns()
        if output is not None and not given_up:
            output.write(f"rounds/s: {self._workload.rounds / ((end_ns - start_ns) / 1e9):.6g}\n".encode())
            output.flush()
        return Completed(
            exit_status=0,
            start_ns=start_ns,
            end_ns=end_ns,
            cpu_time_s=self._busy_s() - busy_s,
            stderr_tail="",
            given_up=given_up,
        )

    def _now_ns(self) -> int:
        return round(self._engine.uptime_s * 1e9)

    def _busy_s(self) -> float:
        return float((self._engine.state.busy_s[0] * self._engine.plant.cpus).sum())


class SimulatedMachine:
    """An imaginary machine with one workload.

    Args:
        machine: one of `MACHINES`.
        workload: one of `WORKLOADS`: what every command is taken for.
        seed: of the measurement noise.
        run_dir: where journal and lock of this machine go.
        noise: 1 for noise as on a real machine, 0 for none.

    Raises:
        UsageError: no such machine or workload.
    """

    def __init__(self, machine: str, *, workload: str, seed: int, run_dir: Path, noise: float = 1.0) -> None:
        chip = CHIPS[_known(machine, MACHINES, "simulated machine")]
        program = _PROGRAMS[_known(workload, WORKLOADS, "simulated workload")]
        self._noise = Noise(seed, noise)
        self._disturbance = _NOMINAL
        self._truth = Truth(chip, program)
        files = SimulatedFS()
        cpufreq = Cpufreq(chip, files, clock_khz=lambda column: round(engine.state.clock_ghz[0, column] * 1e6))
        engine = Engine(chip, cpufreq.columns, cpufreq.controls, gain=lambda: self._disturbance.meter)
        self._engine = engine
        self._program = program
        self.inbox = SimulatedInbox(engine, program.rounds)
        if chip.driver is not None:
            add_cpufreq_figures(files, engine, cpufreq.policies)
            add_thermal(files, engine)
        if chip.meter == "rapl":
            add_powercap(files, engine)
        elif chip.meter == "hwmon":
            add_power_meter(files, engine)
        if chip.has_battery:
            add_battery(files, engine)
        add_cpus(files, engine)
        add_procfs(files, engine, seed)
        self.host = Host(
            name=f"simulated {machine}",
            files=files,
            clock=VirtualClock(engine),
            counters=SimulatedCounters(engine),
            runner=SimulatedRunner(engine, program, self._begin_run, self.inbox),
            run_dir=run_dir,
            simulated=True,
        )

    def _begin_run(self) -> Disturbance:
        self._disturbance = self._noise.draw(self._engine.elapsed_s)
        return self._disturbance

    def serve(self) -> None:
        """From now on the workload runs all the time, again and again, and reports its progress to the inbox."""
        self._engine.next_job = self._next_job

    def _next_job(self) -> Job:
        job = Job(self._engine.plant, self._program, 1, self._begin_run().work)
        self.inbox.begin(job)
        return job

    def true(self, setting: Mapping[str, Value]) -> tuple[float, float]:
        """Noise-free time (s) and energy (J) of one run from rest under a setting, the defaults where it says nothing.

        Energy is what the machine's meter counts: the packages, or the whole board where that has the meter.

        Raises:
            UsageError: a knob or value this machine does not know.
        """
        return self._truth.of(setting)

    def oracle(self, space: KnobSpace, objective: Objective, bound: Bound) -> tuple[Setting, float, float]:
        """The best setting of a space that keeps the bound, with its noise-free time and energy, by brute force.

        Every value is tried, but of governor tunables, and of ranges longer than a frequency table, only a few: five of
        each with up to two of them in the space, three with up to four, the default with more.

        Raises:
            UsageError: a space with too many settings to try.
        """
        return self._truth.oracle(space, objective, bound)


def _known(name: str, names: tuple[str, ...], what: str) -> str:
    if name in names:
        return name
    close = difflib.get_close_matches(name, names, n=1)
    meant = f"did you mean {close[0]!r}? " if close else ""
    raise UsageError(f"unknown {what} {name!r}", hint=f"{meant}there are: {', '.join(names)}")
