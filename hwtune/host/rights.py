"""Who we are to the kernel: user, capabilities, mounts, user namespace, security module, lockdown.

Documentation: capabilities(7), proc_pid_mountinfo(5), user_namespaces(7), admin-guide/LSM/index.rst.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass

from hwtune.domain.errors import HostError
from hwtune.host.fs import HostFS

CAP_DAC_OVERRIDE = 1
CAP_DAC_READ_SEARCH = 2
# Of include/uapi/linux/capability.h those that decide about anything we do.
CAPABILITIES = {
    "CAP_DAC_OVERRIDE": CAP_DAC_OVERRIDE,
    "CAP_DAC_READ_SEARCH": CAP_DAC_READ_SEARCH,
    "CAP_SYS_ADMIN": 21,
    "CAP_PERFMON": 38,
}
_STATUS = "/proc/self/status"
_UID_MAP = "/proc/self/uid_map"
_MOUNTS = "/proc/self/mountinfo"
_MODULES = "/sys/kernel/security/lsm"
_SELINUX = "/sys/fs/selinux/enforce"
_LABEL = "/proc/self/attr/current"
_LOCKDOWN = "/sys/kernel/security/lockdown"
# The files by which container managers tell those inside.
_CONTAINER_SIGNS = ("/run/systemd/container", "/run/.containerenv", "/.dockerenv")


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """Who we are to the kernel: effective user, groups (the effective one first), effective capabilities as bits."""

    uid: int
    groups: tuple[int, ...]
    capabilities: int

    def has(self, capability: int) -> bool:
        """Whether the capability of that number is effective."""
        return bool(self.capabilities >> capability & 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """Where a file system is mounted, and whether this mount of it, or the whole of it, is read-only."""

    point: str
    read_only: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Rights:
    """All that decides about a file besides the file itself.

    Args:
        credentials: None where /proc does not tell.
        mounts: in the order of mounting: of two at one place the later one counts.
        inside_user_namespace: whether our root is not the machine's (rootless containers).
        modules: security modules in use.
        selinux_enforcing: whether SELinux refuses, and does not merely log.
        label: what the security module in charge calls us: an SELinux context or an AppArmor profile.
        lockdown: `integrity` or `confidentiality`, None for none.
        container: whether a container manager started us.
    """

    credentials: Credentials | None = None
    mounts: tuple[Mount, ...] = ()
    inside_user_namespace: bool = False
    modules: tuple[str, ...] = ()
    selinux_enforcing: bool = False
    label: str | None = None
    lockdown: str | None = None
    container: bool = False

    @property
    def security(self) -> str | None:
        """The security module that restricts us for all that is known, with what it calls us; None for none."""
        if self.selinux_enforcing:
            return f"SELinux is enforcing ({self.label})" if self.label else "SELinux is enforcing"
        if self.label is not None and self.label.endswith("(enforce)"):
            return f"AppArmor enforces a profile ({self.label})"
        return None


def parse_credentials(text: str) -> Credentials | None:
    """Ours, from /proc/self/status; None when a line is missing. The second number of each four is the effective one.

    Uid:	1000	1000	1000	1000
    Gid:	1000	1000	1000	1000
    Groups:	27 1000
    CapEff:	0000000000000002

    Documentation: filesystems/proc.rst, table 1-2.
    """
    lines = {key: rest.split() for key, _, rest in (line.partition(":") for line in text.splitlines())}
    try:
        groups = (int(lines["Gid"][1]), *(int(word) for word in lines.get("Groups", ())))
        return Credentials(uid=int(lines["Uid"][1]), groups=groups, capabilities=int(lines["CapEff"][0], 16))
    except (KeyError, IndexError, ValueError):
        return None


def parse_mounts(text: str) -> tuple[Mount, ...]:
    r"""Mounts from /proc/self/mountinfo; lines that are something else are skipped.

    23 27 0:22 / /sys ro,nosuid,nodev,noexec,relatime - sysfs sysfs rw
    36 35 98:0 /mnt1 /mnt\0402 rw,noatime master:1 - ext3 /dev/root ro,errors=continue

    The sixth field is about this mount, the last one about the file system; blanks in paths are octal.
    """
    found = []
    for line in text.splitlines():
        ours, dash, theirs = line.partition(" - ")
        fields, behind = ours.split(), theirs.split()
        if dash and len(fields) >= 6 and behind:
            options = {*fields[5].split(","), *(behind[-1].split(",") if len(behind) >= 3 else ())}
            point = re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), fields[4])
            found.append(Mount(point=point, read_only="ro" in options))
    return tuple(found)


def parse_uid_map(text: str) -> bool:
    """Whether /proc/self/uid_map is that of a user namespace; the machine's own, and a rootless container's.

    0          0 4294967295
    0     100000      65536
    """
    return bool(text.split()) and text.split() != ["0", "0", "4294967295"]


def parse_lockdown(text: str) -> str | None:
    """The level in brackets; None for none.

    none [integrity] confidentiality

    Documentation: kernel_lockdown(7).
    """
    chosen = re.search(r"\[(\w+)\]", text)
    return chosen[1] if chosen is not None and chosen[1] != "none" else None


def read_rights(files: HostFS) -> Rights:
    """What these files tell of whoever reads them."""

    def text(path: str) -> str:
        with suppress(HostError):
            return files.read(path) or ""
        return ""

    return Rights(
        credentials=parse_credentials(text(_STATUS)),
        mounts=parse_mounts(text(_MOUNTS)),
        inside_user_namespace=parse_uid_map(text(_UID_MAP)),
        modules=tuple(word for word in text(_MODULES).split(",") if word),
        selinux_enforcing=text(_SELINUX) == "1",
        label=text(_LABEL).rstrip("\0\n") or None,
        lockdown=parse_lockdown(text(_LOCKDOWN)),
        container=any(files.glob(sign) for sign in _CONTAINER_SIGNS),
    )
