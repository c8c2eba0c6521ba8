"""Whose CPU time it is: a child's while it lives, while nobody has waited for it, and once it has ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

from hwtune.host.cpu_time import child_cpu_ns, own_cpu_ns, wait_for_child

BURN = "import time\nwhile time.process_time() < 0.05: pass\nprint(flush=True)\n"


def child(program: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def end(process: subprocess.Popen[bytes]) -> int | None:
    assert process.stdin is not None and process.stdout is not None
    process.stdin.close()
    process.stdout.close()
    return wait_for_child(process)


def test_a_living_child_is_asked_by_its_own_clock() -> None:
    process = child(BURN + "input()")
    assert process.stdout is not None and process.stdin is not None
    process.stdout.readline()
    before, ours = child_cpu_ns(process.pid), own_cpu_ns()
    assert before >= 50_000_000
    assert wait_for_child(process, 0.0) is None and process.returncode is None
    process.stdin.write(b"\n")
    after = end(process)
    assert after is not None and after >= before - 1_000  # wait4 counts in µs
    assert process.returncode == 0
    assert own_cpu_ns() >= ours


def test_what_a_child_has_waited_for_is_its_own() -> None:
    process = child(f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {BURN!r}])")
    spent = end(process)
    assert spent is not None and spent >= 50_000_000


def test_a_child_that_has_ended_and_waits_for_us_still_tells() -> None:
    process = child(BURN)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert child_cpu_ns(process.pid) >= 50_000_000
    end(process)
    assert child_cpu_ns(process.pid) == 0


def test_a_killed_child_says_how_it_ended() -> None:
    process = child("input()")
    process.kill()
    end(process)
    assert process.returncode == -signal.SIGKILL


def test_a_child_that_the_kernel_has_waited_for() -> None:
    old = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        process = child("")
        assert end(process) == 0
        assert process.returncode is not None
    finally:
        signal.signal(signal.SIGCHLD, old)
