"""The planner process: `python -m hwtune.planner.worker` answers requests from stdin on stdout until stdin ends.

It keeps nothing between requests but what it worked out for the last one, and every request says everything: the same
request always has the same answer. Whatever else would print goes to stderr. A request that cannot be answered is
answered with an error; only the end of stdin ends the process.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

# Before torch is imported: two threads on a busy box turn 0.3 s of work into 9 s.
os.environ["OMP_NUM_THREADS"] = "1"

import torch

from hwtune.domain.errors import HwtuneError
from hwtune.domain.knob import Setting
from hwtune.planner.learning import answer_learn, components_of, donated
from hwtune.planner.protocol import (
    MAX_LINE_BYTES,
    Answer,
    LearnRequest,
    Malformed,
    Request,
    line,
    parse_request,
    proposal_message,
    trial_of,
)
from hwtune.tuner.gradients import slopes
from hwtune.tuner.propose import recommend, suggest
from hwtune.tuner.study import Study

_READ_BYTES = 1 << 16


def answer(request: Request | LearnRequest) -> Answer:
    """The answer to one request; numerical and other failures become an error answer."""
    try:
        if isinstance(request, LearnRequest):
            return answer_learn(request)
        study, settings = _study(request), [Setting(setting) for setting in request.settings]
        if request.ask == "slopes":
            steps = list(zip(settings[::2], settings[1::2], strict=True))
            return Answer(id=request.id, slopes=tuple(slopes(study, steps)))
        if request.ask == "predict":
            return Answer(id=request.id, predictions=tuple(study.predict(settings)))
        ask = suggest if request.ask == "suggest" else recommend
        return Answer(id=request.id, proposal=proposal_message(ask(study)))
    except (HwtuneError, ValueError, KeyError, IndexError, ArithmeticError, RuntimeError) as error:
        # torch raises RuntimeError for numerical failures; the process must outlive any one question.
        return Answer(id=request.id, error=f"{type(error).__name__}: {error}")


class _Last:
    """The last study: what to keep and what to measure next are asked of the same trials."""

    known: tuple[object, ...] = ()
    study: Study


def _study(request: Request) -> Study:
    known = (request.problem, request.trials, request.prior)
    if _Last.known != known:
        problem = request.problem
        prior = (*components_of(request.prior), *donated(problem))
        _Last.study = Study(problem, [trial_of(message) for message in request.trials], prior)
        _Last.known = known
    return _Last.study


def lines(fd: int) -> Iterator[bytes | None]:
    """Lines of a file descriptor as they become whole; None for each that was longer than `MAX_LINE_BYTES`."""
    buffer, overlong = bytearray(), False
    while chunk := os.read(fd, _READ_BYTES):
        *ends, rest = chunk.split(b"\n")
        for end in ends:
            buffer += end
            yield None if overlong or len(buffer) > MAX_LINE_BYTES else bytes(buffer)
            buffer, overlong = bytearray(), False
        buffer += rest
        if len(buffer) > MAX_LINE_BYTES:
            buffer, overlong = bytearray(), True


def serve(source: int, sink: int) -> None:
    """Answer every line of one descriptor on the other until the first ends."""
    for text in lines(source):
        if text is not None and not text.strip():
            continue
        request = Malformed(None, "line too long") if text is None else parse_request(text)
        reply = Answer(id=request.id, error=request.why) if isinstance(request, Malformed) else answer(request)
        data = memoryview(line(reply))
        while data:
            data = data[os.write(sink, data) :]


def main() -> None:
    """Serve stdin; nothing but answers reaches the real stdout."""
    torch.set_num_threads(1)
    sink = os.dup(1)
    os.dup2(2, 1)
    try:
        serve(0, sink)
    except BrokenPipeError:
        sys.exit(0)  # nobody is listening any more


if __name__ == "__main__":
    main()
