"""A command as the work to tune for: run it, time it, and bracket it with readings of the energy meter.

pyperf's discipline: a warm-up run that does not count, then whole processes, each one value. Nothing of what the
command prints is mixed with what we print. What counts as its time is its wall time, or what a gauge makes of it.
"""

from __future__ import annotations

import os
import shlex
import signal
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from textwrap import shorten

from hwtune.domain.errors import UsageError, WorkloadError
from hwtune.domain.interval import Interval, own_cpu_between_s
from hwtune.domain.sample import Sample
from hwtune.domain.trial import Run, TrialStatus
from hwtune.host.clock import Clock
from hwtune.host.output import KeptOutput
from hwtune.host.runner import Completed, Runner
from hwtune.workload.energy import Rest, coarse, energy_of_run
from hwtune.workload.features import features_of, features_of_command
from hwtune.workload.gauge import LOOK_S, WALL_TIME, Found, Gauge, by_measure
from hwtune.workload.pace import Limit, Pace
from hwtune.workload.pattern import last_words

# A frequency or governor takes effect within milliseconds, its trace in averaging meters lasts about this long.
_SETTLE_S = 0.1
# No knob makes work five times faster; having nothing left to do does.
_SUSPICIOUS_SHARE = 0.2


class CommandWorkload:
    """Runs of one command.

    Args:
        runner: how commands run on the machine.
        clock: the machine's clock, the one that samples and runs are timed by.
        sample: takes a full sample; once before and once after a run.
        sample_energy: takes time and energy only; close around the run and every `period_s` during it.
        period_s: how often a meter must be read so that it neither wraps unseen nor is averaged too coarsely.
        command: program and arguments; no shell is involved.
        prepare: a command line for `sh -c` that runs before each run and is not measured (`make clean`), or None. A
            shell, as in hyperfine, because preparing is mostly `rm -f *.o` and `sync; echo 3 > …`.
        cwd: directory of both, or None for ours.
        user: user of both, or None for ours.
        gauge: what else is found out about each run; whoever made it closes it.
        needs_energy: whether energies decide; else a slow meter is not waited for, and its figures may be missing.

    Raises:
        UsageError: for an empty command.
    """

    status = TrialStatus.OK

    def __init__(
        self,
        *,
        runner: Runner,
        clock: Clock,
        sample: Callable[[], Sample],
        sample_energy: Callable[[], Sample],
        period_s: float,
        command: Sequence[str],
        prepare: str | None = None,
        cwd: str | None = None,
        user: str | None = None,
        gauge: Gauge = WALL_TIME,
        needs_energy: bool = True,
    ) -> None:
        if not command:
            raise UsageError("no command to run", hint="give one after --")
        self._runner = runner
        self._clock = clock
        self._sample = sample
        self._sample_energy = sample_energy
        self._rest = Rest(clock, sample_energy) if needs_energy else None
        self._period_s = period_s if gauge is WALL_TIME else min(period_s, LOOK_S)
        self._command = tuple(command)
        self._prepare = prepare
        self._cwd = cwd
        self._user = user
        self._gauge = gauge
        self._unhurried: list[tuple[float, Pace]] = []
        self._first_s: float | None = None
        self._last_s: float | None = None
        self._off = 0.0
        self._shortest_s = float("inf")

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is odd about the runs so far, in words for people."""
        others = (*self._gauge.warnings, *coarse(self._off, self._shortest_s))
        if self._first_s is None or self._shortest_s >= _SUSPICIOUS_SHARE * self._first_s:
            return others
        advice = "give --prepare" if self._prepare is None else "does --prepare undo everything?"
        return (
            f"the first run took {self._first_s:.3g} s, a later one {self._shortest_s:.3g} s: "
            f"did that one have nothing left to do? {advice}",
            *others,
        )

    def warm_up(self) -> Run:
        """One run that does not count.

        Raises:
            WorkloadError: when the command or its preparation fails.
            UsageError: when it cannot be started.
        """
        run, _ = self._run()
        return run

    def measure(self, repeats: int, give_up_s: float | None = None) -> tuple[Run, ...]:
        """Runs under the setting that is applied now, after a moment in which it takes effect.

        One that has lasted `give_up_s` is stopped, with every process of its group, and is the last; by another measure
        than its wall time, one that surely will be worse than that, as far as it tells of its progress.

        Raises:
            WorkloadError: when the command or its preparation fails, or does not say what is measured.
            UsageError: when it cannot be started.
        """
        self._clock.sleep(_SETTLE_S)
        runs: list[Run] = []
        while len(runs) < repeats and not (runs and runs[-1].censored):
            run, pace = self._run(give_up_s)
            runs.append(run)
            if give_up_s is None and pace.known:
                self._unhurried.append((run.time_s, pace))
        return tuple(runs)

    def _run(self, give_up_s: float | None = None) -> tuple[Run, Pace]:
        """A run, and how it got on."""
        if self._prepare is not None:
            _expect_success(
                self._start(("sh", "-c", self._prepare), lambda: None), f"--prepare {_short(self._prepare)}"
            )
        quiet = [] if self._rest is None else self._rest.before(self._last_s)
        before = self._sample()
        with KeptOutput() if self._gauge.hears else nullcontext() as kept:
            self._gauge.begin()
            readings = [self._sample_energy()]
            watch = _Watch(self._gauge, kept, None if give_up_s is None else self._limit(give_up_s))

            def tick() -> bool:
                readings.append(self._sample_energy())
                return watch.hopeless()

            completed = self._start(self._command, tick, give_up_s if self._gauge.timed else None, kept)
            if not completed.given_up:
                # One given up has its last reading from before its end, which we made and may have waited for.
                readings.append(self._sample_energy())
                _expect_success(completed, _short(shlex.join(self._command)))
            after = self._sample()
            said = "" if kept is None else kept.text()
        wall_s = self._last_s = (completed.end_ns - completed.start_ns) / 1e9
        quiet_after = [] if completed.given_up or self._rest is None else self._rest.after(wall_s)
        energy = energy_of_run([*quiet, *readings, *quiet_after], completed.start_ns, completed.end_ns)
        self._first_s = wall_s if self._first_s is None else self._first_s
        self._shortest_s = min(self._shortest_s, wall_s)
        if not completed.given_up:
            self._off = max(self._off, energy.off or 0.0)
        found = Found(time=watch.at_least) if completed.given_up else self._gauge.end(said, completed.stderr_tail)
        run = Run(
            time_s=wall_s,
            energy_j=energy.energy_j,
            cpu_time_s=completed.cpu_time_s,
            features={
                **features_of(Interval.between(before, after)),
                **features_of_command(completed.counters, wall_s),
            },
            censored=completed.given_up,
            own_cpu_s=own_cpu_between_s(readings[0], readings[-1]),
            latency_s=found.latency_s,
            energy_off=energy.off,
            no_energy=energy.refusal,
        )
        return by_measure(run, self._gauge.measure, found.time), Pace(self._gauge.progress)

    def _limit(self, give_up: float) -> Limit | None:
        """What a run is held to by its progress: the typical run that nobody was in a hurry with; None without one."""
        if self._gauge.timed or not self._unhurried:
            return None
        time, pace = sorted(self._unhurried, key=lambda each: each[0])[len(self._unhurried) // 2]
        return Limit(pace=pace, time=time, worst=give_up)

    def _start(
        self,
        command: Sequence[str],
        tick: Callable[[], object],
        give_up_s: float | None = None,
        kept: KeptOutput | None = None,
    ) -> Completed:
        return self._runner.run(
            command,
            cwd=self._cwd,
            user=self._user,
            tick=tick,
            period_s=self._period_s,
            give_up_s=give_up_s,
            output=None if kept is None else kept.file,
            environment=self._gauge.environment,
        )


class _Watch:
    """What is looked at while a run goes on.

    Attributes:
        at_least: the time per unit of its work that it surely will not be under, once it is hopeless.
    """

    def __init__(self, gauge: Gauge, kept: KeptOutput | None, limit: Limit | None) -> None:
        self._gauge, self._kept, self._limit = gauge, kept, limit
        self.at_least: float | None = None

    def hopeless(self) -> bool:
        """Whether it surely will be worse than it may be."""
        if self._kept is not None:
            self._kept.trim()
        self._gauge.look()
        if self._limit is not None and self.at_least is None:
            self.at_least = self._limit.broken_by(self._gauge.progress)
        return self.at_least is not None


def _expect_success(completed: Completed, what: str) -> None:
    status = completed.exit_status
    if status == 0:
        return
    raise WorkloadError(f"{what} {_ending(status)}", hint=last_words(completed.stderr_tail, "it wrote no error"))


def _short(command: str) -> str:
    """A command line for a message of one line; a script given to `sh -c` may have many."""
    return shorten(command, 80, placeholder=" …")


def _ending(status: int) -> str:
    try:
        return f"was killed by {signal.Signals(status - 128).name}"
    except ValueError:
        return f"failed with exit status {status}"


def calling_user() -> str | None:
    """Who called sudo, so that the work is not run as root; None when nobody did or it was root."""
    user = os.environ.get("SUDO_USER") if os.geteuid() == 0 else None
    return user if user != "root" else None
