"""`scripts/rig [OPTIONS] CMD…`: one boot, one command."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import NoReturn

from rig.errors import RigError, RigTimeout
from rig.link import Job, Stream
from rig.machine import Rig
from rig.packages import may_install

RIG_FAILED = 125
TIMED_OUT = 124
_GRACE_S = 15.0

_DESCRIPTION = """\
Boot Debian's kernel under QEMU (TCG, no KVM) and run CMD in it, as root, in the current folder.

The guest has 8 P-states, 3600 to 800 MHz, under the real acpi-cpufreq; an emulated hwmon power meter, battery and
thermal zone; and it sees the host's files at the same paths, read-only below a throw-away layer. Performance and power
follow the P-state. The PATH begins with the environment of the Python that started the rig: `hwtune` and `python` are
that environment's.
"""
_EPILOG = """\
status: that of CMD (128+N when signal N ended it), 124 when --timeout struck, 125 when the rig itself failed, 130 and
143 when it was interrupted. Ctrl-C is passed on to CMD once; the second one ends the rig at once, as SIGTERM does.

examples:
  scripts/rig hwtune probe
  scripts/rig --topology shared cat /sys/devices/system/cpu/cpufreq/policy0/related_cpus
  scripts/rig --timeout 600 hwtune tune --objective energy -- python benchmarks/loads/compute.py
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line and returns the exit status."""
    parser = _parser()
    options = parser.parse_args(arguments)
    command = options.command[1:] if options.command[:1] == ["--"] else options.command
    if not command:
        parser.error("which command is to run in the guest?")
    signal.signal(signal.SIGTERM, _on_sigterm)
    signal.signal(signal.SIGHUP, _on_sigterm)
    try:
        return _run(options, command)
    except RigTimeout:
        print(f"error: timed out after {options.timeout:g} s: {' '.join(command)}", file=sys.stderr)
        return TIMED_OUT
    except RigError as error:
        print(f"error: {error.message}", file=sys.stderr)
        if error.hint:
            print(f"hint: {error.hint}", file=sys.stderr)
        for part in error.evidence():
            print(part, file=sys.stderr)
        return RIG_FAILED
    except KeyboardInterrupt:
        return 128 + signal.SIGINT


def _run(options: argparse.Namespace, command: list[str]) -> int:
    kept = Path(tempfile.mkdtemp(prefix="hwtune-rig-")) if options.keep else None
    rig = Rig(
        cpus=options.cpus,
        topology=options.topology,
        memory_mb=options.memory,
        share=options.share,
        ac=options.ac,
        silicon=not options.no_silicon,
        env=dict(options.env),
        planner_command=None if options.planner_in_guest else (),
        out=options.out,
        log=options.log or (kept and kept / "silicon.log"),
        may_fetch=options.install or may_install(),
    )
    try:
        with rig:
            try:
                job = rig.start(command, on_output=_print)
            except OSError as error:
                print(f"error: {error.strerror}", file=sys.stderr)
                return 126 if isinstance(error, PermissionError) else 127
            status = _wait(job, options.timeout)
    finally:
        if kept:
            rig.keep(kept)
            print(f"rig: kept in {kept}", file=sys.stderr)
    return status if status >= 0 else 128 - status


def _wait(job: Job, timeout_s: float | None) -> int:
    """Waits for the command; the first Ctrl-C is the command's, which may want to put things back."""
    try:
        return job.wait(timeout_s).returncode
    except KeyboardInterrupt:
        # what the terminal would have done to a command of the host: the whole process group gets it
        job.send_signal(signal.SIGINT, group=True)
        return job.wait(_GRACE_S).returncode


def _print(stream: Stream, data: bytes) -> None:
    fd = 1 if stream == "stdout" else 2
    while data:
        try:
            data = data[os.write(fd, data) :]
        except BrokenPipeError:
            raise SystemExit(128 + signal.SIGPIPE) from None


def _on_sigterm(number: int, frame: FrameType | None) -> NoReturn:
    for other in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(other, signal.SIG_IGN)  # nothing may interrupt the cleaning up
    raise SystemExit(128 + number)


def _assignment(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    return name, value


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/rig",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        usage="scripts/rig [OPTIONS] CMD [ARG…]",
    )
    machine = parser.add_argument_group("the machine")
    machine.add_argument("--cpus", type=int, default=2, metavar="N", help="number of vCPUs, 1 to 8 (default 2)")
    machine.add_argument(
        "--topology", choices=("own", "shared"), default="own", help="a policy for each CPU (default), or one for all"
    )
    machine.add_argument("--memory", type=int, default=1536, metavar="MIB", help="guest memory (default 1536)")
    machine.add_argument(
        "--share",
        type=float,
        default=0.5,
        metavar="X",
        help="of a host core, for a vCPU at the top P-state (default 0.5)",
    )
    machine.add_argument("--ac", action="store_true", help="on AC power instead of battery")
    machine.add_argument(
        "--no-silicon", action="store_true", help="P-states change nothing: full speed, sensors from a fixed table"
    )
    run = parser.add_argument_group("the run")
    run.add_argument("--env", type=_assignment, action="append", default=[], metavar="K=V", help="environment for CMD")
    run.add_argument("--timeout", type=float, metavar="SECONDS", help="kill CMD after so long (default: never)")
    run.add_argument("--out", type=Path, metavar="DIR", help="a folder of the host that CMD may write to")
    run.add_argument("--planner-in-guest", action="store_true", help="do not serve hwtune's planner from the host")
    run.add_argument("--log", type=Path, metavar="FILE", help="silicon's log: seconds, P-states, mW, °C, J")
    run.add_argument("--keep", action="store_true", help="leave the logs of console, planner and silicon in a folder")
    run.add_argument("--install", action="store_true", help="as root, fetch missing Debian packages (CI=true does too)")
    parser.add_argument("command", nargs=argparse.REMAINDER, metavar="CMD", help=argparse.SUPPRESS)
    return parser
