from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from hwtune.domain.knob import KnobSpace, RangeKnob, Setting
from hwtune.domain.objective import Objective
from hwtune.domain.problem import Problem
from hwtune.domain.trial import Run, Trial
from hwtune.planner import worker
from hwtune.planner.protocol import Answer, Request, line, parse_answer, trial_message

LEVELS = tuple(range(800_000, 2_400_001, 200_000))
SPACE = KnobSpace(
    knobs=(
        RangeKnob(
            name="max", role="frequency", unit="kHz", low=LEVELS[0], high=LEVELS[-1], default=LEVELS[-1], levels=LEVELS
        ),
    )
)
PROBLEM = Problem(space=SPACE, objective=Objective.EDP)
DEFAULT = Trial(setting=SPACE.default, requested=SPACE.default, runs=(Run(time_s=10.0, energy_j=300.0),))


def request(number: int, ask: str = "suggest", **more: object) -> bytes:
    return line(
        Request(id=f"r{number}", ask=ask, problem=PROBLEM, trials=(trial_message(DEFAULT),), **more)  # type: ignore[arg-type]
    )


class Pipes:
    """A worker's loop in a thread, between two pipes."""

    def __init__(self) -> None:
        self._source, self._to = os.pipe()
        out, self._sink = os.pipe()
        self._answers = os.fdopen(out, "rb")
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        worker.serve(self._source, self._sink)
        os.close(self._sink)

    def send(self, data: bytes) -> None:
        os.write(self._to, data)

    def answer(self) -> Answer:
        found = parse_answer(self._answers.readline())
        assert found is not None
        return found

    def close(self) -> None:
        os.close(self._to)
        self._thread.join(10)
        assert not self._thread.is_alive()
        assert self._answers.read() == b""
        self._answers.close()
        os.close(self._source)


@pytest.fixture
def pipes() -> Iterator[Pipes]:
    pipes = Pipes()
    yield pipes
    pipes.close()


def test_every_question_has_its_answer(pipes: Pipes) -> None:
    pipes.send(request(1) + request(2, "recommend") + request(3, "predict", settings=({"max": LEVELS[2]},)))
    suggested, recommended, predicted = pipes.answer(), pipes.answer(), pipes.answer()
    assert (suggested.id, recommended.id, predicted.id) == ("r1", "r2", "r3")
    assert suggested.proposal is not None and SPACE.legal(suggested.proposal.setting)
    assert recommended.proposal is not None
    assert predicted.predictions is not None and len(predicted.predictions) == 1


def test_the_answer_does_not_depend_on_what_was_asked_before(pipes: Pipes) -> None:
    pipes.send(request(1))
    first = pipes.answer()
    other = line(Request(id="other", ask="suggest", problem=PROBLEM, trials=()))
    pipes.send(request(2, "recommend") + other + request(1))
    pipes.answer()
    assert pipes.answer().proposal != first.proposal
    assert pipes.answer() == first


def test_a_line_may_come_in_pieces(pipes: Pipes) -> None:
    text = request(1)
    for start in range(0, len(text), 97):
        pipes.send(text[start : start + 97])
    assert pipes.answer().id == "r1"


def test_half_a_line_of_somebody_before_is_an_error_and_no_more(pipes: Pipes) -> None:
    pipes.send(request(1)[:40] + b"\n" + b"\n\n" + request(2))
    broken, whole = pipes.answer(), pipes.answer()
    assert broken.id is None and broken.error is not None
    assert whole.id == "r2" and whole.error is None


def test_what_cannot_be_answered_is_an_error_and_the_loop_goes_on(pipes: Pipes) -> None:
    empty = Trial(setting=SPACE.default, requested=SPACE.default, runs=())
    bad = Request(id="bad", ask="suggest", problem=PROBLEM, trials=(trial_message(empty),))
    pipes.send(line(bad) + b'{"id": "odd"}\n' + request(1))
    assert "without a run" in (pipes.answer().error or "")
    odd = pipes.answer()
    assert odd.id == "odd" and odd.error is not None and "\n" not in odd.error
    assert pipes.answer().error is None


def test_an_endless_line_is_dropped(pipes: Pipes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "MAX_LINE_BYTES", 5000)
    for _ in range(10):
        pipes.send(b"x" * 4000)
    pipes.send(b"\n" + request(1))
    assert pipes.answer().error == "line too long"
    assert pipes.answer().id == "r1"


def test_the_process_speaks_nothing_but_answers_and_ends_with_its_input() -> None:
    found = subprocess.run(
        [sys.executable, "-m", "hwtune.planner.worker"],
        input=b"noise\n" + request(1),
        capture_output=True,
        timeout=120,
        check=True,
    )
    answers = [json.loads(text) for text in found.stdout.splitlines()]
    assert [answer["id"] for answer in answers] == [None, "r1"]
    assert found.stderr == b""


def test_words_that_are_not_on_offer_do_not_end_it(pipes: Pipes) -> None:
    odd = Trial(setting=Setting(max="fast", other=3), requested=Setting(), runs=(Run(time_s=9.0, energy_j=200.0),))
    trials = (trial_message(DEFAULT), trial_message(odd))
    pipes.send(line(Request(id="odd", ask="suggest", problem=PROBLEM, trials=trials)))
    assert pipes.answer().proposal is not None
