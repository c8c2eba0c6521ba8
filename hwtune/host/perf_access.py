"""Why the kernel lets us count no events, and what to do about it.

What `kernel.perf_event_paranoid` leaves to those without CAP_PERFMON (Linux 5.8; CAP_SYS_ADMIN is as good, and was the
only one before), from Documentation/admin-guide/sysctl/kernel.rst and perf-security.rst:

    -1, 0   everything that is counted here
    1       a command's own events, in user mode and in the kernel; nothing system-wide
    2       a command's own events in user mode (`:u`): the kernel's default
    3, 4    nothing. Not in Linux itself: kernels of Debian, Ubuntu and Android add it, and there CAP_PERFMON is not
            enough either: they ask for CAP_SYS_ADMIN
"""

from __future__ import annotations

import errno
from contextlib import suppress

from hwtune.domain.errors import HostError
from hwtune.host.denial import Denial
from hwtune.host.fs import HostFS
from hwtune.host.perf_event import DENIED, TOO_MANY_FILES
from hwtune.host.rights import CAPABILITIES, Credentials, Rights, read_rights

PARANOID = "/proc/sys/kernel/perf_event_paranoid"


def read_paranoid(files: HostFS) -> int | None:
    """The level of kernel.perf_event_paranoid; None where it cannot be read.

    2
    """
    with suppress(HostError, ValueError):
        return int(files.read(PARANOID) or "")
    return None


def explain(error: OSError, files: HostFS, *, system_wide: bool) -> Denial:
    """Why perf_event_open failed, for events of the whole system or of a command of ours."""
    said = f"perf_event_open: {error.strerror}"
    if error.errno in DENIED:
        return explain_denied(error.errno or 0, read_paranoid(files), read_rights(files), system_wide=system_wide)
    if error.errno in TOO_MANY_FILES:
        return Denial(why=said, hint="raise the limit of open files (ulimit -n, LimitNOFILE= of a unit)")
    if error.errno == errno.ENOSYS:
        return Denial(
            why=said, hint="this kernel is built without perf events (CONFIG_PERF_EVENTS), or a sandbox hides them"
        )
    return Denial(why=said, hint="`dmesg` may say more")


def explain_denied(code: int, level: int | None, rights: Rights, *, system_wide: bool) -> Denial:
    """Why EACCES or EPERM.

    Args:
        code: which of them.
        level: kernel.perf_event_paranoid, None where it cannot be read.
        rights: ours.
        system_wide: whether events of all processes were asked for.
    """
    who = rights.credentials
    what = "events of the whole system" if system_wide else "a command's own events"
    most = 0 if system_wide else 2
    set_it = f"`sysctl kernel.perf_event_paranoid={most}` as root"
    admin, perfmon = _has(who, "CAP_SYS_ADMIN"), _has(who, "CAP_PERFMON")
    if rights.inside_user_namespace and (admin or perfmon):
        return Denial(
            why="capabilities of a user namespace do not count for events of the machine",
            hint=f"run hwtune outside of the container, or {set_it} of the machine",
        )
    if level is not None and level > 2 and not admin:
        besides = "; CAP_PERFMON, which we have, does not help here" if perfmon else ""
        return Denial(
            why=f"kernel.perf_event_paranoid is {level}: this kernel lets nobody without CAP_SYS_ADMIN count{besides}",
            hint=f"run as root, or {set_it} (Android: `setprop security.perf_harden 0`)",
        )
    if level is not None and level > most and not (admin or perfmon):
        return Denial(
            why=f"kernel.perf_event_paranoid is {level}: {what} are for those with CAP_PERFMON",
            hint=f"run as root, with CAP_PERFMON, or {set_it}",
        )
    if rights.security is not None:
        return Denial(
            why=f"the level would allow it, but {rights.security}",
            hint="allow perf_event_open in its policy (SELinux: class perf_event)",
        )
    if rights.container or code == errno.EPERM:
        return Denial(
            why="the level would allow it, but a seccomp filter seems to refuse perf_event_open",
            hint="containers: `--cap-add PERFMON`, which also opens the usual filter; a unit: SystemCallFilter=",
        )
    found = "not known" if level is None else level
    return Denial(
        why=f"perf_event_open is refused, though kernel.perf_event_paranoid is {found}",
        hint="`journalctl -k -n 50` or `dmesg` may say who refuses",
    )


def _has(who: Credentials | None, capability: str) -> bool:
    return who is not None and who.has(CAPABILITIES[capability])
