"""What makes two runs of the same thing differ: jitter, the rare disturbance, a meter that drifts. Seeded."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_TIME_SD = 0.011
_METER_SD = 0.014
_DRIFT_SD = 0.008
_DRIFT_S = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Disturbance:
    """Factors of one run: how much more work it turned out to be, and what the meter makes of a joule."""

    work: float
    meter: float


class Noise:
    """The randomness of one machine's measurements.

    Each run draws the same number of variates, so that the runs of one seed are the same whatever happens between them.

    Args:
        seed: of every draw.
        scale: 1 for life as it is, 0 for none.
    """

    def __init__(self, seed: int, scale: float) -> None:
        self._random = np.random.default_rng(seed)
        self._scale = scale
        self._drift = float(self._random.normal()) * _DRIFT_SD
        self._at_s = 0.0

    def draw(self, now_s: float) -> Disturbance:
        """The factors of a run that starts now."""
        jitter, meter, step, rare, size = self._random.normal(size=5)
        # Ornstein-Uhlenbeck between starts: the meter's error is forgotten within minutes.
        keep = float(np.exp(-(now_s - self._at_s) / _DRIFT_S))
        self._drift = keep * self._drift + _DRIFT_SD * float(np.sqrt(1.0 - keep * keep) * step)
        self._at_s = now_s
        # One-sided: another program can only take time away. 2.0537 is the normal quantile of 1 - 0.02.
        disturbed = 0.06 + 0.04 * abs(size) if rare > 2.0537 else 0.0
        return Disturbance(
            work=float(np.exp(self._scale * (_TIME_SD * jitter + disturbed))),
            meter=float(np.exp(self._scale * (_METER_SD * meter + self._drift))),
        )
