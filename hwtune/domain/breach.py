"""Bounds that no model predicts and only a measurement shows: latency percentiles, pressure, temperature.

A setting whose probe breaks one is known to, and is not recommended whatever the model thinks of its time and power.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from statistics import median

from hwtune.domain.objective import Bound
from hwtune.domain.trial import Run, TrialStatus


def breaches(bound: Bound, runs: Sequence[Run]) -> tuple[str, ...]:
    """What these runs under one setting break, in words; by the median of them, as everything of a trial is judged.

    A figure that is bounded and that no run has is not known to be broken: who asks for the bound sees to the figure.
    """
    return tuple(
        f"{what} {found:.3g}{unit} is over {limit:.3g}{unit}"
        for what, unit, limit, figures in _bounded(bound, runs)
        if figures and (found := median(figures)) > limit
    )


def outcome_of(bound: Bound, runs: Sequence[Run], status: TrialStatus) -> TrialStatus:
    """How a trial of these runs ended, where `status` is how the work's trials end when nothing speaks against it."""
    if any(run.censored for run in runs):
        return TrialStatus.CENSORED
    broken = status is TrialStatus.OK and breaches(bound, runs)
    return TrialStatus.INFEASIBLE if broken else status


def _bounded(bound: Bound, runs: Sequence[Run]) -> Iterator[tuple[str, str, float, list[float]]]:
    """What is bounded, its unit, its limit, and what the runs have of it."""
    for name, limit in bound.max_latency_s.items():
        yield f"{name} latency", " s", limit, _known([run.latency_s for run in runs], name)
    features = [run.features for run in runs]
    for name, limit in bound.max_pressure.items():
        yield f"pressure {name}", "", limit, _known(features, f"pressure.{name}")
    if bound.max_temp_c is not None:
        yield "temperature", " °C", bound.max_temp_c, _known(features, "temp_c")


def _known(each: Sequence[Mapping[str, float]], name: str) -> list[float]:
    return [figures[name] for figures in each if name in figures]
