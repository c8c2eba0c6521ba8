"""The energy of one run, out of the readings of the meter before, during and after it.

A counter (RAPL) is right at both ends of a run to a millisecond. A power meter shows the mean of some time that has
passed, and goes on showing it until the next: what it shows of a run begins after the run's beginning and ends after
its end. Whatever such a meter does to the power in between, it loses nothing. So with r what it shows from the run's
begin s to a moment e + L after its end, when it has shown all, and the power P₀ at rest before and P₂ at rest after:

    energy = ∫ r dt over [s, e + L]  -  d·P₀  -  (L - d)·P₂

where d is by how much it shows things late on average, half of (refresh + averaging time) where it shows the mean of
that. For P₀ = P₂ it does not even matter. What this takes is rest of the length of the meter's lag before and after.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean

from hwtune.domain.energy import PRECISION, error_j, lag_s
from hwtune.domain.interval import Interval
from hwtune.domain.sample import Sample
from hwtune.host.clock import Clock

# At rest so many times the meter's lag, the last part of which is what rest looks like.
_REST = 1.5
# So often in the time of a lag the meter is looked at then.
_LOOKS = 8
# A meter that does not say how often it is refreshed is watched for so long at most.
_PATIENCE_S = 60.0
_FIRST_LOOK_S = 0.001
_SLOWER = 0.1
# Off by a quarter, a figure is no measurement. Less is told and left to the repeats, as one reading that came late must
# not end a session.
_REFUSED = 25 * PRECISION
# Of deviations of the same kind two cover 95 % of the cases.
_SIGMAS = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEnergy:
    """Energy of one run.

    Args:
        energy_j: None where the meter cannot tell.
        error_j: how far off it may be (95 % of the cases) for the meter's resolution alone; None without energy.
        why: without energy, what is in the way.
        hint: and what to do about it.
    """

    energy_j: float | None
    error_j: float | None = None
    why: str | None = None
    hint: str | None = None

    @property
    def off(self) -> float | None:
        """The error as a share of the energy."""
        return None if self.energy_j is None or self.error_j is None else self.error_j / self.energy_j

    @property
    def refusal(self) -> tuple[str, str] | None:
        """Why there is no energy and what to do about it; None with energy."""
        return None if self.why is None else (self.why, self.hint or "choose --objective time")


class Rest:
    """Waits until the meter shows nothing of what was before, or all of what was.

    Args:
        clock: the machine's.
        sample_energy: takes time and energy.
    """

    def __init__(self, clock: Clock, sample_energy: Callable[[], Sample]) -> None:
        self._clock, self._sample_energy = clock, sample_energy
        self._watched_s = 0.0

    def before(self, expected_s: float | None = None) -> list[Sample]:
        """Readings up to now: one where the meter is as quick as a counter, else over some time of rest.

        A meter that does not say how often it is refreshed is watched until that is known, for a minute at most in all.

        Args:
            expected_s: how long the run will take, where that is known: one that is over before the meter has shown
                it is not worth waiting for.
        """
        return self._rest(expected_s)

    def after(self, run_s: float) -> list[Sample]:
        """Readings until the meter has shown all of the run and rests again; see `before`.

        Args:
            run_s: how long the run took.
        """
        return self._rest(run_s)

    def _rest(self, run_s: float | None) -> list[Sample]:
        readings = [self._sample_energy()]
        late_s = _late_s(readings[0])
        while late_s is None and self._watched_s < _PATIENCE_S:
            look_s = max(_FIRST_LOOK_S, _SLOWER * self._watched_s)
            self._clock.sleep(look_s)
            self._watched_s += look_s
            readings.append(self._sample_energy())
            late_s = _late_s(readings[-1])
        if late_s is None or (run_s is not None and run_s < late_s):
            return readings
        until_ns = readings[0].t_ns + _REST * late_s * 1e9
        while readings[-1].t_ns < until_ns:
            self._clock.sleep(max(late_s / _LOOKS, _FIRST_LOOK_S))
            readings.append(self._sample_energy())
        return readings


def shortest_window_s(sample: Sample) -> float | None:
    """How long a window of a machine that never rests must be, so that its energy is no worse than is refused.

    Its ends are shown too late by up to the meter's lag, at a power that may be any up to that of the window.
    """
    late_s = lag_s(sample.energy)
    return None if late_s is None else late_s / _REFUSED


def coarse(off: float, run_s: float) -> tuple[str, ...]:
    """A warning where energies may be off by more than the precision wanted, for the meter's resolution alone.

    Args:
        off: the largest share of an energy by which it may be off.
        run_s: how long a run takes.
    """
    if off <= PRECISION:
        return ()
    least_s = _rounded_up(run_s * off / PRECISION)
    return (
        f"energies of runs this short may each be off by {off:.0%}: with {least_s} s a run it would be {PRECISION:.0%}",
    )


def _late_s(sample: Sample) -> float | None:
    """For how long the meter shows what was before; 0 for a counter, and where there is nothing to wait for."""
    if any(reading.energy_uj is None and reading.power_uw is None for reading in sample.energy):
        return 0.0
    if any(reading.resolution.update_s is None for reading in sample.energy):
        return None
    return lag_s([reading for reading in sample.energy if reading.power_uw is not None]) or 0.0


def energy_of_run(readings: Sequence[Sample], start_ns: int, end_ns: int) -> RunEnergy:
    """Energy from `start_ns` to `end_ns` out of readings from before to after.

    Without rest after the end (a run that was given up) the power is taken to have gone on as it was.

    Args:
        readings: in order; those at the same instant are one.
        start_ns: of the run, by the clock of the samples.
        end_ns: of the run.
    """
    later = [b for a, b in pairwise(readings) if b.t_ns > a.t_ns]
    readings = [readings[0], *later]
    run_s = (end_ns - start_ns) / 1e9
    if not readings[0].energy:
        return RunEnergy(energy_j=None, why="there is no energy sensor")
    if len(readings) < 2 or run_s <= 0.0:
        return _refused("the run was too short to be timed")
    powers = [_power_w(sample) for sample in readings]
    known = [power for power in powers if power is not None]
    if not known:
        return _judged(_by_counter(readings, start_ns, end_ns), readings, run_s)
    if len(known) < len(powers):
        return _refused("the power meter did not answer all the time", "see `hwtune --debug`")
    late_s = _late_s(readings[-1])
    if late_s is not None and run_s < late_s:
        return _too_short(run_s, f"shows what happens over {late_s:.3g} s", late_s)
    return _judged(_by_power(readings, known, start_ns, end_ns), readings, run_s)


def _power_w(sample: Sample) -> float | None:
    powers = [reading.power_uw for reading in sample.energy if reading.power_uw is not None]
    return sum(powers) / 1e6 if powers and len(powers) == len(sample.energy) else None


def _by_counter(readings: Sequence[Sample], start_ns: int, end_ns: int) -> tuple[float, float] | None:
    """Energy and its error out of the slightly longer time between the readings next to the run.

    The mean power of that time is taken for that of the run.
    """
    first = max((index for index, sample in enumerate(readings) if sample.t_ns <= start_ns), default=0)
    last = min((index for index, sample in enumerate(readings) if sample.t_ns >= end_ns), default=len(readings) - 1)
    if last <= first:
        return None
    bracket = Interval.over(readings[first : last + 1])
    run_s = (end_ns - start_ns) / 1e9
    if bracket.energy_j is None:
        return None
    energy_j = bracket.energy_j * min(run_s / bracket.duration_s, 1.0)
    off_j = error_j(readings[last].energy, energy_j, run_s)
    return None if off_j is None else (energy_j, off_j)


def _by_power(
    readings: Sequence[Sample], powers: Sequence[float], start_ns: int, end_ns: int
) -> tuple[float, float] | None:
    """Energy and its error by the integral over run and rest, less what the rest takes."""
    late_s = lag_s(readings[-1].energy)
    if late_s is None:
        return None
    delay_s = late_s / 2
    at_s = [(sample.t_ns - start_ns) / 1e9 for sample in readings]
    run_s = (end_ns - start_ns) / 1e9
    before = [w for t, w in zip(at_s, powers, strict=True) if at_s[0] + late_s <= t <= 0.0]
    before = before or [w for t, w in zip(at_s, powers, strict=True) if t <= 0.0][-1:] or list(powers[:1])
    after = [w for t, w in zip(at_s, powers, strict=True) if t >= run_s + late_s] or list(powers[-1:])
    rest_s = max(at_s[-1] - run_s, 0.0)
    total_j, spread_j2 = 0.0, 0.0
    for (t, w), (later_t, later_w) in pairwise(zip(at_s, powers, strict=True)):
        begin, end = max(t, 0.0), later_t
        if end <= 0.0:
            continue
        share = (begin - t) / (end - t)
        total_j += ((w + (later_w - w) * share) + later_w) / 2 * (end - begin)
        # Somewhere between the two readings it changed from one to the other.
        spread_j2 += ((later_w - w) * (end - t)) ** 2 / 12
    energy_j = total_j - delay_s * fmean(before) - (rest_s - delay_s) * fmean(after)
    step_w = sum(reading.resolution.step or 0.0 for reading in readings[-1].energy)
    off_j = _SIGMAS * math.sqrt(spread_j2) + step_w / 2 * (run_s + rest_s)
    if rest_s < late_s:  # it had not shown the end yet: that may have been like all the rest, or not
        off_j += delay_s * abs(fmean(after) - energy_j / run_s)
    return energy_j, off_j


def _judged(found: tuple[float, float] | None, readings: Sequence[Sample], run_s: float) -> RunEnergy:
    if found is None:
        if _late_s(readings[-1]) is None:
            return _refused("how often the meter is refreshed could not be learned: it shows the same all the time")
        return _refused("the energy counter was reset, vanished or was not read in time", "see `hwtune --debug`")
    energy_j, off_j = found
    if energy_j > 0.0 and off_j <= _REFUSED * energy_j:
        return RunEnergy(energy_j=energy_j, error_j=off_j)
    if energy_j <= 0.0:
        return _refused(f"the energy meter did not move in a run of {run_s:.3g} s")
    return _too_short(run_s, f"may be off by {off_j / energy_j:.0%} for it", run_s * off_j / (_REFUSED * energy_j))


def _too_short(run_s: float, meter: str, least_s: float) -> RunEnergy:
    return _refused(
        f"a run of {run_s:.3g} s is too short for the energy meter, which {meter}",
        f"make a run last {_rounded_up(least_s)} s or more ({_rounded_up(least_s * _REFUSED / PRECISION)} s for "
        f"{PRECISION:.0%}), or choose --objective time",
    )


def _rounded_up(duration_s: float) -> str:
    """One digit, for advice."""
    unit = 10.0 ** math.floor(math.log10(duration_s))
    return f"{math.ceil(duration_s / unit) * unit:g}"


def _refused(why: str, hint: str = "make a run last longer (1 s or more), or choose --objective time") -> RunEnergy:
    return RunEnergy(energy_j=None, why=why, hint=hint)
