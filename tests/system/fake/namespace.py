"""The unmodified program on a fake kernel: true paths, in mount namespaces that nobody else sees.

    with Machine("acpi_cpufreq") as machine:
        machine.run([sys.executable, "-m", "hwtune", "probe"])

The server lives in a namespace of its own without the true paths: what it reads itself (glibc asks for
/sys/devices/system/cpu/online when a thread starts) must not come back to it.
"""

from __future__ import annotations

import argparse
import ctypes.util
import os
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

from rig.errors import RigError
from rig.packages import install, may_install

from fake.control import Control
from fake.faults import Fault
from fake.machines import MACHINES

_SYSTEM = Path(__file__).resolve().parents[1]
_BOUND = ("/sys/devices/system/cpu", "/sys/class", "/proc/sys/kernel/random/boot_id")
_LIBRARIES = ("libfuse2", "libfuse2t64", "libfuse3-3")
_DEVICE = Path("/dev/fuse")
_START_S = 20.0


def why_not() -> str | None:
    """Why this host cannot mount a fake kernel; in CI only what nothing can be done about.

    Raises:
        RigError: in CI, for what is missing and cannot be installed.
    """
    if os.geteuid() != 0:
        return "the fake kernel on true paths needs root (mount namespaces)"
    if subprocess.run(["unshare", "--mount", "true"], check=False, capture_output=True).returncode:
        return "mount namespaces are not permitted here"
    if may_install():
        _make_ready()
        return None
    if not _DEVICE.exists():
        return f"no {_DEVICE}; `modprobe fuse` makes it"
    return None if _library() else "missing: libfuse; `apt install libfuse2` fetches it"


def _make_ready() -> None:
    if not _DEVICE.exists():
        os.mknod(_DEVICE, 0o600 | stat.S_IFCHR, os.makedev(10, 229))
    if not _library():
        _install_library()


def _library() -> str | None:
    return ctypes.util.find_library("fuse") or ctypes.util.find_library("fuse3")


def _install_library() -> None:
    """Debian and Ubuntu have called it differently over the years."""
    for package in _LIBRARIES:
        try:
            install([package])
        except RigError:
            continue
        if _library():
            return
    raise RigError("no libfuse can be installed", hint=f"apt install one of {', '.join(_LIBRARIES)}")


class Machine:
    """A fake machine that is mounted; a context manager.

    Processes in it see its /sys, and a /run and a /var/lib of its own.

    Args:
        machine: a name of `fake.machines.MACHINES`.
        faults: what goes wrong from the start.

    Attributes:
        control: moments, faults, state and log of its kernel.
        run_dir: what is /run inside.
        state_dir: what is /var/lib inside.
        inside: what to put before a folder and a command to run it there.
    """

    def __init__(self, machine: str, faults: Sequence[Fault] = ()) -> None:
        if machine not in MACHINES:
            raise ValueError(f"no machine {machine!r}; there are {', '.join(MACHINES)}")
        self._machine, self._faults = machine, tuple(faults)
        self._stack = ExitStack()

    def __enter__(self) -> Machine:
        try:
            self._start()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def _start(self) -> None:
        folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="hwtune-fake-")))
        self.run_dir, self.state_dir, mount = (folder / name for name in ("run", "lib", "mount"))
        for path in (self.run_dir, self.state_dir, mount):
            path.mkdir()
        self.control = Control(folder / "control")
        command = ["unshare", "--mount", "--propagation", "private", sys.executable, "-m", "fake.fuse"]
        command += [self._machine, str(mount), "--control", str(folder / "control"), "--until-eof"]
        server = self._popen(command, cwd=_SYSTEM)
        self._await(server, folder, mount)
        self.control.faults(self._faults)
        binds = [(str(mount) + path, path) for path in _BOUND]
        binds += [(str(self.run_dir), "/run"), (str(self.state_dir), "/var/lib")]
        script = "".join(f"mount --no-mtab --bind {source} {target}\n" for source, target in binds)
        script += "echo ready\nexec cat >/dev/null\n"
        enter = ["nsenter", "--target", str(server.pid), "--mount", "unshare", "--mount", "--propagation", "private"]
        holder = self._popen([*enter, "sh", "-ec", script])
        assert holder.stdout is not None
        if holder.stdout.readline() != b"ready\n":
            raise RuntimeError("the machine's files could not be put in their places")
        self.inside = ["nsenter", "--target", str(holder.pid), "--mount", "sh", "-c", 'cd "$0" && exec "$@"']

    def _popen(self, command: list[str], **more: Any) -> subprocess.Popen[bytes]:
        """A process that ends with us, whatever ends us: its input does."""
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, **more)
        self._stack.callback(_end, process)
        return process

    def _await(self, server: subprocess.Popen[bytes], folder: Path, mount: Path) -> None:
        deadline = time.monotonic() + _START_S
        probe = ["nsenter", "--target", str(server.pid), "--mount", "test", "-d", f"{mount}/sys"]
        while not (folder / "control").exists() or subprocess.run(probe, check=False).returncode:
            if server.poll() is not None:
                raise RuntimeError(f"the fake kernel's server ended with status {server.returncode}")
            if time.monotonic() > deadline:
                raise RuntimeError(f"the fake kernel was not mounted within {_START_S:g} s")
            time.sleep(0.02)

    def start(
        self, argv: Sequence[str], *, cwd: Path | None = None, env: Mapping[str, str] | None = None
    ) -> subprocess.Popen[str]:
        """A process in the machine, under its own pid."""
        return subprocess.Popen(
            [*self.inside, str(cwd or Path.cwd()), *argv],
            env={**os.environ, "OMP_NUM_THREADS": "1", **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(
        self,
        argv: Sequence[str],
        *,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        timeout_s: float = 60.0,
    ) -> subprocess.CompletedProcess[str]:
        """Runs a command to its end in the machine."""
        process = self.start(argv, cwd=cwd, env=env)
        try:
            out, err = process.communicate(timeout=timeout_s)
        except BaseException:
            process.kill()
            process.communicate()
            raise
        return subprocess.CompletedProcess(list(argv), process.returncode, out, err)


def run(argv: Sequence[str], *, machine: str, faults: Sequence[Fault] = ()) -> subprocess.CompletedProcess[str]:
    """Runs one command on a machine that is made for it."""
    with Machine(machine, faults) as booted:
        return booted.run(argv)


def _end(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.close()
    try:
        process.wait(timeout=5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    process.stdout.close()


def main() -> None:
    """A shell on a machine, or one command."""
    parser = argparse.ArgumentParser(prog="python -m fake.namespace", description="A machine of tests/system/fake.")
    parser.add_argument("machine", choices=sorted(MACHINES))
    parser.add_argument("command", nargs=argparse.REMAINDER, help="instead of a shell")
    given = parser.parse_args()
    if reason := why_not():
        parser.error(reason)
    with Machine(given.machine) as machine:
        command = given.command or [os.environ.get("SHELL", "/bin/sh")]
        status = subprocess.run([*machine.inside, os.getcwd(), *command], check=False).returncode
    sys.exit(status)


if __name__ == "__main__":
    main()
