"""`kill -9` of a real process on true paths, at every write of setting and of putting back; then `hwtune restore`."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import pytest
from fake.faults import Fault
from fake.namespace import Machine, why_not

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
# Settings that write every kind of file, in both directions, with a governor that takes tunables with it.
VISITS = {
    "intel_pstate_hwp": [
        ["policy0.governor=performance", "policy0.max=3GHz", "boost=0"],
        ["policy0.governor=powersave", "policy0.epp=power", "policy0.min=1GHz", "policy0.max=1.5GHz"],
    ],
    "amd_pstate_epp": [["epp=power", "max=2GHz", "boost=0"], ["policy1.governor=performance", "policy1.min=1GHz"]],
    "cpufreq_dt_biglittle": [
        ["boost=0", "policy0.ondemand.up_threshold=60"],
        ["policy0.governor=schedutil", "policy4.governor=powersave", "policy4.max=1400000"],
    ],
}


class Mortal:
    """hwtune on a machine, in processes that may be killed."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        command = [*machine.inside, str(ROOT), sys.executable, str(HERE / "mortal.py")]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, request: list[Any]) -> dict[str, Any]:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return dict(json.loads(self._process.stdout.readline()))

    def killed(self, request: list[Any], fault: Fault) -> None:
        """The same, killed there."""
        self.machine.control.faults([fault])
        answer = self.ask(request)
        self.machine.control.faults([])
        assert answer["signal"] == signal.SIGKILL, answer

    def writes(self, request: list[Any]) -> int:
        """How many writes it makes when nobody kills it."""
        self.machine.control.call("forget")
        answer = self.ask(request)
        assert answer["status"] == 0, answer
        return len(self.machine.control.writes())

    def close(self) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(10)
        self._process.stdout.close()


@contextmanager
def mortal(name: str) -> Iterator[Mortal]:
    if reason := why_not():
        pytest.skip(reason)
    with pytest.MonkeyPatch.context() as patch:
        if Path("/dev/shm").is_dir():
            patch.setattr("tempfile.tempdir", "/dev/shm")  # /run is in memory on a real machine, too
        with Machine(name) as machine:
            hwtune = Mortal(machine)
            try:
                yield hwtune
            finally:
                hwtune.close()


@pytest.mark.restores
@pytest.mark.parametrize("name", VISITS)
def test_killed_at_every_write(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Of one process that sets twice and puts back, then of restores.

    Before one write, after the next: that a process dies after a write or before the one behind it is the same to a
    machine, so that between them the machines meet both.
    """
    slowest, kills = (0.0, 0.0), 0
    with mortal(name) as hwtune:
        journal = hwtune.machine.run_dir / "hwtune/journal.json"
        start = hwtune.machine.control.state()

        def comes_right(where: str) -> tuple[float, float]:
            assert journal.exists() or hwtune.machine.control.state() == start, where
            answer = hwtune.ask(["restore"])
            assert answer["status"] == 0, (where, answer)
            assert hwtune.machine.control.state() == start, where
            assert not journal.exists(), where
            return float(answer["s"]), float(answer["cpu_s"])

        visit, first = VISITS[name], list(VISITS).index(name)
        count = hwtune.writes(visit)
        assert hwtune.machine.control.state() == start
        for place in range(count):
            when: Literal["kill_before", "kill_after"] = ("kill_before", "kill_after")[(first + place) % 2]  # type: ignore[assignment]
            hwtune.killed(visit, Fault(skip=place, action=when))
            slowest, kills = max(slowest, comes_right(f"{when} write {place} of {count}")), kills + 1

        settled = ["apply", *visit[-1]]
        assert hwtune.ask(settled)["status"] == 0
        restoring = hwtune.writes(["restore"])
        assert restoring >= 3
        for place in range(restoring):
            assert hwtune.ask(settled)["status"] == 0
            hwtune.killed(["restore"], Fault(skip=place, action="kill_before"))
            slowest, kills = max(slowest, comes_right(f"restore, write {place} of {restoring}")), kills + 1
    with capsys.disabled():
        print(
            f"\n{name}: {kills} kills -9, each put back byte for byte; "
            f"the slowest restore took {slowest[0]:.2f} s, {slowest[1]:.2f} s of it computing"
        )
    assert kills == count + restoring >= 14
