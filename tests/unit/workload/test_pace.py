"""When a run is known to be too slow: as early as that is sure, and hardly ever without being so."""

from __future__ import annotations

import random
from itertools import accumulate
from math import comb

import pytest

from hwtune.workload.heartbeat import Progress
from hwtune.workload.pace import _RISK, Limit, Pace, _surely

S = 1_000_000_000


def steady(rate: float, work: float = 100.0, words: int = 400) -> Progress:
    """So much work at a constant rate, told in so many words."""
    return tuple((round(work * n / words / rate * S), work * n / words) for n in range(words + 1))


def noisy(source: random.Random, slow: float, sd: float, words: int = 240) -> Progress:
    """Each word comes after a time of its own."""
    steps = [slow * source.lognormvariate(0.0, sd) for _ in range(words)]
    return tuple((round(at * S), float(n)) for n, at in enumerate(accumulate(steps, initial=0.0)))


def stopped_at(pace: Pace, run: Progress, worst: float, every: int = 1) -> int | None:
    """After how many words a run is stopped, looked at after every so many."""
    limit = Limit(pace=pace, time=1.0, worst=worst)
    return next((n for n in range(0, len(run), every) if limit.broken_by(run[: n + 1]) is not None), None)


def test_a_run_that_is_twice_as_slow_is_known_to_be_after_a_quarter_of_it() -> None:
    pace = Pace(steady(10.0))
    run = steady(5.0)
    at = stopped_at(pace, run, worst=1.25)
    assert at is not None
    assert 0.2 < at / len(run) < 0.35
    bound = Limit(pace=pace, time=1.0, worst=1.25).broken_by(run[: at + 1])
    assert bound == pytest.approx(2.0, rel=1e-6)
    assert stopped_at(pace, steady(8.1), worst=1.25) is None


def test_phases_that_the_default_has_as_well_are_no_slowness() -> None:
    """The first half of the work takes nine times as long as the second, at either setting."""

    def phased(slow: float) -> Progress:
        first = [(round(slow * 0.9 * n * S), float(n)) for n in range(101)]
        return (*first, *((round(slow * (90 + 0.1 * n) * S), 100.0 + n) for n in range(1, 101)))

    pace = Pace(phased(1.0))
    assert pace.slowdown(phased(1.1)) == pytest.approx(1.1, rel=1e-6)
    assert stopped_at(pace, phased(1.1), worst=1.2) is None
    assert stopped_at(pace, phased(1.3), worst=1.2) is not None


def test_a_single_slow_stretch_decides_nothing() -> None:
    run = [(round(at * S), done) for at, done in ((0.0, 0.0), (5.0, 10.0))]  # five times as slow for a tenth of it
    run += [(round((5.0 + 0.1 * n) * S), 10.0 + n) for n in range(1, 91)]
    assert stopped_at(Pace(steady(10.0)), tuple(run), worst=1.25) is None


def test_noise_stops_hardly_anything_that_is_within_its_limit_and_most_that_is_far_beyond() -> None:
    source = random.Random(7)
    wrong = right = 0
    for _ in range(300):
        pace = Pace(noisy(source, 1.0, 0.15))
        wrong += stopped_at(pace, noisy(source, 1.2, 0.15), worst=1.25, every=8) is not None
        right += stopped_at(pace, noisy(source, 1.6, 0.15), worst=1.25, every=8) is not None
    assert wrong <= 3
    assert right >= 295


@pytest.mark.parametrize("progress", [(), ((0, 0.0),), ((0, 5.0), (S, 5.0))])
def test_without_progress_nothing_is_known(progress: Progress) -> None:
    pace = Pace(progress)
    assert not pace.known
    assert pace.slowdown(steady(1.0)) is None
    assert Pace(steady(10.0)).slowdown(progress) is None


def test_what_the_default_never_did_is_not_compared() -> None:
    pace = Pace(steady(10.0, work=10.0))
    beyond = tuple((round(n * S), 100.0 + 10.0 * n) for n in range(100))
    assert pace.slowdown(beyond) is None


def test_the_ranks_keep_the_risk_over_all_looks() -> None:
    spent = 0.0
    for count in range(1, 400):
        rank = _surely(count)
        missed = sum(comb(count, k) for k in range(rank)) / 2.0**count
        following = missed + comb(count, rank) / 2.0**count
        allowed = _RISK / (count * (count + 1))
        assert missed <= allowed < following
        spent += allowed
    assert spent < _RISK
    assert [_surely(n) for n in (0, 14, 15, 20)] == [0, 0, 1, 2]
