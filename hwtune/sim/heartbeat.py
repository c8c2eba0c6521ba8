"""Where an imaginary program reports its progress: the lines a real one would write, at virtual times."""

from __future__ import annotations

import json
from collections.abc import Mapping

from hwtune.host.heartbeat import VARIABLE, Heard
from hwtune.sim.engine import Engine
from hwtune.sim.job import Job

_GRAIN = 0.01  # of a run: so often it reports


class SimulatedInbox:
    """See `hwtune.host.heartbeat.Inbox`.

    Args:
        engine: the machine.
        rounds: of one run of its workload, which are the requests that it serves.
    """

    def __init__(self, engine: Engine, rounds: int) -> None:
        self._engine, self._rounds = engine, rounds
        self._heard: Heard | None = None
        self._job: Job | None = None
        self._before = 0.0
        self._reported = 0.0
        self._round_began_s = 0.0

    @property
    def environment(self) -> Mapping[str, str]:
        """See `Inbox.environment`."""
        return {VARIABLE: "simulated"}

    def open(self, heard: Heard) -> None:
        """See `Inbox.open`."""
        self._heard = heard
        self._engine.told = self._look

    def flush(self) -> None:
        """See `Inbox.flush`: nothing is ever on its way."""

    def close(self) -> None:
        """See `Inbox.close`."""
        self._heard = self._engine.told = None

    def begin(self, job: Job | None) -> None:
        """A run begins that reports, or None: what runs now does not."""
        self._look()
        if self._job is not None:
            self._before += float(self._rounds)
        self._job, self._reported = job, 0.0
        self._round_began_s = self._engine.elapsed_s
        if job is not None:
            self._say(done=self._before)

    def _look(self) -> None:
        """Report what has got on by a grain, and each round that has ended."""
        if self._job is None:
            return
        progress = 1.0 if self._job.done[0] else float(self._job.progress[0])
        rounds = int(progress * self._rounds + 1e-9) - int(self._reported * self._rounds + 1e-9)
        if rounds == 0 and progress - self._reported < _GRAIN:
            return
        self._reported = progress
        self._say(done=self._before + progress * self._rounds)
        now_s = self._engine.elapsed_s
        for _ in range(rounds):
            self._say(n=0, latency_s=(now_s - self._round_began_s) / rounds)
        if rounds:
            self._round_began_s = now_s

    def _say(self, **words: float) -> None:
        if self._heard is not None:
            self._heard(1, round(self._engine.uptime_s * 1e9), json.dumps(words).encode())
