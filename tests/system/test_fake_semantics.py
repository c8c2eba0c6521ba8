"""The fake kernel and the real one answer alike: the same checks on both, and the same long walk through both."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

import pytest
import semantics_limits
import semantics_moments
from fake.kernel import FakeKernel
from fake.machines import acpi_cpufreq
from rig.chip import PSTATES
from rig.machine import Rig
from semantics import CPU, CPUFREQ, P0, P1, Machine, limits

CHECKS = semantics_limits.CHECKS + semantics_moments.CHECKS
_READ_HELD = """
import os, sys
path, other, text = sys.argv[1:]
held = os.open(path, os.O_RDONLY)
os.read(held, 64)
fd = os.open(other, os.O_WRONLY)
os.write(fd, text.encode())
try:
    os.pread(held, 64, 0)
    print(0)
except OSError as error:
    print(error.errno)
"""


class Fake:
    """The fake kernel, asked in this process."""

    patience_s = 0.0

    def __init__(self) -> None:
        self.kernel: FakeKernel = acpi_cpufreq()
        self.read, self.write = self.kernel.read, self.kernel.write
        self.listdir = self.kernel.listdir
        self.hotplug, self.firmware_limit = self.kernel.hotplug, self.kernel.firmware_limit

    def read_held(self, path: str, then: tuple[str, str]) -> int | None:
        held = self.kernel.open(path)
        self.kernel.write(*then)
        try:
            held.read()
        except OSError as error:
            return error.errno
        return None


class Real:
    """The kernel in the rig, with a schedutil of every machine's first minute and no limits."""

    patience_s = 5.0

    def __init__(self, rig: Rig) -> None:
        self._rig = rig
        self.read, self.write, self.hotplug = rig.read, rig.write, rig.put_online
        rig.set_throttle(False)
        for policy in (P0, P1):
            # The last to leave takes changed tunables along.
            rig.write(f"{policy}/scaling_governor", "performance")
        for policy in (P0, P1):
            rig.write(f"{policy}/scaling_governor", "schedutil")
            rig.write(f"{policy}/scaling_min_freq", "0")
            rig.write(f"{policy}/scaling_max_freq", "99999999")
        self.firmware_limit(None)
        limits(self, 800, 3600)
        limits(self, 800, 3600, P1)

    def listdir(self, path: str) -> list[str]:
        return self._rig.run(["ls", path]).check().stdout.split()

    def firmware_limit(self, khz: int | None) -> None:
        table = [int(word) for word in self.read(f"{P0}/scaling_available_frequencies").split()]
        assert len(table) == len(PSTATES)
        self._rig.set_highest_pstate(0 if khz is None else table.index(khz))

    def read_held(self, path: str, then: tuple[str, str]) -> int | None:
        ran = self._rig.run(["python3", "-c", _READ_HELD, path, *then]).check()
        return int(ran.stdout) or None


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_fake_kernel(check: Callable[[Machine], None]) -> None:
    check(Fake())


@pytest.mark.rig
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_real_kernel(check: Callable[[Machine], None], rig: Rig) -> None:
    check(Real(rig))


WORDS = {
    "scaling_governor": ("ondemand", "conservative", "schedutil", "userspace", "performance", "powersave", "none"),
    "scaling_max_freq": ("2000000", "1234567", "0", "99999999", "3600000", "x", "2900000 k"),
    "scaling_min_freq": ("800000", "2000000", "1500000", "2999999", "0", "99999999", "-3"),
    "scaling_setspeed": ("1", "1900000", "3600000", "9999999", "x"),
    "ondemand/up_threshold": ("40", "0", "101", "80"),
    "ondemand/powersave_bias": ("30", "2000"),
    "conservative/down_threshold": ("10", "79", "90", "0"),
    "conservative/up_threshold": ("15", "60", "100"),
    "schedutil/rate_limit_us": ("1000", "7x"),
}


def step(rng: random.Random) -> tuple[str, str]:
    """A path and a text, or a CPU's switch."""
    if rng.random() < 0.08:
        return f"{CPU}/cpu1/online", rng.choice("01")
    name = rng.choice(list(WORDS))
    directory = CPUFREQ if "/" in name else rng.choice((P0, P1))
    return f"{directory}/{name}", rng.choice(WORDS[name])


def answer(machine: Machine, path: str, text: str) -> int:
    try:
        machine.write(path, text)
    except OSError as error:
        return error.errno or -1
    return 0


@pytest.mark.rig
def test_a_long_walk_through_both(rig: Rig) -> None:
    real, fake = Real(rig), Fake()
    rng = random.Random(20)
    walked: list[tuple[str, str]] = []
    for _ in range(250):
        path, text = step(rng)
        walked.append((path, text))
        assert answer(real, path, text) == answer(fake, path, text), walked[-5:]
        for policy in (P0, P1):
            # Where userspace begins depends on how busy the machine was.
            if text == "userspace" or path.endswith("online"):
                assert answer(real, f"{policy}/scaling_setspeed", "1") == answer(
                    fake, f"{policy}/scaling_setspeed", "1"
                )
        deadline = time.monotonic() + real.patience_s
        while (differing := _differing(rig, fake.kernel)) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not differing, (walked[-5:], differing)


def _differing(rig: Rig, kernel: FakeKernel) -> dict[str, tuple[str | None, str | None]]:
    """Path → text there and text in the fake, where they are not the same; neither has what cannot be read."""
    real = {path: text for path, text in rig.cpufreq().items() if text[0] != "<" or text == "<unsupported>\n"}
    fake = {path: text for path, text in kernel.state().items() if path.startswith(f"{CPUFREQ}/")}
    del fake[f"{CPUFREQ}/boost"]
    pairs = {path: (real.get(path), fake.get(path)) for path in {*real, *fake}}
    return {path: pair for path, pair in pairs.items() if pair[0] != pair[1]}
