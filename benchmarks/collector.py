"""What watching a machine costs: a full sample against the number of CPUs, and the collector at 1 Hz beside others.

    python benchmarks/collector.py [--samples 40] [--seconds 60] [--json]

Costs are CPU time (user and system), not wall time. The large machines are directories of plain files, read through
descriptors that stay open, as the kernel's own are, and real event counters, several of each kind on each CPU there is;
`plain` is open(), read(), close() of the same files and nothing made of them, in turn with ours. Beside each other at
1 Hz, for `--seconds`: hwtune's full sample, a psutil loop, and `perf stat -a -I 1000`, each by its process's own clock.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from math import log
from pathlib import Path
from statistics import linear_regression, quantiles

from large_machine import FoldedPerf, KernelLike, build

from hwtune.cli.host import open_host
from hwtune.domain.sample import Sample
from hwtune.host.clock import LinuxClock
from hwtune.host.cpu_time import child_cpu_ns
from hwtune.host.machine import Host
from hwtune.host.perf_system import LinuxCounters
from hwtune.host.runner import LinuxRunner
from hwtune.sensors.collector import Collector

COUNTS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
WINDOWS = 6
# What distributions give a process that asks for no more.
USUAL_FILES = 1024

OURS = """
from pathlib import Path
from hwtune.host.clock import LinuxClock
from hwtune.host.fs import LinuxFS
from hwtune.host.machine import Host
from hwtune.host.perf_system import LinuxCounters
from hwtune.host.runner import LinuxRunner
from hwtune.sensors.collector import Collector
seams = dict(files=LinuxFS("/"), clock=LinuxClock(), counters=LinuxCounters(), runner=LinuxRunner())
read = Collector(Host(name="this", run_dir=Path("/nonexistent"), **seams)).sample
"""
PSUTIL = """
import psutil
def read():
    psutil.cpu_times(percpu=True), psutil.cpu_freq(percpu=True), psutil.cpu_stats()
    psutil.sensors_temperatures(), psutil.virtual_memory()
"""
EVERY_SECOND = """
import time
due = time.monotonic()
while True:
    read()
    due += 1.0
    time.sleep(max(due - time.monotonic(), 0.0))
"""
PERF = ("perf", "stat", "-a", "-I", "1000", "-x", ",", "-e", "task-clock,context-switches,cpu-migrations,page-faults")


def spread(values: Sequence[float]) -> dict[str, float | list[float]]:
    """Median and quartiles."""
    low, middle, high = quantiles(values, n=4)
    return {"median": middle, "quartiles": [low, high]}


def cpu_ms(work: Callable[[], object]) -> float:
    """CPU time of one call."""
    start = time.process_time_ns()
    work()
    return (time.process_time_ns() - start) / 1e6


@contextmanager
def collector_of(folder: str) -> Iterator[Collector]:
    """A collector of a machine in a directory, with real event counters for as many CPUs."""
    files = KernelLike(folder)
    counters = LinuxCounters(FoldedPerf(), files)
    host = Host(
        name="large",
        files=files,
        clock=LinuxClock(),
        counters=counters,
        runner=LinuxRunner(),
        run_dir=Path(folder),
    )
    try:
        yield Collector(host)
    finally:
        counters.close()


def whole_sample(collector: Collector, cpus: int) -> Sample:
    """A sample in which nothing is missing, behind the first, which opens the counters."""
    collector.sample()
    seen = collector.sample()
    if not (len(seen.freq_khz) == len(seen.time_in_state) == len(seen.idle_us["C6"]) == cpus and seen.cpu):
        raise SystemExit(f"error: of {cpus} CPUs some were not read")
    return seen


def by_cpus(samples: int) -> list[dict[str, object]]:
    """Cost of a sample of machines of all sizes, beside the bare reading of the same files."""
    found: list[dict[str, object]] = []
    for cpus in COUNTS:
        with tempfile.TemporaryDirectory() as folder:
            paths = [str(path) for path in build(Path(folder), cpus)]

            def plain(paths: list[str] = paths) -> None:
                for path in paths:
                    with open(path) as file:
                        file.read()

            with collector_of(folder) as collector:
                seen = whole_sample(collector, cpus)
                pairs = [(cpu_ms(collector.sample), cpu_ms(plain)) for _ in range(samples)]
        row = {"cpus": cpus, "files": len(paths), "events": sorted(seen.counters)}
        row |= {"ms": spread([ours for ours, _ in pairs]), "plain_ms": spread([theirs for _, theirs in pairs])}
        found.append(row)
    return found


@contextmanager
def open_files(limit: int) -> Iterator[None]:
    """As a process that may have this many files open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(limit, hard), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def few_files(samples: int) -> dict[str, object]:
    """Cost of a sample of the largest machine when most descriptors cannot be kept."""
    with tempfile.TemporaryDirectory() as folder, open_files(USUAL_FILES):
        build(Path(folder), COUNTS[-1])
        with collector_of(folder) as collector:
            seen = whole_sample(collector, COUNTS[-1])
            costs = [cpu_ms(collector.sample) for _ in range(samples)]
    return {"cpus": COUNTS[-1], "events": sorted(seen.counters), "ms": spread(costs)}


def this_machine(samples: int) -> dict[str, object]:
    """Cost of a sample of the machine we are on."""
    with open_host() as opened:
        collector = Collector(opened.host)
        seen = collector.sample()
        costs = [cpu_ms(collector.sample) for _ in range(samples)]
    return {"cpus": os.cpu_count(), "ms": spread(costs), "events": sorted(seen.counters), "energy": bool(seen.energy)}


def steepest(rows: list[dict[str, object]]) -> float:
    """The largest slope of log cost against log CPUs between the smallest machine and any other: 1 is linear."""
    costs = [(float(row["cpus"]), float(row["ms"]["median"])) for row in rows]  # type: ignore[arg-type, index]
    first = costs[0]
    return max(log(ms / first[1]) / log(cpus / first[0]) for cpus, ms in costs[1:])


def fitted(rows: list[dict[str, object]]) -> float:
    """The slope of a line through log cost against log CPUs, by least squares."""
    costs = [float(row["ms"]["median"]) for row in rows]  # type: ignore[index]
    return linear_regression([log(float(row["cpus"])) for row in rows], list(map(log, costs))).slope  # type: ignore[arg-type]


def resident(seconds: float) -> dict[str, object]:
    """Share of one core at 1 Hz, all at the same time, in percent."""
    commands = {
        "hwtune": [sys.executable, "-c", OURS + EVERY_SECOND],
        "psutil": [sys.executable, "-c", PSUTIL + EVERY_SECOND],
    }
    if shutil.which("perf"):
        commands["perf stat -I 1000"] = list(PERF)
    # perf writes its lines to stderr, each second, as turbostat would.
    processes = {
        name: subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for name, command in commands.items()
    }
    try:
        time.sleep(5.0)  # imports, the first look
        shares: dict[str, list[float]] = {name: [] for name in processes}
        for _ in range(WINDOWS):
            start = {name: (time.monotonic_ns(), child_cpu_ns(each.pid)) for name, each in processes.items()}
            time.sleep(seconds / WINDOWS)
            for name, each in processes.items():
                wall, used = start[name]
                shares[name].append(100 * (child_cpu_ns(each.pid) - used) / (time.monotonic_ns() - wall))
        gone = [name for name, each in processes.items() if each.poll() is not None]
        if gone:
            raise SystemExit(f"error: ended early: {', '.join(gone)}")
        return {
            name: {"percent_of_a_core": spread(shares[name]), "resident_mib": _resident_mib(each.pid)}
            for name, each in processes.items()
        }
    finally:
        for each in processes.values():
            each.terminate()
            each.wait()


def _resident_mib(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize() / 2**20


def main() -> None:
    """Measure, and print a table or JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--samples", type=int, default=40)
    parser.add_argument("--seconds", type=float, default=60.0, help="at 1 Hz; 0 leaves that out")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with open_files(8 * USUAL_FILES * 4):
        rows = by_cpus(options.samples)
    found = {
        "kernel": platform.release(),
        "python": platform.python_version(),
        "this_machine": this_machine(options.samples),
        "by_cpus": rows,
        "steepest_exponent": steepest(rows),
        "fitted_exponent": fitted(rows),
        f"at_{USUAL_FILES}_open_files": few_files(options.samples),
        "seconds_at_1_hz": options.seconds,
        "at_1_hz": resident(options.seconds) if options.seconds > 0 else {},
    }
    print(json.dumps(found) if options.json else text(found))


def text(found: dict[str, object]) -> str:
    """The figures as a table."""
    lines = [f"{'CPUs':>6} {'files':>6} {'ms of CPU (quartiles)':>28} {'plain reading':>28}"]

    def shown(figures: dict[str, object], unit: str) -> str:
        low, high = figures["quartiles"]  # type: ignore[misc]
        return f"{figures['median']:.3f} ({low:.3f} … {high:.3f}) {unit}".rjust(28)

    for row in found["by_cpus"]:  # type: ignore[attr-defined]
        lines.append(f"{row['cpus']:6d} {row['files']:6d} {shown(row['ms'], 'ms')} {shown(row['plain_ms'], 'ms')}")
    here = found["this_machine"]
    lines.append(f"{here['cpus']:6d} (this one) {shown(here['ms'], 'ms')}")  # type: ignore[index]
    few = found[f"at_{USUAL_FILES}_open_files"]
    lines.append(f"{few['cpus']:6d}  (1 k open) {shown(few['ms'], 'ms')}")  # type: ignore[index]
    fitted_slope, slope = found["fitted_exponent"], found["steepest_exponent"]
    lines.append(f"cost grows by the CPUs to the power {fitted_slope:.2f}, from 1 CPU by {slope:.2f} at most")
    for name, each in found["at_1_hz"].items():  # type: ignore[attr-defined]
        lines.append(f"{name:>20} {shown(each['percent_of_a_core'], '%')} {each['resident_mib']:7.1f} MiB")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
