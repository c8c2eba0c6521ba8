"""What a person sees meanwhile: lines anywhere, a bar on a terminal only, and with --json nothing."""

from __future__ import annotations

import io
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from hwtune.cli.progress import SessionProgress
from hwtune.cli.replay_progress import ReplayProgress
from hwtune.cli.sweep_progress import SweepProgress, duration
from hwtune.domain.knob import Setting
from hwtune.domain.trial import Proposal, Reason, Run, Trial, TrialStatus
from hwtune.workload.sweep_table import Row


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def stream(monkeypatch: pytest.MonkeyPatch, terminal: bool) -> io.StringIO:
    said = Terminal() if terminal else io.StringIO()
    monkeypatch.setattr(sys, "stderr", said)
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    return said


def decision(status: TrialStatus = TrialStatus.OK) -> Any:
    setting = Setting(max=2)
    runs = (Run(time_s=1.5, energy_j=20.0, censored=status is TrialStatus.CENSORED),)
    trial = Trial(setting=setting, requested=setting, runs=runs, reason=Reason.EXPLORE, status=status)
    return SimpleNamespace(trial=trial)


def session(*, spoken: bool, status: TrialStatus = TrialStatus.OK) -> None:
    with SessionProgress(evaluations=3, spoken=spoken) as progress:
        progress.proposed(1, Proposal(setting=Setting(max=2), reason=Reason.EXPLORE))
        progress.decided(1, decision(status))
        for done in range(3):
            progress.verifying(done, 8)


def replay(*, spoken: bool) -> None:
    with ReplayProgress(workloads=2, budget=4, spoken=spoken) as progress:
        progress.evaluated()
        progress.finished("sort", SimpleNamespace(decisions=[1], stopped="converged"))  # type: ignore[arg-type]


def sweep(*, spoken: bool) -> None:
    with SweepProgress(spoken=spoken) as progress:
        progress.estimated(2.0, 4)
        progress.clamped(Setting(max=3), Setting(max=2))
        for left, number in ((3, 1), (2, 1), (1, 2), (0, 2)):
            progress.measured(Row(number=number, setting=Setting(max=2), time_s=1.0, energy_j=1.0, features={}), left)


@pytest.mark.parametrize(
    ("verb", "lines"),
    [
        (
            session,
            [
                "  1 explore      1.500 s     20.000 J  max=2",
                "verifying against the default: at most 8 interleaved runs",
            ],
        ),
        (replay, ["sort: 1 evaluations, stopped: converged"]),
        (
            sweep,
            [
                "one run at the default takes 2 s: 4 runs take about 8 s, longer as far as settings are slower",
                "max=3 reads back as max=2: that is what is measured, once in a pass",
                "pass 1, 4 runs left",
                "pass 2, 2 runs left",
            ],
        ),
    ],
)
def test_without_a_terminal_there_are_lines(monkeypatch: pytest.MonkeyPatch, verb: Any, lines: list[str]) -> None:
    said = stream(monkeypatch, terminal=False)
    verb(spoken=True)
    assert said.getvalue().splitlines() == lines


@pytest.mark.parametrize(
    ("verb", "done", "unsaid"),
    [(session, "2/8", "interleaved"), (replay, "4/8", "\0"), (sweep, "4/4", "runs left")],
)
def test_a_terminal_has_a_bar(monkeypatch: pytest.MonkeyPatch, verb: Any, done: str, unsaid: str) -> None:
    said = stream(monkeypatch, terminal=True)
    verb(spoken=True)
    assert done in said.getvalue()
    assert unsaid not in said.getvalue()


@pytest.mark.parametrize("terminal", [False, True])
@pytest.mark.parametrize("verb", [session, replay, sweep])
def test_unasked_it_says_nothing(monkeypatch: pytest.MonkeyPatch, verb: Any, terminal: bool) -> None:
    said = stream(monkeypatch, terminal=terminal)
    verb(spoken=False)
    assert said.getvalue() == ""


def test_what_a_dry_run_expects_is_no_line(monkeypatch: pytest.MonkeyPatch) -> None:
    said = stream(monkeypatch, terminal=False)
    session(spoken=True, status=TrialStatus.PREDICTED)
    assert "explore" not in said.getvalue()


def test_of_what_was_stopped_the_line_says_when(monkeypatch: pytest.MonkeyPatch) -> None:
    said = stream(monkeypatch, terminal=False)
    session(spoken=True, status=TrialStatus.CENSORED)
    assert said.getvalue().splitlines()[0] == "  1 explore       stopped after 1.5 s  max=2"


@pytest.mark.parametrize(("seconds", "text"), [(8.0, "8 s"), (119.0, "119 s"), (600.0, "10 min"), (9000.0, "2.5 h")])
def test_durations_have_the_unit_that_suits_them(seconds: float, text: str) -> None:
    assert duration(seconds) == text
