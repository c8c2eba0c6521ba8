"""The events of a machine for the probe: what may be counted of all of it, and of a command alone."""

from __future__ import annotations

from contextlib import closing

from hwtune.cli.host import OpenHost
from hwtune.cli.probe_document import CommandEvents, Counters, Permission
from hwtune.host.perf_access import PARANOID, read_paranoid
from hwtune.host.runner import LinuxRunner


def find_counters(opened: OpenHost) -> Counters:
    """What is counted, and why the rest is not; of a command, what would be if one were started now.

    Only where the source was read before is it known whether its events had the PMU to themselves since.
    """
    source = opened.host.counters
    counts = source.read()
    return Counters(
        available=bool(counts),
        why=source.why,
        hint=source.hint,
        events=sorted(counts),
        command=_of_a_command(opened),
    )


def counting_permissions(opened: OpenHost, counters: Counters) -> list[Permission]:
    """Whether we may count, of the running machine."""
    command = counters.command
    if command is None:
        return []
    level = read_paranoid(opened.host.files)
    setting = f"(kernel.perf_event_paranoid is {'not there' if level is None else level})"
    may_all = counters.available
    user_only = ", in user mode" if command.user_only else ""
    return [
        Permission(
            what=f"count events system-wide {setting}",
            path=PARANOID,
            available=may_all,
            why=None if may_all else counters.why,
            hint=None if may_all else counters.hint,
        ),
        Permission(
            what=f"count a command's own events{user_only}",
            path=PARANOID,
            available=command.available,
            why=command.why,
            hint=command.hint,
        ),
    ]


def _of_a_command(opened: OpenHost) -> CommandEvents | None:
    runner = opened.host.runner
    if not opened.live or not isinstance(runner, LinuxRunner):
        return None
    with closing(runner.counters.open()) as opened_events:
        names = opened_events.names
    return CommandEvents(
        available=bool(names),
        why=runner.counters.why,
        hint=runner.counters.hint,
        events=sorted(names),
        user_only="page-faults:u" in names,
    )
