"""Other programs that set the knobs we set: which of them run here now.

Three traces are looked for, because each of them is missing somewhere: the process (not in a container that sees none,
nor for TLP, which is no daemon), the systemd unit (not without systemd), the name on the system bus (not without
busctl). Only the running machine may be asked.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from hwtune.host.bus import Bus, Owner
from hwtune.host.fs import HostFS
from hwtune.sensors.running import Process, is_running, processes, unit_of
from hwtune.sensors.tuners import PROFILES, TUNERS, UNKNOWN, Tuner

_GOVERNORS_WITH_TUNABLES = ("ondemand", "conservative", "schedutil", "interactive")


@dataclass(frozen=True, slots=True, kw_only=True)
class CompetingTuner:
    """A tuner that was found at work here, and by what.

    Args:
        tuner: which one.
        pid: its process, None when none was seen.
        unit: the systemd unit it runs in, None when it is in none or that is not known.
        bus_name: a name it owns on the system bus, None for none.
    """

    tuner: Tuner
    pid: int | None = None
    unit: str | None = None
    bus_name: str | None = None

    @property
    def who(self) -> str:
        """Its name, with the unit or the process it is."""
        by = self.unit or (f"process {self.pid}" if self.pid is not None else None)
        return f"{self.tuner.name} ({by})" if by else self.tuner.name

    @property
    def stop(self) -> str:
        """How to stop it, and what is to be known before."""
        ours = self.unit in self.tuner.units or (self.unit is not None and not self.tuner.units)
        if self.unit is not None and self.unit.endswith(".service") and ours:
            # Stopping is not enough where D-Bus would start it again.
            verb = "mask --runtime --now" if self.tuner.activated else "stop"
            how = f"`systemctl {'--user ' if self.tuner.of_user else ''}{verb} {self.unit}`"
        elif self.pid is not None:
            how = f"`kill {self.pid}`" + (f" (it belongs to {self.unit})" if self.unit is not None else "")
        else:
            how = f"stop its service ({self.unit or self.tuner.name})"
        return how + (f"; {self.tuner.why}" if self.tuner.why else "")

    def collides(self, names: Iterable[str]) -> tuple[str, ...]:
        """Which of these knobs of ours it sets as well; with the governor go the governors' tunables."""
        return tuple(name for name in names if self._sets(name))

    def _sets(self, name: str) -> bool:
        first = re.sub(r"^[a-z_-]+\d[\w-]*\.", "", name).partition(".")[0]  # without the policy, CPU or package
        return ("governor" if first in _GOVERNORS_WITH_TUNABLES else first) in self.tuner.knobs


def competing_tuners(files: HostFS, bus: Bus) -> tuple[CompetingTuner, ...]:
    """Tuners at work on the machine these files and this bus belong to, in the order of `TUNERS`."""
    running = {process.pid: process for process in processes(files)}
    found = [tuner for tuner in (_find(tuner, running, files, bus) for tuner in TUNERS) if tuner is not None]
    for name in PROFILES:
        owner = bus.owners.get(name)
        if owner is not None and owner.pid != os.getpid() and not any(_owns(one, owner) for one in found):
            found.append(CompetingTuner(tuner=UNKNOWN, pid=owner.pid, unit=owner.unit, bus_name=name))
            break
    return tuple(found)


def _find(tuner: Tuner, running: Mapping[int, Process], files: HostFS, bus: Bus) -> CompetingTuner | None:
    pid = next((pid for pid, process in running.items() if _is_daemon(tuner, process)), None)
    unit = next((unit for unit in tuner.units if is_running(files, unit)), None)
    owned = {name: bus.owners[name] for name in tuner.bus_names if name in bus.owners}
    name = next((n for n, owner in owned.items() if n not in PROFILES or _is_of(tuner, owner, pid)), None)
    if pid is None and name is not None:
        pid = owned[name].pid
    state = tuner.state is not None and bool(files.glob(tuner.state))
    if pid is None and unit is None and name is None and not state:
        return None
    if unit is None and pid is not None:
        unit = unit_of(files, pid)
    return CompetingTuner(tuner=tuner, pid=pid, unit=unit, bus_name=name)


def _is_daemon(tuner: Tuner, process: Process) -> bool:
    """Whether that is its daemon; the kernel's own name of a process has 15 characters."""
    programs = {short for name in tuner.programs for short in (name, name[:15])}
    wanted = not tuner.argument or any(word in process.arguments for word in tuner.argument)
    return wanted and any(name in programs for name in process.names)


def _is_of(tuner: Tuner, owner: Owner, pid: int | None) -> bool:
    return owner.unit in tuner.units or (owner.pid is not None and owner.pid == pid)


def _owns(one: CompetingTuner, owner: Owner) -> bool:
    return _is_of(one.tuner, owner, one.pid) or (owner.unit is not None and owner.unit == one.unit)
