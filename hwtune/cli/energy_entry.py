"""What the energies of a JSON document are worth: domain and resolution of their sensor, and so of runs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from pydantic import BaseModel

from hwtune.domain.trial import Run
from hwtune.sensors.energy import EnergySource


class EnergyEntry(BaseModel):
    """Where energies come from and how fine that is.

    Refreshed every `update_s` (None: not known), each time the mean of `average_s`; `learned`: by watching it. `off` is
    the largest share by which the energy of a run may be off for that alone, `doubt` why the figures may be wrong.
    """

    domain: Literal["package", "node", "battery"]
    update_s: float | None
    average_s: float
    step: float | None
    learned: bool
    off: float | None
    doubt: str | None


def energy_entry(source: EnergySource, runs: Iterable[Run]) -> EnergyEntry | None:
    """The entry of a source and of the runs that it measured; None without a source."""
    resolution = source.resolution
    if source.quality == "none" or resolution is None:
        return None
    return EnergyEntry(
        domain=source.quality,
        update_s=resolution.update_s,
        average_s=resolution.average_s,
        step=resolution.step,
        learned=resolution.learned,
        off=max((run.energy_off for run in runs if run.energy_off is not None), default=None),
        doubt=source.doubt,
    )
