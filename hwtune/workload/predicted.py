"""The work of a dry run: nothing is started, and what the model expects stands in for a measurement.

Its trials are labelled as predictions, which a session never learns from and a store never keeps.
"""

from __future__ import annotations

from collections.abc import Callable
from math import exp

from hwtune.domain.knob import Setting
from hwtune.domain.trial import Prediction, Run, TrialStatus


class PredictedWork:
    """Expects instead of measuring.

    Args:
        effective: reads the setting that is applied now (in memory).
        predict: the model's prediction for a setting, relative to the default's time and energy.
    """

    status = TrialStatus.PREDICTED
    warnings: tuple[str, ...] = ()

    def __init__(self, *, effective: Callable[[], Setting], predict: Callable[[Setting], Prediction]) -> None:
        self._effective = effective
        self._predict = predict

    def warm_up(self) -> Run:
        """One expected run."""
        return self.measure(1)[0]

    def measure(self, repeats: int, give_up_s: float | None = None) -> tuple[Run, ...]:
        """The median expectation, `repeats` times over: a prediction has no spread between runs, and takes no time."""
        predicted = self._predict(self._effective())
        energy_j = None if predicted.energy_j is None else exp(predicted.energy_j.mean_log)
        return (Run(time_s=exp(predicted.time_s.mean_log), energy_j=energy_j),) * repeats
