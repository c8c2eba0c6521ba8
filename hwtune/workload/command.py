"""A command as the work to tune for: run it, time it, and bracket it with readings of the energy meter.

pyperf's discipline: a warm-up run that does not count, then whole processes, each one value. Nothing of what the
command prints is mixed with what we print.
"""

from __future__ import annotations

import os
import shlex
import signal
from collections.abc import Callable, Sequence
from textwrap import shorten

from hwtune.domain.errors import UsageError, WorkloadError
from hwtune.domain.interval import Interval, own_cpu_between_s
from hwtune.domain.sample import Sample
from hwtune.domain.trial import Run, TrialStatus
from hwtune.host.clock import Clock
from hwtune.host.runner import Completed, Runner
from hwtune.workload.energy import Rest, energy_of_run
from hwtune.workload.features import features_of

# A frequency or governor takes effect within milliseconds, its trace in averaging meters lasts about this long.
_SETTLE_S = 0.1
_STDERR_LINES = 5
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
    ) -> None:
        if not command:
            raise UsageError("no command to run", hint="give one after --")
        self._runner = runner
        self._clock = clock
        self._sample = sample
        self._sample_energy = sample_energy
        self._rest = Rest(clock, sample_energy)
        self._period_s = period_s
        self._command = tuple(command)
        self._prepare = prepare
        self._cwd = cwd
        self._user = user
        self._first_s: float | None = None
        self._last_s: float | None = None
        self._shortest_s = float("inf")

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is odd about the runs so far, in words for people."""
        if self._first_s is None or self._shortest_s >= _SUSPICIOUS_SHARE * self._first_s:
            return ()
        advice = "give --prepare" if self._prepare is None else "does --prepare undo everything?"
        return (
            f"the first run took {self._first_s:.3g} s, a later one {self._shortest_s:.3g} s: "
            f"did that one have nothing left to do? {advice}",
        )

    def warm_up(self) -> Run:
        """One run that does not count.

        Raises:
            WorkloadError: when the command or its preparation fails.
            UsageError: when it cannot be started.
        """
        return self._run()

    def measure(self, repeats: int, give_up_s: float | None = None) -> tuple[Run, ...]:
        """Runs under the setting that is applied now, after a moment in which it takes effect.

        One that has lasted `give_up_s` is stopped, with every process of its group, and is the last.

        Raises:
            WorkloadError: when the command or its preparation fails.
            UsageError: when it cannot be started.
        """
        self._clock.sleep(_SETTLE_S)
        runs: list[Run] = []
        while len(runs) < repeats and not (runs and runs[-1].censored):
            runs.append(self._run(give_up_s))
        return tuple(runs)

    def _run(self, give_up_s: float | None = None) -> Run:
        if self._prepare is not None:
            _expect_success(
                self._start(("sh", "-c", self._prepare), lambda: None), f"--prepare {_short(self._prepare)}"
            )
        quiet = self._rest.before(self._last_s)
        before = self._sample()
        readings = [self._sample_energy()]
        completed = self._start(self._command, lambda: readings.append(self._sample_energy()), give_up_s)
        if not completed.given_up:
            # One that was given up has its last reading from before its end, which we made and may have waited for.
            readings.append(self._sample_energy())
            _expect_success(completed, _short(shlex.join(self._command)))
        after = self._sample()
        time_s = self._last_s = (completed.end_ns - completed.start_ns) / 1e9
        quiet_after = [] if completed.given_up else self._rest.after(time_s)
        energy = energy_of_run([*quiet, *readings, *quiet_after], completed.start_ns, completed.end_ns)
        self._first_s = time_s if self._first_s is None else self._first_s
        self._shortest_s = min(self._shortest_s, time_s)
        return Run(
            time_s=time_s,
            energy_j=energy.energy_j,
            cpu_time_s=completed.cpu_time_s,
            features=features_of(Interval.between(before, after)),
            censored=completed.given_up,
            own_cpu_s=own_cpu_between_s(readings[0], readings[-1]),
        )

    def _start(self, command: Sequence[str], tick: Callable[[], None], give_up_s: float | None = None) -> Completed:
        return self._runner.run(
            command, cwd=self._cwd, user=self._user, tick=tick, period_s=self._period_s, give_up_s=give_up_s
        )


def _expect_success(completed: Completed, what: str) -> None:
    status = completed.exit_status
    if status == 0:
        return
    lines = completed.stderr_tail.splitlines()[-_STDERR_LINES:]
    said = "\n".join(["its last words were:", *(f"  {line}" for line in lines)]) if lines else "it wrote no error"
    raise WorkloadError(f"{what} {_ending(status)}", hint=said)


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
