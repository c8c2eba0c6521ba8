"""What a run looked like beside its time and energy: the features that tell one kind of work from another.

Events are counted per instruction wherever instructions are: that is nearly independent of the frequency, so what is
learned at one setting holds at another.
"""

from __future__ import annotations

from statistics import fmean

from hwtune.domain.interval import Interval


def features_of(interval: Interval) -> dict[str, float]:
    """Flat features of an interval; what was not sensed is left out.

    `busy_ratio`, `steal_ratio`, `freq_hz` (mean over the policies), `temp_c` (the hottest zone), `ipc`,
    `pressure.NAME` and `idle.STATE` (shares of the time), and for each event either `NAME_per_instruction` or, where
    instructions are not counted, `NAME_per_s`.
    """
    instruction_rate = interval.counter_rate.get("instructions", 0.0)
    single = {
        "busy_ratio": interval.busy_ratio,
        "steal_ratio": interval.steal_ratio,
        "freq_hz": fmean(interval.freq_hz.values()) if interval.freq_hz else None,
        "temp_c": max(interval.temp_c.values(), default=None),
        "ipc": interval.ipc,
    }
    features = {name: value for name, value in single.items() if value is not None}
    features |= {f"pressure.{name}": share for name, share in interval.pressure.items()}
    features |= {f"idle.{state}": share for state, share in interval.idle_ratio.items()}
    for name, rate in interval.counter_rate.items():
        if instruction_rate <= 0.0:
            features[f"{name}_per_s"] = rate
        elif name != "instructions":
            features[f"{name}_per_instruction"] = rate / instruction_rate
    return features
