"""Replaying with a planner that follows a rule instead of a model: order, donors, failures."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from math import log
from pathlib import Path

import pytest

from hwtune.cli import replay_run
from hwtune.cli.replay_json import document
from hwtune.cli.replay_machine import RowKnobs, RowWork
from hwtune.cli.replay_progress import ReplayProgress
from hwtune.cli.replay_run import Replayed, ReplayWish, replay_all
from hwtune.cli.replay_text import share_of_headroom
from hwtune.domain.errors import PlannerError
from hwtune.domain.knob import Setting
from hwtune.domain.objective import Objective
from hwtune.domain.trial import Reason, TrialStatus
from hwtune.host.fs import LinuxFS
from hwtune.knobs.transaction import Transaction
from hwtune.sim.table import MeasuredTable, parse_table
from hwtune.sim.table_sidecar import parse_sidecar

# Takes the rows in the table's order, recommends the fastest it has seen, and says how many donors it was told of.
RULE = """
import json, statistics, sys
for text in sys.stdin:
    if not text.strip():
        continue
    request = json.loads(text)
    problem, trials = request["problem"], request["trials"]
    donors = [[donor["label"], len(donor["trials"]), donor["trials"][0]["context"]] for donor in problem["donors"]]
    tried = [trial["setting"] for trial in trials]
    left = [row for row in problem["space"]["allowed"] if row not in tried]
    best = min(trials, key=lambda trial: statistics.median(run["time_s"] for run in trial["runs"]))["setting"]
    answer = {"setting": left[0] if left else best, "status": "ok" if left else "exhausted"}
    if request["ask"] == "recommend":
        answer = {"setting": best, "status": "ok"}
    print(json.dumps({"version": 1, "id": request["id"], %s "proposal": {
        **answer, "reason": "explore", "predicted": None, "probability_feasible": None, "score": problem["seed"] + 0.5,
        "importance": {label: count for label, count, _ in donors}}}), flush=True)
"""

SIDECAR = """\
[table]
workload = "w"
time_s = "s"
energy_j = "j"
features = ["ipc"]
[knobs.cap]
role = "power_cap"
"""


def command(extra: str = "") -> list[str]:
    return [sys.executable, "-u", "-c", RULE % extra]


@pytest.fixture
def table() -> MeasuredTable:
    """Five workloads of twelve settings; every second one has two repetitions. The higher the cap, the faster."""
    lines = [
        f"{name},{cap},{14 - cap + repetition / 2},{cap},{number + repetition}"
        for number, name in enumerate("abcde")
        for cap in range(1, 13)
        for repetition in range(number % 2 + 1)
    ]
    return parse_table("\n".join(["w,cap,s,j,ipc", *lines]), parse_sidecar(SIDECAR), name="t")


def wish(**more: object) -> ReplayWish:
    plain = {"objective": Objective.TIME, "max_slowdown": None, "max_risk": 0.05, "budget": 4, "seed": 7, "jobs": 2}
    return ReplayWish(**{**plain, "warm": False, **more})  # type: ignore[arg-type]


def run(table: MeasuredTable, wish: ReplayWish, extra: str = "") -> list[Replayed]:
    with ReplayProgress(workloads=len(table.workloads), budget=wish.budget, spoken=False) as progress:
        return replay_all(table, table.workloads, wish, command=command(extra), timeout_s=30.0, progress=progress)


@pytest.mark.parametrize("jobs", [1, 3, 9])
def test_every_workload_is_replayed_in_the_tables_order(table: MeasuredTable, jobs: int) -> None:
    found = run(table, wish(jobs=jobs))
    assert [each.workload.name for each in found] == list("abcde")
    for each in found:
        assert [decision.trial.setting for decision in each.session.decisions] == [
            Setting(cap=cap) for cap in (12, 1, 2, 3)
        ]
        assert each.session.decisions[0].proposal.reason is Reason.DEFAULT
        assert {decision.recommended.setting for decision in each.session.decisions} == {Setting(cap=12)}
        assert each.session.decisions[1].proposal.score == 7.5
        assert each.session.stopped == "budget"


def test_every_repetition_is_a_run_with_its_features(table: MeasuredTable) -> None:
    trial = run(table, wish(budget=1))[1].session.decisions[0].trial
    assert [(each.time_s, each.energy_j, each.features) for each in trial.runs] == [
        (2.0, 12.0, {"ipc": 1.0}),
        (2.5, 12.0, {"ipc": 2.0}),
    ]
    assert trial.context == {"ipc": 1.5}


def test_it_ends_when_every_row_has_been_measured(table: MeasuredTable) -> None:
    found = run(table, wish(budget=20))
    assert [len(each.session.decisions) for each in found] == [12] * 5
    assert {each.session.stopped for each in found} == {"exhausted"}


def test_warm_the_other_workloads_of_the_table_are_known(table: MeasuredTable) -> None:
    cold, warm = run(table, wish(budget=2)), run(table, wish(budget=2, warm=True))
    assert [each.session.decisions[1].proposal.importance for each in cold] == [{}] * 5
    assert [each.session.decisions[1].proposal.importance for each in warm] == [
        {other: 12 for other in "abcde" if other != name} for name in "abcde"
    ]


def test_a_planner_that_fails_ends_everything_and_is_named(
    table: MeasuredTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay_run, "memory", lambda: str(tmp_path))
    dying = "**(sys.exit('out of luck') if len(trials) > 1 else {}),"
    with pytest.raises(PlannerError, match=r"^a: the planner died") as caught:
        run(table, wish(jobs=1), dying)
    assert "out of luck" in (caught.value.hint or "")
    assert os.listdir(tmp_path) == []


def test_the_rows_machine_is_put_back_and_knows_no_other_setting(table: MeasuredTable, tmp_path: Path) -> None:
    workload = table.workloads[0]
    knobs = RowKnobs(workload.space)
    work = RowWork(workload, knobs)
    with Transaction(knobs, run_dir=tmp_path, verb="replay", files=LinuxFS(tmp_path)) as transaction:
        applied = transaction.apply(Setting(cap=3))
        assert applied.effective == Setting(cap=3)
        assert [outcome.result for outcome in applied.outcomes] == ["applied"]
        assert work.measure(2) == 2 * (work.warm_up(),) == 2 * workload.runs[Setting(cap=3)]
        assert transaction.apply(Setting(cap=3)).outcomes[0].result == "already"
    assert knobs.effective() == workload.space.default
    assert not (tmp_path / "journal.json").exists()


def test_a_row_that_is_too_slow_is_stopped_and_the_last(table: MeasuredTable) -> None:
    """At a cap of 3 a run takes 11 s and 3 J, and in every second workload another one 11.5 s."""
    for number, (give_up_s, times) in enumerate([(8.0, [8.0]), (11.25, [11.0, 11.25]), (11.5, [11.0, 11.5])]):
        workload = table.workloads[1]
        knobs = RowKnobs(workload.space)
        knobs.write("cap", "3")
        runs = RowWork(workload, knobs).measure(3, give_up_s)
        assert [run.time_s for run in runs] == times, number
        assert [run.censored for run in runs] == [False] * (len(runs) - 1) + [give_up_s < 11.5]
        full_s = 11.0 if len(runs) == 1 else 11.5
        assert runs[-1].energy_j == pytest.approx(3.0 * times[-1] / full_s)
    single = table.workloads[0]
    knobs = RowKnobs(single.space)
    knobs.write("cap", "3")
    assert len(RowWork(single, knobs).measure(3, 8.0)) == 1
    assert len(RowWork(single, knobs).measure(3, 11.0)) == 3


def test_probes_are_stopped_where_that_is_allowed(table: MeasuredTable) -> None:
    """The default takes 2 s: at 20 % slowdown a probe is given up after 4 s."""
    slow = wish(objective=Objective.ENERGY, max_slowdown=0.2)
    for asked, censored in ((slow, False), (replace(slow, abandon=True), True)):
        for each in run(table, asked):
            default, *probes = [decision.trial for decision in each.session.decisions]
            assert default.status is TrialStatus.OK
            assert {trial.status is TrialStatus.CENSORED for trial in probes} == {censored}
            printed = document(table, asked, [each], []).workloads[0].evaluated
            entries = [json.loads(entry.model_dump_json(exclude_unset=True)) for entry in printed]
            assert [entry.get("censored") for entry in entries] == [None, *[True if censored else None] * 3]
            if censored:
                assert [entry["measured"]["time_s"] for entry in entries[1:]] == pytest.approx([2 * default.time_s] * 3)


@pytest.mark.parametrize(
    ("objective", "max_slowdown", "cap", "share"),
    [
        (Objective.TIME, None, 12, None),  # the default is the fastest
        (Objective.ENERGY, None, 12, 0.0),
        (Objective.ENERGY, None, 1, 1.0),
        (Objective.ENERGY, 0.5, 11, 1.0),  # 3 s for 2 s
        (Objective.ENERGY, 0.5, 10, 0.0),  # breaks the bound
        (Objective.EDP, None, 11, pytest.approx(log(24 / 33) / log(24 / 13))),  # in J·s, and 13 at best
    ],
)
def test_the_share_of_what_the_table_offers(
    table: MeasuredTable, objective: Objective, max_slowdown: float | None, cap: int, share: float | None
) -> None:
    asked = wish(objective=objective, max_slowdown=max_slowdown)
    assert share_of_headroom(table.workloads[0], asked, Setting(cap=cap)) == share
