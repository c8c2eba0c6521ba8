"""The form of a measured tuning table: its columns, its rows as text and back, its sidecar.

    workload,max,pass,time_s,energy_j,busy_ratio,…          NAME.csv: one row per run
    make -j8,2400000,1,12.0412,310.52,0.981,…

A table holds numbers only. A choice (governor, EPP) becomes its place in the kernel's list, counted from 1; one whose
words are numbers (boost) stays what it is. The sidecar says in a comment which word each number stands for.
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from pydantic import BaseModel, ConfigDict

from hwtune import __version__
from hwtune.domain.errors import Unsupported
from hwtune.domain.knob import ChoiceKnob, Knob, Setting, Value

_FIGURES = ("time_s", "energy_j")
# Roles that a table knows under the same name; every other one is `other` there.
_ROLES = ("frequency", "memory_frequency", "active_cpus", "power_cap")


class Origin(BaseModel):
    """What a table is measured on, and how: whoever adds a row must agree in all of it.

    Attributes:
        schema_version: of this form.
        machine: name of the machine.
        simulated: whether it is imaginary.
        cpu_model: as the kernel names it.
        kernel: release.
        driver: cpufreq driver.
        energy_source: what energies are read from.
        workload: the work, as one would type it; the text of the workload column.
        command: the work in words, empty for simulated work.
        prepare: what runs before each run, not measured.
        cwd: directory of the command.
        user: who runs it.
        seed: of picking and shuffling.
        settings: how many different settings are visited.
        found: every active knob of the machine as it was found.
        values: for each swept knob the values that are asked for.
        started: date of the first row, ISO 8601.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = 1
    machine: str
    simulated: bool
    cpu_model: str | None
    kernel: str | None
    driver: str | None
    energy_source: str
    workload: str
    command: tuple[str, ...]
    prepare: str | None
    cwd: str | None
    user: str | None
    seed: int
    settings: int
    found: dict[str, Value]
    values: dict[str, tuple[Value, ...]]
    started: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One run.

    Args:
        number: of the pass it belongs to, from 1.
        setting: the effective values of the swept knobs.
        time_s: wall time, positive.
        energy_j: energy, positive.
        features: what was measured alongside.
    """

    number: int
    setting: Setting
    time_s: float
    energy_j: float
    features: Mapping[str, float] = field(default_factory=dict)


class Form:
    """Columns of one table.

    Args:
        workload: the text of the workload column.
        knobs: the swept knobs, in the order of their columns.
        features: names of the feature columns.
    """

    def __init__(self, *, workload: str, knobs: Sequence[Knob], features: Sequence[str]) -> None:
        self.workload = workload
        self.knobs = tuple(knobs)
        self.features = tuple(features)

    @property
    def columns(self) -> tuple[str, ...]:
        """All of them, in order."""
        return ("workload", *(knob.name for knob in self.knobs), "pass", *_FIGURES, *self.features)

    def header(self) -> str:
        """The first line."""
        return _line(self.columns)

    def text(self, row: Row) -> str:
        """A row as a line; a feature that this run lacks stays blank."""
        knobs = (str(code(knob, row.setting[knob.name])) for knob in self.knobs)
        features = ("" if name not in row.features else _number(row.features[name]) for name in self.features)
        return _line((self.workload, *knobs, str(row.number), _number(row.time_s), _number(row.energy_j), *features))

    def parse(self, line: str) -> Row:
        """A line as the row it was.

        Raises:
            ValueError: it is none of this form, with the reason.
        """
        cells = next(csv.reader([line]), [])
        if len(cells) != len(self.columns):
            raise ValueError(f"{len(cells)} cells for {len(self.columns)} columns")
        named = dict(zip(self.columns, cells, strict=True))
        if named["workload"] != self.workload:
            raise ValueError(f"the workload is {named['workload']!r}, not {self.workload!r}")
        number, (time_s, energy_j) = int(named["pass"]), (float(named[name]) for name in _FIGURES)
        features = {name: float(named[name]) for name in self.features if named[name]}
        if number < 1 or not all(map(math.isfinite, (time_s, energy_j, *features.values()))):
            raise ValueError("a number is not finite, or a pass not positive")
        if time_s <= 0.0 or energy_j <= 0.0:
            raise ValueError("time and energy must be positive")
        setting = Setting({knob.name: _decode(knob, int(named[knob.name])) for knob in self.knobs})
        return Row(number=number, setting=setting, time_s=time_s, energy_j=energy_j, features=features)

    def sidecar(self, origin: Origin, rows: Sequence[Row]) -> str:
        """NAME.toml; features that some row lacks are no features of the table."""
        whole = [name for name in self.features if all(name in row.features for row in rows)]
        table: dict[str, str | int | list[str]] = {
            "about": _about(origin, tuple(knob.name for knob in self.knobs)),
            "source": f"hwtune {__version__} sweep, seed {origin.seed}, begun {origin.started}",
            "licence": "not stated: whoever measured it decides",
            "workload": "workload",
            "time_s": "time_s",
            "energy_j": "energy_j",
            "features": whole,
        }
        kind = "every row is one simulated run" if origin.simulated else "every row is one real run"
        lines = [f"# A tuning table: {kind}. Other columns are for people.", "[table]", *_pairs(table)]
        for knob in self.knobs:
            if isinstance(knob, ChoiceKnob) and not _is_numeric(knob):
                words = ", ".join(f"{number} = {word}" for number, word in enumerate(_words(knob), start=1))
                lines += ["", f"# {words}"]
            else:
                lines += [""]
            role = knob.role if knob.role in _ROLES else "other"
            unit = "1" if isinstance(knob, ChoiceKnob) else knob.unit or "1"
            key = knob.name if re.fullmatch(r"[A-Za-z0-9_-]+", knob.name) else _string(knob.name)
            lines += [f"[knobs.{key}]"]
            lines += _pairs({"unit": unit, "role": role, "default": code(knob, knob.default)})
        return "\n".join(lines) + "\n"


def code(knob: Knob, value: Value) -> int:
    """The number that stands for a value in a table.

    Raises:
        Unsupported: a word that is none of the knob's.
    """
    if not isinstance(knob, ChoiceKnob) or _is_numeric(knob):
        return int(value)
    words = _words(knob)
    if value not in words:
        raise Unsupported(
            f"{knob.name} reads {value}, which the kernel does not list",
            hint=f"it lists {', '.join(words)}; sweep other --knobs",
        )
    return words.index(str(value)) + 1


def _decode(knob: Knob, number: int) -> Value:
    if not isinstance(knob, ChoiceKnob):
        return number
    if _is_numeric(knob):
        return str(number)
    words = _words(knob)
    if not 1 <= number <= len(words):
        raise ValueError(f"{knob.name} has no choice number {number}")
    return words[number - 1]


def _words(knob: ChoiceKnob) -> tuple[str, ...]:
    """The kernel's list; what was found may be a word that is not in it."""
    return tuple(dict.fromkeys((*knob.choices, knob.default)))


def _is_numeric(knob: ChoiceKnob) -> bool:
    return all(word.isdigit() for word in _words(knob))


def one_line(text: str) -> str:
    """Text that fits one cell of one line in UTF-8: white space is one blank, bytes of no encoding are escaped."""
    return " ".join(text.encode("utf-8", "backslashreplace").decode().split())


def _about(origin: Origin, swept: Sequence[str]) -> str:
    """For people: whose figures these are, and what was held."""
    held = ", ".join(f"{knob}={value}" for knob, value in origin.found.items() if knob not in swept)
    facts = {
        "Kernel": origin.kernel,
        "CPU": origin.cpu_model,
        "Driver": origin.driver,
        "Energy": origin.energy_source,
        "Held": held or None,
    }
    machine = f"{origin.machine} (SIMULATED: no figure is a measurement)" if origin.simulated else origin.machine
    return one_line(". ".join([machine, *(f"{name}: {fact}" for name, fact in facts.items() if fact)]) + ".")


def _line(cells: Sequence[str]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue()


def _number(value: float) -> str:
    return f"{value:.9g}"


def _pairs(values: Mapping[str, str | int | list[str]]) -> list[str]:
    return [f"{key} = {_toml(value)}" for key, value in values.items()]


def _toml(value: str | int | list[str]) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_string, value))}]"
    return str(value) if isinstance(value, int) else _string(value)


def _string(text: str) -> str:
    """A basic string of TOML 1.0: JSON's, but that DEL must be escaped as well."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
