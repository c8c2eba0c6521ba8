"""The end of `hwtune compare`: one JSON document, pyperf files, or a table for people."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel

from hwtune.cli.compare_noise import NoiseEntry, noise_entry
from hwtune.cli.compare_open import Comparing
from hwtune.cli.compare_words import conclusion
from hwtune.cli.host import OpenHost
from hwtune.cli.outcome import VerdictEntry
from hwtune.compare import ARMS, Pilot, typical
from hwtune.domain.knob import Value
from hwtune.domain.trial import Run
from hwtune.workload.results import Arm, write_pyperf
from hwtune.workload.verdict import Verdict


class Figure(BaseModel):
    """Typical value of one run (geometric mean) and its 95 % interval, null with fewer than two runs."""

    typical: float
    interval_95: tuple[float, float] | None


class RunEntry(BaseModel):
    """One run."""

    time_s: float
    energy_j: float | None
    cpu_time_s: float | None


class ArmEntry(BaseModel):
    """One setting: as it was asked for, what the kernel made of it, and its runs in complete blocks."""

    asked: str
    requested: dict[str, Value]
    effective: dict[str, Value] | None
    time_s: Figure | None
    energy_j: Figure | None
    runs: list[RunEntry]


class PlanEntry(BaseModel):
    """The relative difference that so many runs of each arm show in 95 of 100 comparisons."""

    runs: int
    effect: float


class PilotEntry(BaseModel):
    """What was known before the first block; `sd_log` is how much the log ratio of a block was to scatter."""

    warm_up_runs: int
    steady_runs: int
    settled: bool
    sd_log: float
    plans: list[PlanEntry]
    max_runs: int


class ComparedVerdict(VerdictEntry):
    """B over A; below 1, B is lower."""

    different: bool
    equivalent: bool
    decided: str | None
    detectable: float | None


class CompareDocument(BaseModel):
    """The document of `hwtune compare --json`; see docs/compare.md."""

    schema_version: int = 1
    machine: str
    simulated: bool
    dry_run: bool
    energy_source: str
    workload: str
    objective: str
    margin: float
    seed: int
    arms: dict[str, ArmEntry]
    same_setting: bool
    pilot: PilotEntry | None
    verdict: ComparedVerdict | None
    conclusion: str
    noise: NoiseEntry
    warnings: list[str]
    would_write: dict[str, dict[str, str]] | None
    interrupted: bool
    restored: bool


def print_result(opened: OpenHost, comparing: Comparing, *, as_json: bool) -> None:
    """Everything that was found, on standard output."""
    if as_json:
        print(document(opened, comparing).model_dump_json())
        return
    from hwtune.cli.compare_words import print_plan, print_table

    if opened.dry:
        print_plan(opened, comparing)
    else:
        print_table(opened, comparing)


def document(opened: OpenHost, comparing: Comparing) -> CompareDocument:
    """Everything that was found, for machines."""
    wish, compare = comparing.wish, comparing.compare
    return CompareDocument(
        machine=opened.host.name,
        simulated=opened.host.simulated,
        dry_run=opened.dry,
        energy_source=comparing.energy.name,
        workload=comparing.label,
        objective=wish.objective.value,
        margin=wish.margin,
        seed=wish.seed,
        arms={arm: _arm(comparing, arm) for arm in ARMS},
        same_setting=compare.same,
        pilot=None if compare.pilot is None else _pilot(compare.pilot),
        verdict=None if comparing.verdict is None else _verdict(comparing.verdict),
        conclusion=conclusion(comparing),
        noise=noise_entry(comparing.noise),
        warnings=list(comparing.work.warnings),
        would_write=comparing.would_write,
        interrupted=comparing.interrupted,
        restored=comparing.restored,
    )


def _arm(comparing: Comparing, arm: str) -> ArmEntry:
    runs = comparing.runs(arm)
    energies = [run.energy_j for run in runs if run.energy_j is not None]
    effective = comparing.compare.effective.get(arm)
    return ArmEntry(
        asked=comparing.asked[arm].text,
        requested=dict(comparing.settings[arm]),
        effective=None if effective is None else dict(effective),
        time_s=_figure([run.time_s for run in runs]),
        energy_j=_figure(energies) if len(energies) == len(runs) else None,
        runs=[RunEntry(time_s=run.time_s, energy_j=run.energy_j, cpu_time_s=run.cpu_time_s) for run in runs],
    )


def _figure(values: list[float]) -> Figure | None:
    if len(values) < 2:
        return Figure(typical=values[0], interval_95=None) if values else None
    middle, interval = typical(values)
    return Figure(typical=middle, interval_95=interval)


def _pilot(pilot: Pilot) -> PilotEntry:
    return PilotEntry(
        warm_up_runs=len(pilot.warm_up),
        steady_runs=len(pilot.runs),
        settled=pilot.settled,
        sd_log=pilot.noise.sd_log,
        plans=[PlanEntry(runs=plan.runs, effect=plan.effect) for plan in pilot.plans],
        max_runs=pilot.max_runs,
    )


def _verdict(verdict: Verdict) -> ComparedVerdict:
    return ComparedVerdict.model_validate(verdict, from_attributes=True)


def save_pyperf(opened: OpenHost, comparing: Comparing, files: Mapping[str, Path | None]) -> None:
    """Write the runs of each arm that has some into its file, as a benchmark of the command's name.

    Raises:
        WorkloadError: a file cannot be written.
    """
    for arm, path in files.items():
        runs: tuple[Run, ...] = comparing.runs(arm)
        if path is not None and runs:
            # A script given to `sh -c` may have several lines, a benchmark's name may not.
            name = " ".join(comparing.label.split())
            benchmark = Arm(name=name, setting=comparing.settings[arm], runs=runs)
            write_pyperf(
                path,
                [benchmark],
                command=comparing.label,
                machine=opened.host.name,
                simulated=opened.host.simulated,
            )
