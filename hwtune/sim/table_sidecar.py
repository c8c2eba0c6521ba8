"""The sidecar of a measured table: which column is what, and which rows count.

    [table]
    workload = "workload"
    time_s = "time_s"
    energy_j = "energy_j"
    features = "ctr_*"               # a list of columns, a glob, or none
    [filter]
    where = "outlier == 0"
    min_median_time_s = 15.0
    [knobs.cpu_freq_mhz]
    unit = "MHz"
    role = "frequency"               # or memory_frequency, active_cpus, power_cap, other
    default = "max"                  # or min, or a value

What else stands there is for people and passed over, as long as it cannot be a misspelling of something that counts.
The form is described in docs/replay.md.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from hwtune.domain.errors import UsageError

TableRole = Literal["frequency", "memory_frequency", "active_cpus", "power_cap", "other"]

_AS_TEXT = BeforeValidator(str)
Remark = Annotated[str, _AS_TEXT]
"""For people; what is no text is shown as it is."""

_HINT = "docs/replay.md describes the form of a table and its sidecar"
_ALIKE = 0.75  # of difflib: `defualt` is 0.86 like `default`, `files` 0.73 like `filter`


class _Section(BaseModel):
    """A section in which every key counts."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class _OpenSection(_Section):
    """A section in which people may write what they like."""

    @model_validator(mode="before")
    @classmethod
    def _without_what_is_for_people(cls, section: object) -> object:
        """Leave out unknown keys, but not those that look like a misspelling of a key that is not there.

        A section may be there and misspelt a second time: `[knobs.freq]`, `[knob.threads]`.
        """
        if not isinstance(section, dict):
            return section
        meant = [
            name
            for name, field in cls.model_fields.items()
            if _AS_TEXT not in field.metadata and (name not in section or isinstance(section[name], dict))
        ]
        return {key: value for key, value in section.items() if key in cls.model_fields or _alike(key, meant)}


def _alike(key: str, names: Iterable[str]) -> str | None:
    """The name that a key resembles, by itself or by its first word (`default_mhz`)."""
    for word in (key.lower(), re.split(r"[\W_]", key.lower())[0]):
        close = get_close_matches(word, list(names), n=1, cutoff=_ALIKE)
        if close:
            return close[0]
    return None


class Columns(_OpenSection):
    """The section `[table]`; what is not a column says where the figures come from.

    Attributes:
        workload: column of the workload's name.
        time_s: column of the time of one run.
        energy_j: column of its energy.
        features: columns measured alongside, by name or by a glob.
    """

    workload: str
    time_s: str
    energy_j: str
    features: tuple[str, ...] | str = ()
    about: Remark = ""
    machine: Remark = ""
    source: Remark = ""
    licence: Remark = ""
    license: Remark = ""


class Filter(_Section):
    """The section `[filter]`; an unknown key in it may be a condition that nobody would look at.

    Attributes:
        where: a comparison on columns that holds for the rows that count.
        min_median_time_s: workloads whose median run is shorter do not count.
    """

    where: str | None = None
    min_median_time_s: Annotated[float, Field(ge=0.0, allow_inf_nan=False, strict=True)] = 0.0


class KnobColumn(_OpenSection):
    """A section `[knobs.NAME]`: the column NAME holds settings of a knob.

    Attributes:
        unit: of its values.
        role: what it does to the machine.
        default: its largest value, its smallest, or this one.
    """

    unit: str = ""
    role: TableRole = "other"
    default: Literal["max", "min"] | Annotated[float, Field(allow_inf_nan=False, strict=True)] = "max"


class Sidecar(_OpenSection):
    """The whole sidecar."""

    table: Columns
    filter: Filter = Filter()
    knobs: Annotated[dict[str, KnobColumn], Field(min_length=1)]

    def feature_columns(self, header: Sequence[str]) -> tuple[str, ...]:
        """The columns of a table that are features, in the table's order for a glob.

        A glob passes over workload, time, energy and knobs; one that matches nothing means none.
        """
        if not isinstance(self.table.features, str):
            return self.table.features
        taken = {self.table.workload, self.table.time_s, self.table.energy_j, *self.knobs}
        return tuple(name for name in header if name not in taken and fnmatchcase(name, self.table.features))


def read_sidecar(path: Path) -> Sidecar:
    """A sidecar from its file.

    Raises:
        UsageError: it cannot be read, or has not the form; the line is named where it is known.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise UsageError(f"no sidecar {path}: {error.strerror}", hint=_HINT) from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: not UTF-8 text", hint=_HINT) from error
    try:
        return parse_sidecar(text)
    except UsageError as error:
        raise UsageError(f"{path}: {error}", hint=error.hint) from error


def parse_sidecar(text: str) -> Sidecar:
    """A sidecar from its text.

    Raises:
        UsageError: with the line where it is known.
    """
    try:
        sidecar = Sidecar.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"not TOML: {error}", hint=_HINT) from error
    except RecursionError as error:
        raise UsageError("nested too deeply", hint=_HINT) from error
    except ValidationError as error:
        raise _refusal(text, error) from error
    columns = sidecar.table
    names = [columns.workload, columns.time_s, columns.energy_j, *sidecar.knobs]
    if not isinstance(columns.features, str):
        names += columns.features
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"column {name!r} is given two meanings", hint=_HINT)
    return sidecar


def _refusal(text: str, error: ValidationError) -> UsageError:
    # A key that is misspelt explains the one that is missing.
    problems = error.errors()
    problem = next((each for each in problems if each["type"] == "extra_forbidden"), problems[0])
    # What pydantic adds behind the key is the alternative of a union that it tried.
    path = [str(part) for part in problem["loc"]]
    path = path[: 3 if path[0] == "knobs" else 2]
    key = ".".join(path)
    line = _line_of(text, path)
    where = f"line {line}: " if line else ""
    if problem["type"] == "missing":
        return UsageError(f"{where}{key} is missing", hint=_HINT)
    if problem["type"] == "extra_forbidden":
        return UsageError(f"{where}unknown key {key}", hint=_did_you_mean(path))
    hint = f"roles are {', '.join(get_args(TableRole))}" if path[-1:] == ["role"] else _HINT
    if problem["type"] == "literal_error" and path[-1:] == ["role"]:
        return UsageError(f"{where}{key}: unknown role {problem['input']!r:.60}", hint=hint)
    return UsageError(f"{where}{key}: {problem['msg']}", hint=hint)


def _did_you_mean(path: Sequence[str]) -> str:
    model: Any = {1: Sidecar, 3: KnobColumn}.get(len(path)) or {"table": Columns, "filter": Filter}[path[0]]
    meant = _alike(path[-1], model.model_fields)
    return f"did you mean {meant}?" if meant else f"known keys: {', '.join(model.model_fields)}"


def _line_of(text: str, path: Sequence[str]) -> int | None:
    """The line of a key, or of its section where that has no such key; None where it is written some other way."""
    *section, key = path
    own_header = re.compile(rf"^\s*\[+\s*[\"']?{re.escape(key)}[\"']?\s*[\].]")
    header = re.compile(
        r"^\s*\[\s*" + r"\s*\.\s*".join(rf"[\"']?{re.escape(part)}[\"']?" for part in section) + r"\s*\]"
    )
    assignment = re.compile(rf"^\s*[\"']?{re.escape(key)}[\"']?\s*=")
    found, inside = None, not section
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("["):
            if not section and own_header.match(line):
                return number
            inside = bool(section and header.match(line))
            found = number if inside else found
        elif inside and assignment.match(line):
            return number
    return found
