"""What a level of kernel.perf_event_paranoid leaves to whom, and what is said about it."""

from __future__ import annotations

import errno
import os

import pytest
from counting_kernel import EXCLUDE_KERNEL, FakePerf

from hwtune.host.perf_access import explain, explain_denied, read_paranoid
from hwtune.host.perf_command import CommandCounters
from hwtune.host.perf_system import LinuxCounters
from hwtune.host.rights import CAPABILITIES, Credentials, Rights

SYSTEM, COMMAND = True, False


def rights(*capabilities: str, **more) -> Rights:
    bits = sum(1 << CAPABILITIES[name] for name in capabilities)
    return Rights(credentials=Credentials(uid=1000, groups=(1000,), capabilities=bits), **more)


@pytest.mark.parametrize(
    ("level", "who", "system_wide", "why", "hint"),
    [
        (1, rights(), SYSTEM, "is 1: events of the whole system are for those with CAP_PERFMON", "paranoid=0"),
        (2, rights(), SYSTEM, "is 2: events of the whole system", "paranoid=0"),
        (3, rights(), SYSTEM, "is 3: this kernel lets nobody without CAP_SYS_ADMIN count", "paranoid=0"),
        (3, rights(), COMMAND, "is 3: this kernel lets nobody without CAP_SYS_ADMIN count", "paranoid=2"),
        (4, rights("CAP_PERFMON"), SYSTEM, "CAP_PERFMON, which we have, does not help", "paranoid=0"),
        (-1, rights(), SYSTEM, "seccomp", "PERFMON"),
        (0, rights(container=True), COMMAND, "seccomp", "--cap-add PERFMON"),
        (2, rights("CAP_PERFMON", inside_user_namespace=True), SYSTEM, "user namespace", "outside of the container"),
        (4, rights("CAP_SYS_ADMIN", selinux_enforcing=True), COMMAND, "SELinux is enforcing", "perf_event"),
        (None, Rights(), SYSTEM, "seccomp", "SystemCallFilter"),
    ],
)
def test_each_refusal_has_its_reason(level, who, system_wide, why, hint):
    denial = explain_denied(errno.EPERM if level in (-1, None) else errno.EACCES, level, who, system_wide=system_wide)
    assert why in denial.why
    assert hint in denial.hint


@pytest.mark.parametrize("code", [errno.EACCES, errno.EPERM, errno.EMFILE, errno.ENOSYS, errno.ENOMEM])
@pytest.mark.parametrize("system_wide", [SYSTEM, COMMAND])
def test_every_errno_has_a_reason_and_a_hint(tmp_path, code, system_wide):
    files = FakePerf(tmp_path).files
    denial = explain(OSError(code, os.strerror(code)), files, system_wide=system_wide)
    assert denial.why and denial.hint


@pytest.mark.parametrize(("text", "level"), [("-1\n", -1), ("4", 4), ("", None), ("odd", None)])
def test_the_level(tmp_path, text, level):
    perf = FakePerf(tmp_path)
    assert read_paranoid(perf.files) is None
    perf.put("/proc/sys/kernel/perf_event_paranoid", text)
    assert read_paranoid(perf.files) == level


def kernel_at(level: int, *, unprivileged: bool = True):
    """What Linux refuses at a level (perf_event_open in kernel/events/core.c), and Debian's above 2."""

    def refuse(event):
        if not unprivileged:
            return None
        whole_kernel = not event.flags & EXCLUDE_KERNEL
        refused = level > 2 or (level > 0 and event.cpu != -1) or (level > 1 and whole_kernel)
        return errno.EACCES if refused else None

    return refuse


@pytest.mark.parametrize(
    ("level", "system_wide", "command"),
    [
        (-1, True, "cycles"),
        (0, True, "cycles"),
        (1, False, "cycles"),
        (2, False, "cycles:u"),
        (3, False, None),
        (4, False, None),
    ],
)
def test_what_is_counted_at_each_level(tmp_path, level, system_wide, command):
    perf = FakePerf(tmp_path, refuse=kernel_at(level))
    perf.put("/proc/sys/kernel/perf_event_paranoid", f"{level}\n")
    source = LinuxCounters(perf, perf.files)
    assert bool(source.read()) is system_wide
    assert (source.why is None) is system_wide
    assert system_wide or f"perf_event_paranoid is {level}" in source.why
    source.close()
    counters = CommandCounters(perf, perf.files)
    events = counters.open()
    perf.run(1.0, {})
    names = events.read()
    assert (command in names) if command else names == {}
    assert "cycles" not in names or command == "cycles"
    assert (counters.why is None) is (command is not None)
    events.close()
    assert perf.events == {}
