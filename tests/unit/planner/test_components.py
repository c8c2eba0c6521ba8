"""Learning and priors as they pass the pipe: what a request says, and what the worker makes of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hwtune.domain.knob import KnobSpace, RangeKnob, Setting
from hwtune.domain.objective import Objective
from hwtune.domain.problem import Problem
from hwtune.domain.trial import Run, Trial
from hwtune.planner import worker
from hwtune.planner.prior_file import Made, PriorDocument, dumps
from hwtune.planner.protocol import (
    Answer,
    HistoryMessage,
    LearnRequest,
    Malformed,
    Request,
    line,
    parse_answer,
    parse_request,
    trial_message,
)

KNOB = RangeKnob(name="max", role="frequency", unit="kHz", low=800_000, high=2_400_000, default=2_400_000, step=100_000)
SPACE = KnobSpace(knobs=(KNOB,))


def trials(slope: float) -> tuple[Trial, ...]:
    """Time falls with the clock to the power of `slope`, power does not change."""
    found = []
    for level in range(800_000, 2_400_001, 200_000):
        time_s = (2_400_000 / level) ** slope
        setting = Setting(max=level)
        found.append(Trial(setting=setting, requested=setting, runs=(Run(time_s=time_s, energy_j=20.0 * time_s),)))
    return tuple(found)


def learn_request(*slopes: float) -> LearnRequest:
    return LearnRequest(
        id="l",
        histories=tuple(
            HistoryMessage(
                label=str(slope),
                kind="chip",
                group=str(slope),
                space=SPACE,
                trials=tuple(map(trial_message, trials(slope))),
            )
            for slope in slopes
        ),
    )


def asked(request: Request | LearnRequest) -> Answer:
    """The worker's answer, both ways through bytes."""
    heard = parse_request(line(request))
    assert not isinstance(heard, Malformed)
    answer = parse_answer(line(worker.answer(heard)))
    assert answer is not None
    return answer


def prior(*slopes: float) -> str:
    components = asked(learn_request(*slopes)).components
    assert components
    made = Made(hwtune="0", command="", date="")
    return dumps(PriorDocument(trained_on=(), made=made, components=components))


def predicted(text: str | None) -> float:
    """Log of the time at 1.2 GHz, relative to the default, before any trial."""
    problem = Problem(space=SPACE, objective=Objective.EDP)
    answer = asked(
        Request(id="p", ask="predict", problem=problem, trials=(), settings=({"max": 1_200_000},), prior=text)
    )
    assert answer.predictions is not None, answer.error
    return answer.predictions[0].time_s.mean_log


def test_a_prior_that_travels_with_a_question_decides_the_answer() -> None:
    bound, free = prior(1.0, 0.9), prior(0.1, 0.0)
    slow, fast = predicted(bound), predicted(free)
    assert slow > fast + 0.15
    # Nothing of one question is left in the next.
    assert (predicted(bound), predicted(free), predicted(None)) == (slow, fast, predicted(None))


def test_histories_that_teach_nothing_are_counted_by_index() -> None:
    request = learn_request(1.0, 0.5)
    empty = request.histories[0].model_copy(update={"trials": ()})
    answer = asked(request.model_copy(update={"histories": (empty, *request.histories, empty)}))
    assert answer.unused == (0, 3)
    assert asked(request.model_copy(update={"histories": ()})).components == ()


@pytest.mark.parametrize("text", ["", "{}", '{"format": "hwtune-prior"}'])
def test_a_text_that_is_no_prior_is_an_error_answer(text: str) -> None:
    problem = Problem(space=SPACE, objective=Objective.EDP)
    answer = asked(Request(id="p", ask="suggest", problem=problem, trials=(), prior=text))
    assert answer.error is not None and "UsageError" in answer.error
    assert predicted(None) == predicted(None)


def test_a_history_of_other_knobs_is_an_error_answer() -> None:
    (history,) = learn_request(1.0).histories
    other = history.model_copy(update={"space": replace(SPACE, knobs=(replace(KNOB, name="min"),))})
    answer = asked(LearnRequest(id="l", histories=(other,)))
    assert answer.id == "l" and answer.error is not None and "trial of other knobs" in answer.error


def test_what_is_wrong_with_a_learning_request_is_said() -> None:
    found = parse_request(b'{"id": "a", "ask": "learn", "histories": [{"label": 1}]}')
    assert isinstance(found, Malformed)
    assert found.id == "a" and found.why.startswith("histories.0.label")
    assert isinstance(parse_request(b'{"id": "a", "ask": "sing"}'), Malformed)
