"""Names owned on the system's D-Bus, asked of busctl, which is wherever systemd is; no library is needed.

Documentation: busctl(1), dbus-daemon(1).
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field

_SOCKET = "/run/dbus/system_bus_socket"
_ADDRESS = "DBUS_SYSTEM_BUS_ADDRESS"
# A bus that is stuck must not hold us up: what it would have said, units and processes say as well.
_PATIENCE_S = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """Who owns a name on the bus: process and systemd unit, as far as the bus tells."""

    pid: int | None
    unit: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Bus:
    """What the bus answered.

    Args:
        owners: well-known name → its owner.
        why: the reason when it was not asked or did not answer, else None.
    """

    owners: dict[str, Owner] = field(default_factory=dict)
    why: str | None = None


def parse_owners(text: str) -> dict[str, Owner]:
    """Names and owners from `busctl --system --acquired --json=short list`; what is something else is left out.

    [{"name":"com.redhat.tuned","pid":812,"process":"tuned","user":"root","connection":":1.7",
    "unit":"tuned.service","session":null,"description":null}]

    Raises:
        ValueError: no JSON.
    """
    found: dict[str, Owner] = {}
    entries = json.loads(text)
    for entry in entries if isinstance(entries, list) else ():
        if isinstance(entry, dict) and isinstance(name := entry.get("name"), str) and not name.startswith(":"):
            pid, unit = entry.get("pid"), entry.get("unit")
            found[name] = Owner(pid=pid if isinstance(pid, int) else None, unit=unit if isinstance(unit, str) else None)
    return found


def system_bus(find: Callable[[str], str | None] = shutil.which) -> Bus:
    """The owned names now; an empty answer with its reason where there is no bus, no busctl, or no answer in time."""
    program = find("busctl")
    if program is None:
        return Bus(why="busctl is not installed")
    if _ADDRESS not in os.environ and not os.path.exists(_SOCKET):
        return Bus(why="no system bus is running")
    command = [program, "--system", "--acquired", "--no-pager", "--json=short", "list"]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_PATIENCE_S, check=False
        )
        if done.returncode:
            return Bus(why=f"busctl: {done.stderr.strip().splitlines()[-1] if done.stderr.strip() else 'failed'}")
        return Bus(owners=parse_owners(done.stdout))
    except subprocess.TimeoutExpired:
        return Bus(why=f"the system bus did not answer in {_PATIENCE_S:g} s")
    except (OSError, ValueError, RecursionError) as error:
        return Bus(why=f"busctl: {error}")
