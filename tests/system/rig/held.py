"""A tuner whose every run waits for the test: what happens in the middle of its work happens at a known moment."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Sequence

from rig.calls import Guest
from rig.link import Result

_FOLDER = "/run/held"
# The work that is tuned: it tells which run it is, and ends when that run is let go.
_WORK = f"""n=$(($(cat {_FOLDER}/run) + 1))
echo $n >{_FOLDER}/next
mv {_FOLDER}/next {_FOLDER}/run
until [ -e {_FOLDER}/go-$n ]; do sleep 0.05; done
"""
_PATIENCE_S = 120.0


class HeldTuning:
    """`hwtune tune` in the guest, one run at a time; between two calls of this one run is held.

    Args:
        guest: Where.
        words: Options of `tune`.
    """

    def __init__(self, guest: Guest, words: Sequence[str]) -> None:
        self._guest = guest
        self._run = 0
        guest.run(["sh", "-c", f"rm -rf {_FOLDER}; mkdir {_FOLDER}; echo 0 >{_FOLDER}/run"]).check()
        guest.write(f"{_FOLDER}/work.sh", _WORK)
        command = ["hwtune", "tune", "--json", "--objective", "time", "--runs", "1", *words, "--", "sh"]
        self._job = guest.start([*command, f"{_FOLDER}/work.sh"], env={"HWTUNE_TUNE_VERIFY_BLOCKS": "1"})
        self._held = self._next_run()

    def until(self, reached: Callable[[], bool]) -> None:
        """Lets runs go until one is held at the moment that is wanted."""
        while not reached():
            assert self.step(), f"the tuner ended before it came to that: {self._job.stdout}{self._job.stderr}"

    def step(self) -> bool:
        """Lets the present run go; False when the tuner ended without another."""
        self._guest.write(f"{_FOLDER}/go-{self._run}", "")
        self._held = self._next_run()
        return self._held

    def finish(self) -> Result:
        """Lets all the rest go, to the end of the tuner."""
        while self._held:
            self.step()
        return self._job.wait(_PATIENCE_S)

    def interrupt(self) -> Result:
        """Ctrl-C in the middle of the run that is held, under whatever setting that is."""
        self._job.send_signal(signal.SIGINT, group=True)
        return self._job.wait(_PATIENCE_S)

    def _next_run(self) -> bool:
        deadline = time.monotonic() + _PATIENCE_S
        while True:
            ended = self._job.poll() is not None
            run = int(self._guest.read(f"{_FOLDER}/run"))
            if run > self._run:
                self._run = run
                return True
            if ended:
                return False
            assert time.monotonic() < deadline, f"no run in {_PATIENCE_S:g} s: {self._job.stderr}"
            time.sleep(0.05)
