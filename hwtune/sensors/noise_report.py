"""The noise report: how unsteady figures were, what disturbed them as far as the kernel tells, and what to do about it.

A figure is absent where nothing was counted. What is worth a word is a finding; its threshold lies where a disturbance
is about as large as the differences people look for, one per cent.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import log
from statistics import fmean, median

from hwtune.sensors.circumstances import Circumstances
from hwtune.sensors.noise import DisturbedRun

_STEAL = 0.005  # share of CPU time
_OTHER_LOAD = 0.05  # CPUs
_STALL = 0.02  # share of the time
_SPREAD = 0.02  # relative deviation of run times
_JITTER = 0.02  # relative deviation of clocks
_BELOW, _ABOVE = 0.93, 1.07  # of the limit: farther away than noise and one step of most drivers
_HOT_C = 95.0
# The deviation of a normal sample is so many times its median distance from the median.
_MAD_TO_SD = 1.4826


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was noticed.

    Args:
        kind: `throttling`, `heat`, `clock_above_limit`, `clock_below_limit`, `clock_jitter`, `steal`, `other_load`,
            `swap`, `memory_stall`, `io_stall`, `drift`, `spread`, `battery`, `aslr`.
        words: what it is, with its figure.
        advice: what to do about it.
    """

    kind: str
    words: str
    advice: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NoiseReport:
    """Figures over all runs; None, or left out, where nothing was counted.

    Args:
        runs: how many were looked at.
        spread: relative deviation of the run times under each setting, without what outliers add to it.
        drift: relative change of the run time from the first half of the runs to the second, each setting for itself.
        steal_ratio: share of CPU time that the hypervisor gave to others.
        other_load_cpus: CPU time used beside the command, in CPUs.
        throttles: thermal throttling events.
        temp_c: the highest temperature.
        clock_hz: typical clock under load, under each setting; of a run the lowest one of the policy that was fastest.
        clock_spread: relative deviation of that from run to run, under the setting where it is largest.
        clock_of_demanded: typical clock under load over what the governor `performance` asks for.
        clock_of_limit: typical clock under load over a limit that was set.
        swapped_pages: pages written to and read from swap.
        cpu_stall_ratio: share of the time in which some task waited for a CPU; a command of many threads waits itself.
        memory_stall_ratio: share of the time in which some task waited for memory.
        io_stall_ratio: share of the time in which some task waited for input or output.
        circumstances: how the machine stood before anything was set.
    """

    runs: int
    spread: Mapping[str, float]
    drift: float | None
    steal_ratio: float | None
    other_load_cpus: float | None
    throttles: int | None
    temp_c: float | None
    clock_hz: Mapping[str, float]
    clock_spread: float | None
    clock_of_demanded: float | None
    clock_of_limit: float | None
    swapped_pages: int | None
    cpu_stall_ratio: float | None
    memory_stall_ratio: float | None
    io_stall_ratio: float | None
    circumstances: Circumstances

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What is worth a word: first what makes the clocks another's, then who else was there, then what is left."""
        return (*_of_clocks(self), *_of_others(self), *_of_times(self), *_of_circumstances(self.circumstances))


def noise_report(arms: Mapping[str, Sequence[DisturbedRun]], circumstances: Circumstances, *, cpus: int) -> NoiseReport:
    """What the runs under each setting tell of the machine.

    Args:
        arms: runs by the name of their setting, each in the order in which they were made.
        circumstances: how the machine stood before anything was set.
        cpus: CPUs that are online, 0 where that is not known.
    """
    runs = [run for arm in arms.values() for run in arm]
    clocks = {name: [max(run.clock_khz.values()) for run in arm if run.clock_khz] for name, arm in arms.items()}
    return NoiseReport(
        runs=len(runs),
        spread={name: _deviation([run.run.time_s for run in arm]) for name, arm in arms.items() if len(arm) > 2},
        drift=_drift(list(arms.values())),
        steal_ratio=_mean(runs, "steal_ratio"),
        other_load_cpus=_other_load(runs, cpus) if cpus else None,
        throttles=_total(run.throttles for run in runs),
        temp_c=max((run.run.features["temp_c"] for run in runs if "temp_c" in run.run.features), default=None),
        clock_hz={name: 1e3 * median(khz) for name, khz in clocks.items() if khz},
        clock_spread=max((_deviation(khz) for khz in clocks.values() if len(khz) > 2), default=None),
        clock_of_demanded=_share([(run.clock_khz, run.demanded_khz) for run in runs]),
        clock_of_limit=_share([(run.clock_khz, run.limit_khz) for run in runs]),
        swapped_pages=_total(run.swapped_pages for run in runs),
        cpu_stall_ratio=_mean(runs, "pressure.cpu_some"),
        memory_stall_ratio=_mean(runs, "pressure.memory_some"),
        io_stall_ratio=_mean(runs, "pressure.io_some"),
        circumstances=circumstances,
    )


def _deviation(values: Sequence[float]) -> float:
    """Relative deviation, by the median distance from the median: one outlier among many does not show."""
    middle = median(values)
    return _MAD_TO_SD * median(abs(value - middle) for value in values) / middle


def _drift(arms: Sequence[Sequence[DisturbedRun]]) -> float | None:
    changes = []
    for arm in arms:
        times, half = [run.run.time_s for run in arm], len(arm) // 2
        if half >= 3:  # the median of two is no shield against an outlier
            changes.append(log(median(times[-half:]) / median(times[:half])))
    return fmean(changes) if changes else None


def _mean(runs: Sequence[DisturbedRun], feature: str) -> float | None:
    """Mean of a share over the time of the runs that have it."""
    known = [run.run for run in runs if feature in run.run.features]
    total_s = sum(run.wall_s for run in known)
    return sum(run.features[feature] * run.wall_s for run in known) / total_s if total_s else None


def _other_load(runs: Sequence[DisturbedRun], cpus: int) -> float | None:
    """What the CPUs did less what the command and we did; over all runs, because /proc/stat counts in ticks."""
    known = [run.run for run in runs if "busy_ratio" in run.run.features and run.run.cpu_time_s is not None]
    total_s = sum(run.wall_s for run in known)
    if not total_s:
        return None
    busy_s = sum(run.features["busy_ratio"] * cpus * run.wall_s for run in known)
    return max((busy_s - sum((run.cpu_time_s or 0.0) + (run.own_cpu_s or 0.0) for run in known)) / total_s, 0.0)


def _total(counts: Iterable[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if known else None


def _share(runs: Sequence[tuple[Mapping[str, int], Mapping[str, int]]]) -> float | None:
    """Median of the first figure over the second, over runs and policies that have both."""
    shares = [first[policy] / khz for first, second in runs for policy, khz in second.items() if policy in first]
    return median(shares) if shares else None


def _of_clocks(report: NoiseReport) -> Iterator[Finding]:
    hottest = "" if report.temp_c is None else f", {report.temp_c:.0f} °C at the hottest"
    if report.throttles:
        yield Finding(
            kind="throttling",
            words=f"heat throttled the CPUs {report.throttles} times{hottest}",
            advice="let it cool between runs (--prepare 'sleep 20'), or compare under a lower max",
        )
    elif report.temp_c is not None and report.temp_c >= _HOT_C:
        yield Finding(
            kind="heat",
            words=f"{report.temp_c:.0f} °C: close to where CPUs throttle",
            advice="let it cool between runs (--prepare 'sleep 20')",
        )
    if report.clock_of_limit is not None and report.clock_of_limit > _ABOVE:
        yield Finding(
            kind="clock_above_limit",
            words=f"clocks under load are at {report.clock_of_limit:.0%} of the limit that reads as set",
            advice="firmware or a hypervisor does not obey it: what is compared may not be what was set",
        )
    if report.clock_of_demanded is not None and report.clock_of_demanded < _BELOW:
        yield Finding(
            kind="clock_below_limit",
            words=f"clocks under load are at {report.clock_of_demanded:.0%} of what the governor asks for",
            advice="a power limit, heat, or turbo bins of many busy cores: a lower max holds steadier",
        )
    if report.clock_spread is not None and report.clock_spread > _JITTER and _unsteady(report):
        yield Finding(
            kind="clock_jitter",
            words=f"how low the clock falls under load differs by {report.clock_spread:.1%} from run to run",
            advice=_steady_clock(report.circumstances),
        )


def _unsteady(report: NoiseReport) -> bool:
    return max(report.spread.values(), default=0.0) > _SPREAD


def _steady_clock(circumstances: Circumstances) -> str:
    ways = ["boost=0"] if circumstances.turbo else []
    ways += ["min as high as max"] if circumstances.frequency_fixed is False else []
    return f"fix it where that is not what you compare: {', '.join(ways) or 'governor=performance'} in both settings"


def _of_others(report: NoiseReport) -> Iterator[Finding]:
    if report.steal_ratio is not None and report.steal_ratio > _STEAL:
        yield Finding(
            kind="steal",
            words=f"the hypervisor gave {report.steal_ratio:.1%} of the CPU time to others",
            advice="nothing inside this machine helps: a dedicated host, or another hour",
        )
    if report.other_load_cpus is not None and report.other_load_cpus > _OTHER_LOAD:
        shared = ", which may share a core with the command" if report.circumstances.smt else ""
        yield Finding(
            kind="other_load",
            words=f"{report.other_load_cpus:.2f} CPUs were busy with something else{shared}",
            advice="`top` shows with what; stop it, or give the command CPUs of its own (taskset)",
        )
    if report.swapped_pages:
        yield Finding(
            kind="swap",
            words=f"{report.swapped_pages} pages went to or came from swap",
            advice="free memory first: a run that swaps measures the disk",
        )
    for kind, share, what, advice in (
        ("memory_stall", report.memory_stall_ratio, "memory", "free memory, or raise the limit of the control group"),
        ("io_stall", report.io_stall_ratio, "input or output", "warm the cache with --prepare, or work in /dev/shm"),
    ):
        if share is not None and share > _STALL:
            yield Finding(kind=kind, words=f"tasks waited for {what} {share:.1%} of the time", advice=advice)


def _of_times(report: NoiseReport) -> Iterator[Finding]:
    widest = max(report.spread.values(), default=0.0)
    if report.drift is not None and abs(report.drift) > max(_SPREAD, widest):
        way = "slower" if report.drift > 0 else "faster"
        yield Finding(
            kind="drift",
            words=f"later runs are {abs(report.drift):.1%} {way} than earlier ones",
            advice="heat, or something runs leave behind? Interleaving keeps it out of the ratio, not of the times",
        )
    if _unsteady(report):
        yield Finding(
            kind="spread",
            words=f"run times spread by {widest:.1%}",
            advice="a longer command, fewer things beside it; on a machine of its own `python -m pyperf system tune`",
        )


def _of_circumstances(circumstances: Circumstances) -> Iterator[Finding]:
    if circumstances.on_mains is False:
        yield Finding(
            kind="battery",
            words="the machine runs from its battery",
            advice="plug it in, unless that is what you compare: firmware limits power without a charger",
        )
    if circumstances.aslr not in {None, 2}:
        yield Finding(
            kind="aslr",
            words="addresses are not fully randomised",
            advice="every run has the same lucky or unlucky layout: `sysctl kernel.randomize_va_space=2`",
        )
