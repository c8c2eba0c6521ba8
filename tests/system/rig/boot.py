"""QEMU's command line: https://www.qemu.org/docs/master/system/invocation.html.

Nothing it needs has a name in the file system: memory is a memfd, monitor and ports are socket pairs, the console is an
unlinked file. So nothing can be left behind, however it ends.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rig.build import GUEST, Images
from rig.chip import TELEMETRY_ADDRESS, TELEMETRY_SIZE
from rig.packages import tool

AGENT_PORT = "hwtune.agent"
PLANNER_PORT = "hwtune.planner"

Root = Literal["host", "memory"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Descriptors:
    """Open files that QEMU inherits under the same numbers."""

    ram: int
    monitor: int
    examiner: int
    agent: int
    planner: int

    def all(self) -> tuple[int, ...]:
        return (self.ram, self.monitor, self.examiner, self.agent, self.planner)


def qemu_command(
    images: Images, fds: Descriptors, *, cpus: int, memory_mb: int, root: Root, python: Path, out: Path | None
) -> list[str]:
    """The whole command. Standard input and output are the guest's serial console, see `diagnosis` for the input.

    Args:
        images: What to boot.
        fds: Descriptors of this process that QEMU is to inherit.
        cpus: Number of vCPUs.
        memory_mb: Guest memory in MiB.
        root: Whether the guest's root is the host's, or all in the initramfs.
        python: Interpreter for the guest's agent, a path of the host.
        out: A folder of the host that the guest may write to, under the same path.
    """
    command = [
        # QEMU dies with the rig even when that is killed
        *(tool("setpriv"), "--pdeathsig", "KILL", tool("qemu-system-x86_64")),
        *("-name", "hwtune-rig,debug-threads=on", "-nodefaults", "-no-user-config", "-display", "none"),
        # no exit before the monitor's client has read that the guest went down (see Qmp)
        *("-no-reboot", "-no-shutdown"),
        *("-M", "q35,memory-backend=ram", "-m", f"{memory_mb}M", "-smp", str(cpus)),
        # one thread per vCPU, each of which can be throttled alone; and Intel, because acpi-cpufreq turns AMD's family
        # 15, which QEMU's own vendor would mean, away
        *("-accel", "tcg,thread=multi", "-cpu", "max,vendor=GenuineIntel"),
        *("-object", f"memory-backend-file,id=ram,size={memory_mb}M,mem-path=/proc/self/fd/{fds.ram},share=on"),
        *("-acpitable", f"file={_escape(images.acpi_table)}"),
        *("-chardev", "stdio,id=console,signal=off,mux=on", "-serial", "chardev:console"),
        *("-chardev", f"socket,id=monitor,fd={fds.monitor}", "-mon", "chardev=monitor,mode=control"),
        *("-chardev", f"socket,id=examiner,fd={fds.examiner}", "-mon", "chardev=examiner,mode=control"),
        # without ioeventfd: with it a write of the guest can wait for ever for a wake-up that was lost (seen by others
        # on emulated machines with few host CPUs; the likeliest cause of a guest that once stopped answering here)
        *("-device", "virtio-serial-pci,ioeventfd=off"),
        *("-chardev", f"socket,id=agent,fd={fds.agent}"),
        *("-device", f"virtserialport,chardev=agent,name={AGENT_PORT}"),
        *("-chardev", f"socket,id=planner,fd={fds.planner}"),
        *("-device", f"virtserialport,chardev=planner,name={PLANNER_PORT}"),
        *("-kernel", str(images.kernel), "-initrd", str(images.initramfs)),
    ]
    if root == "host":
        command += ["-virtfs", "local,path=/,mount_tag=hostroot,security_model=none,readonly=on,multidevs=remap"]
    if out is not None:
        command += ["-virtfs", f"local,path={_escape(out)},mount_tag=out,security_model=none,multidevs=remap"]
    return [*command, "-append", kernel_command_line(images, root=root, python=python, out=out)]


def kernel_command_line(images: Images, *, root: Root, python: Path, out: Path | None) -> str:
    """Kernel parameters (Documentation/admin-guide/kernel-parameters.txt), and what guest/init.sh wants to know."""
    words = [
        *("console=ttyS0", "quiet", "loglevel=4", "panic=-1", "mitigations=off", "psi=1"),
        # TCG's time stamp counter is the host's, so it is steady; the watchdog that would distrust it under throttling
        # falls back to a timer whose every read costs an exit from the vCPU
        "tsc=reliable",
        # a kernel that hangs is to say where: on the console, which `diagnosis` reads
        *("sysctl.kernel.hung_task_timeout_secs=30", "sysctl.kernel.hung_task_all_cpu_backtrace=1"),
        *("softlockup_all_cpu_backtrace=1", "sysrq_always_enabled"),
        f"memmap={TELEMETRY_SIZE // 1024}K${TELEMETRY_ADDRESS:#x}",
        f"rig.root={root}",
        f"rig.modules={_quote(images.modules)}",
        f"rig.python={_quote(python)}",
        f"rig.agent={_quote(GUEST / 'agent.py')}",
    ]
    if out is not None:
        words.append(f"rig.out={_quote(out)}")
    return " ".join(words)


def _quote(path: Path) -> str:
    """A path as one word of the kernel's command line, for init.sh's `printf %b`."""
    return str(path).replace("\\", "\\\\").replace(" ", "\\040").replace('"', "\\042")


def _escape(path: Path) -> str:
    """A path inside one of QEMU's comma-separated options."""
    return str(path).replace(",", ",,")
