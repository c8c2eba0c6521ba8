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


def rows(name: str, memory: float) -> list[Row]:
    """Work of which so much waits for memory, on a clock of 1 to 3 GHz."""
    found = []
    for mhz in range(1000, 3001, 200):
        time_s = (1 - memory) * 30_000 / mhz + 10 * memory
        found.append((name, float(mhz), time_s, time_s * (10 + 40 * (mhz / 3000) ** 3)))
    return found


def tasks_in(folder: Path, objective: Objective) -> dict[str, Task]:
    ((_, table),) = read_tables(folder)
    return {task.workload: task for task in tasks_of(table, objective)}
