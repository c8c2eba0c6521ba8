"""What clock each governor asks for, for many rows of columns at once.

A column is a group of like cores under the same policy settings, a row is one imaginary machine. `follow` moves the
clock and the load that the governor has tracked through one step of time; ramps are exponential with the governor's own
period. Sources: Documentation/admin-guide/pm/cpufreq.rst and intel_pstate.rst, kernel/sched/pelt.c (half life 32 ms).
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# The last one is the hardware's own choice under intel_pstate's `powersave`, guided by the EPP.
GOVERNORS = ("performance", "powersave", "userspace", "schedutil", "ondemand", "conservative", "hwp")
_CODE = {name: code for code, name in enumerate(GOVERNORS)}
_PELT_S = 0.032 / np.log(2.0)


@dataclass(slots=True, kw_only=True)
class Controls:
    """What the kernel's files say, in the plant's terms; every array is rows by columns.

    Args:
        governor: index into `GOVERNORS`.
        low_ghz: lower limit.
        high_ghz: upper limit, boost included.
        speed_ghz: what `scaling_setspeed` holds.
        epp: energy-performance preference, 0 (performance) to 255.
        tunables: `governor.tunable` → value, where it is not the kernel's default.
    """

    governor: NDArray[np.int64]
    low_ghz: Floats
    high_ghz: Floats
    speed_ghz: Floats
    epp: Floats
    tunables: dict[str, Floats] = field(default_factory=dict)
    present: tuple[int, ...] = field(init=False)

    def __post_init__(self) -> None:
        self.present = tuple(int(code) for code in np.unique(self.governor))

    def rows(self, index: NDArray[np.int64]) -> Controls:
        """These rows only."""
        arrays = {each.name: getattr(self, each.name)[index] for each in fields(self) if each.name in _ARRAYS}
        return Controls(**arrays, tunables={name: values[index] for name, values in self.tunables.items()})


_ARRAYS = ("governor", "low_ghz", "high_ghz", "speed_ghz", "epp")
# The kernel's defaults, in its units.
DEFAULT_TUNABLES: dict[str, float] = {
    "schedutil.rate_limit_us": 10_000,
    "ondemand.sampling_rate": 10_000,
    "ondemand.up_threshold": 95,
    "ondemand.powersave_bias": 0,
    "ondemand.sampling_down_factor": 1,
    "ondemand.ignore_nice_load": 0,
    "ondemand.io_is_busy": 0,
    "conservative.sampling_rate": 10_000,
    "conservative.up_threshold": 80,
    "conservative.down_threshold": 20,
    "conservative.freq_step": 5,
    "conservative.sampling_down_factor": 1,
    "conservative.ignore_nice_load": 0,
}


def _tunable(controls: Controls, name: str) -> Floats | float:
    return controls.tunables.get(name, DEFAULT_TUNABLES[name])


@dataclass(frozen=True, slots=True)
class _Wish:
    """Clock asked for, time constant to get there, and time constant of the tracked load."""

    clock_ghz: Floats
    ramp_s: Floats | float
    track_s: Floats | float


def _schedutil(controls: Controls, load: Floats, clock_ghz: Floats, top_ghz: Floats) -> _Wish:
    """1.25 · utilisation · top; utilisation grows slower at a low clock (time-scaled PELT)."""
    period_s = np.maximum(_tunable(controls, "schedutil.rate_limit_us"), 500.0) * 1e-6
    return _Wish(1.25 * load * top_ghz, period_s, _PELT_S * top_ghz / clock_ghz)


def _ondemand(controls: Controls, load: Floats, clock_ghz: Floats, top_ghz: Floats) -> _Wish:
    """The top above up_threshold, else in proportion to the last load; powersave_bias takes a part off."""
    period_s = _tunable(controls, "ondemand.sampling_rate") * np.float64(1e-6)
    bias = 1.0 - _tunable(controls, "ondemand.powersave_bias") / np.float64(1000.0)
    above = load * 100.0 >= _tunable(controls, "ondemand.up_threshold")
    hold = np.where(above, 1.0, _tunable(controls, "ondemand.sampling_down_factor"))
    low, high = controls.low_ghz, controls.high_ghz
    return _Wish(np.where(above, high, low + load * (high - low)) * bias, period_s * hold, period_s)


def _conservative(controls: Controls, load: Floats, clock_ghz: Floats, top_ghz: Floats) -> _Wish:
    """One freq_step per sample up or down; in between it stays. As a ramp: 100/freq_step periods."""
    period_s = _tunable(controls, "conservative.sampling_rate") * np.float64(1e-6)
    ramp_s = period_s * 60.0 / np.maximum(_tunable(controls, "conservative.freq_step"), 1.0)
    up = load * 100.0 >= _tunable(controls, "conservative.up_threshold")
    down = load * 100.0 < _tunable(controls, "conservative.down_threshold")
    hold = np.where(down, _tunable(controls, "conservative.sampling_down_factor"), 1.0)
    wish = np.where(up, controls.high_ghz, np.where(down, controls.low_ghz, clock_ghz))
    return _Wish(wish, ramp_s * hold, period_s)


def _hardware(controls: Controls, load: Floats, clock_ghz: Floats, top_ghz: Floats) -> _Wish:
    """HWP: the EPP lowers what sustained load is worth and how fast a burst is believed."""
    saving = controls.epp / 255.0
    ceiling = 1.0 - 0.03 * saving - 0.12 * saving**3
    wish = (0.12 + 0.88 * np.minimum(1.0, 1.15 * load)) * ceiling * top_ghz
    return _Wish(wish, 0.002 + 0.010 * saving, 0.003 + 0.220 * saving**2)


_DYNAMIC = {"schedutil": _schedutil, "ondemand": _ondemand, "conservative": _conservative, "hwp": _hardware}


def _wish(name: str, controls: Controls, load: Floats, clock_ghz: Floats, top_ghz: Floats) -> _Wish:
    match name:
        case "performance":
            return _Wish(controls.high_ghz, 0.0005, 0.01)
        case "powersave":
            return _Wish(controls.low_ghz, 0.0005, 0.01)
        case "userspace":
            return _Wish(controls.speed_ghz, 0.0005, 0.01)
    return _DYNAMIC[name](controls, load, clock_ghz, top_ghz)


def wished(controls: Controls, load: Floats, clock_ghz: Floats, top_ghz: Floats) -> _Wish:
    """What each column's governor asks for now."""
    if len(controls.present) == 1:
        return _wish(GOVERNORS[controls.present[0]], controls, load, clock_ghz, top_ghz)
    clock, ramp, track = (np.empty_like(clock_ghz) for _ in range(3))
    for code in controls.present:
        mine = controls.governor == code
        wish = _wish(GOVERNORS[code], controls, load, clock_ghz, top_ghz)
        for out, value in ((clock, wish.clock_ghz), (ramp, wish.ramp_s), (track, wish.track_s)):
            np.copyto(out, value, where=mine)
    return _Wish(clock, ramp, track)


def seen_load(busy: Floats, clock_ghz: Floats, top_ghz: Floats) -> Floats:
    """The load a governor would come to see if this went on: utilisation of full capacity, 1 when never idle."""
    always = busy * busy
    always = always * always
    return busy * (always + (1.0 - always) * clock_ghz / top_ghz)


def governor_code(name: str, *, hardware_managed: bool) -> int:
    """Index of a governor; intel_pstate's `powersave` is the hardware's own choice."""
    return _CODE["hwp" if hardware_managed and name == "powersave" else name]
