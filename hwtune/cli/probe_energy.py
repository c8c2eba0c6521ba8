"""The energy source of a machine for the probe: how good it is, how fine, and whether two ways to it agree."""

from __future__ import annotations

from typing import Literal

from hwtune.cli.probe_document import Energy, Machine
from hwtune.domain.energy import least_window_s
from hwtune.domain.sample import Sample
from hwtune.host.clock import Clock
from hwtune.sensors.collector import Collector
from hwtune.sensors.crosscheck import WINDOW_S
from hwtune.sensors.energy import EnergySource

# What an idle machine draws: a step counts most where there is little to measure.
_LITTLE_W = 5.0
_FIRST_LOOK_S = 0.001
_SLOWER = 0.1


def find_energy(collector: Collector, clock: Clock, sample: Sample, machine: Machine, missing: str | None) -> Energy:
    """What there is to measure energy with.

    A source that must be watched to know it, or that can be checked against another way to the same counters, is looked
    at for some seconds; not on a machine that stands still.

    Args:
        collector: of the machine.
        clock: its clock.
        sample: a first one.
        machine: what kind it is.
        missing: what to do where there is no source at all.
    """
    source = collector.energy
    resolution = source.resolution
    unknown = resolution is not None and resolution.update_s is None
    if (source.checked or unknown) and (machine.live or machine.simulated):
        _watch(collector, clock)
        resolution = source.resolution
    readings = sample.energy if resolution is None else source.read(clock.monotonic_ns())
    window_s = least_window_s(readings, _LITTLE_W) if readings else None
    return Energy(
        available=source.quality != "none",
        why=source.why,
        hint=missing if source.quality == "none" else source.hint,
        quality=source.quality,
        name=source.name,
        zones=[reading.zone for reading in sample.energy],
        emulated=source.emulated,
        period_s=source.period_s,
        update_s=None if resolution is None else resolution.update_s,
        average_s=0.0 if resolution is None else resolution.average_s,
        learned=resolution is not None and resolution.learned,
        step=None if resolution is None else resolution.step,
        step_unit=_step_unit(sample, source),
        window_s=window_s,
        doubt=source.doubt,
    )


def _watch(collector: Collector, clock: Clock) -> None:
    """Ever more slowly: what is refreshed in milliseconds is known by then, and what takes a second is seen, too."""
    begin_ns, elapsed_s = clock.monotonic_ns(), 0.0
    while elapsed_s < WINDOW_S * (1 + _SLOWER):
        collector.sample_energy()
        clock.sleep(max(_FIRST_LOOK_S, _SLOWER * elapsed_s))
        elapsed_s = (clock.monotonic_ns() - begin_ns) / 1e9
    collector.sample_energy()


def _step_unit(sample: Sample, source: EnergySource) -> Literal["J", "W"] | None:
    if source.quality == "none" or not sample.energy:
        return None
    return "J" if sample.energy[0].energy_uj is not None else "W"


def energy_text(energy: Energy) -> str | None:
    """How fine the source is, in words for people; None without one."""
    if not energy.available:
        return None
    if energy.update_s is None:
        return "how often it is refreshed is not known: it is learned while runs are measured"
    said = f"refreshed every {_si(energy.update_s, 's')}" + (" (learned)" if energy.learned else "")
    said += f", mean of {_si(energy.average_s, 's')}" if energy.average_s > 0.0 else ""
    said += f", in steps of {_si(energy.step, energy.step_unit or '')}" if energy.step else ""
    return said + ("" if energy.window_s is None else f"; 1% takes windows of {_si(energy.window_s, 's')} or more")


def _si(value: float, unit: str) -> str:
    for factor, prefix in ((1.0, ""), (1e-3, "m"), (1e-6, "µ")):
        if value >= factor:
            return f"{value / factor:.3g} {prefix}{unit}"
    return f"{value / 1e-9:.3g} n{unit}"
