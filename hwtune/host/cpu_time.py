"""CPU time of our own process and of children that work for us, each apart from the commands that are measured.

getrusage(RUSAGE_CHILDREN) adds up every child that was waited for, the measured command among them. So a child that is
ours to account for is asked by its own clock while it lives, and by the wait4(2) that ends it.
"""

from __future__ import annotations

import math
import os
import select
import subprocess
import time

# The clock of a process, all its threads, as clock_getcpuclockid(3) makes it: the complement of the number above three
# bits of kind, 2 for the scheduler's nanoseconds (CPUCLOCK_SCHED of include/linux/posix-timers_types.h).
_KIND_BITS, _SCHED = 3, 2


def own_cpu_ns() -> int:
    """User and system time of this process since it was started, all threads, in ns."""
    return time.process_time_ns()


def child_cpu_ns(pid: int) -> int:
    """User and system time of a child that nobody has waited for yet, in ns; children of its own are not in it.

    0 where the kernel does not know it: later than its end somebody else may have its number.
    """
    try:
        return time.clock_gettime_ns(~pid << _KIND_BITS | _SCHED)
    except OSError:
        return 0


def wait_for_child(process: subprocess.Popen[bytes], timeout_s: float | None = None) -> int | None:
    """Wait until a child ends; what it and the children that it waited for have used, in ns.

    Args:
        process: not waited for yet.
        timeout_s: longest wait, or None for as long as it takes.

    Returns:
        None when it still runs.
    """
    try:
        pidfd = os.pidfd_open(process.pid)
        try:
            ends = select.poll()  # select(2) takes no descriptor above 1023, and a large machine has that many open
            ends.register(pidfd, select.POLLIN)
            if not ends.poll(None if timeout_s is None else math.ceil(timeout_s * 1e3)):
                return None
        finally:
            os.close(pidfd)
        _, status, usage = os.wait4(process.pid, 0)
    except (ProcessLookupError, ChildProcessError):  # SIGCHLD is ignored: the kernel has waited for it
        process.wait()
        return 0
    process.returncode = os.waitstatus_to_exitcode(status)  # Popen must not wait again
    return round((usage.ru_utime + usage.ru_stime) * 1e9)
