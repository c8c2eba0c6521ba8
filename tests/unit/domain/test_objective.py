from __future__ import annotations

from math import exp, isclose, log

import pytest

from hwtune.domain.knob import Setting
from hwtune.domain.objective import Bound, Objective
from hwtune.domain.trial import Run, Trial, TrialStatus


@pytest.mark.parametrize("objective", list(Objective))
def test_every_objective_is_a_sum_of_log_time_and_log_power(objective: Objective) -> None:
    time_s, power_w = 3.0, 20.0
    direct = objective.value_of(time_s, power_w * time_s)
    summed = exp(objective.time_exponent * log(time_s) + objective.power_exponent * log(power_w))
    assert isclose(direct, summed)


def test_what_needs_energy_says_so() -> None:
    assert Objective.TIME.value_of(2.0, None) == 2.0
    with pytest.raises(ValueError, match="edp needs an energy figure"):
        Objective.EDP.value_of(2.0, None)


def test_a_trial_has_energy_only_when_every_run_has() -> None:
    runs = (Run(time_s=1.0, energy_j=5.0), Run(time_s=3.0, energy_j=None), Run(time_s=2.0, energy_j=6.0))
    trial = Trial(setting=Setting(), requested=Setting(), runs=runs)
    assert trial.time_s == 2.0
    assert trial.energy_j is None


def test_far_beyond_the_bound_is_five_times_what_is_allowed() -> None:
    assert Bound(max_slowdown=0.05).give_up_s(8.0) == pytest.approx(10.0)
    assert Bound(max_power_w=5.0).give_up_s(8.0) is None
    assert Bound(max_slowdown=0.0).give_up_s(8.0) == pytest.approx(8.8), "a run may last longer by chance"


def test_a_trial_says_that_a_run_was_stopped() -> None:
    runs = (Run(time_s=1.0, energy_j=5.0), Run(time_s=3.0, energy_j=9.0, censored=True))
    trial = Trial(setting=Setting(), requested=Setting(), runs=runs, status=TrialStatus.CENSORED)
    assert trial.stopped_after_s == 3.0
    assert Trial(setting=Setting(), requested=Setting(), runs=runs[:1]).stopped_after_s is None
    with pytest.raises(ValueError, match="stopped early"):
        Trial(setting=Setting(), requested=Setting(), runs=runs)
