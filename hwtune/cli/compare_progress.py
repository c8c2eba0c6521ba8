"""What a person sees while two settings are compared: what can be seen, a line for each block, a bar."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hwtune.cli.bar import Bar

if TYPE_CHECKING:
    from hwtune.compare import Pilot
    from hwtune.domain.objective import Objective
    from hwtune.workload.comparison import Comparison

_SETTLING = 24  # runs of a pilot at most, for the bar


class CompareProgress(Bar):
    """A watcher for people."""

    def __enter__(self) -> CompareProgress:
        super().__enter__()
        self.say("settling under A")
        self.draw("settling under A", _SETTLING)
        return self

    def settling(self, runs: int) -> None:
        """The bar counts the runs of the pilot."""
        self.move("settling under A", runs, _SETTLING)

    def planned(self, pilot: Pilot) -> None:
        """What can be seen with how many runs, before they are made."""
        for line in plan_lines(pilot):
            self.say(line)

    def measuring(self, arm: str, runs: int, max_runs: int) -> None:
        """The bar counts the runs of both arms."""
        self.move(f"measuring {arm}", runs, max_runs)

    def compared(self, comparison: Comparison) -> None:
        """What is known after a block."""
        verdict = comparison.verdict()
        low, high = verdict.objective_ratio_95
        # Of a single block there is no interval to speak of.
        interval = f" ({low - 1:+.1%} … {high - 1:+.1%})" if comparison.blocks > 1 else ""
        change = f"{_figure(comparison.objective)} of B {verdict.objective_ratio - 1:+.1%}{interval}"
        self.say(f"{verdict.runs:3d} runs of each: {change}")


def _figure(objective: Objective) -> str:
    """As it is written in the field."""
    return objective.value if objective.value in ("time", "energy") else objective.value.upper()


def plan_lines(pilot: Pilot) -> list[str]:
    """What was learned of the machine before the comparison, and what that lets it see."""
    warm = f" after {len(pilot.warm_up)} to warm up" if pilot.warm_up else ""
    level = "" if pilot.settled else ", which did not come to one level"
    seen = "".join(f"; {plan.runs} for {_percent(plan.effect)}" for plan in pilot.plans[1:])
    first = pilot.plans[0]
    return [
        f"settled: {len(pilot.runs)} runs{warm}{level}, noise {pilot.noise.sd_log:.1%}",
        f"with {first.runs} runs of each you can see {_percent(first.effect)}{seen}, "
        f"which takes {_duration(pilot.longest_s)} at most",
    ]


def _percent(effect: float) -> str:
    if effect >= 1.0:
        return f"a factor of {1.0 + effect:.2g}" if effect < 9.0 else "hardly anything"
    return f"{100 * effect:.2g} %"


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.2g} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
