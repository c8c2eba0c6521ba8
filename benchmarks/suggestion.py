"""What one suggestion costs the planner, against BoTorch's default fit and acquisition on the same data.

    python benchmarks/suggestion.py [--trials 20,300] [--repeats 7] [--objective energy|edp] [--json]

CPU seconds of one thread, in this process. hwtune: the planner's own `answer` to a request, warm (torch loaded and the
prior read, as in a session). BoTorch: SingleTaskGP, `fit_gpytorch_mll` and qLogNoisyExpectedImprovement over the
settings not measured yet. The machine is made up: 496 settings of a clock and a number of CPUs, 2 % noise; with energy
the bound is 5 %. Both get the same trials, one after the other, and new ones in every repeat; the ratio is taken pair
by pair, so that the machine's own speed drops out of it.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import math
import os
import random
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from statistics import quantiles

# Before numpy and torch are loaded.
os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import torch
from peers.general import botorch_step, unit_cube
from peers.tasks import bound_of

from hwtune.domain.knob import KnobSpace, RangeKnob, Setting
from hwtune.domain.objective import Bound, Objective
from hwtune.domain.problem import Problem
from hwtune.domain.trial import Run, Trial
from hwtune.planner.protocol import Request, trial_message
from hwtune.planner.worker import answer

CLOCKS_MHZ = tuple(range(800, 3801, 100))
CPUS = tuple(range(1, 17))
RUNS = 2  # of each setting, as in a session
NOISE = 0.02  # deviation of log time and of log energy


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Of one suggestion with so many trials: CPU seconds and their ratio, each (lower quartile, median, upper).

    `proposed` is the share of hwtune's answers that were a setting to measure, and not that the search is at its end.
    """

    trials: int
    hwtune_s: tuple[float, float, float]
    proposed: float
    botorch_s: tuple[float, float, float] | None
    ratio: tuple[float, float, float] | None


def made_up(trials: int, objective: Objective, seed: int) -> tuple[Problem, list[Trial]]:
    """A problem, and trials of it: the default and others at random."""
    source = random.Random(seed)
    clock = _knob("cpu_freq_mhz", "MHz", CLOCKS_MHZ, role="frequency")
    cpus = _knob("threads", "", CPUS, role="active_cpus")
    rows = [{"cpu_freq_mhz": mhz, "threads": count} for mhz in CLOCKS_MHZ for count in CPUS]
    space = KnobSpace(knobs=(clock, cpus), allowed=tuple(rows))
    others = [Setting(row) for row in rows if Setting(row) != space.default]
    settings = [space.default, *source.sample(others, trials - 1)]
    problem = Problem(space=space, objective=objective, bound=Bound(max_slowdown=bound_of(objective)), seed=seed)
    memory, serial = source.uniform(0.1, 0.7), source.uniform(0.01, 0.2)
    return problem, [_trial(setting, memory, serial, source) for setting in settings]


def _knob(name: str, unit: str, levels: tuple[int, ...], *, role: str) -> RangeKnob:
    return RangeKnob(
        name=name,
        role=role,  # type: ignore[arg-type]
        unit=unit,
        low=levels[0],
        high=levels[-1],
        default=levels[-1],
        levels=levels,
    )


def _trial(setting: Setting, memory: float, serial: float, source: random.Random) -> Trial:
    ghz, cpus = int(setting["cpu_freq_mhz"]) / 1000, int(setting["threads"])
    time_s = 60.0 * (serial + (1 - serial) / cpus) * ((1 - memory) * 3.8 / ghz + memory)
    power_w = 12.0 + cpus * (0.4 + 1.3 * ghz * (0.7 + 0.12 * max(0.0, ghz - 1.2)) ** 2)
    runs = tuple(
        Run(
            time_s=time_s * math.exp(source.gauss(0.0, NOISE)),
            energy_j=power_w * time_s * math.exp(source.gauss(0.0, NOISE)),
        )
        for _ in range(RUNS)
    )
    return Trial(setting=setting, requested=setting, runs=runs)


def ask_hwtune(problem: Problem, trials: Sequence[Trial]) -> str:
    """One suggestion of the planner; its status.

    Raises:
        RuntimeError: it could not answer.
    """
    request = Request(id="a", ask="suggest", problem=problem, trials=tuple(map(trial_message, trials)))
    reply = answer(request)
    if reply.proposal is None:
        raise RuntimeError(reply.error)
    return reply.proposal.status


def ask_botorch(problem: Problem, trials: Sequence[Trial]) -> None:
    """The same of BoTorch."""
    settings = [Setting(row) for row in problem.space.allowed or ()]
    names = problem.space.names
    points = unit_cube(np.array([[float(setting[name]) for name in names] for setting in settings]))
    rows = [settings.index(trial.setting) for trial in trials]
    cost = np.log([problem.objective.value_of(trial.time_s, trial.energy_j) for trial in trials])
    slowdown = np.log([trial.time_s / trials[0].time_s for trial in trials])
    bound = problem.bound.max_slowdown
    botorch_step(points, rows, cost, None if bound is None else slowdown - math.log(1.0 + bound))


def cpu_s(work: Callable[[], object]) -> float:
    """CPU seconds of this process for it."""
    start = time.process_time()
    work()
    return time.process_time() - start


def measure(trials: int, objective: Objective, repeats: int, *, with_botorch: bool) -> Cost:
    """Both, interleaved, after one untimed round."""
    statuses, ours, theirs = [], [], []
    for repeat in range(repeats + 1):
        problem, history = made_up(trials, objective, repeat)
        mine = cpu_s(lambda: statuses.append(ask_hwtune(problem, history)))  # noqa: B023
        other = cpu_s(lambda: ask_botorch(problem, history)) if with_botorch else math.nan  # noqa: B023
        if repeat:
            ours.append(mine)
            theirs.append(other)
        print(f"{trials} trials, {repeat} of {repeats}: {mine:.3f} s, BoTorch {other:.3f} s", file=sys.stderr)
    pairs = [mine / other for mine, other in zip(ours, theirs, strict=True)]
    return Cost(
        trials=trials,
        hwtune_s=_quartiles(ours),
        proposed=sum(status == "ok" for status in statuses[1:]) / repeats,
        botorch_s=_quartiles(theirs) if with_botorch else None,
        ratio=_quartiles(pairs) if with_botorch else None,
    )


def _quartiles(numbers: Sequence[float]) -> tuple[float, float, float]:
    low, middle, high = quantiles(numbers, n=4, method="inclusive")
    return low, middle, high


def _text(three: tuple[float, float, float] | None) -> str:
    return "-" if three is None else f"{three[1]:.3g} ({three[0]:.3g} … {three[2]:.3g})"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--trials", default="20,300", help="numbers of trials, with commas between")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--objective", choices=("energy", "edp"), default="energy")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    words, most = options.trials.split(","), len(CLOCKS_MHZ) * len(CPUS) - 1
    if not all(word.isdecimal() and 2 <= int(word) <= most for word in words) or options.repeats < 2:
        parser.error(f"--trials takes numbers from 2 to {most}, --repeats 2 or more")
    torch.set_num_threads(1)
    there = importlib.util.find_spec("botorch") is not None
    if not there:
        print("BoTorch is left out: it is not installed (pip install -e '.[bench]')", file=sys.stderr)
    costs = [
        measure(count, Objective(options.objective), options.repeats, with_botorch=there) for count in map(int, words)
    ]
    if options.json:
        print(
            json.dumps({"objective": options.objective, "repeats": options.repeats, "costs": list(map(asdict, costs))})
        )
        return
    print(f"{options.objective}: CPU seconds of one suggestion, median (quartiles) of {options.repeats} pairs")
    print(f"{'trials':>6}  {'hwtune':<28}{'BoTorch':<28}{'ratio':<28}proposed")
    for each in costs:
        row = "".join(f"{_text(three):<28}" for three in (each.hwtune_s, each.botorch_s, each.ratio))
        print(f"{each.trials:>6}  {row}{each.proposed:.0%}")


if __name__ == "__main__":
    main()
