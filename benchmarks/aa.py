"""Whether the verdict keeps its word: simulated comparisons with a known truth, judged by the product's own code.

    python benchmarks/aa.py [--comparisons 2000] [--effect 0|0.03] [--aim 0.03] [--margin 0.03] [--seed 0]
                            [--scenario NAME] [--json]

Each comparison goes the way of `hwtune compare`: runs of one arm until the machine has settled (`Settling`), its noise
from those (`noise_of_runs`), the number of runs announced that finds the aimed difference with 95 % power
(`runs_needed`), then blocks of both arms until it is decided (`Comparison`). Only the machine is imaginary: log times
and log energies of runs by one of the scenarios below, half of them compared for time and half for energy. The second
arm takes `--effect` less time and energy (0.03 is 3 %, -0.03 is 3 % more; 0 for an A/A test). `--margin` adds the test
for equivalence, as `hwtune compare` does: then most A/A comparisons end early as equivalent, so without it the test of
false alarms is the harder one. Where not even 128 runs would show the aimed difference, none are announced and 128 are
made; those comparisons are counted like the others.

Every scenario begins with a warm-up (first run up to 15 % slow, forgotten within a few runs) and has a jitter of its
own, drawn for each comparison from 0.5 to 2 % (log-uniform). Energy has four fifths of the time's deviation, as a run
that takes longer is partly idle, and an error of the meter of its own: half of the jitter, AR(1) with 0.3.

    quiet      white jitter
    drifting   a steady drift of up to 0.4 % of each run either way, a thermal wave of 2 % over 15 to 60 runs, and a
               random walk of a fifth of the jitter from run to run
    bursty     other load comes before 4 % of the runs, stays for 2.5 on average, and costs 3 to 25 % (log-uniform)
    ar1        each run resembles the one before: AR(1) with 0.3 to 0.8
    heavy      jitter by Student's t with 3 degrees of freedom: single runs far off, either way
    mixed      drifting, bursty and AR(1) with 0.5 at once

Figures: `significant_share` of all comparisons found a difference, `right_share` one of the true sign,
`equivalent_share` one within the margin; `coverage` is the share of the 95 % intervals of what is compared that hold
the true ratio, `coverage_time` and `coverage_energy` those of time and energy; `bias` is the mean of the estimated
less the true log ratio; `runs_median` and `announced_median` are runs of each arm, `early_share` ended before those
announced.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import cos, exp, log, pi, sqrt
from random import Random
from statistics import fmean, median
from typing import Any

from hwtune.domain.objective import Objective
from hwtune.domain.trial import Run
from hwtune.workload.comparison import Comparison
from hwtune.workload.power import MOST_BLOCKS, noise_of_runs, runs_needed
from hwtune.workload.settling import Settling

SCENARIOS = ("quiet", "drifting", "bursty", "ar1", "heavy", "mixed")
OBJECTIVES = (Objective.TIME, Objective.ENERGY)
TIME_S, POWER_W = 10.0, 40.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """A campaign.

    Args:
        comparisons: how many.
        effect: by what share the second arm is better.
        aim: difference that the announced runs are to find.
        margin: difference below which the arms are called equivalent, or None.
        seed: of all draws.
        scenarios: noises, in turn.
    """

    comparisons: int
    effect: float
    aim: float
    margin: float | None = None
    seed: int = 0
    scenarios: tuple[str, ...] = SCENARIOS


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One comparison.

    Args:
        scenario: the noise.
        different: a difference was found.
        right: and it has the sign of the true one.
        equivalent: the difference is within the margin.
        covered: the interval of what is compared holds the true ratio.
        covered_time: the time's interval does.
        covered_energy: the energy's interval does.
        runs: of each arm that it took.
        announced: runs of each arm that were to find the aimed difference; None where the most were too few.
        warm_up: runs before it had settled.
        early: decided before all runs were made.
        bias: estimated less true log ratio.
    """

    scenario: str
    different: bool
    right: bool
    equivalent: bool
    covered: bool
    covered_time: bool
    covered_energy: bool
    runs: int
    announced: int | None
    warm_up: int
    early: bool
    bias: float


class Machine:
    """Runs of two arms on one imaginary machine."""

    def __init__(self, scenario: str, effect: float, random: Random) -> None:
        self._disturbances = _disturbances(scenario, random)
        self._effect = log(1.0 - effect)
        self._random = random

    def run(self, arm: str) -> Run:
        """The next run."""
        shift = self._effect if arm == "B" else 0.0
        slower, dearer = next(self._disturbances)
        return Run(time_s=TIME_S * exp(shift + slower), energy_j=POWER_W * TIME_S * exp(shift + dearer))


def _disturbances(scenario: str, random: Random) -> Iterator[tuple[float, float]]:
    """Deviations of log time and log energy, run after run."""
    jitter = exp(random.uniform(log(0.005), log(0.02)))
    cold, forgets = random.uniform(0.0, 0.15), random.uniform(0.2, 0.6)
    drifts = scenario in {"drifting", "mixed"}
    drift = random.uniform(-0.004, 0.004) if drifts else 0.0
    wave, period, phase = (0.02 if drifts else 0.0), random.uniform(15.0, 60.0), random.uniform(0.0, 2 * pi)
    keep = {"ar1": random.uniform(0.3, 0.8), "mixed": 0.5}.get(scenario, 0.0)
    walked, alike, meter, load = 0.0, random.gauss(0.0, 1.0), random.gauss(0.0, 1.0), 0.0
    at = 0
    while True:
        walked += random.gauss(0.0, 0.2 * jitter) if drifts else 0.0
        fresh = random.gauss(0.0, 1.0)
        if scenario == "heavy":
            fresh /= sqrt(random.gammavariate(1.5, 2.0) / 3.0)
        alike = keep * alike + sqrt(1.0 - keep**2) * fresh
        meter = 0.3 * meter + sqrt(1.0 - 0.3**2) * random.gauss(0.0, 1.0)
        if scenario in {"bursty", "mixed"}:
            if load and random.random() < 0.4:
                load = 0.0
            elif not load and random.random() < 0.04:
                load = exp(random.uniform(log(0.03), log(0.25)))
        slow = cold * forgets**at + drift * at + wave * cos(2 * pi * at / period + phase) + walked
        slow += jitter * alike + log(1.0 + load)
        yield slow, 0.8 * slow + 0.5 * jitter * meter
        at += 1


def compare(scenario: str, objective: Objective, wish: Wish, number: int) -> Outcome:
    """One comparison, as `hwtune compare` makes it."""
    random = Random(f"{wish.seed} {number}")
    machine = Machine(scenario, wish.effect, random)
    settling = Settling(objective)
    while not settling.done:
        settling.add(machine.run("A"))
    noise = noise_of_runs(settling.steady, objective)
    assert noise is not None
    announced = runs_needed(noise, wish.aim)
    blocks = MOST_BLOCKS if announced is None else announced // 2
    comparison = Comparison(objective, max_blocks=blocks, margin=wish.margin, seed=random.getrandbits(32))
    while comparison.decided is None:
        for arm in comparison.next_block():
            comparison.add(arm, machine.run(arm))
    verdict = comparison.verdict()
    truth = 1.0 - wish.effect
    time_95, energy_95 = verdict.time_ratio_95, verdict.energy_ratio_95
    assert energy_95 is not None
    return Outcome(
        scenario=scenario,
        different=verdict.different,
        right=verdict.different and (verdict.objective_ratio < 1.0) == (truth < 1.0),
        equivalent=verdict.equivalent,
        covered=verdict.objective_ratio_95[0] <= truth <= verdict.objective_ratio_95[1],
        covered_time=time_95[0] <= truth <= time_95[1],
        covered_energy=energy_95[0] <= truth <= energy_95[1],
        runs=verdict.runs,
        announced=announced,
        warm_up=len(settling.warm_up),
        early=verdict.runs < 2 * blocks,
        bias=log(verdict.objective_ratio / truth),
    )


def summary(outcomes: Sequence[Outcome]) -> dict[str, float | int | None]:
    """Shares and medians of some comparisons."""
    announced = [each.announced for each in outcomes if each.announced is not None]
    return {
        "comparisons": len(outcomes),
        "significant_share": fmean(each.different for each in outcomes),
        "right_share": fmean(each.right for each in outcomes),
        "equivalent_share": fmean(each.equivalent for each in outcomes),
        "coverage": fmean(each.covered for each in outcomes),
        "coverage_time": fmean(each.covered_time for each in outcomes),
        "coverage_energy": fmean(each.covered_energy for each in outcomes),
        "bias": fmean(each.bias for each in outcomes),
        "runs_median": median(each.runs for each in outcomes),
        "announced_median": median(announced) if announced else None,
        "not_announced": len(outcomes) - len(announced),
        "early_share": fmean(each.early for each in outcomes),
        "warm_up_median": median(each.warm_up for each in outcomes),
    }


def campaign(wish: Wish) -> list[Outcome]:
    """All comparisons, scenarios and objectives in turn."""
    kinds = [(scenario, objective) for objective in OBJECTIVES for scenario in wish.scenarios]
    return [compare(*kinds[number % len(kinds)], wish, number) for number in range(wish.comparisons)]


def document(wish: Wish) -> dict[str, object]:
    """The figures of all comparisons, and of those of each scenario."""
    start = time.process_time()
    outcomes = campaign(wish)
    return {
        **summary(outcomes),
        "simulated": True,
        "effect": wish.effect,
        "aim": wish.aim,
        "margin": wish.margin,
        "seed": wish.seed,
        "cpu_s": time.process_time() - start,
        "scenarios": {
            name: summary(some)
            for name in wish.scenarios
            if (some := [each for each in outcomes if each.scenario == name])
        },
    }


def text(figures: Mapping[str, Any]) -> str:
    """The document as a table."""
    lines = [
        f"{'':10}{'found':>8}{'equal':>8}{'held':>8}{'time':>8}{'energy':>8}{'bias':>9}{'runs':>6}{'of':>6}{'early':>7}"
    ]
    for name, each in [*figures["scenarios"].items(), ("all", figures)]:
        shares = ("significant_share", "equivalent_share", "coverage", "coverage_time", "coverage_energy")
        announced = "-" if each["announced_median"] is None else f"{each['announced_median']:g}"
        lines.append(
            f"{name:10}"
            + "".join(f"{each[share]:8.1%}" for share in shares)
            + f"{each['bias']:+9.2%}{each['runs_median']:6g}{announced:>6}{each['early_share']:7.0%}"
        )
    lines.append(f"{figures['comparisons']} simulated comparisons, {figures['cpu_s']:.0f} s of CPU")
    return "\n".join(lines)


def main() -> None:
    """The campaign, printed."""
    parser = argparse.ArgumentParser(description="A/A and A/B campaign of the verdict on an imaginary machine")
    parser.add_argument("--comparisons", type=_positive, default=2000)
    parser.add_argument("--effect", type=_share, default=0.0, help="true difference; 0 for an A/A test")
    parser.add_argument("--aim", type=_share, help="difference the announced runs are for (default: effect, or 3 %%)")
    parser.add_argument("--margin", type=_share, help="also look for differences smaller than this")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--scenario", action="append", choices=SCENARIOS, help="only this; may be given again")
    parser.add_argument("--json", action="store_true")
    wanted = parser.parse_args()
    aim = abs(wanted.aim if wanted.aim is not None else wanted.effect) or 0.03
    figures = document(
        Wish(
            comparisons=wanted.comparisons,
            effect=wanted.effect,
            aim=aim,
            margin=abs(wanted.margin) if wanted.margin else None,
            seed=wanted.seed,
            scenarios=tuple(dict.fromkeys(wanted.scenario or SCENARIOS)),
        )
    )
    print(json.dumps(figures, indent=2) if wanted.json else text(figures))


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return number


def _share(text: str) -> float:
    number = float(text)
    if not -1.0 < number < 1.0:
        raise argparse.ArgumentTypeError("a share between -1 and 1, as 0.03 for 3 %")
    return number


if __name__ == "__main__":
    main()
