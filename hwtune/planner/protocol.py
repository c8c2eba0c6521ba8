"""The words on the pipe: one JSON document per line, one answer per request.

    → {"version": 1, "id": "c41d-1", "ask": "suggest", "problem": {…}, "trials": […]}
    ← {"version": 1, "id": "c41d-1", "proposal": {…}}                         or "predictions", or "error"

Requests are whole in themselves: the planner keeps nothing between two of them. The pipe may be any command, also one
that relays a serial port, so a reader takes blank lines, half lines of somebody before and answers to somebody else in
its stride: it skips them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from hwtune.domain.knob import Setting, Value
from hwtune.domain.problem import Problem
from hwtune.domain.trial import Prediction, Proposal, Reason, Run, Trial, TrialStatus

VERSION: Final = 1
MAX_LINE_BYTES: Final = 8 << 20

Ask = Literal["suggest", "recommend", "predict"]


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


class Request(_Message):
    """One question; `settings` is for `predict` alone."""

    version: Literal[1] = VERSION
    id: str
    ask: Ask
    problem: Problem
    trials: tuple[TrialMessage, ...]
    settings: tuple[dict[str, Value], ...] = ()


class Answer(_Message):
    """One answer: exactly one of proposal, predictions and error is there; `id` is None when the request had none."""

    version: Literal[1] = VERSION
    id: str | None
    proposal: ProposalMessage | None = None
    predictions: tuple[Prediction, ...] | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Malformed:
    """A line that is no request, with its id where one can be read."""

    id: str | None
    why: str


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
    )


def line(message: Request | Answer) -> bytes:
    """A message as its line."""
    return message.model_dump_json(exclude_defaults=isinstance(message, Answer)).encode() + b"\n"


def parse_request(text: bytes) -> Request | Malformed:
    """A request from its line, or what is wrong with it.

    >>> parse_request(b'{"id": "a"}').why[:22]
    'ask: Field required; p'
    """
    try:
        return Request.model_validate_json(text)
    except ValidationError as error:
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
