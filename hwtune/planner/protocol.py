"""The words on the pipe: one JSON document per line, one answer per request.

    → {"version": 1, "id": "c41d-1", "ask": "suggest", "problem": {…}, "trials": […], "prior": "…"}
    ← {"version": 1, "id": "c41d-1", "proposal": {…}}                         or "predictions", or "error"
    → {"version": 1, "id": "c41d-2", "ask": "learn", "histories": […]}
    ← {"version": 1, "id": "c41d-2", "components": […], "unused": […]}

Requests are whole in themselves: the planner keeps nothing between two of them, and what was learned before comes with
each. The pipe may be any command, also one that relays a serial port, so a reader takes blank lines, half lines of
somebody before and answers to somebody else in its stride: it skips them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, GetPydanticSchema, TypeAdapter, ValidationError
from pydantic_core import CoreSchema, core_schema

from hwtune.domain.knob import KnobSpace, Setting, Value
from hwtune.domain.objective import Bound, Objective
from hwtune.domain.problem import Donor, Problem
from hwtune.domain.slope import Slope
from hwtune.domain.trial import Prediction, Proposal, Reason, Run, Trial, TrialStatus
from hwtune.planner.prior_file import MAX_BYTES, ComponentEntry

VERSION: Final = 1
# A table of a hundred workloads with forty counters, all of them donors, is some 20 MB.
MAX_LINE_BYTES: Final = 64 << 20

Ask = Literal["suggest", "recommend", "predict", "slopes"]


class _Message(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class TrialMessage(_Message):
    """A `Trial` on the wire."""

    setting: dict[str, Value]
    requested: dict[str, Value]
    runs: tuple[Run, ...]
    context: dict[str, float]
    reason: Reason
    status: TrialStatus


class ProposalMessage(_Message):
    """A `Proposal` on the wire."""

    setting: dict[str, Value]
    reason: Reason
    predicted: Prediction | None
    probability_feasible: float | None
    score: float | None
    importance: dict[str, float]
    status: str
    why: str = ""


class DonorMessage(_Message):
    """A `Donor` on the wire."""

    label: str
    trials: tuple[TrialMessage, ...]


class ProblemMessage(_Message):
    """A `Problem` on the wire."""

    space: KnobSpace
    objective: Objective
    bound: Bound
    max_risk: float
    seed: int
    donors: tuple[DonorMessage, ...] = ()


def trial_message(trial: Trial) -> TrialMessage:
    """A trial as it is sent."""
    return TrialMessage(
        setting=dict(trial.setting),
        requested=dict(trial.requested),
        runs=trial.runs,
        context=dict(trial.context),
        reason=trial.reason,
        status=trial.status,
    )


def trial_of(message: TrialMessage) -> Trial:
    """A trial as it was sent.

    Raises:
        ValueError: when it has no run, or a figure that is not positive.
    """
    if not message.runs:
        raise ValueError("a trial without a run")
    if any(run.time_s <= 0.0 or (run.energy_j is not None and run.energy_j <= 0.0) for run in message.runs):
        raise ValueError("a run whose time or energy is not positive")
    return Trial(
        setting=Setting(message.setting),
        requested=Setting(message.requested),
        runs=message.runs,
        context=message.context,
        reason=message.reason,
        status=message.status,
    )


def problem_message(problem: Problem) -> ProblemMessage:
    """A problem as it is sent."""
    return ProblemMessage(
        space=problem.space,
        objective=problem.objective,
        bound=problem.bound,
        max_risk=problem.max_risk,
        seed=problem.seed,
        donors=tuple(
            DonorMessage(label=donor.label, trials=tuple(trial_message(trial) for trial in donor.trials))
            for donor in problem.donors
        ),
    )


def problem_of(message: ProblemMessage) -> Problem:
    """A problem as it was sent.

    Raises:
        ValueError: when a donor's trial is no trial, or one of other knobs.
    """
    names = set(message.space.names)
    for donor in message.donors:
        if any(trial.setting.keys() != names for trial in donor.trials):
            raise ValueError(f"donor {donor.label!r} has a trial of other knobs")
    return Problem(
        space=message.space,
        objective=message.objective,
        bound=message.bound,
        max_risk=message.max_risk,
        seed=message.seed,
        donors=tuple(
            Donor(label=donor.label, trials=tuple(trial_of(trial) for trial in donor.trials))
            for donor in message.donors
        ),
    )


def _problem_schema(_source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
    """A problem to us, its message to the wire."""
    message = handler(ProblemMessage)
    return core_schema.json_or_python_schema(
        json_schema=core_schema.no_info_after_validator_function(problem_of, message),
        python_schema=core_schema.is_instance_schema(Problem),
        serialization=core_schema.plain_serializer_function_ser_schema(problem_message, return_schema=message),
    )


class Request(_Message):
    """One question; `settings` is for `predict`, and for `slopes`: the ends of each step, one after the other.

    `prior` is the text of a prior file; the planner's own where it is None.
    """

    version: Literal[1] = VERSION
    id: str
    ask: Ask
    problem: Annotated[Problem, GetPydanticSchema(_problem_schema)]
    trials: tuple[TrialMessage, ...]
    settings: tuple[dict[str, Value], ...] = ()
    prior: Annotated[str, Field(max_length=MAX_BYTES)] | None = None


class HistoryMessage(_Message):
    """What was measured of one workload.

    Attributes:
        label: the workload.
        kind: the machine or table; only histories of one kind are learned together.
        group: histories of like work have the same.
        space: its knobs.
        trials: what was measured.
    """

    label: str
    kind: str
    group: str
    space: KnobSpace
    trials: tuple[TrialMessage, ...]


class LearnRequest(_Message):
    """Histories to learn a prior from."""

    version: Literal[1] = VERSION
    id: str
    ask: Literal["learn"] = "learn"
    histories: tuple[HistoryMessage, ...]


class Answer(_Message):
    """One answer: proposal, predictions, slopes, components or error, one of them.

    `id` is None when the request had none; `unused` are the indices of histories that taught nothing.
    """

    version: Literal[1] = VERSION
    id: str | None
    proposal: ProposalMessage | None = None
    predictions: tuple[Prediction, ...] | None = None
    slopes: tuple[Slope, ...] | None = None
    components: tuple[ComponentEntry, ...] | None = None
    unused: tuple[int, ...] = ()
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Malformed:
    """A line that is no request, with its id where one can be read."""

    id: str | None
    why: str


def proposal_message(proposal: Proposal) -> ProposalMessage:
    """A proposal as it is sent."""
    return ProposalMessage(
        setting=dict(proposal.setting),
        reason=proposal.reason,
        predicted=proposal.predicted,
        probability_feasible=proposal.probability_feasible,
        score=proposal.score,
        importance=dict(proposal.importance),
        status=proposal.status,
        why=proposal.why,
    )


def proposal_of(message: ProposalMessage) -> Proposal:
    """A proposal as it was sent."""
    return Proposal(
        setting=Setting(message.setting),
        reason=message.reason,
        predicted=message.predicted,
        probability_feasible=message.probability_feasible,
        score=message.score,
        importance=message.importance,
        status=message.status,
        why=message.why,
    )


def line(message: Request | LearnRequest | Answer) -> bytes:
    """A message as its line."""
    return message.model_dump_json(exclude_defaults=isinstance(message, Answer)).encode() + b"\n"


def parse_request(text: bytes) -> Request | LearnRequest | Malformed:
    """A request from its line, or what is wrong with it.

    >>> parse_request(b'{"id": "a"}').why[:22]
    'ask: Field required; p'
    """
    try:
        return Request.model_validate_json(text)
    except ValidationError as error:
        if not any(e["loc"] == ("ask",) and e["input"] == "learn" for e in error.errors()):
            return _malformed(text, error)
    try:
        return LearnRequest.model_validate_json(text)
    except ValidationError as error:
        return _malformed(text, error)


def _malformed(text: bytes, error: ValidationError) -> Malformed:
    why = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'line'}: {e['msg']}" for e in error.errors()[:3])
    return Malformed(_id_of(text), why)


def parse_answer(text: bytes) -> Answer | None:
    """An answer from its line, None when it is none."""
    try:
        return Answer.model_validate_json(text)
    except ValidationError:
        return None


_LOOSE: Final = TypeAdapter(Mapping[str, object])


def _id_of(text: bytes) -> str | None:
    try:
        found = _LOOSE.validate_json(text).get("id")
    except ValidationError:
        return None
    return found if isinstance(found, str) else None
