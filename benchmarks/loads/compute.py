"""A fixed amount of pure-Python integer work: its time is inverse to the clock, from the first instruction to the last.

    python benchmarks/loads/compute.py [--work N] [--threads N]

By default it takes about 2 s at 3600 MHz in the rig (docs/rig.md), more than half of it the start of Python, which is
compute as well. It is not pinned to a CPU: the scheduler's choice belongs to what is tuned, and hwtune sets all CPUs of
a cluster alike.
"""

from __future__ import annotations

import os
import sys
import time

WORK = 150_000


def compute(work: int) -> int:
    """So many steps of a linear congruential generator; the result depends on every one of them."""
    x = 1
    for _ in range(work):
        x = (x * 1103515245 + 12345) & 0x7FFFFFFF
    return x


def options(arguments: list[str]) -> tuple[int, int]:
    """Steps and copies. Without arguments argparse is not even imported: it would be a third of the rig's run."""
    if not arguments:
        return WORK, 1
    import argparse  # noqa: PLC0415

    parser = argparse.ArgumentParser(description="A fixed amount of pure-Python integer work.")
    parser.add_argument("--work", type=int, default=WORK, metavar="N", help=f"steps of the loop (default {WORK})")
    parser.add_argument(
        "--threads",
        type=int,
        default=1,
        metavar="N",
        help="copies of the work at once, each a process: Python's threads would take turns (default 1)",
    )
    parsed = parser.parse_args(arguments)
    return parsed.work, parsed.threads


def main() -> None:
    """Does the work in each of the asked-for copies, and prints one line."""
    work, copies = options(sys.argv[1:])
    start = time.monotonic()
    children = []
    for _ in range(copies - 1):
        pid = os.fork()
        if pid == 0:
            compute(work)
            os._exit(0)
        children.append(pid)
    result = compute(work)
    for pid in children:
        os.waitpid(pid, 0)
    print(f"compute: {copies} x {work} steps in {time.monotonic() - start:.3f} s, result {result:#010x}")


if __name__ == "__main__":
    main()
