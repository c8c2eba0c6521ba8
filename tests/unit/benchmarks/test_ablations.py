"""hwtune's learning with parts taken out: each lacks its part and nothing else, and priors have not seen the answer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from made_tables import Row, write_table
from peers import ours
from peers.ablations import Ablated, LearnedAlone, no_physics, no_prior, no_residual, no_safety
from peers.ensemble import STARTS, Ensemble, best_measured, neural
from peers.held_out import prior_for
from peers.scoring import unsafe_share
from peers.sessions import InProcess, Variant, played
from peers.tasks import Task, read_tables, tasks_of

from hwtune.domain.objective import Bound, Objective
from hwtune.domain.problem import Problem
from hwtune.domain.trial import Trial
from hwtune.model.features import signature
from hwtune.model.learned import Component, fitting
from hwtune.sim.table import MeasuredWorkload
from hwtune.tuner.propose import suggest
from hwtune.tuner.study import Study


def rows(name: str, memory: float, power_w: float = 10.0, bump: float = 0.0) -> list[Row]:
    found = []
    for step, mhz in enumerate(range(1000, 3001, 200)):
        time_s = ((1 - memory) * 30_000 / mhz + 10 * memory) * math.exp(bump * (step % 2))
        found.append((name, float(mhz), time_s, time_s * (power_w + 40 * (mhz / 3000) ** 3)))
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_table(tmp_path / "near.csv", [*rows("stream", 0.9), *rows("sort", 0.6), *rows("fft", 0.3)])
    write_table(tmp_path / "far.csv", [*rows("stream", 0.8, 30.0), *rows("zip", 0.2, 30.0)])
    return tmp_path


def priors(folder: Path, workload: str = "sort") -> tuple[tuple[Component, ...], tuple[Component, ...]]:
    known, new = (
        prior_for(machine, folder / "near.csv", workload, [folder / "far.csv"]) for machine in ("known", "new")
    )
    assert known is not None and new is not None
    return known, new


def task_in(folder: Path) -> Task:
    table = next(table for _, table in read_tables(folder) if table.name == "near")
    return next(each for each in tasks_of(table, Objective.ENERGY) if each.workload == "sort")


def workload_in(folder: Path, name: str = "sort") -> MeasuredWorkload:
    table = next(table for _, table in read_tables(folder) if table.name == "near")
    return next(each for each in table.workloads if each.name == name)


def problem_of(workload: MeasuredWorkload, slowdown: float | None = 0.05) -> Problem:
    return Problem(space=workload.space, objective=Objective.ENERGY, bound=Bound(max_slowdown=slowdown))


def trials_of(workload: MeasuredWorkload, *clocks: int) -> list[Trial]:
    by_clock = {int(setting["mhz"]): setting for setting in workload.runs}
    return [
        Trial(setting=by_clock[mhz], requested=by_clock[mhz], runs=workload.runs[by_clock[mhz]] * 3) for mhz in clocks
    ]


def alike(one: Sequence[Component], other: Sequence[Component]) -> bool:
    return [each.label for each in one] == [each.label for each in other] and all(
        torch.equal(a.mean, b.mean) and torch.equal(a.covariance, b.covariance) for a, b in zip(one, other, strict=True)
    )


def test_a_prior_has_not_seen_what_it_is_asked_about(folder: Path, tmp_path: Path) -> None:
    known, new = priors(folder)
    changed = {"own": ("sort", 0.1), "other": ("fft", 0.1), "far": ("zip", 0.7)}
    moved = {}
    for what, (name, memory) in changed.items():
        copy = tmp_path / what
        copy.mkdir()
        near = {"stream": 0.9, "sort": 0.6, "fft": 0.3, **({name: memory} if what != "far" else {})}
        far = {"stream": 0.8, "zip": memory if what == "far" else 0.2}
        write_table(copy / "near.csv", [row for each in near.items() for row in rows(*each)])
        write_table(copy / "far.csv", [row for each in far.items() for row in rows(*each, 30.0)])
        moved[what] = tuple(not alike(*pair) for pair in zip((known, new), priors(copy), strict=True))
    assert moved == {"own": (False, False), "other": (True, False), "far": (True, True)}


def test_a_workload_alone_in_its_table_has_no_known_machine(folder: Path) -> None:
    write_table(folder / "alone.csv", rows("sort", 0.5))
    assert prior_for("known", folder / "alone.csv", "sort", [folder / "far.csv"]) is None
    assert prior_for("new", folder / "alone.csv", "sort", [folder / "far.csv"])


def test_the_full_model_does_what_hwtune_replay_does(folder: Path, tmp_path: Path) -> None:
    ours.learn_prior([folder / "far.csv"], tmp_path)
    task = task_in(folder)
    entry = ours.replayed(
        folder / "near.csv",
        ["sort"],
        objective=task.objective,
        budget=3,
        seed=1,
        warm=False,
        jobs=1,
        state=tmp_path,
    )["sort"]
    run = played(task, workload_in(folder), Variant(study=Study), priors(folder)[1], budget=3, seed=1)
    assert run.trace == ours.trace_of(task, entry, ["mhz"])
    assert len(run.trace.rows) > 2 and run.trace.held
    assert (run.ended, run.refused) == (entry["stopped"], False)


def test_without_physics_the_learned_components_speak_alone(folder: Path) -> None:
    workload, (known, _) = workload_in(folder), priors(folder)
    trials = trials_of(workload, 3000, 2000)
    study, whole = no_physics(problem_of(workload), trials, known), Study(problem_of(workload), trials, known)
    assert isinstance(study.posterior, LearnedAlone)
    assert study.posterior.weights["physics"] == 0.0
    assert sum(study.posterior.weights.values()) == pytest.approx(1.0)
    assert set(study.posterior.weights) <= {"physics", "by role", *(each.label for each in known)}
    # Nothing moves with the physics' constants.
    physics = whole.posterior.physics
    moved = LearnedAlone(
        type(physics)(physics.surrogate, physics.seen, physics.theta + 1.0, physics.hyper),
        fitting(known, signature(workload.space) or ()),
    )
    x = study.encoding.encode(list(workload.runs))
    assert torch.equal(study.posterior.predict(x)[0], moved.predict(x)[0])
    assert not torch.allclose(study.posterior.predict(x)[0], physics.predict(x)[0], atol=1e-4)


def test_without_physics_and_with_nothing_that_fits_knobs_have_no_meaning(folder: Path) -> None:
    workload = workload_in(folder)
    study = no_physics(problem_of(workload), trials_of(workload, 3000, 2000), ())
    assert [knob.role for knob in study.problem.space.knobs] == ["other"]
    assert suggest(study).setting in workload.runs


def test_without_a_prior_only_the_physics_is_asked(folder: Path) -> None:
    workload = workload_in(folder)
    study = no_prior(problem_of(workload), trials_of(workload, 3000, 2000), priors(folder)[0])
    assert study.posterior.weights == {"physics": 1.0}


def test_without_a_residual_nothing_but_the_form_is_learned(tmp_path: Path) -> None:
    # Every other clock is 20 % slower, which neither physics nor features can say.
    write_table(tmp_path / "near.csv", [*rows("stream", 0.9), *rows("sort", 0.6, bump=0.2)])
    write_table(tmp_path / "far.csv", [*rows("stream", 0.8, 30.0), *rows("zip", 0.2, 30.0)])
    workload, (known, _) = workload_in(tmp_path), priors(tmp_path)
    trials = trials_of(workload, 3000, 2800, 2600, 2400, 2200, 2000, 1800, 1600)
    missed = {}
    for name, study in {
        "full": Study(problem_of(workload), trials, known),
        "rigid": no_residual(problem_of(workload), trials, known),
    }.items():
        seen = study.posterior.seen
        mean, _ = study.posterior.predict(seen.x)
        missed[name] = (mean - seen.y)[:, 0].abs().max().item()
    assert missed["full"] < 0.03
    assert missed["rigid"] > 0.08


def test_without_safety_probes_go_beyond_the_limits_and_answers_do_not(folder: Path) -> None:
    workload, (known, _) = workload_in(folder), priors(folder)
    task = task_in(folder)
    full = played(task, workload, Variant(study=Study), known, budget=5, seed=0)
    bold = played(task, workload, Variant(study=no_safety), known, budget=5, seed=0)
    assert (full.ended, bold.ended) == ("converged", "budget")
    unsafe = [unsafe_share(task, each.trace.rows) for each in (full, bold)]
    assert unsafe[0] == 0.0 and unsafe[1] is not None and unsafe[1] > 0.0
    assert all(task.feasible[row] for row in bold.trace.recommended)


def test_without_safety_the_search_ends_when_nothing_is_promising(folder: Path) -> None:
    workload, (known, _) = workload_in(folder), priors(folder)
    trials = trials_of(workload, 3000, 2600, 2200)
    problem = problem_of(workload)
    score = suggest(no_safety(problem, trials, known)).score
    assert score is not None
    for least, status in ((score - 1e-6, "ok"), (score + 1e-6, "converged")):
        assert InProcess(Variant(study=no_safety, least=least), known).suggest(problem, trials).status == status


def test_the_gate_is_asked_of_an_ablation_and_not_obeyed(folder: Path) -> None:
    workload = workload_in(folder)
    trials = trials_of(workload, 3000, 2600, 2200, 1800, 1400, 1000)
    turned = [
        replace(
            trial,
            runs=tuple(replace(run, energy_j=run.time_s**2 * 1000.0 / (run.energy_j or 1.0)) for run in trial.runs),
        )
        for trial in trials
    ]
    problem = problem_of(workload)
    assert not Study(problem, turned).liveness.alive
    study = Ablated(problem, turned)
    assert study.liveness.alive and study.refused
    healthy = Ablated(problem, trials)
    assert healthy.liveness.alive and not healthy.refused
    planner = InProcess(Variant(study=no_prior), ())
    assert planner.recommend(problem, turned).status == "ok"
    assert planner.refused


def test_an_ensemble_learns_what_was_measured_and_doubts_what_was_not(folder: Path) -> None:
    workload = workload_in(folder)
    trials = trials_of(workload, 3000, 2800, 2600, 2400, 2200)
    study = neural(problem_of(workload), trials, ())
    assert isinstance(study.posterior, Ensemble)
    mean, covariance = study.posterior.predict(study.posterior.seen.x)
    assert (mean - study.posterior.seen.y).abs().max() < 0.03
    assert mean[0].abs().max() < 1e-12 and covariance[0].abs().max() < 1e-24  # the default, with itself
    far = study.encoding.encode([{"mhz": 1000}])
    assert study.posterior.predict(far)[1][0, 0, 0] > 4.0 * covariance[:, 0, 0].max()
    compared, none = study.posterior.predict(far, against=far[0])
    assert compared.abs().max() < 1e-12 and none.abs().max() < 1e-24
    again = neural(problem_of(workload), trials, ())
    assert torch.equal(again.posterior.predict(far)[0], study.posterior.predict(far)[0])
    other = neural(replace(problem_of(workload), seed=1), trials, ())
    assert not torch.equal(other.posterior.predict(far)[0], study.posterior.predict(far)[0])


def test_an_ensemble_without_power_figures_still_learns_time(folder: Path) -> None:
    workload = workload_in(folder)
    trials = [
        replace(trial, runs=tuple(replace(run, energy_j=None) for run in trial.runs))
        for trial in trials_of(workload, 3000, 2600, 2200, 1800)
    ]
    study = neural(replace(problem_of(workload), objective=Objective.TIME), trials, ())
    mean, _ = study.posterior.predict(study.posterior.seen.x)
    assert torch.isfinite(mean).all()
    assert (mean - study.posterior.seen.y)[:, 0].abs().max() < 0.03


def test_an_ensemble_begins_with_settings_drawn_at_random(folder: Path) -> None:
    workload = workload_in(folder)
    task = task_in(folder)
    traces = []
    for seed in (0, 0, 1):
        traces.append(
            played(task, workload, Variant(study=neural, starts=STARTS), (), budget=STARTS + 1, seed=seed).trace
        )
    assert traces[0] == traces[1]
    assert traces[0].rows[:STARTS] != traces[2].rows[:STARTS]
    for trace in traces:
        assert trace.rows[0] == task.default
        assert len(set(trace.rows[:STARTS])) == STARTS
        assert len(trace.held) == 2 * (len(trace.rows) - STARTS)  # nothing is foretold of what is drawn
        assert all(task.feasible[row] for row in trace.recommended[: STARTS - 1])


def test_what_is_drawn_is_kept_only_within_the_bound(folder: Path) -> None:
    workload = workload_in(folder, "fft")
    trials = trials_of(workload, 3000, 1000, 1200)
    assert best_measured(problem_of(workload), trials).setting == trials[0].setting
    free = problem_of(workload, None)
    assert best_measured(free, trials).setting == min(trials, key=lambda trial: trial.energy_j or 0.0).setting
