"""The problem that a session on a machine solves: which of its knobs are turned, and what for."""

from __future__ import annotations

from collections.abc import Sequence

from hwtune.cli.host import OpenHost
from hwtune.cli.ours import turnable
from hwtune.domain.errors import Unsupported, UsageError
from hwtune.domain.knob import KnobSpace
from hwtune.domain.objective import Bound, Objective
from hwtune.domain.problem import Problem
from hwtune.knobs.cpufreq import CpufreqBackend
from hwtune.knobs.extra import word_of
from hwtune.sensors.energy import EnergySource


def problem_of(
    opened: OpenHost, backend: CpufreqBackend, *, seed: int, max_power_w: float | None = None, measuring: bool = True
) -> Problem:
    """What the configuration asks for, flags included, in the knobs of this machine.

    Knobs that are to be turned (`measuring`) are neither another tuner's nor beyond our rights.

    Raises:
        UsageError: unknown knobs.
        Locked: another tuner is at work.
        PermissionDenied: no right to turn them.
    """
    wanted = opened.config.tune
    space = choose_knobs(backend.space, wanted.knobs)
    if measuring:
        space = turnable(opened, backend, space, named=wanted.knobs is not None)
    return Problem(
        space=space,
        objective=wanted.objective,
        bound=Bound(max_slowdown=wanted.max_slowdown, max_power_w=max_power_w),
        max_risk=wanted.max_risk,
        seed=seed,
    )


def choose_knobs(space: KnobSpace, words: Sequence[str] | None) -> KnobSpace:
    """The knobs to turn: all but governor tunables, or those that are named.

    What is off by default is in the space only where it was asked for.

    A name without a policy (`max`) stands for that knob of every cluster.

    Raises:
        UsageError: a name that is no knob here, or nothing left to turn.
    """
    if words is None:
        names = tuple(knob.name for knob in space.knobs if knob.role != "other" or word_of(knob.name))
    else:
        names = tuple(name for word in words for name in _named(space, word))
    chosen = space.subset(names)
    if not chosen.knobs:
        raise UsageError("no knob to turn", hint=f"this machine has: {', '.join(space.names)}")
    return chosen


def _named(space: KnobSpace, word: str) -> tuple[str, ...]:
    """The knob of that name, or of that name in every cluster; the word itself when there is neither."""
    everywhere = tuple(name for name in space.names if name == word or name.endswith(f".{word}"))
    return (word,) if word in space.names or not everywhere else everywhere


def check_energy(energy: EnergySource, objective: Objective, *, needed: bool) -> None:
    """Refuse what needs energies on a machine that measures none.

    Raises:
        Unsupported: with what would make a sensor of it.
    """
    if needed and energy.quality == "none":
        raise Unsupported(
            f"--objective {objective} needs an energy sensor, and this machine offers none",
            hint=f"{energy.why}; `--objective time` works without one",
        )
