"""What we count against what perf(1) and time(1) count, in one run, on the kernel that runs here."""

from __future__ import annotations

import sys
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
from perf_tool import StatAll, parse_stat, stat, tool

from hwtune.host.perf_system import LinuxCounters
from hwtune.host.runner import Completed, LinuxRunner

WITHIN = 0.01
EVENTS = ("task-clock", "context-switches", "page-faults")
WHERE_THERE_IS_A_PMU = ("cycles", "instructions")
# Two processes that hand a byte to and fro, touch fresh pages and compute: some seconds of CPU time, ten thousands of
# context switches, hundred thousands of page faults, so that a per cent is far more than what surrounds them.
WORK = """
import mmap, os
def work(mine, theirs):
    for turn in range(18000):
        if turn % 18 == 0:
            with mmap.mmap(-1, 256 * 4096) as fresh:
                for page in range(256):
                    fresh[page * 4096] = 1
        for _ in range(6000):
            pass
        os.write(theirs, b"x")
        os.read(mine, 1)
first, second = os.pipe(), os.pipe()
if os.fork():
    work(first[0], second[1])
    os.wait()
else:
    work(second[0], first[1])
"""


@dataclass
class Both:
    """The same thing counted twice."""

    what: str
    ours: float
    theirs: float

    @property
    def apart(self) -> float:
        return abs(self.ours - self.theirs) / self.theirs

    def __str__(self) -> str:
        return f"{self.what:<36} ours {self.ours:>16,.0f}  theirs {self.theirs:>16,.0f}  {100 * self.apart:.3f} %"


@pytest.fixture(scope="module")
def events() -> list[str]:
    """What there is to compare."""
    with closing(LinuxCounters()) as source:
        names = source.read()
        if not names:
            pytest.skip(f"no system-wide events here: {source.why}")
    return [name for name in (*EVENTS, *WHERE_THERE_IS_A_PMU) if name in names]


def measured(command: list[str], folder: Path, events: list[str]) -> tuple[Completed, dict[str, float], float]:
    """A command under our counters, time(1) and perf(1): what each has to say, time(1) in s of perf and the command."""
    folder.mkdir()
    timed, counted = folder / "time", folder / "stat.csv"
    inner = [*stat(counted, events), "--", *command]
    done = LinuxRunner().run(
        [tool("time"), "-f", "%U %S", "-o", str(timed), *inner], cwd=None, user=None, tick=lambda: None, period_s=1.0
    )
    assert done.exit_status == 0, done.stderr_tail
    user_s, system_s = map(float, timed.read_text().split())
    return done, parse_stat(counted.read_text()), user_s + system_s


def test_one_run_counted_by_us_and_by_perf_and_time(tmp_path: Path, events: list[str]) -> None:
    """System-wide, the command alone, and its CPU time, each within 1 %.

    Of the command we count perf and time as well, which start it and which they do not count; so the same chain around
    `true` is taken off first. System-wide, perf begins before us and ends after us. What lies in between belongs to it
    alone: only when that was long, because nobody ran us, is all of it done again, four times at most.
    """
    python = [sys.executable, "-S", "-c", WORK]
    for attempt in range(5):
        folder = tmp_path / str(attempt)
        folder.mkdir()
        chain, chain_theirs, _ = measured(["true"], folder / "chain", events)
        with StatAll(folder, events) as perf, closing(LinuxCounters()) as source:
            source.read()
            enabled = time.monotonic()
            perf.tell("enable")
            before, begun = source.read(), time.monotonic()
            done, theirs, time_s = measured(python, folder / "work", events)
            ended, after, gaps = time.monotonic(), source.read(), source.gaps
            perf.tell("disable")
            disabled = time.monotonic()
            all_theirs = perf.counts()
        alone_s = (begun - enabled) + (disabled - ended)
        print(f"\nrun of {ended - begun:.1f} s, of which perf alone saw {1e3 * alone_s:.1f} ms")
        if alone_s < WITHIN / 2 * (ended - begun):
            break
    assert gaps == {}, "a CPU came or went"
    system = [Both(f"system-wide {name}", after[name] - before[name], all_theirs[name]) for name in events]
    command = [
        Both(
            f"command {name}",
            done.counters[name] - (chain.counters[name] - chain_theirs[name]),
            theirs[name],
        )
        for name in events
    ]
    # time(1) gives hundredths of a second, cut off.
    cpu = Both("CPU time (wait4; time), ms", 1e3 * done.cpu_time_s, 1e3 * time_s)
    for both in (*system, *command, cpu):
        print(both)
    for name, least in (("context-switches", 10_000), ("page-faults", 200_000), ("task-clock", 2e9)):
        assert theirs[name] >= least, "too little for a per cent to mean anything"
    assert [str(both) for both in (*system, *command, cpu) if both.apart > WITHIN] == []


def test_what_perf_says_is_read() -> None:
    text = (
        "# started on Sun Nov 22 00:00:00 2026\n\n"
        "8012.34,msec,task-clock,8012345678,100.00,2.000,CPUs utilized\n"
        "20321,,context-switches,8012345678,100.00,2.536,K/sec\n"
        "<not supported>,,cycles,0,100.00,,\n"
    )
    assert parse_stat(text) == {"task-clock": 8012.34e6, "context-switches": 20321.0}
