"""The rig as a library: boot once, run many commands.

with Rig() as rig:
    probe = rig.run(["hwtune", "probe", "--json"]).check()
"""

from __future__ import annotations

import json
import os
import shlex
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from rig.boot import Descriptors, Root, qemu_command
from rig.build import GUEST, build, with_files
from rig.calls import Guest
from rig.carried import carried_files
from rig.chip import MAX_CPUS, PSTATES, TELEMETRY_ADDRESS, Topology, published_energy_j
from rig.diagnosis import examine
from rig.errors import RigError, RigHung
from rig.link import Link
from rig.planner_port import PlannerPort
from rig.quota import find_hierarchy, group_of, remove_group, require_hierarchy

CHECKOUT = Path(__file__).resolve().parents[3]
_BOOT_TIMEOUT_S = 120.0
_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Rig(Guest):
    """One boot of the rig's machine; a context manager.

    Attributes:
        boot_s: Seconds from the start of QEMU to the first command (host's clock).
        python: The interpreter whose environment the guest uses; `bin` of it comes first on the guest's PATH.
    """

    def __init__(
        self,
        *,
        cpus: int = 2,
        topology: Topology = "own",
        root: Root = "host",
        memory_mb: int = 1536,
        share: float = 0.5,
        ac: bool = False,
        silicon: bool = True,
        python: Path | None = None,
        env: Mapping[str, str] | None = None,
        planner_command: Sequence[str] | None = (),
        out: Path | None = None,
        log: Path | None = None,
        may_fetch: bool = False,
    ) -> None:
        """Describes the machine; entering the context boots it.

        Args:
            cpus: vCPUs, 1 to 8.
            topology: A cpufreq policy for each CPU (`own`) or one for all (`shared`).
            root: Where the guest's files are: the host's own, all of them (`host`), or what hwtune needs without numpy
                and torch in the guest's memory (`memory`), which suspend to RAM leaves alone.
            memory_mb: Guest memory in MiB, at least 512.
            share: Share of one host core that a vCPU gets at the top P-state; cpus x share should leave the host half
                a core for QEMU itself.
            ac: Start on AC power instead of battery.
            silicon: Whether P-states slow the CPUs and the sensors follow the load; needs a writable CPU cgroup.
            python: Interpreter of the environment to use in the guest; this one when not given.
            env: More environment for guest commands.
            planner_command: What serves the planner's port on the host: empty for hwtune's own worker, None for no port
                (then the guest's programs run their planner themselves).
            out: A folder of the host that the guest may write to; the rest of the host's files are read-only below.
            log: File for the silicon's log: seconds, P-states, mW, °C, J, ten times a second.
            may_fetch: Whether missing Debian packages may be installed.
        """
        if not 1 <= cpus <= MAX_CPUS:
            raise RigError(f"cpus must be 1 to {MAX_CPUS}, not {cpus}")
        if not 0.05 <= share <= 1.0:
            raise RigError(f"share must be 0.05 to 1.0 of a host core, not {share:g}")
        if memory_mb < 512:
            raise RigError(f"memory must be at least 512 MiB, not {memory_mb}")
        super().__init__()
        self.python = python or Path(sys.executable)
        self.boot_s = 0.0
        self._cpus, self._topology, self._memory_mb, self._share = cpus, topology, memory_mb, share
        self._root = root
        self._ac, self._silicon, self._may_fetch = ac, silicon, may_fetch
        self._extra_env = dict(env or {})
        self._out = out.resolve() if out else None
        self._log = log.resolve() if log else None
        self._planner_command = planner_command
        self._stack = ExitStack()
        self._helper: subprocess.Popen[str] | None = None
        self._ram = -1
        self._console = b""
        self._console_fd = -1
        self._planner_log = b""

    def __enter__(self) -> Rig:
        try:
            self._boot()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the guest, the silicon and the planner, and removes what they used. Safe to call again."""
        self._stack.close()

    def _boot(self) -> None:
        if os.geteuid() != 0:
            raise RigError(
                "the rig needs root: it serves the host's files and throttles CPUs", hint="sudo scripts/rig …"
            )
        if self._silicon:
            require_hierarchy()
        images = build(self._cpus, self._topology, may_fetch=self._may_fetch)
        archives: list[int] = []
        if self._root == "memory":
            archive = self._stack.enter_context(tempfile.TemporaryFile())  # noqa: SIM115
            archives = [archive.fileno()]
            images = with_files(images, carried_files(self.python, GUEST), archive.fileno())
        started = time.monotonic()
        console = self._stack.enter_context(tempfile.TemporaryFile())  # noqa: SIM115
        self._console_fd = console.fileno()
        self._stack.callback(self._keep_console)
        monitor, examiner, agent, planner = (self._socket_pair() for _ in range(4))
        ram = self._ram = os.memfd_create("hwtune-rig-ram")
        self._stack.callback(os.close, ram)
        os.ftruncate(ram, self._memory_mb << 20)
        ports = {"monitor": monitor, "examiner": examiner, "agent": agent, "planner": planner}
        fds = Descriptors(ram=ram, **{name: pair[1].fileno() for name, pair in ports.items()})
        command = qemu_command(
            images, fds, cpus=self._cpus, memory_mb=self._memory_mb, root=self._root, python=self.python, out=self._out
        )
        qemu = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=console,
            stderr=subprocess.STDOUT,
            pass_fds=(*fds.all(), *archives),
            start_new_session=True,  # a terminal's Ctrl-C is for the rig, which then ends QEMU
        )
        if self._silicon:
            self._stack.callback(_remove_groups, qemu.pid)
        self._stack.callback(self._end_helper)
        self._stack.callback(_end_process, qemu)
        for pair in ports.values():
            pair[1].close()  # QEMU's ends are QEMU's now, so that its end is seen as the end of the line
        self._start_helper(qemu.pid, monitor[0], ram)
        monitor[0].close()
        self._link = Link(agent[0], lambda message: self._hung(message, qemu, examiner[0]))
        self._start_planner(planner[0])
        self._await_agent()
        self.set_throttle(True)
        self._at_boot = self.cpufreq()
        self.boot_s = time.monotonic() - started

    def _socket_pair(self) -> tuple[socket.socket, socket.socket]:
        ends = socket.socketpair()
        for end in ends:
            self._stack.callback(end.close)
        return ends

    def _start_helper(self, pid: int, monitor: socket.socket, ram: int) -> None:
        if not self._silicon:
            # without -no-shutdown's other half nobody would read the monitor; the guest is ended from here in any case
            return
        command = [sys.executable, "-m", "rig.helper", "--pid", str(pid), "--qmp-fd", str(monitor.fileno())]
        command += ["--ram-fd", str(ram), "--topology", self._topology, "--share", str(self._share)]
        command += ["--ac"] if self._ac else []
        command += ["--log", str(self._log)] if self._log else []
        self._helper = subprocess.Popen(
            command,
            env={**os.environ, "PYTHONPATH": str(GUEST.parents[1])},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            pass_fds=(monitor.fileno(), ram),
            start_new_session=True,
        )
        assert self._helper.stdout is not None
        said = json.loads(self._helper.stdout.readline() or '{"error": "the silicon process died at its start"}')
        if "error" in said:
            raise RigError(said["error"], hint=said.get("hint", ""))

    def _start_planner(self, sock: socket.socket) -> None:
        if self._planner_command is None:
            return
        log = self._stack.enter_context(tempfile.TemporaryFile())  # noqa: SIM115
        command = self._planner_command or [str(self.python), "-m", "hwtune.planner.worker"]
        # one thread: with two on a busy two-core host the planner and the vCPUs keep each other waiting
        port = PlannerPort(sock, command, cwd=CHECKOUT, env={"OMP_NUM_THREADS": "1"}, stderr=log)
        self._stack.callback(self._keep_planner_log, log)
        self._stack.callback(port.close)

    def _await_agent(self) -> None:
        assert self._link is not None
        if self._link.wait_ready(_BOOT_TIMEOUT_S) is None:
            raise RigError("the guest did not come up", console=self.console(lines=25))

    def _end_helper(self) -> None:
        helper, self._helper = self._helper, None
        if helper is None:
            return
        try:
            helper.communicate(timeout=15)
        except subprocess.TimeoutExpired:
            helper.kill()
            helper.communicate()

    def _tell_helper(self, **command: Any) -> None:
        if self._helper is None:
            if "throttle" in command:
                return
            raise RigError("this needs the silicon, which this rig was started without")
        assert self._helper.stdin is not None
        try:
            self._helper.stdin.write(json.dumps(command) + "\n")
            self._helper.stdin.flush()
        except OSError as error:
            raise RigError("the rig's silicon has ended", console=self.console(lines=25)) from error

    def _keep_console(self) -> None:
        self._console, self._console_fd = self._console_so_far(), -1

    def _console_so_far(self) -> bytes:
        if self._console_fd < 0:
            return self._console
        # QEMU shares the file's offset, so that must stay where it is
        return os.pread(self._console_fd, os.fstat(self._console_fd).st_size, 0)

    def _hung(self, message: str, qemu: subprocess.Popen[bytes], monitor: socket.socket) -> RigHung:
        """The error for a guest that does not answer, with all that can be found out about it in 10 to 20 s."""
        emulator = examine(qemu, self._helper, monitor, self._cpus, self.console)
        return RigHung(message, emulator=emulator, console=self.console(lines=250))

    def _keep_planner_log(self, file: IO[bytes]) -> None:
        file.seek(0)
        self._planner_log = file.read()

    def console(self, *, lines: int | None = None) -> str:
        """The kernel's console so far; the last `lines` of it."""
        text = self._console_so_far().decode(errors="replace").replace("\r", "").splitlines()
        return "\n".join(text if lines is None else text[-lines:])

    def planner_log(self) -> str:
        """What the planner on the host wrote to stderr, known after the end."""
        return self._planner_log.decode(errors="replace")

    @property
    def env(self) -> dict[str, str]:
        """The environment of guest commands."""
        env = {
            "PATH": f"{self.python.parent}:{_SYSTEM_PATH}",
            "HOME": "/root",
            "USER": "root",
            "LOGNAME": "root",
            "SHELL": "/bin/sh",
            "LANG": "C.UTF-8",
            "TERM": "dumb",
        }
        if (self.python.parents[1] / "pyvenv.cfg").exists():
            env["VIRTUAL_ENV"] = str(self.python.parents[1])
        if self._planner_command is not None:
            env["HWTUNE_PLANNER_COMMAND"] = shlex.join([str(self.python), "-I", "-S", str(GUEST / "relay.py")])
        return {**env, **self._extra_env}

    def put_back(self) -> None:
        """As the boot left it: CPUs, firmware limit, battery, P-states that matter, governors, limits, no journal."""
        self.set_highest_pstate(0)
        self.set_ac(False)
        self.set_throttle(True)
        for cpu in range(1, self._cpus):
            self.put_online(cpu, True)
        self.restore_cpufreq()
        self.run(["rm", "-rf", "/run/hwtune"])

    # --- the machine around it ---

    def set_highest_pstate(self, index: int) -> None:
        """The firmware's limit (`_PPC`): the fastest P-state that the kernel may use; it notices within 2.5 s."""
        if not 0 <= index < len(PSTATES):
            raise ValueError(f"there are P-states 0 to {len(PSTATES) - 1}, not {index}")
        self._tell_helper(highest_pstate=index)

    def set_ac(self, online: bool) -> None:
        """Plugs the power adapter in or out; the kernel notices within 2.5 s."""
        self._tell_helper(ac_online=online)

    def set_throttle(self, on: bool) -> None:
        """Whether P-states matter: without, every vCPU has a whole host core, for tests that time nothing."""
        self._tell_helper(throttle=on)

    def energy_j(self) -> float:
        """Joules since the boot, counted by the silicon each 0.1 s: what a meter in the guest should come to."""
        self._connected()
        energy_j = published_energy_j(os.pread(self._ram, 64, TELEMETRY_ADDRESS))
        if energy_j is None:
            raise RigError("this needs the silicon, which this rig was started without")
        return energy_j

    def keep(self, folder: Path) -> None:
        """Writes what an ended rig has left to say into a folder: console.txt, planner.txt."""
        (folder / "console.txt").write_text(self.console() + "\n")
        (folder / "planner.txt").write_text(self.planner_log())


def _end_process(process: subprocess.Popen[bytes]) -> None:
    """The guest keeps nothing, so there is nothing to shut down in order."""
    assert process.stdin is not None
    process.stdin.close()
    process.terminate()
    try:
        process.wait(timeout=5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _remove_groups(pid: int) -> None:
    """The helper removes its groups itself; this is for the helper that was killed."""
    hierarchy = find_hierarchy()
    if hierarchy is not None:
        remove_group(group_of(hierarchy, pid))
