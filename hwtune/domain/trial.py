"""One proposal, its prediction, and the trial that came of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from statistics import fmean, median

from hwtune.domain.errors import Unsupported
from hwtune.domain.knob import Setting


class Reason(StrEnum):
    """Why a setting is proposed."""

    DEFAULT = "default"
    EXPLORE = "explore"
    EXPLOIT = "exploit"
    EXPAND = "expand"
    VERIFY = "verify"


class TrialStatus(StrEnum):
    """How a trial ended."""

    OK = "ok"
    CENSORED = "censored"  # stopped early: the figures are lower bounds
    INFEASIBLE = "infeasible"  # measured to its end, and it broke a bound that only a measurement shows
    FAILED = "failed"
    PREDICTED = "predicted"  # a dry run: no measurement behind it, never learned from


@dataclass(frozen=True, slots=True, kw_only=True)
class LogNormal:
    """A positive quantity whose logarithm is normal: median exp(mean_log), deviation of the logarithm sd_log."""

    mean_log: float
    sd_log: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """Predicted time (s) and energy (J) of one run; energy is None where no sensor gives it."""

    time_s: LogNormal
    energy_j: LogNormal | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A setting to measure next.

    Args:
        setting: legal values for every knob of the space.
        reason: why.
        predicted: mean and deviation before the measurement; None before anything was measured.
        probability_feasible: predicted probability that the bound holds.
        score: value of the acquisition at the setting (log expected improvement), or None for the default.
        importance: per knob, |d log objective / d knob| over the knob's whole range, by autograd at the setting.
        status: `ok`, or `converged` when nothing safe is promising any more, or `exhausted`, or `distrusted` when the
            model may not act.
        why: what speaks against the model, in words for people; empty otherwise.
    """

    setting: Setting
    reason: Reason
    predicted: Prediction | None = None
    probability_feasible: float | None = None
    score: float | None = None
    importance: Mapping[str, float] = field(default_factory=dict)
    status: str = "ok"
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One timed run of the work, or one window of a machine that runs all the time.

    Args:
        time_s: how long it took; by a measure of its own, the time per unit of work, or the cost in its place.
        energy_j: energy of that time (power · time), or None without a sensor.
        cpu_time_s: CPU time of the process tree, or None where it is not known.
        features: what else was sensed.
        censored: whether it was stopped before its end: a whole run takes longer and uses more, while energy over time
            still is the power it drew until then.
        own_cpu_s: CPU time that hwtune itself used meanwhile on the same machine, or None where it is not known.
        unit: unit of `time_s`: `s` of a run, `s/transaction` of a rate (see `measure.energy_unit` for the energy).
        lasted_s: wall time of the whole run, None where `time_s` is just that.
        latency_s: percentiles of the work's own latencies that somebody asked for, by name (`p99`).
        energy_off: share by which the energy may be off for the meter's resolution alone, None where that is not known.
        no_energy: why there is none and what to do about it, where the meter cannot tell.
    """

    time_s: float
    energy_j: float | None
    cpu_time_s: float | None = None
    features: Mapping[str, float] = field(default_factory=dict)
    censored: bool = False
    own_cpu_s: float | None = None
    unit: str = "s"
    lasted_s: float | None = None
    latency_s: Mapping[str, float] = field(default_factory=dict)
    energy_off: float | None = None
    no_energy: tuple[str, str] | None = None

    def metered_j(self) -> float:
        """The energy, where nothing goes without it.

        Raises:
            Unsupported: there is none.
        """
        if self.energy_j is None:
            why, hint = self.no_energy or (
                f"the energy meter did not move in a run of {self.wall_s:.3g} s",
                "make a run last longer (1 s or more), or choose --objective time",
            )
            raise Unsupported(why, hint=hint)
        return self.energy_j

    @property
    def wall_s(self) -> float:
        """Wall time, whatever was measured."""
        return self.time_s if self.lasted_s is None else self.lasted_s

    @property
    def own_share(self) -> float | None:
        """Share of the CPU time of work and hwtune together that was hwtune's, 0-1; None where either is not known."""
        if self.own_cpu_s is None or self.cpu_time_s is None or self.own_cpu_s + self.cpu_time_s <= 0.0:
            return None
        return self.own_cpu_s / (self.own_cpu_s + self.cpu_time_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One evaluated setting: what the kernel made of it, and the runs under it.

    Args:
        setting: the effective setting, read back after the write.
        requested: what was asked for.
        runs: at least one, in order; all count (warm-up runs are left out before).
        context: features of workload and machine while it ran, per instruction where that makes sense.
        reason: why it was tried.
        status: how it ended; `CENSORED` with a run that was stopped early.

    Raises:
        ValueError: a run was stopped early and the status hides it.
    """

    setting: Setting
    requested: Setting
    runs: tuple[Run, ...]
    context: Mapping[str, float] = field(default_factory=dict)
    reason: Reason = Reason.EXPLORE
    status: TrialStatus = TrialStatus.OK

    def __post_init__(self) -> None:
        if self.stopped_after_s is not None and self.status is not TrialStatus.CENSORED:
            raise ValueError(f"a run was stopped early, and the trial is {self.status.value}")

    @property
    def stopped_after_s(self) -> float | None:
        """How long the run lasted that was stopped early; None where every run came to its end."""
        return next((run.wall_s for run in self.runs if run.censored), None)

    @property
    def time_s(self) -> float:
        """Median run time, or time per unit of work."""
        return median(run.time_s for run in self.runs)

    @property
    def energy_j(self) -> float | None:
        """Median energy of a run, None unless every run has one."""
        energies = [run.energy_j for run in self.runs if run.energy_j is not None]
        return median(energies) if len(energies) == len(self.runs) else None


def common_features(each: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Features that all of these runs or trials have, averaged."""
    common = set.intersection(*map(set, each)) if each else set()
    return {name: fmean(features[name] for features in each) for name in sorted(common)}
