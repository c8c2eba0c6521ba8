from __future__ import annotations

import math
from dataclasses import replace

import pytest
from tuner_values import CAPS, LEVELS

from hwtune.domain.knob import Setting
from hwtune.domain.objective import Bound, Objective
from hwtune.domain.trial import Run, Trial, TrialStatus
from hwtune.model.encoding import Encoding
from hwtune.model.observations import observe
from hwtune.tuner.measured import best_measured

ENCODING = Encoding(CAPS)
LOW, MIDDLE = (CAPS.default | {"max": level} for level in (LEVELS[0], LEVELS[len(LEVELS) // 2]))


def trial(setting: Setting, time_s: float, energy_j: float | None, *, noise: float = 0.002) -> Trial:
    """Three runs that scatter by so much."""
    runs = tuple(
        Run(time_s=time_s * math.exp(off), energy_j=energy_j and energy_j * math.exp(off))
        for off in (-noise, 0.0, noise)
    )
    return Trial(setting=setting, requested=setting, runs=runs)


def best(trials: list[Trial], objective: Objective = Objective.ENERGY, **bound: float) -> Setting | None:
    return best_measured(ENCODING, observe(ENCODING, trials), objective, Bound(**bound))


DEFAULT = trial(CAPS.default, 10.0, 100.0)


def test_the_best_that_was_measured_is_kept() -> None:
    trials = [DEFAULT, trial(LOW, 12.0, 80.0), trial(MIDDLE, 11.0, 90.0)]
    assert best(trials) == LOW
    assert best(trials, max_slowdown=0.15) == MIDDLE
    assert best(trials, max_slowdown=0.05) is None
    assert best(trials, max_power_w=7.5) == LOW
    assert best(trials, Objective.TIME) is None


@pytest.mark.parametrize(("noise", "kept"), [(0.002, LOW), (0.05, None)])
def test_a_gain_of_the_size_of_the_noise_is_none(noise: float, kept: Setting | None) -> None:
    assert best([trial(CAPS.default, 10.0, 100.0, noise=noise), trial(LOW, 10.0, 96.0, noise=noise)]) == kept


def test_trials_of_one_setting_count_together() -> None:
    """Measured again it is no better than the default."""
    assert best([DEFAULT, trial(LOW, 10.0, 90.0), trial(LOW, 10.0, 111.0)]) is None


def test_what_was_cut_short_or_has_no_energy_is_not_kept() -> None:
    cut = Trial(
        setting=LOW,
        requested=LOW,
        runs=(Run(time_s=5.0, energy_j=30.0, censored=True),),
        status=TrialStatus.CENSORED,
    )
    assert best([DEFAULT, cut]) is None
    broke = replace(trial(LOW, 9.0, 50.0), status=TrialStatus.INFEASIBLE)
    assert best([DEFAULT, broke]) is None
    assert best([DEFAULT, trial(LOW, 9.0, 50.0), broke]) is None
    assert best([DEFAULT, trial(LOW, 9.0, None)]) is None
    assert best([DEFAULT, trial(LOW, 9.0, None)], Objective.TIME) == LOW
    assert best([trial(LOW, 9.0, 50.0)]) is None
