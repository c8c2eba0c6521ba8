"""Running a command to its end while something is sampled beside it.

The command's output is dropped, or goes to a file of the caller's, and what it says on stderr is kept aside: neither is
mixed with ours. Its CPU time and that of every descendant it waited for comes from wait4(2).
"""

from __future__ import annotations

import math
import os
import pwd
import select
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import BinaryIO, Protocol

from hwtune.domain.errors import UsageError
from hwtune.host.perf_command import CommandCounters, credible

_TAIL_BYTES = 8192
_PATIENCE_S = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Completed:
    """How a command ended.

    Args:
        exit_status: 0-255, or 128 + signal number.
        start_ns: clock when it was started.
        end_ns: clock when it was seen to have ended, or was given up.
        cpu_time_s: user + system time of the process tree, None where it is not known.
        stderr_tail: the last of what it wrote to stderr.
        given_up: whether it was ended by us because it took too long; its exit status says nothing then.
        counters: events of the command and every process it started, by perf's name; empty where none were counted.
    """

    exit_status: int
    start_ns: int
    end_ns: int
    cpu_time_s: float | None
    stderr_tail: str
    given_up: bool = False
    counters: Mapping[str, float] = field(default_factory=dict)


class Runner(Protocol):
    """Something that can run a command."""

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
        """Run to the end, calling `tick` about every `period_s`.

        What still runs `give_up_s` after its start, or when `tick` says True, is ended, after a last `tick`. The
        command finds `environment` beside its usual one. Its standard output goes to `output`, a file with a
        descriptor (a pipe would have to be emptied meanwhile), or is dropped.

        Raises:
            UsageError: when the command cannot be started.
        """


class LinuxRunner:
    """Processes of this machine.

    Args:
        counters: what opens a command's own events.
    """

    def __init__(self, counters: CommandCounters | None = None) -> None:
        self.counters = counters or CommandCounters()

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
        """See `Runner.run`. Whatever ends the wait also ends the command's whole process group.

        What a tick starts would be counted as the command's.
        """
        with tempfile.TemporaryFile() as errors, closing(self.counters.open()) as events:
            start_ns = time.monotonic_ns()
            try:
                other = _other_user(user)
                # A session of its own: a Ctrl-C reaches us first, and we end the command's whole group.
                process = subprocess.Popen(
                    list(command),
                    cwd=cwd,
                    user=other and other.pw_uid,
                    group=other and other.pw_gid,
                    extra_groups=other and os.getgrouplist(other.pw_name, other.pw_gid),
                    env={**os.environ, **(_environment(other) if other else {}), **(environment or {})},
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL if output is None else output,
                    stderr=errors,
                    start_new_session=True,
                )
            except (OSError, LookupError, ValueError, subprocess.SubprocessError) as error:
                raise UsageError(
                    f"cannot start {command[0]!r}: {error}", hint="is it installed and executable?"
                ) from error
            until_s = math.inf if give_up_s is None else start_ns / 1e9 + give_up_s
            try:
                cpu_time_s = _wait(process, tick, period_s, until_s)
                end_ns = time.monotonic_ns()
                if given_up := process.returncode is None:
                    tick()  # what it used until now: its end may take seconds
            except BaseException:
                _end_group(process)
                raise
            if given_up:
                _end_group(process)
            counters = events.read()
            errors.seek(max(0, errors.seek(0, os.SEEK_END) - _TAIL_BYTES))
            tail = errors.read().decode("utf-8", "replace").rstrip()
        code = process.returncode
        return Completed(
            exit_status=code if code >= 0 else 128 - code,
            start_ns=start_ns,
            end_ns=end_ns,
            cpu_time_s=cpu_time_s,
            stderr_tail=tail,
            given_up=given_up,
            counters=counters if credible(counters, cpu_time_s) else {},
        )


def _other_user(user: str | None) -> pwd.struct_passwd | None:
    """The account to change to, None when it is our own: only root may set even the same groups again."""
    account = None if user is None else pwd.getpwnam(user)
    return account if account is None or account.pw_uid != os.geteuid() else None


def _environment(account: pwd.struct_passwd) -> dict[str, str]:
    """What login(1) sets: with root's HOME the command would read root's configuration, or fail to."""
    return {
        "HOME": account.pw_dir,
        "LOGNAME": account.pw_name,
        "SHELL": account.pw_shell or "/bin/sh",
        "USER": account.pw_name,
    }


def _wait(
    process: subprocess.Popen[bytes], tick: Callable[[], object], period_s: float, until_s: float
) -> float | None:
    """Wait by pidfd, so that the end is seen at once and the ticks keep their period.

    Returns:
        CPU time; None when the process still runs at `until_s`, or when `tick` says True, and `returncode` is None
        then, too.
    """
    pidfd = os.pidfd_open(process.pid)
    try:
        ends = select.poll()  # select(2) takes no descriptor above 1023, and counters of a large machine are that many
        ends.register(pidfd, select.POLLIN)
        due = time.monotonic() + period_s
        while not ends.poll(max(0, math.ceil((min(due, until_s) - time.monotonic()) * 1e3))):
            if time.monotonic() >= until_s or tick() is True:
                return None
            due = max(due + period_s, time.monotonic())
        _, raw, usage = os.wait4(process.pid, 0)
    finally:
        os.close(pidfd)
    process.returncode = os.waitstatus_to_exitcode(raw)  # already reaped: Popen must not wait again
    return usage.ru_utime + usage.ru_stime


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """SIGTERM, time to obey, SIGKILL for whoever is left; a second Ctrl-C cuts the time short, no more."""
    try:
        _signal_group(process.pid, signal.SIGTERM)
        deadline = time.monotonic() + _PATIENCE_S
        while time.monotonic() < deadline:
            process.poll()  # reaps the leader, which would count as a member otherwise
            if not _signal_group(process.pid, 0):
                return
            time.sleep(0.01)
    finally:
        _signal_group(process.pid, signal.SIGKILL)
        process.wait()


def _signal_group(group: int, number: int) -> bool:
    """Whether there is still somebody to signal."""
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):  # nobody left, or nobody we may end
        return False
    return True
