"""What to minimise, and what must hold.

Every objective is a weighted sum of log time and log power (energy = power · time), so the model never has to be fitted
again when the objective changes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import ClassVar


class Objective(StrEnum):
    """The figure to minimise; each is timeᵃ · powerᵇ."""

    ENERGY = "energy"
    EDP = "edp"
    ED2P = "ed2p"
    TIME = "time"

    @property
    def time_exponent(self) -> float:
        """Exponent a of time in timeᵃ · powerᵇ."""
        return {"energy": 1.0, "edp": 2.0, "ed2p": 3.0, "time": 1.0}[self.value]

    @property
    def power_exponent(self) -> float:
        """Exponent b of power in timeᵃ · powerᵇ."""
        return 0.0 if self is Objective.TIME else 1.0

    @property
    def needs_energy(self) -> bool:
        """Whether the objective cannot be judged without an energy sensor."""
        return self is not Objective.TIME

    def value_of(self, time_s: float, energy_j: float | None) -> float:
        """The objective of one measured run, in s, J, J·s or J·s².

        Raises:
            ValueError: when energy is needed and absent.
        """
        if not self.needs_energy:
            return time_s
        if energy_j is None:
            raise ValueError(f"{self.value} needs an energy figure")
        delay_factor: float = time_s ** (self.time_exponent - 1.0)
        return energy_j * delay_factor


_NOISE = 0.1  # share by which a run may last longer for no reason of its setting


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """What must hold of a setting that is recommended.

    Args:
        max_slowdown: largest run time relative to the default, less one (0.05 = 5 % slower); None for no bound.
        max_power_w: largest mean power, or None.
        max_temp_c: largest temperature, or None.
        max_latency_s: largest percentiles of the work's own latencies, by name (`p99`).
        max_pressure: largest shares of the time in which tasks may stall, by the kernel's name (`cpu_some`).
    """

    # A run that is so many times as much slower as is allowed is far beyond: rarely to be risked, not worth its end.
    FAR: ClassVar[float] = 5.0

    max_slowdown: float | None = None
    max_power_w: float | None = None
    max_temp_c: float | None = None
    max_latency_s: Mapping[str, float] = field(default_factory=dict, hash=False)
    max_pressure: Mapping[str, float] = field(default_factory=dict, hash=False)

    def give_up_s(self, default_s: float) -> float | None:
        """How long a run, or a unit of its work, may take before it is far beyond the slowdown bound; None without one.

        Args:
            default_s: run time, or time per unit of work, at the default.
        """
        if self.max_slowdown is None:
            return None
        return default_s * (1.0 + max(self.FAR * self.max_slowdown, _NOISE))
