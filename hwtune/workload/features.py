"""What a run looked like beside its time and energy: the features that tell one kind of work from another.

Events are counted per instruction wherever instructions are: that is nearly independent of the frequency, so what is
learned at one setting holds at another. Those of the whole machine and those of the command alone have names of their
own: what was learned of one says nothing of the other, and not every session may count both.
"""

from __future__ import annotations

from collections.abc import Mapping
from statistics import fmean

from hwtune.domain.interval import Interval


def features_of(interval: Interval) -> dict[str, float]:
    """Flat features of an interval; what was not sensed is left out.

    `busy_ratio`, `steal_ratio`, `freq_hz` (mean over the policies), `clock_ratio` (of cores that are not idle: their
    clock over that of the time stamp counter), `temp_c` (the hottest zone), `ipc`, `pressure.NAME` and `idle.STATE`
    (shares of the time), and of each event one of those of `event_features`.
    """
    rates = interval.counter_rate
    aperf, mperf = rates.get("msr/aperf/"), rates.get("msr/mperf/")
    single = {
        "busy_ratio": interval.busy_ratio,
        "steal_ratio": interval.steal_ratio,
        "freq_hz": fmean(interval.freq_hz.values()) if interval.freq_hz else None,
        "clock_ratio": aperf / mperf if aperf is not None and mperf else None,
        "temp_c": max(interval.temp_c.values(), default=None),
        "ipc": interval.ipc,
    }
    features = {name: value for name, value in single.items() if value is not None}
    features |= {f"pressure.{name}": share for name, share in interval.pressure.items()}
    features |= {f"idle.{state}": share for state, share in interval.idle_ratio.items()}
    return features | event_features({name: rate for name, rate in rates.items() if not name.startswith("msr/")})


def features_of_command(counters: Mapping[str, float], time_s: float) -> dict[str, float]:
    """Features of the command alone: `command.` before those of `event_features`, and `command.ipc`.

    Args:
        counters: its own events, by perf's name; only those of user mode (`cycles:u`) where more is not allowed.
        time_s: how long it ran.
    """
    if time_s <= 0.0:
        return {}
    features = event_features({name: count / time_s for name, count in counters.items()})
    for mode in ("", ":u"):
        cycles, instructions = counters.get(f"cycles{mode}"), counters.get(f"instructions{mode}")
        if cycles and instructions is not None:
            features[f"ipc{mode}"] = instructions / cycles
    return {f"command.{name}": value for name, value in features.items()}


def event_features(rates: Mapping[str, float]) -> dict[str, float]:
    """Events in a unit that says something of the work.

    `NAME_per_instruction`; `NAME_per_instruction:u` where only user mode is counted; `NAME_per_s` where instructions
    are not counted at all. Top-down events are shares of the slots: `topdown-NAME_per_slot`.

    Args:
        rates: per second, by perf's name.
    """
    whole = next((name for name in ("instructions", "instructions:u") if rates.get(name, 0.0) > 0.0), None)
    features = {}
    for name, rate in rates.items():
        slots = _slots_of(name)
        if slots is not None:
            if rates.get(slots, 0.0) > 0.0 and slots != name:
                features[f"{name}_per_slot"] = rate / rates[slots]
        elif whole is None:
            features[f"{name}_per_s"] = rate
        elif name != whole:
            features[f"{name}_per_{whole.replace('instructions', 'instruction')}"] = rate / rates[whole]
    return features


def _slots_of(name: str) -> str | None:
    """The event that a top-down event, or that event itself, is a share of: on the same kind of core, in one mode."""
    pmu, slash, rest = name.rpartition("/")[0].rpartition("/") if name.endswith("/") else ("", "", name)
    event, colon, mode = rest.partition(":")
    if event != "slots" and not event.startswith("topdown-"):
        return None
    return f"{pmu}{slash}slots{colon}{mode}" + ("/" if pmu else "")
