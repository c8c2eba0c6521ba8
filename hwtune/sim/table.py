"""A measured table: every row is one real run that somebody made, and stands for the machine it was made on.

Rows with the same knobs are repetitions of one setting. A setting's value is the median over them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from statistics import median

from hwtune.domain.errors import UsageError
from hwtune.domain.knob import KnobSpace, RangeKnob, Setting, Value
from hwtune.domain.problem import Donor
from hwtune.domain.trial import Run, Trial, common_features
from hwtune.sim.table_filter import parse_where
from hwtune.sim.table_rows import (
    Line,
    number_in,
    parse_lines,
    positive_in,
    read_table_text,
    refusal,
    typed_columns,
)
from hwtune.sim.table_sidecar import KnobColumn, Sidecar, TableRole, read_sidecar

_FEWEST_SETTINGS = 10
_LARGEST = 10**300  # of a knob's integers: beyond it the model has no float for them
_EXACT = 2**53  # below it a float holds every whole number, and a reader of JSON surely does
_HINT = "docs/replay.md describes the form of a table and its sidecar"

Number = int | float


@dataclass(frozen=True, slots=True, kw_only=True)
class TableKnob:
    """A knob of a table, whose values are integers of 1/`scale` of its unit.

    2.4 GHz in a column with one decimal is 24 at a scale of 10, and `number` gives back 2.4 to the last bit.
    """

    name: str
    role: TableRole
    unit: str
    scale: int

    def value(self, number: float) -> int:
        """The knob's value for a number of the column."""
        return int(Fraction(Decimal(repr(number))) * self.scale)

    def number(self, value: Value) -> Number:
        """The number as the table has it."""
        whole, part = divmod(int(value), self.scale)
        return whole if part == 0 and abs(whole) < _EXACT else int(value) / self.scale


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredWorkload:
    """One workload of a table: a machine that can be set to nothing but what was measured.

    Args:
        name: the workload.
        space: the knobs, with the measured settings as the only ones on offer.
        runs: setting → its repetitions, in the table's order.
    """

    name: str
    space: KnobSpace
    runs: Mapping[Setting, tuple[Run, ...]]

    def figures(self, setting: Setting) -> tuple[float, float]:
        """Median time (s) and energy (J) of a setting."""
        runs = self.runs[setting]
        return median(run.time_s for run in runs), median(run.energy_j or 0.0 for run in runs)

    def donor(self) -> Donor:
        """All of it, for the other workloads to learn from."""
        return Donor(
            label=self.name,
            trials=tuple(
                Trial(
                    setting=setting,
                    requested=setting,
                    runs=tuple(Run(time_s=run.time_s, energy_j=run.energy_j) for run in runs),
                    context=common_features([run.features for run in runs]),
                )
                for setting, runs in self.runs.items()
            ),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """A workload that cannot be replayed, and why."""

    workload: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredTable:
    """A table that can be replayed.

    Args:
        name: the file's name without `.csv`.
        knobs: in the sidecar's order.
        workloads: at least one, in the table's order.
        skipped: the other ones.
    """

    name: str
    knobs: tuple[TableKnob, ...]
    workloads: tuple[MeasuredWorkload, ...]
    skipped: tuple[Skipped, ...]

    def numbers(self, setting: Mapping[str, Value]) -> dict[str, Number]:
        """A setting in the table's own numbers."""
        return {knob.name: knob.number(setting[knob.name]) for knob in self.knobs}


def read_table(path: Path) -> MeasuredTable:
    """The table in `path` (CSV) with the sidecar of the same name (`.toml`).

    Raises:
        UsageError: it cannot be read, has not the form, or no workload of it can be replayed.
    """
    text = read_table_text(path)
    sidecar = read_sidecar(path.with_suffix(".toml"))
    try:
        return parse_table(text, sidecar, name=path.stem)
    except UsageError as error:
        # A name in the file may hold a line break.
        raise UsageError(" ".join(f"{path}: {error}".split()), hint=error.hint) from error


def parse_table(text: str, sidecar: Sidecar, *, name: str) -> MeasuredTable:
    """A table from its text.

    Rows that the filter leaves out are not looked at, but for their workload.

    Raises:
        UsageError: with the line where there is one.
    """
    header, lines = parse_lines(text)
    columns = sidecar.table
    features = sidecar.feature_columns(header)
    for column in (columns.workload, columns.time_s, columns.energy_j, *sidecar.knobs, *features):
        if column not in header:
            raise refusal(1, f"there is no column {column!r:.60}")
    groups: dict[str, list[Line]] = {_workload(line, columns.workload): [] for line in lines}
    kept = _kept(lines, header, sidecar.filter.where)
    for line in kept:
        groups[line.cells[columns.workload]].append(line)
    runs = {line.number: _run(line, sidecar, features) for line in kept}
    numbers = {line.number: {knob: number_in(line, knob) for knob in sidecar.knobs} for line in kept}
    knobs = tuple(
        _knob(column, declared, [row[column] for row in numbers.values()]) for column, declared in sidecar.knobs.items()
    )
    found: list[MeasuredWorkload | Skipped] = []
    for workload, own in groups.items():
        rows: dict[Setting, list[Run]] = {}
        for line in own:
            setting = Setting({knob.name: knob.value(numbers[line.number][knob.name]) for knob in knobs})
            rows.setdefault(setting, []).append(runs[line.number])
        found.append(_measured(workload, rows, knobs, sidecar))
    workloads = tuple(each for each in found if isinstance(each, MeasuredWorkload))
    skipped = tuple(each for each in found if isinstance(each, Skipped))
    if not workloads:
        raise UsageError(
            f"no workload can be replayed; {skipped[0].workload!r:.60}: {skipped[0].why}",
            hint=f"each needs {_FEWEST_SETTINGS} settings, the default among them, that pass the filter",
        )
    return MeasuredTable(name=name, knobs=knobs, workloads=workloads, skipped=skipped)


def _workload(line: Line, column: str) -> str:
    if not line.cells[column].strip():
        raise refusal(line.number, f"{column} is empty")
    return line.cells[column]


def _kept(lines: Sequence[Line], header: Sequence[str], condition: str | None) -> list[Line]:
    if condition is None:
        return list(lines)
    where = parse_where(condition)
    unknown = sorted(where.columns - set(header))
    if unknown:
        raise UsageError(f"where looks at column {unknown[0]!r:.60}, and there is none", hint=_HINT)
    typed = typed_columns(lines, where.columns)
    return [line for line, cells in zip(lines, typed, strict=True) if where.holds(cells)]


def _run(line: Line, sidecar: Sidecar, features: Iterable[str]) -> Run:
    """A row as a run; an empty feature was not sensed and is left out."""
    return Run(
        time_s=positive_in(line, sidecar.table.time_s),
        energy_j=positive_in(line, sidecar.table.energy_j),
        features={name: number_in(line, name) for name in features if line.cells[name].strip()},
    )


def _knob(name: str, declared: KnobColumn, numbers: Sequence[float]) -> TableKnob:
    decimals = max((_decimals(number) for number in numbers), default=0)
    knob = TableKnob(name=name, role=declared.role, unit=declared.unit, scale=10**decimals)
    if any(abs(knob.value(number)) >= _LARGEST for number in numbers):
        raise UsageError(f"the values of {name} lie too far apart", hint="write them in one unit, from 1e-9 to 1e9")
    return knob


def _decimals(number: float) -> int:
    """Digits behind the point that tell this number from every other float."""
    exponent = Decimal(repr(number)).normalize().as_tuple().exponent
    return max(-exponent, 0) if isinstance(exponent, int) else 0


def _measured(
    name: str, rows: Mapping[Setting, Sequence[Run]], knobs: Sequence[TableKnob], sidecar: Sidecar
) -> MeasuredWorkload | Skipped:
    """The workload as a machine, or why it cannot be one."""
    if not rows:
        return Skipped(workload=name, why="no row is left by the filter")
    typical_s = median(run.time_s for runs in rows.values() for run in runs)
    if typical_s < sidecar.filter.min_median_time_s:
        return Skipped(
            workload=name, why=f"its median time is {typical_s:g} s, below {sidecar.filter.min_median_time_s:g} s"
        )
    if len(rows) < _FEWEST_SETTINGS:
        return Skipped(workload=name, why=f"it has {len(rows)} settings, fewer than {_FEWEST_SETTINGS}")
    levels = {knob.name: tuple(sorted({int(setting[knob.name]) for setting in rows})) for knob in knobs}
    default = {knob.name: _default(knob, sidecar.knobs[knob.name], levels[knob.name]) for knob in knobs}
    if Setting(default) not in rows:
        wanted = " ".join(f"{knob.name}={sidecar.knobs[knob.name].default}" for knob in knobs)
        return Skipped(workload=name, why=f"it has no row for the default setting {wanted}")
    space = KnobSpace(
        knobs=tuple(_range(knob, levels[knob.name], default[knob.name]) for knob in knobs),
        allowed=tuple(dict(setting) for setting in rows),
    )
    return MeasuredWorkload(name=name, space=space, runs={setting: tuple(runs) for setting, runs in rows.items()})


def _default(knob: TableKnob, declared: KnobColumn, levels: Sequence[int]) -> int:
    """The default's value; one that is no level where none of them is the number declared."""
    if declared.default == "max":
        return levels[-1]
    if declared.default == "min":
        return levels[0]
    return next((level for level in levels if knob.number(level) == declared.default), levels[-1] + 1)


def _range(knob: TableKnob, levels: tuple[int, ...], default: int) -> RangeKnob:
    unit = "" if knob.unit == "1" else knob.unit
    return RangeKnob(
        name=knob.name,
        role=knob.role,
        unit=unit if knob.scale == 1 else f"{unit}/{knob.scale}",
        low=levels[0],
        high=levels[-1],
        default=default,
        levels=levels,
    )
