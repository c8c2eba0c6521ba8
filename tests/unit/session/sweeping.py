"""A machine of numbers to sweep, and what a sweep into a real file tells of it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from hwtune.domain.knob import Activity, ChoiceKnob, KnobSpace, RangeKnob, Setting
from hwtune.domain.trial import Run, TrialStatus
from hwtune.knobs.changes import Changes
from hwtune.sweep import Sweep
from hwtune.workload.grid import build_grid
from hwtune.workload.sweep_table import Origin, Row
from hwtune.workload.table_file import TableFile

LEVELS = (1, 2, 3, 4, 6, 8)
MAX = RangeKnob(name="max", role="frequency", unit="kHz", low=1, high=8, default=8, levels=LEVELS)
MIN = RangeKnob(name="min", role="frequency_floor", unit="kHz", low=1, high=8, default=1, levels=LEVELS)
GOVERNOR = ChoiceKnob(name="governor", role="governor", choices=("performance", "powersave"), default="powersave")
EPP = ChoiceKnob(
    name="epp",
    role="epp",
    choices=("performance", "power"),
    default="power",
    active_when=(Activity(knob="governor", values=("powersave",)),),
)
BOOST = ChoiceKnob(name="boost", role="boost", choices=("0", "1"), default="1")
WHOLE = KnobSpace(knobs=(GOVERNOR, MAX, MIN, EPP, BOOST), ordered_pairs=(("min", "max"),))


class Machine:
    """Transaction and work in one. What a run costs tells what was set while it ran; `ceiling` clamps silently."""

    status = TrialStatus.OK
    warnings: tuple[str, ...] = ()

    def __init__(
        self,
        *,
        ceiling: int = 8,
        ends_at: int | None = None,
        error: BaseException | None = None,
        disturbed_at: int | None = None,
    ) -> None:
        self.now = WHOLE.default
        self.runs = 0
        self.asked: list[Setting] = []
        self._ceiling, self._ends_at, self._error = ceiling, ends_at, error or KeyboardInterrupt()
        self._disturbed_at = disturbed_at

    def apply(self, setting: Setting) -> Any:
        self.asked.append(setting)
        self.now = self.now | setting | {"max": min(int(setting["max"]), self._ceiling)}
        return SimpleNamespace(effective=self.now)

    def look(self) -> Changes:
        disturbed = self.runs == self._disturbed_at
        return Changes(foreign={"/sys/epp": "power"} if disturbed else {})

    def warm_up(self) -> Run:
        return self.run()

    def measure(self, repeats: int, give_up_s: float | None = None) -> tuple[Run, ...]:
        return tuple(self.run() for _ in range(repeats))

    def run(self) -> Run:
        if self.runs == self._ends_at:
            raise self._error
        self.runs += 1
        features = {"max_hz": float(int(self.now["max"])), "idle": 0.5}
        return Run(time_s=cost(self.now), energy_j=2.0 * cost(self.now), features=features)


def cost(setting: Setting) -> float:
    return 8.0 / int(setting["max"]) + 0.1 * int(setting.get("min", 1)) + 0.01 * len(str(setting.get("epp", "power")))


class Notes:
    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.clamps: list[tuple[Setting, Setting]] = []
        self.estimates: list[tuple[float, int]] = []

    def estimated(self, run_s: float, left: int) -> None:
        self.estimates.append((run_s, left))

    def clamped(self, wanted: Setting, effective: Setting) -> None:
        self.clamps.append((wanted, effective))

    def measured(self, row: Row, left: int) -> None:
        self.rows.append(row)


class Blind(Machine):
    """A meter that never moves."""

    def run(self) -> Run:
        return Run(time_s=super().run().time_s, energy_j=None)


def origin(**more: Any) -> Origin:
    facts: dict[str, Any] = {
        "machine": "box",
        "simulated": False,
        "cpu_model": "imaginary",
        "kernel": "6.1",
        "driver": "acpi-cpufreq",
        "energy_source": "RAPL package-0",
        "workload": 'make -j8 "all, of it"',
        "command": ("make", "-j8"),
        "prepare": None,
        "cwd": None,
        "user": None,
        "seed": 0,
        "settings": 6,
        "found": dict(WHOLE.default),
        "values": {"max": LEVELS},
        "started": "2026-01-01",
    }
    return Origin(**facts | more)


def sweep(
    path: Path,
    machine: Machine | None = None,
    *,
    names: tuple[str, ...] = ("max",),
    passes: int = 2,
    seed: int = 0,
    facts: dict[str, Any] | None = None,
) -> tuple[Sweep, TableFile, Notes]:
    """One whole sweep, or until something ends it."""
    machine, notes, space = machine or Machine(), Notes(), WHOLE.subset(names)
    grid = build_grid(WHOLE, space, seed=seed)
    with TableFile(path, origin(**facts or {}), space.knobs) as table:
        it = Sweep(
            whole=WHOLE,
            space=space,
            grid=grid,
            passes=passes,
            seed=seed,
            transaction=machine,  # type: ignore[arg-type]
            work=machine,
            table=table,
            now_ns=lambda: int(1e9 * machine.runs),
            watcher=notes,
        )
        try:
            it.run()
        except KeyboardInterrupt:
            assert not it.finished
    return it, table, notes


def held(table: TableFile) -> Counter[tuple[int, Setting]]:
    return Counter((row.number, row.setting) for row in table.rows)


def expected(passes: int = 2) -> Counter[tuple[int, Setting]]:
    return Counter((number, Setting(max=level)) for number in range(1, passes + 1) for level in LEVELS)
