"""The noise report as it is shown, with or without a comparison."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pydantic import BaseModel

from hwtune.domain.interval import Interval
from hwtune.domain.trial import Run
from hwtune.sensors.circumstances import read_circumstances
from hwtune.sensors.collector import Collector
from hwtune.sensors.noise import NoiseMeter, count_cpus
from hwtune.sensors.noise_report import NoiseReport, noise_report
from hwtune.workload.features import features_of

if TYPE_CHECKING:
    from hwtune.cli.host import OpenHost

_WATCHED_S = 5


class FindingEntry(BaseModel):
    """One thing that was noticed, and what to do about it."""

    kind: str
    words: str
    advice: str


class CircumstancesEntry(BaseModel):
    """How the machine stood; null where it does not say."""

    hypervisor: bool | None
    turbo: bool | None
    smt: bool | None
    governors: tuple[str, ...]
    frequency_fixed: bool | None
    aslr: int | None
    perf_sample_rate: int | None
    on_mains: bool | None
    isolated_cpus: str | None


class NoiseEntry(BaseModel):
    """The noise report; null where nothing was counted. See docs/compare.md."""

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
    circumstances: CircumstancesEntry
    findings: list[FindingEntry]


class NoiseDocument(BaseModel):
    """The document of `hwtune compare --noise --json`."""

    schema_version: int = 1
    machine: str
    simulated: bool
    watched_s: float
    noise: NoiseEntry


def watch(opened: OpenHost) -> NoiseReport:
    """The noise of the machine as it stands: nothing is run, nothing written."""
    host = opened.host
    collector = Collector(host)
    collector.clocks.watching = True
    meter = NoiseMeter(host.files, collector.clocks.take)
    meter.begin()
    before = collector.sample()
    for _ in range(_WATCHED_S):
        collector.sample_energy()
        host.clock.sleep(1.0)
    interval = Interval.between(before, collector.sample())
    nothing = Run(
        time_s=interval.duration_s,
        energy_j=None,
        cpu_time_s=0.0,
        own_cpu_s=interval.own_cpu_s,
        features=features_of(interval),
    )
    return noise_report({"idle": [meter.end(nothing)]}, read_circumstances(host.files), cpus=count_cpus(host.files))


def noise_entry(report: NoiseReport) -> NoiseEntry:
    """The report in its printed form."""
    return NoiseEntry.model_validate(report, from_attributes=True)


def noise_lines(report: NoiseReport) -> list[str]:
    """What was noticed, each with what to do about it."""
    if not report.findings:
        return ["noise: nothing disturbed the runs that the kernel would tell of"]
    return [line for each in report.findings for line in (f"noise: {each.words}", f"  advice: {each.advice}")]


def print_noise(opened: OpenHost, report: NoiseReport, *, as_json: bool) -> None:
    """The report alone, on standard output."""
    if as_json:
        told = NoiseDocument(
            machine=opened.host.name,
            simulated=opened.host.simulated,
            watched_s=_WATCHED_S,
            noise=noise_entry(report),
        )
        print(told.model_dump_json())
        return
    print(f"{opened.host.name}{' (simulated)' if opened.host.simulated else ''}, watched for {_WATCHED_S} s")
    for line in (*_stand(report), *noise_lines(report)):
        print(line)


def _stand(report: NoiseReport) -> list[str]:
    """How the machine stands, as far as it says."""
    here = report.circumstances
    facts = {
        "virtual machine": _yes(here.hypervisor),
        "governor": ", ".join(here.governors) or None,
        "turbo": _yes(here.turbo),
        "hyper-threads": _yes(here.smt),
        "isolated CPUs": here.isolated_cpus,
        "steal": None if report.steal_ratio is None else f"{report.steal_ratio:.1%}",
        "other load": None if report.other_load_cpus is None else f"{report.other_load_cpus:.2f} CPUs",
        "temperature": None if report.temp_c is None else f"{report.temp_c:.0f} °C",
    }
    return [f"{name:<16} {text}" for name, text in facts.items() if text is not None]


def _yes(value: bool | None) -> str | None:
    return None if value is None else "yes" if value else "no"
