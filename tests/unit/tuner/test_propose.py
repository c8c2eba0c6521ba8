from __future__ import annotations

import dataclasses
import math
import random

import pytest
from tuner_values import CAPS, GOVERNOR, LAPTOP, LEVELS, MAX, every, managed, measured, trials_of

from hwtune.domain.knob import ChoiceKnob, KnobSpace, RangeKnob, Setting
from hwtune.domain.objective import Bound, Objective
from hwtune.domain.problem import Problem
from hwtune.domain.trial import Reason, Run, Trial, TrialStatus
from hwtune.tuner.liveness import Liveness
from hwtune.tuner.propose import recommend, suggest
from hwtune.tuner.safety import TOLERABLE
from hwtune.tuner.study import Study

EDP = Problem(space=LAPTOP, objective=Objective.EDP)
PROBES = [LAPTOP.default, LAPTOP.default | {"max": 2_400_000}, LAPTOP.default | {"epp": "power"}]

ANY_ROLE = (
    RangeKnob(name="mem", role="memory_frequency", unit="MHz", low=400, high=900, default=900, levels=(400, 650, 900)),
    RangeKnob(name="threads", role="active_cpus", unit="1", low=1, high=8, default=8),
    RangeKnob(name="cap_w", role="power_cap", unit="W", low=5, high=45, default=45, step=5),
    RangeKnob(name="tunable", role="other", unit="%", low=0, high=100, default=80, step=5),
    RangeKnob(name="epp", role="epp", unit="", low=0, high=255, default=128),
    ChoiceKnob(name="mode", role="other", choices=("a", "b", "c"), default="b"),
    ChoiceKnob(name="boost", role="boost", choices=("0", "1"), default="1"),
    GOVERNOR,
)


def flat(setting: object) -> tuple[float, float]:
    return 10.0, 100.0


def test_the_default_comes_first() -> None:
    proposal = suggest(Study(EDP, trials_of(PROBES[1:], managed)))
    assert proposal.setting == LAPTOP.default and proposal.reason is Reason.DEFAULT


def test_a_suggestion_is_legal_new_and_predicted() -> None:
    proposal = suggest(Study(EDP, trials_of(PROBES, managed)))
    assert LAPTOP.legal(proposal.setting) and LAPTOP.canonical(proposal.setting) == proposal.setting
    assert proposal.setting not in PROBES
    assert proposal.predicted is not None and proposal.predicted.energy_j is not None
    assert proposal.predicted.time_s.sd_log > 0.0
    assert set(proposal.importance) == set(LAPTOP.names)
    assert all(value >= 0.0 for value in proposal.importance.values())
    assert proposal.score is not None and proposal.status == "ok"


def test_the_same_trials_give_the_same_answer_bit_for_bit() -> None:
    trials = trials_of(PROBES, managed)
    assert suggest(Study(EDP, trials)) == suggest(Study(EDP, trials))
    assert recommend(Study(EDP, trials)) == recommend(Study(EDP, trials))
    assert Study(EDP, trials).predict(PROBES) == Study(EDP, trials).predict(PROBES)


def test_nothing_is_proposed_twice_until_everything_is_measured() -> None:
    space = KnobSpace(knobs=(dataclasses.replace(MAX, levels=LEVELS[::7]), GOVERNOR))
    problem = Problem(space=space, objective=Objective.EDP)
    trials = trials_of([space.default], flat)
    settings = set(every(space))
    for _ in range(len(settings) - 1):
        proposal = suggest(Study(problem, trials))
        assert proposal.status == "ok"
        assert proposal.setting not in [trial.setting for trial in trials]
        trials += trials_of([proposal.setting], flat)
    assert {trial.setting for trial in trials} == settings
    assert suggest(Study(problem, trials)).status == "exhausted"


@pytest.mark.parametrize("bound", [Bound(), Bound(max_slowdown=0.05)])
def test_what_never_ran_to_its_end_is_not_kept_however_little_it_drew(bound: Bound) -> None:
    """At the lowest clock the work drew next to nothing until it was stopped; its neighbours are offered."""
    low = CAPS.default | {"max": LEVELS[0]}
    stopped = Trial(
        setting=low,
        requested=low,
        runs=(Run(time_s=10.2, energy_j=1.0, censored=True),),
        status=TrialStatus.CENSORED,
    )
    trials = [*trials_of([CAPS.default, CAPS.default | {"max": LEVELS[-2]}], flat), stopped]
    study = Study(Problem(space=CAPS, objective=Objective.ENERGY, bound=bound), trials)
    assert recommend(study).setting != low
    assert suggest(study).setting != low
    whole = Trial(setting=low, requested=low, runs=(Run(time_s=10.2, energy_j=1.0),))
    assert recommend(Study(study.problem, [*trials, whole, whole])).setting == low


def test_what_broke_a_bound_that_no_model_predicts_is_learned_from_and_not_kept() -> None:
    """The same figures are best of all, twice, but for its latency; where it was kept once, one breach ends that."""
    low = CAPS.default | {"max": LEVELS[0]}
    good = trials_of([CAPS.default, low, low], lambda setting: (10.0, 20.0 if setting == low else 100.0))
    problem = Problem(space=CAPS, objective=Objective.ENERGY)
    assert recommend(Study(problem, good)).setting == low
    broke = dataclasses.replace(good[2], status=TrialStatus.INFEASIBLE)
    study = Study(problem, [*good[:2], broke])
    assert recommend(study).setting != low
    assert suggest(study).setting != low
    learned = study.predict([low])[0].energy_j
    assert learned is not None and math.exp(learned.mean_log) == pytest.approx(20.0, rel=0.1)


def test_where_the_model_may_not_act_what_was_measured_to_be_better_is_kept_and_nothing_else_tried() -> None:
    class Dead(Study):
        liveness = Liveness(alive=False, why="it stands still")  # type: ignore[assignment]

    low = CAPS.default | {"max": 2_400_000}
    trials = trials_of([CAPS.default, low], lambda setting: (10.0, 80.0 if setting == low else 100.0))
    study = Dead(Problem(space=CAPS, objective=Objective.EDP), trials)
    kept, asked = recommend(study), suggest(study)
    assert (kept.setting, kept.status, kept.why) == (low, "distrusted", "it stands still")
    assert (asked.setting, asked.status) == (CAPS.default, "distrusted")
    assert recommend(Dead(study.problem, trials[:1])).setting == CAPS.default


def test_a_winner_that_noise_could_have_made_is_measured_again_before_the_search_ends() -> None:
    """Two settings: one 6 % better in its only trial, whose runs scatter by 2 %; then measured twice; then by 36 %."""
    space = KnobSpace(knobs=(dataclasses.replace(MAX, levels=(2_800_000, LEVELS[-1]), low=2_800_000),))
    problem = Problem(space=space, objective=Objective.EDP)
    low = space.default | {"max": 2_800_000}

    def runs(scale: float) -> tuple[Run, ...]:
        return tuple(Run(time_s=10.0 * scale * off, energy_j=100.0 * scale) for off in (0.98, 1.0, 1.02))

    def trial(setting: Setting, scale: float) -> Trial:
        return Trial(setting=setting, requested=setting, runs=runs(scale))

    close = [trial(space.default, 1.0), trial(low, 0.97)]
    proposal = suggest(Study(problem, close))
    assert (proposal.setting, proposal.reason, proposal.status) == (low, Reason.VERIFY, "ok")
    assert suggest(Study(problem, [*close, trial(low, 0.97)])).status == "exhausted"
    assert suggest(Study(problem, [close[0], trial(low, 0.8)])).status == "exhausted"


def test_what_the_kernel_made_of_a_request_is_not_asked_for_again() -> None:
    trials = trials_of([CAPS.default], managed_caps := lambda setting: managed({"memory": 0, **setting}))
    problem = Problem(space=CAPS, objective=Objective.EDP)
    for _ in range(4):
        asked = suggest(Study(problem, trials)).setting
        assert asked not in [trial.requested for trial in trials]
        kept = Setting(max=max(int(asked["max"]), 2_400_000))  # firmware refuses to go lower
        trials.append(dataclasses.replace(measured(kept, managed_caps, random.Random(1)), requested=asked))


def test_a_slowdown_bound_holds_for_probes_and_answer() -> None:
    problem = Problem(space=LAPTOP, objective=Objective.ENERGY, bound=Bound(max_slowdown=0.1))
    trials, limit = trials_of([LAPTOP.default], managed), managed(LAPTOP.default)[0]
    slow = 0
    for seed in range(6):
        proposal = suggest(Study(problem, trials))
        if proposal.status != "ok":
            break
        slow += managed(proposal.setting)[0] > (1.0 + 0.1 * TOLERABLE) * limit
        trials += trials_of([proposal.setting], managed, seed=seed)
    assert slow <= 1 and len(trials) > 3
    answer = recommend(Study(problem, trials)).setting
    assert managed(answer)[0] <= 1.1 * limit
    assert managed(answer)[1] < managed(LAPTOP.default)[1]


def test_the_search_converges_when_everything_else_breaks_the_bound() -> None:
    problem = Problem(space=CAPS, objective=Objective.ENERGY, bound=Bound(max_slowdown=0.01))

    def inverse(setting: object) -> tuple[float, float]:
        ghz = int(setting["max"]) / 1e6  # type: ignore[index]
        return 36.0 / ghz, 36.0 / ghz * (5.0 + ghz**3)

    trials = trials_of([CAPS.default, *(Setting(max=level) for level in LEVELS[-4:-1])], inverse)
    proposal = suggest(Study(problem, trials))
    assert proposal.status == "converged" and proposal.setting == CAPS.default


def test_a_power_bound_holds_for_the_answer() -> None:
    problem = Problem(space=LAPTOP, objective=Objective.TIME, bound=Bound(max_power_w=9.0))
    trials = trials_of([LAPTOP.default, *(LAPTOP.default | {"max": level} for level in LEVELS[2::3])], managed)
    time_s, energy_j = managed(recommend(Study(problem, trials)).setting)
    assert energy_j / time_s <= 9.3


def test_the_default_is_kept_where_nothing_is_better() -> None:
    rng = random.Random(3)
    trials = [measured(LAPTOP.default, flat, rng, 0.01)]
    for _ in range(6):
        trials.append(measured(suggest(Study(EDP, trials)).setting, flat, rng, 0.01))
    answer = recommend(Study(EDP, trials))
    assert answer.setting == LAPTOP.default and answer.reason is Reason.DEFAULT


def test_the_lucky_run_is_not_what_is_kept() -> None:
    """Two neighbours alike in truth; one of them had a lucky single run."""
    settings = [CAPS.default, *(Setting(max=level) for level in LEVELS[5:12])]
    trials = [measured(setting, managed, random.Random(0)) for setting in settings]
    lucky = Setting(max=LEVELS[3])
    time_s, energy_j = managed(lucky)
    trials.append(Trial(setting=lucky, requested=lucky, runs=(Run(time_s=0.9 * time_s, energy_j=0.9 * energy_j),)))
    answer = recommend(Study(Problem(space=CAPS, objective=Objective.EDP), trials)).setting
    edp = {level: math.prod(managed({"max": level})) for level in LEVELS}
    assert edp[int(answer["max"])] <= 1.03 * min(edp.values())


def test_without_trials_the_prior_proposes_and_figures_are_relative() -> None:
    proposal = suggest(Study(EDP, []))
    assert proposal.setting != LAPTOP.default
    default, low = Study(EDP, []).predict([LAPTOP.default, LAPTOP.default | {"max": LEVELS[3]}])
    assert default.time_s.mean_log == pytest.approx(0.0) and low.time_s.mean_log > 0.2
    assert low.energy_j is not None and low.time_s.sd_log > 0.05
    assert recommend(Study(EDP, [])).setting == LAPTOP.default


def test_predicted_trials_teach_nothing() -> None:
    trials = trials_of(PROBES[:1], managed)
    fake = [dataclasses.replace(t, status=TrialStatus.PREDICTED) for t in trials_of(PROBES[1:], flat)]
    assert Study(EDP, [*trials, *fake]).predict(PROBES) == Study(EDP, trials).predict(PROBES)


def test_time_can_be_tuned_without_energy() -> None:
    space = LAPTOP.subset(("governor", "epp"))
    problem = Problem(space=space, objective=Objective.TIME)

    def timed(setting: Setting) -> Trial:
        time_s, _ = managed(LAPTOP.default | setting)
        return Trial(setting=setting, requested=setting, runs=(Run(time_s=time_s, energy_j=None),))

    trials = [timed(space.default)]
    while (proposal := suggest(Study(problem, trials))).status == "ok" and len(trials) < 5:
        assert proposal.predicted is not None and proposal.predicted.energy_j is None
        trials.append(timed(proposal.setting))
    assert managed(LAPTOP.default | recommend(Study(problem, trials)).setting)[0] < managed(LAPTOP.default)[0]


@pytest.mark.parametrize("knob", ANY_ROLE, ids=lambda knob: knob.name)
def test_any_single_knob_can_be_tuned(knob: object) -> None:
    space = KnobSpace(knobs=(knob,))  # type: ignore[arg-type]
    problem = Problem(space=space, objective=Objective.ENERGY, bound=Bound(max_slowdown=0.2))
    trials = trials_of([space.default], flat)
    for _ in range(2):
        trials += trials_of([suggest(Study(problem, trials)).setting], flat)
    assert space.legal(recommend(Study(problem, trials)).setting)


def test_eight_knobs_can_be_tuned_together() -> None:
    space = KnobSpace(knobs=ANY_ROLE)
    problem = Problem(space=space, objective=Objective.EDP)
    trials = trials_of([space.default], flat)
    for _ in range(2):
        proposal = suggest(Study(problem, trials))
        assert space.legal(proposal.setting)
        trials += trials_of([proposal.setting], flat)


def test_only_offered_settings_are_proposed() -> None:
    threads = RangeKnob(name="threads", role="active_cpus", unit="1", low=1, high=4, default=4, levels=(1, 2, 4))
    rows = tuple({"max": level, "threads": n} for level in LEVELS[::2] for n in (1, 4) if (level, n) != (LEVELS[0], 1))
    space = KnobSpace(knobs=(MAX, threads), allowed=rows)
    problem = Problem(space=space, objective=Objective.ENERGY)
    trials = trials_of([space.default], flat)
    for _ in range(5):
        proposal = suggest(Study(problem, trials))
        assert dict(proposal.setting) in rows
        trials += trials_of([proposal.setting], flat)
    assert dict(recommend(Study(problem, trials)).setting) in rows
