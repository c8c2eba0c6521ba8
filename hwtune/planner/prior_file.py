"""The file of a learned prior: JSON with Gaussians over the worth of features, and what they were learned from.

    {"format": "hwtune-prior", "version": 1,
     "trained_on": [{"name": "stamp", "machine": "a desktop", "workloads": 2, "settings": 128, "source": "…",
                     "licence": "…"}],
     "made": {"hwtune": "0.1.0", "command": "hwtune train …", "date": "2026-01-31"},
     "components": [{"label": "stamp", "roles": ["frequency"], "weight": 1.0, "features": ["frequency.0", …],
                     "mean": […], "covariance": [[…], …], "roughness": [0.01, 0.01], "amplitude": [0.03, 0.03],
                     "length": 1.0, "level": [5.62, 0.03], "context": null}]}

`mean` and the lower triangle `covariance` are of the features' worth for log time, then for log power; `level` is mean
and deviation of log power in W at the default, or null; `context` what likeness of work tells, or null. Everything is
checked before any of it is used; docs/prior.md describes the form.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from operator import mul
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from hwtune.domain.errors import UsageError

VERSION: Final = 1
MAX_BYTES: Final = 1 << 20
MAX_COMPONENTS: Final = 64
MAX_SENSED: Final = 200
FILE_NAME: Final = "prior.json"
"""In the state directory; the file beside this module is the one that ships."""

PriorRole = Literal["frequency", "memory_frequency", "active_cpus", "power_cap", "other"]

_HINT = "`hwtune train` writes a new one; docs/prior.md describes the form"

Word = Annotated[str, Field(max_length=500)]
Coefficient = Annotated[float, Field(ge=-1e6, le=1e6)]
Covariance = Annotated[float, Field(ge=-1e12, le=1e12)]
Deviation = Annotated[float, Field(ge=0.0, le=100.0)]
Scale = Annotated[float, Field(ge=1e-12, le=1e30)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class SourceEntry(_Part):
    """One source of a prior.

    Attributes:
        name: the table, or the machine of the store.
        machine: what was measured.
        workloads: how many were learned from.
        settings: how many of them together.
        source: where the figures come from.
        licence: of the figures, as the source says.
    """

    name: Word
    machine: Word
    workloads: Annotated[int, Field(ge=0)]
    settings: Annotated[int, Field(ge=0)]
    source: Word
    licence: Word


class Made(_Part):
    """How a file was made: version, command line and day (ISO 8601)."""

    hwtune: Word
    command: Annotated[str, Field(max_length=5000)]
    date: Word


class ContextEntry(_Part):
    """What likeness of work tells a component; see `hwtune.model.context.Context`."""

    names: Annotated[tuple[Word, ...], Field(min_length=1, max_length=MAX_SENSED)]
    scale: tuple[Scale, ...]
    centre: tuple[Coefficient, ...]
    spread: tuple[Scale, ...]
    slopes: tuple[tuple[Coefficient, ...], ...]
    doubt: tuple[tuple[Covariance, ...], ...]
    share: Annotated[float, Field(ge=0.0, lt=1.0)]

    @model_validator(mode="after")
    def _fits(self) -> Self:
        count = len(self.names)
        if len(set(self.names)) < count:
            raise ValueError("a feature is there twice")
        if any(len(part) != count for part in (self.scale, self.centre, self.spread, self.slopes)):
            raise ValueError(f"there are {count} features, and not as many of everything")
        if [len(row) for row in self.doubt] != list(range(1, count + 1)):
            raise ValueError(f"the doubt is no lower triangle of {count} rows")
        if not _positive_definite(self.doubt):
            raise ValueError("the doubt is not positive definite")
        return self


class ComponentEntry(_Part):
    """A component in its written form; see `hwtune.model.learned.Component`."""

    label: Word
    roles: Annotated[tuple[PriorRole, ...], Field(min_length=1)]
    weight: Annotated[float, Field(gt=0.0, le=1.0)]
    features: Annotated[tuple[Word, ...], Field(min_length=1)]
    mean: tuple[Coefficient, ...]
    covariance: tuple[tuple[Covariance, ...], ...]
    roughness: tuple[Deviation, Deviation]
    amplitude: tuple[Deviation, Deviation]
    length: Annotated[float, Field(ge=1e-3, le=1e3)]
    level: tuple[Coefficient, Annotated[float, Field(ge=1e-3, le=100.0)]] | None = None
    context: ContextEntry | None = None

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if len(set(self.roles)) < len(self.roles):
            raise ValueError("a role is there twice")
        size = 2 * len(self.features)
        if len(self.mean) != size:
            raise ValueError(f"the mean has {len(self.mean)} coefficients, and the features need {size}")
        if [len(row) for row in self.covariance] != list(range(1, size + 1)):
            raise ValueError(f"the covariance is no lower triangle of {size} rows")
        if self.context and any(len(row) != size for row in self.context.slopes):
            raise ValueError(f"the context has slopes of other than {size} coefficients")
        if not _positive_definite(self.covariance):
            raise ValueError("the covariance is not positive definite")
        return self


class PriorDocument(_Part):
    """All of a prior file."""

    format: Literal["hwtune-prior"] = "hwtune-prior"
    version: Literal[1] = VERSION
    trained_on: tuple[SourceEntry, ...]
    made: Made
    components: Annotated[tuple[ComponentEntry, ...], Field(max_length=MAX_COMPONENTS)]


def rounded(number: float) -> float:
    """Six significant digits: more than anything measured has."""
    return float(f"{number:.6g}")


def dumps(document: PriorDocument) -> str:
    """A document as the text of its file, a component on each line."""
    head = document.model_dump_json(exclude={"components"})[:-1]
    lines = ",\n".join(component.model_dump_json() for component in document.components)
    return f'{head},\n"components":[\n{lines}\n]}}\n'


def loads(text: str | bytes) -> PriorDocument:
    """A document from the text of its file.

    Raises:
        UsageError: it is none, or something in it does not fit.
    """
    if len(text) > MAX_BYTES:
        raise UsageError(f"longer than {MAX_BYTES >> 10} KiB", hint=_HINT)
    try:
        return PriorDocument.model_validate_json(text)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, problem["loc"])) or "prior"
        reason = problem["msg"].removeprefix("Value error, ")
        raise UsageError(f"{where}: {reason[:1].lower()}{reason[1:]}", hint=_HINT) from error
    except ValueError as error:  # a text with half a surrogate pair is no UTF-8
        raise UsageError(f"not JSON: {error}", hint=_HINT) from error


def read_prior(path: Path) -> str | None:
    """The text of a prior file after checking it; None where there is no such file.

    Raises:
        UsageError: it cannot be read, is too long or is no prior.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        loads(data)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror})", hint=_HINT) from error
    except UsageError as error:
        raise UsageError(f"{path}: {error}", hint=error.hint) from error
    return data.decode()


def shipped_prior() -> str:
    """The text of the prior that comes with this version."""
    return Path(__file__).with_name(FILE_NAME).read_text(encoding="utf-8")


def _positive_definite(triangle: Sequence[Sequence[float]]) -> bool:
    """By Cholesky's factor, with room for rounding (LAPACK would be 0.1 s of imports in a process without it)."""
    factor: list[list[float]] = []
    for row in triangle:
        own: list[float] = []
        for value, above in zip(row, factor, strict=False):
            own.append((value - sum(map(mul, own, above))) / above[-1])
        rest = row[-1] - sum(map(mul, own, own))
        if not rest > 1e-12 * row[-1] > 0.0:
            return False
        factor.append([*own, math.sqrt(rest)])
    return True
