"""Runs as pyperf JSON, for `python -m pyperf stats FILE` and `python -m pyperf compare_to A B`.

One run of ours is one process of pyperf's with one value. pyperf compares benchmarks of the same name in two files, so
two arms that are to be compared go into a file each, under one name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyperf

from hwtune import __version__
from hwtune.domain.errors import WorkloadError
from hwtune.domain.knob import Setting
from hwtune.domain.trial import Run


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """Runs under one setting.

    Args:
        name: the benchmark's name.
        setting: what was applied.
        runs: at least one, each longer than 0 s.
    """

    name: str
    setting: Setting
    runs: Sequence[Run]


def write_pyperf(path: Path, arms: Sequence[Arm], *, command: str, machine: str, simulated: bool) -> None:
    """Write one benchmark for each arm, replacing the file.

    Simulated runs say so in the metadata and in the benchmark's name.

    Args:
        path: the file.
        arms: at least one, of different names.
        command: the work as one would type it.
        machine: what the runs were made on.
        simulated: whether that is an imaginary machine.

    Raises:
        WorkloadError: when the file cannot be written.
    """
    common: dict[str, str | int] = {
        "command": " ".join(command.split()),  # no line of metadata may have an end of line in it
        "hwtune_machine": machine,
        "hwtune_simulated": "yes" if simulated else "no",
        "hwtune_version": __version__,
        "loops": 1,
        "unit": "second",
    }
    suite = pyperf.BenchmarkSuite([_benchmark(arm, common, simulated) for arm in arms])
    try:
        suite.dump(str(path), compact=False, replace=True)
    except OSError as error:
        raise WorkloadError(
            f"cannot write {path}: {error.strerror}", hint="name a file in a writable directory"
        ) from error


def _benchmark(arm: Arm, common: dict[str, str | int], simulated: bool) -> pyperf.Benchmark:
    metadata = common | {
        "name": f"{arm.name} (simulated)" if simulated else arm.name,
        "hwtune_setting": " ".join(f"{knob}={value}" for knob, value in arm.setting.items()) or "as found",
    }
    return pyperf.Benchmark([_run(run, metadata) for run in arm.runs])


def _run(run: Run, metadata: dict[str, str | int]) -> pyperf.Run:
    energy = {} if run.energy_j is None else {"hwtune_energy_j": run.energy_j}
    # pyperf knows seconds; of a metric of its own a value is the time per unit of work, or the cost in its place.
    unit = {} if run.unit == "s" else {"hwtune_unit": run.unit}
    # Metadata of this process would describe hwtune, not the command.
    return pyperf.Run([run.time_s], metadata={**metadata, **energy, **unit}, collect_metadata=False)
