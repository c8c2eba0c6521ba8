"""Work whose time does not all follow the clock: rounds of computing, each followed by a spin on the monotonic clock.

    python benchmarks/loads/stall.py [--work N] [--stall SECONDS]

The spin is what a memory stall looks like from outside: the CPU is busy and draws its power, but a faster clock ends
it no sooner. So slowing down costs less time than with compute.py, and the best energy-delay product is at a clearly
lower frequency: near 2000 MHz, where compute.py has it at the top. Not pinned to a CPU, as compute.py.
"""

from __future__ import annotations

import sys
import time

WORK = 20_000
STALL_S = 3.0
# Few and long: where the clock is emulated by running in bursts (the rig: every 20 ms), the end of a spin may be seen
# up to a burst late, which must stay small against the spin.
ROUNDS = 8


def compute(x: int, work: int) -> int:
    """So many steps of a linear congruential generator, from `x` on."""
    for _ in range(work):
        x = (x * 1103515245 + 12345) & 0x7FFFFFFF
    return x


def spin(seconds: float) -> None:
    """Keeps the CPU busy for so long, whatever its clock."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


def options(arguments: list[str]) -> tuple[int, float]:
    """Steps and seconds of spinning. Without arguments argparse is not even imported: that is compute as well."""
    if not arguments:
        return WORK, STALL_S
    import argparse  # noqa: PLC0415

    parser = argparse.ArgumentParser(description="Work that a memory stall holds up, whatever the clock.")
    parser.add_argument("--work", type=int, default=WORK, metavar="N", help=f"steps in all (default {WORK})")
    parser.add_argument(
        "--stall", type=float, default=STALL_S, metavar="SECONDS", help=f"spinning time in all (default {STALL_S:g})"
    )
    parsed = parser.parse_args(arguments)
    return parsed.work, parsed.stall


def main() -> None:
    """Computes and spins in turn, and prints one line."""
    work, stall_s = options(sys.argv[1:])
    start = time.monotonic()
    x = 1
    for _ in range(ROUNDS):
        x = compute(x, work // ROUNDS)
        spin(stall_s / ROUNDS)
    print(f"stall: {work} steps and {stall_s:g} s of spinning in {time.monotonic() - start:.3f} s, result {x:#010x}")


if __name__ == "__main__":
    main()
