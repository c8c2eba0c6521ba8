from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence

import pytest

from hwtune.domain.errors import PlannerError
from hwtune.domain.knob import ChoiceKnob, KnobSpace, Setting
from hwtune.domain.objective import Objective
from hwtune.domain.problem import Problem
from hwtune.domain.trial import LogNormal, Prediction, Reason, Run, Trial
from hwtune.planner import client
from hwtune.planner.client import Planner

SPACE = KnobSpace(knobs=(ChoiceKnob(name="mode", role="other", choices=("a", "b"), default="a"),))
PROBLEM = Problem(space=SPACE, objective=Objective.TIME)
TRIAL = Trial(setting=SPACE.default, requested=SPACE.default, runs=(Run(time_s=1.0, energy_j=None),))

# A planner without a model: `reply(request)` is a list of lines to answer with.
FAKE = """
import json, sys, time
def proposal(request, mode="b"):
    return json.dumps({"version": 1, "id": request["id"], "proposal": {
        "setting": {"mode": mode}, "reason": "explore", "predicted": None, "probability_feasible": None,
        "score": -1.5, "importance": {}, "status": "ok"}})
for text in sys.stdin:
    if text.strip():
        request = json.loads(text)
        %s
        sys.stdout.flush()
"""


def fake(body: str) -> list[str]:
    return [sys.executable, "-u", "-c", FAKE % body]


def test_a_proposal_comes_back() -> None:
    with Planner(fake("print(proposal(request))")) as planner:
        proposal = planner.suggest(PROBLEM, [TRIAL])
        assert proposal.setting == Setting(mode="b") and proposal.reason is Reason.EXPLORE
        assert planner.recommend(PROBLEM, [TRIAL]).score == -1.5


def test_predictions_come_back() -> None:
    body = (
        'print(json.dumps({"version": 1, "id": request["id"], "predictions":'
        ' [{"time_s": {"mean_log": 0.5, "sd_log": 0.1}, "energy_j": None}] * len(request["settings"])}))'
    )
    expected = Prediction(time_s=LogNormal(mean_log=0.5, sd_log=0.1), energy_j=None)
    with Planner(fake(body)) as planner:
        assert planner.predict(PROBLEM, [], [SPACE.default] * 2) == (expected, expected)


def test_chatter_half_lines_and_answers_to_somebody_else_are_skipped() -> None:
    body = (
        'print("relay ready"); print(\'{"version": 1, "id": "old\'); print(proposal({"id": "someone-1"}, "a"));'
        " print(proposal(request))"
    )
    with Planner(fake(body)) as planner:
        assert planner.suggest(PROBLEM, [TRIAL]).setting == Setting(mode="b")


def test_an_answer_in_pieces_is_put_together() -> None:
    body = "[(sys.stdout.write(c), sys.stdout.flush()) for c in proposal(request) + chr(10)]"
    with Planner(fake(body)) as planner:
        assert planner.suggest(PROBLEM, [TRIAL]).setting == Setting(mode="b")


@pytest.mark.parametrize(
    ("command", "what", "hint"),
    [
        (["false"], "died", "by hand"),
        (fake("sys.exit('no such model')"), "died", "no such model"),
        (fake("time.sleep(60)"), "did not answer within", "by hand"),
        (fake("print('nonsense')"), "did not answer within", "by hand"),
        (["/nonexistent/planner"], "cannot be started", "planner.command"),
    ],
)
def test_a_planner_that_fails_is_an_error_with_a_hint(command: list[str], what: str, hint: str) -> None:
    planner = Planner(command, timeout_s=0.3, startup_timeout_s=0.5)
    with pytest.raises(PlannerError, match=what) as caught, planner:
        planner.suggest(PROBLEM, [TRIAL])
    assert hint in (caught.value.hint or "")


def test_an_error_answer_is_raised_and_the_next_question_is_answered() -> None:
    body = (
        'print(json.dumps({"version": 1, "id": request["id"], "error": "singular"})'
        ' if request["ask"] == "suggest" else proposal(request))'
    )
    with Planner(fake(body)) as planner:
        with pytest.raises(PlannerError, match="singular"):
            planner.suggest(PROBLEM, [TRIAL])
        assert planner.recommend(PROBLEM, [TRIAL]).setting == Setting(mode="b")


def test_the_wrong_kind_of_answer_is_an_error() -> None:
    with Planner(fake("print(proposal(request))")) as planner, pytest.raises(PlannerError, match="did not answer"):
        planner.predict(PROBLEM, [TRIAL], [SPACE.default])


def test_starting_does_not_wait_and_the_child_ends_with_us(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[subprocess.Popen[bytes]] = []
    popen = subprocess.Popen

    def remember(command: Sequence[str], **options: object) -> subprocess.Popen[bytes]:
        started.append(popen(command, **options))  # type: ignore[call-overload]
        return started[-1]

    monkeypatch.setattr(client.subprocess, "Popen", remember)
    with Planner(fake("time.sleep(60)")) as planner:
        planner.start()
        assert len(started) == 1 and started[0].poll() is None
    assert started[0].poll() is not None


def test_after_a_death_the_next_question_starts_another() -> None:
    planner = Planner(fake("sys.exit(1) if request['ask'] == 'suggest' else print(proposal(request))"))
    with planner:
        with pytest.raises(PlannerError):
            planner.suggest(PROBLEM, [TRIAL])
        assert planner.recommend(PROBLEM, [TRIAL]).setting == Setting(mode="b")


def test_a_question_that_is_too_long_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "MAX_LINE_BYTES", 100)
    with Planner(fake("print(proposal(request))")) as planner, pytest.raises(PlannerError, match="too long"):
        planner.suggest(PROBLEM, [TRIAL])


def test_our_own_planner_answers_as_the_tuner_does() -> None:
    from hwtune.tuner.propose import suggest
    from hwtune.tuner.study import Study

    with Planner() as planner:
        assert planner.suggest(PROBLEM, [TRIAL]) == suggest(Study(PROBLEM, [TRIAL]))


def test_what_planners_have_used_is_added_up_beyond_their_end() -> None:
    busy = "end = time.process_time() + 0.05\n        while time.process_time() < end: pass\n        "
    planner = Planner(fake(busy + "print(proposal(request))"))
    assert planner.cpu_ns() == 0
    planner.suggest(PROBLEM, [TRIAL])
    running = planner.cpu_ns()
    assert running >= 50_000_000
    planner.close()
    first = planner.cpu_ns()
    assert first >= running - 1_000
    planner.suggest(PROBLEM, [TRIAL])
    planner.close()
    assert planner.cpu_ns() >= first + 50_000_000


def test_a_meter_can_be_read_while_the_planner_thinks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "_PERIOD_S", 0.01)
    looks: list[float] = []
    slow = fake("time.sleep(0.1); print(proposal(request))")
    with Planner(slow, meanwhile=lambda: looks.append(time.monotonic())) as planner:
        planner.suggest(PROBLEM, [TRIAL])
    assert len(looks) > 1


def test_what_a_planner_does_to_begin_with_can_be_waited_for() -> None:
    begins = "import time\nwhile time.process_time() < 0.3: pass\n"
    with Planner([sys.executable, "-u", "-c", begins + FAKE % "print(proposal(request))"]) as planner:
        planner.settle()
        assert planner.cpu_ns() >= 300_000_000
        assert planner.suggest(PROBLEM, [TRIAL]).reason is Reason.EXPLORE


def test_a_planner_that_died_is_not_waited_for() -> None:
    with Planner(["false"], startup_timeout_s=1e9) as planner:
        planner.settle()
        with pytest.raises(PlannerError, match="died"):
            planner.suggest(PROBLEM, [TRIAL])


def test_our_own_planner_settles_and_then_answers() -> None:
    with Planner() as planner:
        planner.settle()
        spent_ns = planner.cpu_ns()
        assert spent_ns > 0
        assert planner.suggest(PROBLEM, [TRIAL]).status
