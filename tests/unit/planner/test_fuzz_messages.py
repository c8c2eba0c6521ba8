"""Whatever comes over the pipe, in either direction: an answer, a PlannerError with a hint, never anything to write."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hwtune.domain.errors import PlannerError
from hwtune.domain.knob import ChoiceKnob, KnobSpace, RangeKnob, Setting
from hwtune.domain.objective import Bound, Objective
from hwtune.domain.problem import Problem
from hwtune.domain.trial import LogNormal, Prediction, Reason, Run, Trial
from hwtune.planner.client import Planner
from hwtune.planner.protocol import Malformed, Request, line, parse_request, trial_message

SPACE = KnobSpace(
    knobs=(
        RangeKnob(name="max", role="frequency", unit="kHz", low=10, high=30, default=30, levels=(10, 20, 30)),
        ChoiceKnob(name="governor", role="governor", choices=("powersave", "performance"), default="powersave"),
    )
)
PROBLEM = Problem(space=SPACE, objective=Objective.EDP, bound=Bound(max_slowdown=0.1))
TRIAL = Trial(setting=SPACE.default, requested=SPACE.default, runs=(Run(time_s=1.0, energy_j=2.0),))
REQUEST = json.loads(
    line(Request(id="r1", ask="suggest", problem=PROBLEM, trials=(trial_message(TRIAL),), settings=({"max": 10},)))
)
ANSWER = {
    "version": 1,
    "id": "",
    "proposal": {
        "setting": {"max": 20, "governor": "performance"},
        "reason": Reason.EXPLORE,
        "predicted": {"time_s": {"mean_log": 0.1, "sd_log": 0.2}, "energy_j": None},
        "probability_feasible": 0.5,
        "score": -1.5,
        "importance": {"max": 1.0},
        "status": "ok",
    },
    "predictions": [{"time_s": {"mean_log": 0.1, "sd_log": 0.2}, "energy_j": None}],
}

leaves = (
    st.none()
    | st.booleans()
    | st.integers(-(10**400), 10**400)
    | st.integers(-40, 40)
    | st.floats()
    | st.sampled_from(["", "max", "powersave", "20", "default", "ok", "\0", "é"])
    | st.text(max_size=8)
)
JSON = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["max", "governor", "x"]), inner),
    max_leaves=4,
)


def changed(draw: Any, document: Any) -> bytes:
    """The document with one to three places changed, dropped or doubled, as text, now and then cut short."""
    document = copy.deepcopy(document)
    for _ in range(draw(st.integers(1, 3))):
        at = document
        while True:
            keys = sorted(at) if isinstance(at, dict) else list(range(len(at)))
            if not keys:
                break
            key = draw(st.sampled_from(keys))
            if not isinstance(at[key], dict | list) or draw(st.booleans()):
                match draw(st.sampled_from(["change", "change", "drop"])):
                    case "change":
                        at[key] = draw(JSON)
                    case _:
                        del at[key]
                break
            at = at[key]
        if not isinstance(document, dict) or not document:
            break
    text = json.dumps(document).encode()
    return text[: draw(st.integers(0, len(text)))] if draw(st.integers(0, 9)) == 0 else text


@given(data=st.data())
@settings(max_examples=300, deadline=None)
def test_a_request_is_one_or_is_refused(data: st.DataObject) -> None:
    found = parse_request(changed(data.draw, REQUEST))
    if isinstance(found, Malformed):
        assert found.why
    elif isinstance(found, Request):
        assert parse_request(line(found)) == found


@given(st.binary(max_size=100))
def test_bytes_are_no_request(data: bytes) -> None:
    assert isinstance(parse_request(data), Malformed)


def ask(directory: Path, answer: bytes) -> object:
    """What the client makes of a planner that says this whatever it is asked; the question's id stands for `ID`."""
    said = directory / "answer"
    planner = Planner(["sh", "-c", f"cat {said}; exec cat >{directory}/asked"], timeout_s=20.0, startup_timeout_s=0.0)
    said.write_bytes(answer.replace(b'"id": ""', f'"id": "{planner._name}-1"'.encode()) + b"\n")
    # An answer that is not for us is passed over; one without an id ends the waiting.
    with said.open("ab") as file:
        file.write(b'{"version": 1, "id": "%s-1", "error": "end"}\n' % planner._name.encode())
    with planner:
        try:
            return planner.suggest(PROBLEM, [TRIAL])
        except PlannerError as error:
            assert error.hint and error.exit_status == 1 and "\n" not in str(error)
            return None


def may_be_tried(setting: Setting) -> bool:
    return setting.get("max", 10) in range(10, 31) and setting.get("governor", "powersave") in SPACE["governor"].choices  # type: ignore[union-attr]


@given(data=st.data())
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_proposal_can_be_tried_here_or_is_refused(tmp_path: Path, data: st.DataObject) -> None:
    proposal = ask(tmp_path, changed(data.draw, ANSWER))
    if proposal is not None:
        assert set(proposal.setting) <= {"max", "governor"} and may_be_tried(proposal.setting)  # type: ignore[attr-defined]


def test_what_is_said_well_is_taken(tmp_path: Path) -> None:
    proposal = ask(tmp_path, json.dumps(ANSWER).encode())
    assert proposal.setting == Setting(max=20, governor="performance")  # type: ignore[attr-defined]
    assert proposal.predicted == Prediction(time_s=LogNormal(mean_log=0.1, sd_log=0.2), energy_j=None)  # type: ignore[attr-defined]


def test_a_setting_that_is_not_of_this_machine_is_never_handed_on(tmp_path: Path) -> None:
    for name, value in [("max", 9), ("max", "20"), ("max", 10**30), ("governor", "userspace"), ("x", 1)]:
        setting = {**ANSWER["proposal"]["setting"], name: value}  # type: ignore[dict-item, index]
        answer = {**ANSWER, "proposal": {**ANSWER["proposal"], "setting": setting}}  # type: ignore[dict-item]
        assert ask(tmp_path, json.dumps(answer).encode()) is None
