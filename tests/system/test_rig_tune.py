"""The whole mission on a real kernel: what is recommended is judged by an exhaustive sweep of the same boot.

The score is kept apart from the tuner: time by the guest's clock around the load, energy by the silicon's own count.
"""

from __future__ import annotations

import json
import math
import random
from statistics import fmean, median, stdev
from typing import Any

import pytest
from rig.calls import CPUFREQ
from rig.chip import PSTATES
from rig.machine import CHECKOUT, Rig

pytestmark = pytest.mark.rig

LOADS = {name: ["python", f"{CHECKOUT}/benchmarks/loads/{name}.py"] for name in ("compute", "stall")}
LOADS["compute"] += ["--work", "300000"]  # so that the loop counts for more than the start of the interpreter
SWEEPS = 2
REPEATS = 5
SHARE = 0.8


def put(rig: Rig, setting: dict[str, Any]) -> None:
    """A setting by plain writes, without anything of hwtune."""
    names = {"governor": "scaling_governor", "max": "scaling_max_freq", "min": "scaling_min_freq"}
    rig.restore_cpufreq()
    for knob in ("governor", "max", "min"):
        if knob in setting:
            for policy in ("policy0", "policy1"):
                rig.write(f"{CPUFREQ}/{policy}/{names[knob]}", str(setting[knob]))


def log_cost(rig: Rig, load: str, objective: str) -> float:
    before = rig.energy_j()
    seconds = rig.run(LOADS[load]).check().seconds
    energy = rig.energy_j() - before
    return math.log(energy) + (math.log(seconds) if objective == "edp" else 0.0)


def interleaved(rig: Rig, load: str, objective: str, settings: list[dict[str, Any]], rounds: int) -> list[list[float]]:
    """Log cost of each setting in each round, every round in another order: `[setting][round]`."""
    costs: list[list[float]] = [[] for _ in settings]
    shuffle = random.Random(1)
    for _ in range(rounds):
        for index in shuffle.sample(range(len(settings)), len(settings)):
            put(rig, settings[index])
            costs[index].append(log_cost(rig, load, objective))
    rig.restore_cpufreq()
    return costs


def upper(values: list[float]) -> float:
    """Upper end of the one-sided 95 % interval of a mean; 2.13 is Student's quantile for five rounds."""
    return fmean(values) + 2.13 * stdev(values) / math.sqrt(len(values))


# Judged by energies of a shared host, which differ by a tenth from run to run, now and then by three: a tuner that
# finds the optimum fails once in a while, one that does not fails twice.
@pytest.mark.flaky(reruns=1)
@pytest.mark.parametrize(
    ("load", "objective", "options"),
    [("compute", "energy", ["--max-slowdown", "100%"]), ("stall", "edp", [])],
    ids=["compute-energy", "stall-edp"],
)
def test_what_is_recommended_has_most_of_the_headroom(rig: Rig, load: str, objective: str, options: list[str]) -> None:
    before = rig.cpufreq()
    words = ["hwtune", "tune", "--json", "--objective", objective, *options, "--budget", "8", "--"]
    result = rig.run([*words, *LOADS[load]], timeout_s=600).check()
    assert rig.cpufreq() == before
    said = json.loads(result.stdout)
    print(f"tune took {result.seconds:.0f} s")
    assert said["restored"] is True
    assert said["simulated"] is False
    assert said["energy_source"].startswith("emulated meter")
    assert len(said["evaluated"]) == 8
    assert len({json.dumps(entry["setting"], sort_keys=True) for entry in said["evaluated"]}) > 4

    levels = [{"max": state.mhz * 1000} for state in PSTATES]
    sweep = [median(costs) for costs in interleaved(rig, load, objective, levels, SWEEPS)]
    best = levels[sweep.index(min(sweep))]
    rounds = interleaved(rig, load, objective, [{}, best, said["recommended"][-1]], REPEATS)
    default, oracle, chosen = (fmean(costs) for costs in rounds)
    print(f"{load} {objective}: sweep {[round(cost - sweep[0], 3) for cost in sweep]}")
    print(f"best {best}, recommended {said['recommended'][-1]}, verdict {said['verdict']}")
    print(f"headroom {1 - math.exp(oracle - default):.1%}, share {(default - chosen) / (default - oracle):.2f}")
    # Runs of the same work differ by a tenth and more where the host's cores are shared, so it fails when fresh
    # repeats, compared round by round, say that the share is below 80 %, not when they cannot tell.
    headroom = [d - o for d, o in zip(rounds[0], rounds[1], strict=True)]
    beyond = [(d - c) - SHARE * (d - o) for d, o, c in zip(*rounds, strict=True)]
    assert upper(headroom) > 0.1
    assert upper(beyond) >= 0.0
    assert upper([d - c for d, c in zip(rounds[0], rounds[2], strict=True)]) > 0.0
