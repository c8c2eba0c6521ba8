"""The other end of the pipe: starts the planner, asks, and gives up cleanly when it dies, hangs or speaks nonsense.

The planner is started at once and not waited for, so that importing torch overlaps with the first measurement. Its
command may be any that speaks the protocol: over ssh on a larger machine, or a relay of a serial port.
"""

from __future__ import annotations

import os
import selectors
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from types import TracebackType
from typing import IO, Self

from hwtune.domain.errors import PlannerError
from hwtune.domain.knob import KnobSpace, RangeKnob, Setting
from hwtune.domain.problem import Problem
from hwtune.domain.slope import Contrast, Slope
from hwtune.domain.trial import Prediction, Proposal, Trial
from hwtune.host.cpu_time import child_cpu_ns, wait_for_child
from hwtune.planner.prior_file import ComponentEntry
from hwtune.planner.protocol import (
    MAX_LINE_BYTES,
    Answer,
    Ask,
    HistoryMessage,
    LearnRequest,
    Request,
    line,
    parse_answer,
    proposal_of,
    trial_message,
)

_READ_BYTES = 1 << 16
_TAIL_BYTES = 2000
_FAREWELL_S = 2.0
# A counter of energy must not wrap unseen while the planner thinks.
_PERIOD_S = 1.0


class Planner:
    """A planner process, as a context manager.

    Args:
        command: what to start instead of our own planner.
        timeout_s: longest wait for one answer.
        startup_timeout_s: how much longer the first answer may take.
        prior: text of a prior file that goes with every question; the planner's own where it is None.
        meanwhile: called about every second of waiting for an answer.
    """

    def __init__(
        self,
        command: Sequence[str] | None = None,
        timeout_s: float = 120.0,
        startup_timeout_s: float = 180.0,
        prior: str | None = None,
        meanwhile: Callable[[], object] = lambda: None,
    ) -> None:
        self.prior = prior
        self._meanwhile = meanwhile
        self._command = tuple(command or (sys.executable, "-m", "hwtune.planner.worker"))
        self._timeout_s, self._startup_timeout_s = timeout_s, startup_timeout_s
        self._process: subprocess.Popen[bytes] | None = None
        self._errors: IO[bytes] | None = None
        self._answered = False
        self._buffer = bytearray()
        self._name = uuid.uuid4().hex[:12]
        self._count = 0
        self._spent_ns = 0

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def cpu_ns(self) -> int:
        """CPU time of the process, and of those before it that died, in ns; not of what it asks on another machine."""
        process = self._process
        running = process is not None and process.returncode is None
        return self._spent_ns + (child_cpu_ns(process.pid) if process is not None and running else 0)

    def start(self) -> None:
        """Start the process if it is not running; returns at once.

        Raises:
            PlannerError: when the command cannot be started.
        """
        if self._process is not None:
            return
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
        try:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                bufsize=0,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
                start_new_session=True,  # a Ctrl-C is ours to handle: the planner may still be asked what was learned
            )
        except OSError as error:
            self._errors.close()
            raise PlannerError(
                f"the planner {self._command[0]!r} cannot be started: {error.strerror}",
                hint="look at planner.command in the configuration",
            ) from error
        self._answered = False
        self._buffer.clear()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            os.set_blocking(pipe.fileno(), False)

    def settle(self) -> None:
        """Wait until the process answers: while it imports torch, nothing beside it is measured as it is.

        What is wrong with it is said when it is asked for something.
        """
        with suppress(PlannerError):
            self._exchange(LearnRequest(id=self._next_id(), histories=()))

    def close(self) -> None:
        """End the process: by the end of its input, else by force."""
        process = self._process
        if process is None:
            return
        assert process.stdin is not None and process.stdout is not None
        with suppress(OSError):
            process.stdin.close()
        if not self._ended(process, _FAREWELL_S if self._answered else 0.0):
            process.kill()
            self._ended(process)
        self._process = None
        process.stdout.close()
        if self._errors is not None:
            self._errors.close()

    def _ended(self, process: subprocess.Popen[bytes], timeout_s: float | None = None) -> bool:
        """Whether the process ends in time; what it has used is added up once."""
        if process.returncode is None and (spent_ns := wait_for_child(process, timeout_s)) is not None:
            self._spent_ns += spent_ns
        return process.returncode is not None

    def suggest(self, problem: Problem, trials: Sequence[Trial]) -> Proposal:
        """The setting to measure next.

        Raises:
            PlannerError: when the planner died, hung, or answered an error.
        """
        return self._proposal("suggest", problem, trials)

    def recommend(self, problem: Problem, trials: Sequence[Trial]) -> Proposal:
        """The setting to keep; raises as `suggest` does."""
        return self._proposal("recommend", problem, trials)

    def predict(self, problem: Problem, trials: Sequence[Trial], settings: Sequence[Setting]) -> tuple[Prediction, ...]:
        """What the next trial at each setting would show; relative to the default's where there are no trials.

        Raises as `suggest` does.
        """
        answer = self._ask("predict", problem, trials, settings)
        if answer.predictions is None or len(answer.predictions) != len(settings):
            raise self._failed("the planner did not answer the question")
        return answer.predictions

    def learn(self, histories: Sequence[HistoryMessage]) -> tuple[tuple[ComponentEntry, ...], frozenset[int]]:
        """The components that histories teach, and the indices of the histories that teach nothing.

        Raises as `suggest` does.
        """
        answer = self._exchange(LearnRequest(id=self._next_id(), histories=tuple(histories)))
        if answer.components is None:
            raise self._failed("the planner did not answer the question")
        return answer.components, frozenset(answer.unused)

    def slopes(self, problem: Problem, trials: Sequence[Trial], steps: Sequence[Contrast]) -> tuple[Slope, ...]:
        """What the surrogate says of steps of one knob each.

        Raises as `suggest` does.
        """
        ends = [setting for step in steps for setting in (step.first, step.second)]
        answer = self._ask("slopes", problem, trials, ends)
        if answer.slopes is None or len(answer.slopes) != len(steps):
            raise self._failed("the planner did not answer the question")
        return answer.slopes

    def _proposal(self, ask: Ask, problem: Problem, trials: Sequence[Trial]) -> Proposal:
        answer = self._ask(ask, problem, trials, ())
        if answer.proposal is None:
            raise self._failed("the planner did not answer the question")
        proposal = proposal_of(answer.proposal)
        measured = (setting for trial in trials for setting in (trial.setting, trial.requested))
        if not _possible(problem.space, proposal.setting) and proposal.setting not in measured:
            raise self._failed(f"the planner proposed what this machine does not have: {proposal.setting!r:.80}")
        return proposal

    def _ask(self, ask: Ask, problem: Problem, trials: Sequence[Trial], settings: Sequence[Setting]) -> Answer:
        return self._exchange(
            Request(
                id=self._next_id(),
                ask=ask,
                problem=problem,
                trials=tuple(trial_message(trial) for trial in trials),
                settings=tuple(dict(setting) for setting in settings),
                prior=self.prior,
            )
        )

    def _next_id(self) -> str:
        self._count += 1
        return f"{self._name}-{self._count}"

    def _exchange(self, request: Request | LearnRequest) -> Answer:
        self.start()
        text = line(request)
        if len(text) > MAX_LINE_BYTES:
            raise PlannerError(f"a question of {len(text) >> 20} MiB is too long", hint="tune fewer settings at once")
        waiting_s = self._timeout_s + (0.0 if self._answered else self._startup_timeout_s)
        deadline = time.monotonic() + waiting_s
        # The leading newline ends a half line that somebody before us may have left in a relayed pipe.
        self._send(b"\n" + text, deadline, waiting_s)
        answer = self._receive(request.id, deadline, waiting_s)
        self._answered = True
        if answer.error is not None:
            raise PlannerError(f"the planner could not answer: {answer.error}", hint="please report it with the store")
        return answer

    def _send(self, text: bytes, deadline: float, waiting_s: float) -> None:
        assert self._process is not None and self._process.stdin is not None
        data, fd = memoryview(text), self._process.stdin.fileno()
        while data:
            self._wait(fd, selectors.EVENT_WRITE, deadline, waiting_s)
            try:
                data = data[os.write(fd, data) :]
            except BlockingIOError:
                continue
            except OSError as error:
                raise self._failed("the planner died") from error

    def _receive(self, wanted: str, deadline: float, waiting_s: float) -> Answer:
        """The answer with our id; other lines (a stale answer, a half line, a relay's chatter) are skipped."""
        assert self._process is not None and self._process.stdout is not None
        fd = self._process.stdout.fileno()
        while True:
            while (end := self._buffer.find(b"\n")) >= 0:
                answer = parse_answer(bytes(self._buffer[:end]))
                del self._buffer[: end + 1]
                if answer is not None and answer.id == wanted:
                    return answer
            if len(self._buffer) > MAX_LINE_BYTES:
                raise self._failed("the planner speaks without end")
            self._wait(fd, selectors.EVENT_READ, deadline, waiting_s)
            try:
                chunk = os.read(fd, _READ_BYTES)
            except BlockingIOError:
                continue
            if not chunk:
                raise self._failed("the planner died")
            self._buffer += chunk

    def _wait(self, fd: int, event: int, deadline: float, waiting_s: float) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(fd, event)
            while not selector.select(max(min(deadline - time.monotonic(), _PERIOD_S), 0.0)):
                if time.monotonic() >= deadline:
                    raise self._failed(f"the planner did not answer within {waiting_s:g} s")
                self._meanwhile()

    def _failed(self, what: str) -> PlannerError:
        """The error to raise, with the planner's last words; ends the process."""
        self._answered = False
        process = self._process
        if process is not None:
            self._ended(process, 0.2)
        words = self._last_words()
        self.close()
        status = f" (exit {process.returncode})" if process is not None and process.returncode is not None else ""
        return PlannerError(what + status, hint=words or f"try `{' '.join(self._command)}` by hand")

    def _last_words(self) -> str:
        """The last line the planner wrote to stderr."""
        assert self._errors is not None
        size = self._errors.seek(0, os.SEEK_END)
        self._errors.seek(max(size - _TAIL_BYTES, 0))
        said = self._errors.read().decode("utf-8", "replace").strip().splitlines()
        return f"it said: {said[-1]}" if said else ""


def _possible(space: KnobSpace, setting: Setting) -> bool:
    """Whether it may be tried here at all; what it will be is the kernel's to say."""
    if not setting.keys() <= set(space.names) or (space.allowed is not None and not space.legal(setting)):
        return False
    for name, value in setting.items():
        knob = space[name]
        inside = isinstance(value, int) and knob.low <= value <= knob.high if isinstance(knob, RangeKnob) else None
        if not (knob.legal(value) if inside is None else inside):
            return False
    return True
