"""`hwtune apply`, `restore`, `reset` and `status` for people: a line for each thing that was done, or is to be."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from hwtune.domain.knob import KnobSpace, RangeKnob
from hwtune.host.fs import HostFS
from hwtune.knobs.attributes import knob_of
from hwtune.knobs.changes import policy_of
from hwtune.knobs.journal import Journal
from hwtune.knobs.outcome import Outcome
from hwtune.knobs.policies import offline_cpus
from hwtune.knobs.restore import RestoreReport

Changes = Mapping[str, Mapping[str, str | None]]


def outcome_lines(space: KnobSpace, outcomes: Iterable[Outcome], would_write: Changes | None) -> list[str]:
    """What became of every knob; of a dry run what would be written (path → text `now` and `wanted`)."""
    if would_write is not None:
        lines = [
            f"would write {path}: {change['now']} → {change['wanted']}"
            for path, change in would_write.items()
            if change["now"] != change["wanted"]
        ]
        return lines or ["nothing would change"]
    return [_outcome_line(space, outcome) for outcome in outcomes] or ["nothing to change"]


def _outcome_line(space: KnobSpace, outcome: Outcome) -> str:
    unit = _unit(space, outcome.knob)
    if outcome.result == "already":
        return f"{outcome.knob} = {outcome.effective}{unit} already"
    return f"{outcome}{unit}" if outcome.result in {"applied", "clamped"} else str(outcome)


def left_out_lines(cpus: Sequence[int]) -> list[str]:
    """The CPUs that nothing set now reaches."""
    if not cpus:
        return []
    which = f"CPUs {', '.join(map(str, cpus))} are" if len(cpus) > 1 else f"CPU {cpus[0]} is"
    return [f"{which} offline and left out: apply it again once back online"]


def knob_line(space: KnobSpace, name: str, value: object) -> str:
    """A knob and what it is."""
    return f"{name} = {value}{_unit(space, name)}"


def _unit(space: KnobSpace, name: str) -> str:
    """The unit behind a value; one policy's own knob has that of its cluster."""
    known = {knob.name: knob for knob in space.knobs}
    knob = known.get(name) or known.get(name.partition(".")[2])
    return f" {knob.unit}" if isinstance(knob, RangeKnob) and knob.unit else ""


def restore_lines(files: HostFS, report: RestoreReport | None) -> list[str]:
    """What was put back, and what was not, and why."""
    if report is None:
        return ["nothing to restore"]
    lines = [f"{knob_of(path)} put back" for path in report.restored]
    lines += [f"{knob_of(path)} = {text} left: set by somebody else since" for path, text in report.foreign.items()]
    lines += [f"{knob_of(path)} waits: {_why_away(files, path)}" for path in report.offline]
    return lines or ["everything is as it was found"]


def _why_away(files: HostFS, path: str) -> str:
    """Why an attribute that is ours is not there: a policy is named after a CPU of its own, and goes with the last."""
    number = re.search(r"\d+", policy_of(path) or "")
    if number is not None and int(number[0]) in offline_cpus(files):
        return "its CPUs are offline"
    return "it is not there, as when its driver was removed"


def still_lines(still: Iterable[str]) -> list[str]:
    """What a reset has left as hwtune has set it."""
    return [f"{knob_of(path)} is as hwtune has set it; `hwtune restore` puts it back once it can" for path in still]


def journal_lines(journal: Journal | None, alive: bool, changed: Iterable[Mapping[str, str | None]]) -> list[str]:
    """Who has changed what (`attribute`, `now`, `original`), and who will put it back."""
    if journal is None:
        return ["nothing was changed by hwtune since the boot"]
    who = f"hwtune {journal.verb} (pid {journal.owner.pid})"
    if journal.state == "kept":
        head = f"kept by {who}; `hwtune restore` puts back:"
    elif alive:
        head = f"being changed by {who}, which will put back:"
    else:
        head = f"left behind by {who}; `hwtune restore` puts back:"
    return [head, *(f"  {change['attribute']}: {change['now']} → {change['original']}" for change in changed)]
