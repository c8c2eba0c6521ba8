"""Why the kernel says no to a file, in one reason and one thing to do.

The texts of `rights` decide, so that every case can be looked at without being in it.
"""

from __future__ import annotations

import errno as _errno
import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

from hwtune.host.fs import LinuxFS
from hwtune.host.rights import CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, Credentials, Mount, Rights, read_rights

# Stable until rights change; any other answer is about the file or the moment.
DENIED = (_errno.EACCES, _errno.EPERM, _errno.EROFS)


@dataclass(frozen=True, slots=True, kw_only=True)
class FileMode:
    """Owner, group and permission bits of a file, as stat(2) has them."""

    uid: int
    gid: int
    mode: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Denial:
    """Why something is refused, and what to do about it."""

    why: str
    hint: str


def mode_allows(who: Credentials, file: FileMode, *, write: bool) -> bool:
    """What owner, group and mode say, without capabilities: the first class that fits decides, as in inode(7)."""
    bit = 0o2 if write else 0o4
    if who.uid == file.uid:
        return bool(file.mode & bit << 6)
    return bool(file.mode & (bit << 3 if file.gid in who.groups else bit))


def explain(path: str, *, write: bool, rights: Rights, file: FileMode | None, errno: int | None = None) -> Denial:
    """Why a file is refused.

    Args:
        path: the file.
        write: whether it was to be written, else read.
        rights: ours.
        file: its owner and mode, None where they cannot be seen.
        errno: the kernel's answer, None when it was not asked.
    """
    verb = "write" if write else "read"
    mount = _mount_of(path, rights.mounts)
    if write and errno in (None, _errno.EROFS) and mount is not None and mount.read_only:
        return _read_only(mount.point, rights)
    if file is not None and write and not file.mode & 0o222:
        return Denial(
            why=f"the kernel offers {path} for reading only (mode {file.mode & 0o777:04o})",
            hint="no right changes that: this driver has no such knob",
        )
    who = rights.credentials
    if who is not None and file is not None and not _allowed(who, file, rights, write=write):
        return _no_right(who, file, rights, write=write)
    if errno == _errno.EPERM and rights.lockdown is not None:
        return Denial(
            why=f"the kernel is locked down ({rights.lockdown})",
            hint="lockdown comes with Secure Boot, or with lockdown= on the kernel's command line",
        )
    return _security_module(verb, rights)


def _mount_of(path: str, mounts: Iterable[Mount]) -> Mount | None:
    """The mount that a path is on: the longest point above it, of equal ones the last."""
    found = None
    for mount in mounts:
        inside = path == mount.point or path.startswith(mount.point.rstrip("/") + "/")
        if inside and (found is None or len(mount.point) >= len(found.point)):
            found = mount
    return found


def _read_only(point: str, rights: Rights) -> Denial:
    if rights.container:
        hint = "a container sees the kernel's files read-only: start it with --privileged, or run hwtune on the host"
    else:
        hint = (
            f"`mount -o remount,rw {point}`; a systemd unit needs ReadWritePaths=/sys/devices/system/cpu, "
            "a container --privileged"
        )
    return Denial(why=f"{point} is mounted read-only", hint=hint)


def _allowed(who: Credentials, file: FileMode, rights: Rights, *, write: bool) -> bool:
    if mode_allows(who, file, write=write):
        return True
    if rights.inside_user_namespace:  # capabilities there do not reach files of the machine's own root
        return False
    return who.has(CAP_DAC_OVERRIDE) or (not write and who.has(CAP_DAC_READ_SEARCH))


def _no_right(who: Credentials, file: FileMode, rights: Rights, *, write: bool) -> Denial:
    needed = "CAP_DAC_OVERRIDE" if write else "CAP_DAC_READ_SEARCH"
    if rights.inside_user_namespace:
        return Denial(
            why="this is a user namespace, whose root is not the machine's",
            hint="run hwtune outside of it, or the container as root of the machine (not rootless)",
        )
    if file.mode & (0o020 if write else 0o040):
        return Denial(
            why=f"only group {file.gid} may {'write' if write else 'read'} it (mode {file.mode & 0o777:04o}), "
            f"and user {who.uid} is not in it",
            hint=f"join that group (`usermod -aG` and a new login), or run with sudo, or with {needed}",
        )
    if who.uid == 0:
        return Denial(
            why=f"root without {needed} is an ordinary user to files of others (mode {file.mode & 0o777:04o})",
            hint=f"give the service or the container {needed} (AmbientCapabilities=, --cap-add)",
        )
    return Denial(
        why=f"user {who.uid} is not root and has no {needed}",
        hint=f"run with sudo, with {needed}, or let a group write the files: docs/permissions.md",
    )


def _security_module(verb: str, rights: Rights) -> Denial:
    if rights.security is not None:
        hint = (
            "`ausearch -m avc -ts recent` shows the denial, `audit2allow -a` the rule that is missing"
            if rights.selinux_enforcing
            else "`journalctl -k | grep apparmor` shows the denial; `aa-complain` on the profile lets it through, "
            "in a container --security-opt apparmor=unconfined"
        )
        return Denial(why=f"owner and mode allow it, but {rights.security}", hint=hint)
    modules = f" (there are: {', '.join(rights.modules)})" if rights.modules else ""
    return Denial(
        why=f"owner, mode and mount let us {verb} it, so a security module or the driver refuses{modules}",
        hint="`journalctl -k -n 50` or `dmesg` may say which",
    )


def refused(path: str) -> int | None:
    """The errno that opening for writing gives on this machine, None when it is allowed; nothing is written.

    Unlike access(2) this asks every security module.
    """
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CLOEXEC | os.O_NONBLOCK))
    except OSError as error:
        return error.errno
    return None


def why_denied(path: str, *, write: bool = True, errno: int | None = None) -> Denial:
    """Why this machine refuses us a file; see `explain`."""
    file = None
    with suppress(OSError):
        found = os.stat(path)
        file = FileMode(uid=found.st_uid, gid=found.st_gid, mode=found.st_mode)
    return explain(path, write=write, rights=read_rights(LinuxFS("/")), file=file, errno=errno)
