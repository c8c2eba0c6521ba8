"""perf(1) beside us: started and stopped at a word of ours, and what it has counted."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import pytest
from rig.packages import find_tool, install, may_install

_PACKAGES = {"perf": "linux-perf", "time": "time"}
_ANSWER_S = 60.0


def tool(name: str) -> str:
    """Path of a program; in CI it is installed where it is missing, elsewhere the test is skipped."""
    if find_tool(name) is None and may_install():
        install([_PACKAGES[name]])
    path = find_tool(name)
    if path is None:
        pytest.skip(f"{name} is not installed: apt install {_PACKAGES[name]}")
    return path


def parse_stat(text: str) -> dict[str, float]:
    """Counts of `perf stat -x,` by event, times in ns; what was not counted is left out.

    8012.34,msec,task-clock,8012345678,100.00,2.000,CPUs utilized
    20321,,context-switches,8012345678,100.00,2.536,K/sec
    <not supported>,,cycles,0,100.00,,
    """
    found = {}
    for line in text.splitlines():
        count, unit, event, *_ = [*line.split(","), "", "", ""]
        try:
            found[event.removesuffix(":u")] = float(count) * (1e6 if unit == "msec" else 1.0)
        except ValueError:
            continue
    return found


def stat(output: Path, events: Sequence[str]) -> list[str]:
    """`perf stat` that writes to a file."""
    return [tool("perf"), "stat", "-x,", "-o", str(output), "-e", ",".join(events)]


class StatAll:
    """`perf stat -a` that counts from `enable` to `disable`: each returns when perf has done so."""

    def __init__(self, folder: Path, events: Sequence[str]) -> None:
        self._output = folder / "stat-a.csv"
        fifos = [folder / "control", folder / "answer"]
        for fifo in fifos:
            os.mkfifo(fifo)
        # Opened for reading too, so that neither side waits for the other.
        self._control, self._answer = (os.open(fifo, os.O_RDWR) for fifo in fifos)
        command = [*stat(self._output, events), "-a", "-D", "-1", "--control", f"fifo:{fifos[0]},{fifos[1]}"]
        self._perf = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)

    def __enter__(self) -> StatAll:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._perf.poll() is None:
            self._perf.kill()
        self._perf.communicate()
        os.close(self._control)
        os.close(self._answer)

    def tell(self, word: str) -> None:
        os.write(self._control, f"{word}\n".encode())
        os.set_blocking(self._answer, False)
        deadline = time.monotonic() + _ANSWER_S
        while True:
            try:
                assert os.read(self._answer, 16).startswith(b"ack")
                return
            except BlockingIOError:
                assert self._perf.poll() is None, self._perf.communicate()[1]
                assert time.monotonic() < deadline, f"perf does not answer {word!r}"
                time.sleep(0.0005)

    def counts(self) -> dict[str, float]:
        """What it has counted; it ends."""
        self._perf.send_signal(signal.SIGINT)
        _, said = self._perf.communicate(timeout=_ANSWER_S)
        assert self._output.exists(), said
        return parse_stat(self._output.read_text())
