"""What can be asked of a guest that is up: its commands, its files, its knobs, its sleep."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path

from rig.errors import RigError
from rig.link import Job, Link, OnOutput, Result

CPUFREQ = "/sys/devices/system/cpu/cpufreq"
_TUNABLE_GOVERNORS = ("ondemand", "conservative", "schedutil")


class Guest(ABC):
    """A guest at the end of a line; whoever boots it sets the line, and keeps what cpufreq was like at the boot."""

    def __init__(self) -> None:
        self._link: Link | None = None
        self._at_boot: dict[str, str] = {}

    @property
    @abstractmethod
    def env(self) -> dict[str, str]:
        """The environment of guest commands."""

    @property
    def lost(self) -> RigError | None:
        """Why this machine is of no more use, if a call has found it hung or gone."""
        return self._connected().lost

    def ping(self, timeout_s: float = 20.0) -> None:
        """Makes sure that the guest answers; RigHung or another RigError when it does not."""
        self._connected().call("read", path="/proc/uptime", timeout_s=timeout_s)

    def start(
        self,
        argv: Sequence[str],
        *,
        cwd: Path | str | None = None,
        env: Mapping[str, str] | None = None,
        stdin: str | None = None,
        on_output: OnOutput | None = None,
    ) -> Job:
        """Starts a command in the background, as root, in a session of its own; see `Job`."""
        where = str(cwd) if cwd is not None else os.getcwd()
        return Job(
            self._connected(), argv, cwd=where, env={**self.env, **(env or {})}, stdin=stdin, on_output=on_output
        )

    def run(
        self,
        argv: Sequence[str],
        *,
        cwd: Path | str | None = None,
        env: Mapping[str, str] | None = None,
        stdin: str | None = None,
        timeout_s: float = 300.0,
    ) -> Result:
        """Runs a command to its end and returns its status and output; RigTimeout after `timeout_s`."""
        return self.start(argv, cwd=cwd, env=env, stdin=stdin).wait(timeout_s)

    def read(self, path: str) -> str:
        """A file of the guest; OSError with the guest's errno."""
        return str(self._connected().call("read", path=path))

    def write(self, path: str, text: str) -> None:
        """Writes a file of the guest in one write(2), as a sysfs attribute wants it; OSError with the guest's errno."""
        self._connected().call("write", path=path, text=text)

    def snapshot(self, *patterns: str) -> dict[str, str]:
        """Text of all files of the guest that match; `**` goes into folders. An unreadable one gives `<reason>`."""
        found = self._connected().call("snapshot", patterns=list(patterns))
        return {str(path): str(text) for path, text in found.items()}

    def cpufreq(self) -> dict[str, str]:
        """What can be set there, of all policies and governors, to compare before with after."""
        policies = [f"{CPUFREQ}/policy*/scaling_{name}" for name in ("governor", "min_freq", "max_freq", "setspeed")]
        return self.snapshot(*policies, f"{CPUFREQ}/boost", *(f"{CPUFREQ}/{g}/*" for g in _TUNABLE_GOVERNORS))

    def put_online(self, cpu: int, online: bool) -> None:
        """CPU hotplug; OSError with the guest's errno (CPU 0 cannot be unplugged)."""
        self.write(f"/sys/devices/system/cpu/cpu{cpu}/online", str(int(online)))

    def suspend(self) -> None:
        """Suspends to RAM, once in a boot, and returns when the guest's clock has woken it.

        Raises:
            OSError: The guest's kernel refused, or something aborted it.
            RigHung: It did not come back.
            RigError: It did not sleep. That is how a second time ends: after the first one the kernel does not reach
                the chipset's power registers any more (they read as all ones).
        """
        if "[deep]" not in self.read("/sys/power/mem_sleep"):
            raise RigError("this guest's firmware cannot suspend to RAM")
        before = self._slept_s()
        self.write("/sys/class/rtc/rtc0/wakealarm", "+8")  # falling asleep takes a moment, on a busy host seconds
        self.write("/sys/power/state", "mem")  # it is answered on the other side
        if self._slept_s() - before < 1.0:
            raise RigError("the guest did not sleep")

    def _slept_s(self) -> float:
        """How long it has been suspended since its boot: the difference of two clocks (clock_gettime(2))."""
        clocks = "import time as t; print(t.clock_gettime(t.CLOCK_BOOTTIME) - t.clock_gettime(t.CLOCK_MONOTONIC))"
        return float(self.run(["python", "-I", "-S", "-c", clocks]).check().stdout)

    def restore_cpufreq(self) -> None:
        """Puts governors and limits back to those of the boot, for the next test."""
        for name in ("scaling_max_freq", "scaling_min_freq", "scaling_governor"):
            for path, text in self._at_boot.items():
                if path.endswith(f"/{name}"):
                    self.write(path, text.strip())

    def _connected(self) -> Link:
        if self._link is None:
            raise RigError("the rig is not booted")
        return self._link
