"""Energy between two readings of a meter, and how far off it may be by what the meter can tell. Counters wrap here.

What is not certain is None: a counter that may have wrapped more often than can be seen gives no figure, not a false
one.
"""

from __future__ import annotations

from collections.abc import Sequence

from hwtune.domain.sample import EnergyReading, Sample

# What one RAPL zone never draws, mean over a second, where nothing says less: the largest sockets are built for 0.5 kW
# and pass it by half for moments, a node of several such (psys) has supplies of about this.
MOST_POWER_W = 2000.0
# Between the time of a sample and its readings the reader may have been put aside for so long.
_SLIP_S = 1.0
# How precise a figure is wanted for its resolution alone; noise comes on top.
PRECISION = 0.01


def energy_between_j(a: Sample, b: Sample) -> float | None:
    """Energy of all zones from `a` to `b` in J.

    None unless both samples have the same zones, each readable, and each counter's growth is certain.

    Raises:
        ValueError: when `b` is not later than `a`.
    """
    if b.t_ns <= a.t_ns:
        raise ValueError(f"time does not advance between samples: {a.t_ns} to {b.t_ns} ns")
    duration_s = (b.t_ns - a.t_ns) / 1e9
    before = {(reading.source, reading.zone): reading for reading in a.energy}
    after = {(reading.source, reading.zone): reading for reading in b.energy}
    if not before or before.keys() != after.keys():
        return None
    energies = [zone_energy_j(before[zone], after[zone], duration_s) for zone in before]
    known = [energy for energy in energies if energy is not None]
    return sum(known) if len(known) == len(energies) else None


def zone_energy_j(a: EnergyReading, b: EnergyReading, duration_s: float) -> float | None:
    """Energy of one zone: the counter's growth, or the trapezoid under two powers.

    Of a counter the growth is known but for whole turns. It is certain where one turn more would take more power than
    the zone can draw, and believed where it takes no more itself: what grew faster was reset, not used.
    """
    if a.energy_uj is not None and b.energy_uj is not None:
        return _counted_j(a.energy_uj, b.energy_uj, b, duration_s)
    if a.power_uw is not None and b.power_uw is not None:
        return (a.power_uw + b.power_uw) / 2 / 1e6 * duration_s
    return None


def _counted_j(before_uj: int, after_uj: int, zone: EnergyReading, duration_s: float) -> float | None:
    grown_uj: float = after_uj - before_uj
    if zone.max_energy_uj is None:
        return grown_uj / 1e6 if grown_uj >= 0 else None  # reset
    if max(before_uj, after_uj) > zone.max_energy_uj:
        return None  # not this counter's range
    turn_uj = zone.max_energy_uj + (1.0 if zone.resolution.step is None else zone.resolution.step * 1e6)
    if grown_uj < 0:
        grown_uj += turn_uj
    most_w = MOST_POWER_W if zone.max_power_w is None else zone.max_power_w
    most_uj = most_w * (duration_s + _SLIP_S) * 1e6
    return grown_uj / 1e6 if grown_uj <= most_uj < grown_uj + turn_uj else None


def longest_gap_s(reading: EnergyReading) -> float | None:
    """How far two readings of a counter may be apart so that no turn is missed; None where it does not wrap."""
    if reading.energy_uj is None or reading.max_energy_uj is None:
        return None
    most_w = MOST_POWER_W if reading.max_power_w is None else reading.max_power_w
    return max(reading.max_energy_uj / 1e6 / most_w - _SLIP_S, 0.0)


def lag_s(readings: Sequence[EnergyReading]) -> float | None:
    """How long after the fact the slowest of these sensors shows all of what happened; None while that is not known."""
    lags = [reading.resolution.lag_s for reading in readings]
    known = [lag for lag in lags if lag is not None]
    return max(known) if known and len(known) == len(lags) else None


def error_j(readings: Sequence[EnergyReading], energy_j: float, duration_s: float) -> float | None:
    """How far off an energy between two readings may be for the sensors' resolution alone, or None if that is unknown.

    At either end a sensor shows a moment up to `lag_s` ago; of both ends the difference is at most that, at the power
    of the time between. A counter's steps come on top once, a power's half step all the time.
    """
    late_s = lag_s(readings)
    if late_s is None:
        return None
    counted = sum(reading.resolution.step or 0.0 for reading in readings if reading.energy_uj is not None)
    rounded_w = sum((reading.resolution.step or 0.0) / 2 for reading in readings if reading.power_uw is not None)
    return late_s * energy_j / duration_s + counted + rounded_w * duration_s


def least_window_s(readings: Sequence[EnergyReading], power_w: float, precision: float = PRECISION) -> float | None:
    """How long a window must be for its energy to be as precise as wanted, by `error_j`.

    Args:
        readings: of the sensors, for their resolution.
        power_w: what is drawn, more than 0.
        precision: wanted, as a share of the energy.

    Returns:
        Infinity where rounding alone is coarser; None while the resolution is not known.
    """
    fixed_j, each_w = error_j(readings, power_w, 1.0), 0.0
    if fixed_j is None:
        return None
    each_w = sum((reading.resolution.step or 0.0) / 2 for reading in readings if reading.power_uw is not None)
    slack_w = precision * power_w - each_w
    return (fixed_j - each_w) / slack_w if slack_w > 0.0 else float("inf")
