from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwtune.domain.knob import Activity, ChoiceKnob, KnobSpace, RangeKnob, Setting
from hwtune.domain.objective import Bound, Objective
from hwtune.domain.problem import Donor, Problem
from hwtune.domain.trial import LogNormal, Prediction, Proposal, Reason, Run, Trial, TrialStatus
from hwtune.planner.protocol import (
    Answer,
    Malformed,
    Request,
    line,
    parse_answer,
    parse_request,
    proposal_message,
    proposal_of,
    trial_message,
    trial_of,
)

SPACE = KnobSpace(
    knobs=(
        RangeKnob(name="max", role="frequency", unit="kHz", low=1, high=3, default=3, levels=(1, 2, 3)),
        ChoiceKnob(
            name="epp",
            role="epp",
            choices=("performance", "power"),
            default="power",
            ordered=True,
            scope=(0, 4),
            active_when=(Activity(knob="max", values=(1, 3)),),
        ),
    ),
    ordered_pairs=(("max", "max"),),
    allowed=({"max": 1, "epp": "power"},),
)
PROBLEM = Problem(space=SPACE, objective=Objective.ED2P, bound=Bound(max_slowdown=0.05), max_risk=0.1, seed=7)
TRIAL = Trial(
    setting=Setting(max=1, epp="power"),
    requested=Setting(max=2, epp="power"),
    runs=(Run(time_s=1.5, energy_j=None, features={"ipc": 0.7}), Run(time_s=1.25, energy_j=0.1, censored=True)),
    context={"llc": 1e-3},
    reason=Reason.EXPAND,
    status=TrialStatus.CENSORED,
)
PROPOSAL = Proposal(
    setting=Setting(max=1, epp="power"),
    reason=Reason.EXPLORE,
    predicted=Prediction(time_s=LogNormal(mean_log=0.1, sd_log=0.2), energy_j=None),
    probability_feasible=0.9,
    score=-3.0,
    importance={"max": 0.5},
    status="converged",
)


def test_a_request_survives_the_wire_whole() -> None:
    request = Request(
        id="a-1", ask="predict", problem=PROBLEM, trials=(trial_message(TRIAL),), settings=({"max": 1, "epp": "power"},)
    )
    back = parse_request(line(request).strip())
    assert isinstance(back, Request)
    assert back == request and back.problem == PROBLEM
    assert trial_of(back.trials[0]) == TRIAL


DONOR = Donor(label="make -j8", trials=(TRIAL, replace(TRIAL, setting=Setting(max=7, epp="power"))))


def test_donors_survive_the_wire() -> None:
    problem = replace(PROBLEM, donors=(DONOR, Donor(label="idle", trials=())))
    back = parse_request(line(Request(id="a-1", ask="suggest", problem=problem, trials=())))
    assert isinstance(back, Request)
    assert back.problem == problem
    assert isinstance(back.problem.donors[0].trials[0].setting, Setting)


def test_a_problem_without_donors_may_leave_them_out() -> None:
    whole = json.loads(line(Request(id="a", ask="suggest", problem=PROBLEM, trials=())))
    del whole["problem"]["donors"]
    back = parse_request(json.dumps(whole).encode())
    assert isinstance(back, Request) and back.problem == PROBLEM


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"setting": {"max": 1}}, "'make -j8' has a trial of other knobs"),
        ({"setting": {"max": 1, "epp": "power", "min": 1}}, "other knobs"),
        ({"runs": []}, "without a run"),
        ({"runs": [{"time_s": 0.0, "energy_j": 1.0}]}, "not positive"),
        ({"status": "ok"}, "a run was stopped early, and the trial is ok"),
        ({"status": "lost"}, "problem.donors.0.trials.0.status"),
    ],
)
def test_a_donor_that_teaches_nothing_is_refused(change: dict[str, object], why: str) -> None:
    request = Request(id="a", ask="suggest", problem=replace(PROBLEM, donors=(DONOR,)), trials=())
    whole = json.loads(line(request))
    whole["problem"]["donors"][0]["trials"][0] |= change
    bad = parse_request(json.dumps(whole).encode())
    assert isinstance(bad, Malformed) and bad.id == "a"
    assert why in bad.why


@given(
    st.floats(min_value=1e-6, max_value=1e9),
    st.one_of(st.none(), st.floats(min_value=1e-9, max_value=1e12)),
    st.dictionaries(st.text(max_size=5), st.integers(-5, 2**40) | st.text(max_size=9)),
)
def test_figures_and_settings_survive_bit_for_bit(
    time_s: float, energy_j: float | None, setting: dict[str, int | str]
) -> None:
    trial = Trial(setting=Setting(setting), requested=Setting(), runs=(Run(time_s=time_s, energy_j=energy_j),))
    request = parse_request(line(Request(id="a", ask="suggest", problem=PROBLEM, trials=(trial_message(trial),))))
    assert isinstance(request, Request)
    assert trial_of(request.trials[0]) == trial


@pytest.mark.parametrize(
    "answer",
    [
        Answer(id="a", proposal=proposal_message(PROPOSAL)),
        Answer(id="b", predictions=(Prediction(time_s=LogNormal(mean_log=1.0, sd_log=0.0), energy_j=None),)),
        Answer(id=None, error="no"),
    ],
)
def test_an_answer_survives_the_wire(answer: Answer) -> None:
    text = line(answer)
    assert text.endswith(b"\n") and text.count(b"\n") == 1
    assert parse_answer(text) == answer
    assert answer.proposal is None or proposal_of(answer.proposal) == PROPOSAL


@pytest.mark.parametrize(
    ("text", "id_", "why"),
    [
        (b"", None, "Invalid JSON"),
        (b"half a li", None, "Invalid JSON"),
        (b"[1, 2]", None, "object"),
        (b'{"id": "x", "ask": "guess"}', "x", "ask"),
        (b'{"id": 5}', None, "id"),
        (b"\xff\xfe", None, "JSON"),
    ],
)
def test_what_is_no_request_is_named(text: bytes, id_: str | None, why: str) -> None:
    bad = parse_request(text)
    assert isinstance(bad, Malformed)
    assert bad.id == id_ and why in bad.why


def test_another_version_and_unknown_keys_are_refused() -> None:
    whole = json.loads(line(Request(id="a", ask="suggest", problem=PROBLEM, trials=())))
    for change in ({"version": 2}, {"surprise": 1}):
        bad = parse_request(json.dumps(whole | change).encode())
        assert isinstance(bad, Malformed) and bad.id == "a"


@pytest.mark.parametrize("run", [Run(time_s=0.0, energy_j=1.0), Run(time_s=1.0, energy_j=-1.0)])
def test_figures_that_have_no_logarithm_are_refused(run: Run) -> None:
    message = trial_message(Trial(setting=Setting(), requested=Setting(), runs=(run,)))
    with pytest.raises(ValueError, match="not positive"):
        trial_of(message)


def test_not_a_number_is_no_answer() -> None:
    assert parse_answer(b'{"version":1,"id":"a","proposal":{"score":NaN}}') is None
    assert parse_answer(b"chatter of a relay") is None
