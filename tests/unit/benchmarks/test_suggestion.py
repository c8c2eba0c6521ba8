"""The data of `benchmarks/suggestion.py`, and that the planner is really asked."""

from __future__ import annotations

from dataclasses import replace

import pytest
from suggestion import ask_hwtune, made_up

from hwtune.domain.objective import Objective


def test_trials_begin_with_the_default_and_are_other_settings_in_every_repeat() -> None:
    (problem, trials), (_, again), (_, others) = (made_up(20, Objective.ENERGY, seed) for seed in (0, 0, 1))
    assert trials == again != others
    assert trials[0].setting == problem.space.default
    assert len({trial.setting for trial in trials}) == 20
    assert all(problem.space.legal(trial.setting) for trial in trials)
    assert problem.bound.max_slowdown == 0.05
    assert made_up(2, Objective.EDP, 0)[0].bound.max_slowdown is None


def test_the_planner_answers_and_its_refusal_is_no_answer() -> None:
    problem, trials = made_up(3, Objective.EDP, 0)
    assert ask_hwtune(problem, trials) in {"ok", "converged", "distrusted"}
    with pytest.raises(RuntimeError, match="without a run"):
        ask_hwtune(problem, [replace(trials[0], runs=())])
