"""Tables made up for the benchmarks' tests."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from peers.tasks import Task, read_tables, tasks_of

from hwtune.domain.objective import Objective

SIDECAR = """\
[table]
workload = "workload"
time_s = "time_s"
energy_j = "energy_j"
features = "f_*"
[knobs.mhz]
unit = "MHz"
role = "frequency"
"""

Row = tuple[str, float, float, float]  # workload, MHz, s, J


def write_table(
    path: Path, rows: Iterable[Row], sidecar: str = SIDECAR, head: str = "workload,mhz,time_s,energy_j"
) -> Path:
    path.write_text("\n".join([head, *(",".join(map(str, row)) for row in rows)]) + "\n")
    path.with_suffix(".toml").write_text(sidecar)
    return path


def tasks_in(folder: Path, objective: Objective) -> dict[str, Task]:
    ((_, table),) = read_tables(folder)
    return {task.workload: task for task in tasks_of(table, objective)}
