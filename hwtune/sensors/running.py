"""What runs on the machine: processes by the program they are, systemd units by their traces in files.

Nothing here starts a program or asks a daemon: /proc, /run/systemd and /sys/fs/cgroup tell, also while systemd is busy,
and also in a tree of files.
"""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass

from hwtune.host.fs import HostFS
from hwtune.sensors.optional import optional_text

# systemd links the invocation of every unit that is active here (src/core/unit.c, `unit_export_invocation_id`).
_INVOCATIONS = "/run/systemd/units/invocation:"
# A unit's cgroup: below the unified hierarchy, or systemd's own one of the first version.
_CGROUPS = tuple(
    f"/sys/fs/cgroup/{hierarchy}{slices}"
    for hierarchy in ("", "systemd/", "unified/")
    for slices in ("*.slice/", "*.slice/*.slice/")
)
_INTERPRETER = re.compile(r"python[0-9.]*|perl|bash|dash|sh|node")


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """One process, and what it is the program of.

    Args:
        pid: its number.
        names: its program, and when that is an interpreter its script or module as well.
        arguments: all words after the program.
    """

    pid: int
    names: tuple[str, ...]
    arguments: tuple[str, ...]


def parse_command_line(text: str) -> tuple[str, ...]:
    r"""Words of /proc/PID/cmdline, empty for kernel threads and zombies.

        /usr/bin/python3\0-Es\0/usr/sbin/tuned\0-l\0-P\0

    A process that has written its own title leaves one word with blanks in it. Documentation: proc_pid_cmdline(5).
    """
    return tuple(text.rstrip("\0").split("\0")) if text.strip("\0") else ()


def program_names(comm: str, words: tuple[str, ...]) -> tuple[str, ...]:
    """What a process is the program of: its own name (the kernel keeps 15 characters), its file, its script or module.

    Of an interpreter's words the first that is no option is the script; `-m` names a module, `-c` neither.
    """
    found = [comm, posixpath.basename(words[0].split(" ")[0])] if words else []
    if words and any(_INTERPRETER.fullmatch(name) for name in found):
        rest = list(words[1:])
        while rest and rest[0].startswith("-") and rest[0] not in ("-m", "-c"):
            rest.pop(0)
        if rest[:1] == ["-m"]:
            found += [word.split(".")[0].replace("_", "-") for word in rest[1:2]]
        elif rest[:1] != ["-c"]:
            found += [posixpath.basename(word) for word in rest[:1]]
    return tuple(dict.fromkeys(name for name in found if name))


def processes(files: HostFS) -> tuple[Process, ...]:
    """Every process with a command line, by its number; one that ends meanwhile is left out."""
    found = []
    for directory in files.glob("/proc/[0-9]*"):
        words = parse_command_line(optional_text(files, f"{directory}/cmdline") or "")
        if words:
            comm = optional_text(files, f"{directory}/comm") or ""
            names = program_names(comm, words)
            found.append(Process(pid=int(posixpath.basename(directory)), names=names, arguments=words[1:]))
    return tuple(found)


def is_running(files: HostFS, unit: str) -> bool:
    """Whether a systemd unit is active: systemd says so, or its cgroup has processes."""
    if files.glob(_INVOCATIONS + unit):
        return True
    groups = [found for place in _CGROUPS for found in files.glob(f"{place}{unit}/cgroup.procs")]
    return any(optional_text(files, group) for group in groups)


def parse_unit(text: str) -> str | None:
    """The systemd unit of a process, from /proc/PID/cgroup; None when it is in none of systemd's.

    0::/system.slice/tuned.service
    1:name=systemd:/user.slice/user-1000.slice/user@1000.service/app.slice/gamemoded.service

    Documentation: cgroups(7).
    """
    for line in text.splitlines():
        _, _, rest = line.partition(":")
        hierarchy, _, path = rest.partition(":")
        units = [part for part in path.split("/") if part.endswith((".service", ".scope"))]
        if hierarchy in ("", "name=systemd") and units:
            return units[-1]
    return None


def unit_of(files: HostFS, pid: int) -> str | None:
    """The systemd unit a process belongs to."""
    return parse_unit(optional_text(files, f"/proc/{pid}/cgroup") or "")
