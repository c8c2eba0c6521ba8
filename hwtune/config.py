"""Configuration: TOML files, the environment and flags, laid over each other and checked, each value with its origin.

    defaults < /usr/lib/hwtune/*.toml < /etc/hwtune/hwtune.toml < /etc/hwtune/conf.d/*.toml < HWTUNE_* < flags

Files of one directory are read in the order of their names. An unknown key is an error everywhere: a misspelt limit
that is silently ignored is worse than a tuner that does not start. Rooms below take plain values out of this, never a
`Config`.
"""

from __future__ import annotations

import math
import os
import shlex
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from hwtune.domain.errors import ConfigError, PermissionDenied, UsageError
from hwtune.domain.objective import Objective
from hwtune.host.heartbeat import VARIABLE as HEARTBEAT  # of the work we measure, which may be ourselves
from hwtune.knobs.extra import WORDS

ENVIRONMENT_PREFIX = "HWTUNE_"


def parse_ratio(text: str) -> float:
    """A share as people write it: `5%` is 0.05, and so is `0.05`.

    Raises:
        UsageError: when it is not a finite number, or negative.
    """
    number, percent = (text.strip()[:-1], 100.0) if text.strip().endswith("%") else (text, 1.0)
    try:
        ratio = float(number) / percent
    except ValueError:
        ratio = math.nan
    if not math.isfinite(ratio) or ratio < 0.0:
        raise UsageError(f"{text!r} is not a share", hint="write 5% or 0.05")
    return ratio


def _no_bool(value: object) -> object:
    """Python counts `true` as 1; a person who writes it means something else."""
    if isinstance(value, bool):
        raise ValueError("a number is needed, not true or false")
    return value


def _ratio(value: object) -> object:
    try:
        return parse_ratio(value) if isinstance(value, str) else _no_bool(value)
    except UsageError as error:
        raise ValueError(f"{error}; {error.hint}") from error


def _bound(value: object) -> object:
    """`none` is how a later layer takes an earlier one's bound away: TOML has no null."""
    return None if value == "none" else _ratio(value)


def _words(value: object) -> object:
    """A command as one would type it, or already in words."""
    return tuple(shlex.split(value)) if isinstance(value, str) else value


def _names(value: object) -> object:
    """Names separated by commas, or a list of them."""
    return tuple(name.strip() for name in value.split(",") if name.strip()) if isinstance(value, str) else value


def _extra(value: object) -> object:
    """Words for knobs that are off by default."""
    words = _names(value)
    for word in words if isinstance(words, list | tuple) else ():
        if word not in WORDS:
            near = get_close_matches(str(word), WORDS, n=1)
            raise ValueError(f"did you mean {near[0]}?" if near else f"{word!r} is none of {', '.join(WORDS)}")
    return words


def _absolute(value: object) -> object:
    """What a relative path means depends on who starts us: a daemon and a shell would not agree."""
    if isinstance(value, str | Path) and ("\0" in str(value) or not os.path.isabs(value)):
        raise ValueError("an absolute path is needed")
    return value


Count = Annotated[int, BeforeValidator(_no_bool), Field(ge=1)]
Share = Annotated[float, BeforeValidator(_ratio), Field(gt=0.0, lt=1.0)]
Slowdown = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]
Seconds = Annotated[float, BeforeValidator(_no_bool), Field(gt=0.0, allow_inf_nan=False)]
Directory = Annotated[Path, BeforeValidator(_absolute)]
Words = Annotated[tuple[str, ...], BeforeValidator(_words), Field(min_length=1)]
Names = Annotated[tuple[str, ...], BeforeValidator(_names), Field(min_length=1)]
Extra = Annotated[tuple[str, ...], BeforeValidator(_extra)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Paths(_Section):
    """Where files are kept.

    Attributes:
        run_dir: journal and lock; should be gone after a reboot, as the settings are.
        state_dir: the store of trials.
    """

    run_dir: Directory
    state_dir: Directory


class Planner(_Section):
    """The process that learns.

    Attributes:
        command: what to start instead of our own planner, for example over ssh on a larger machine.
        timeout_s: longest wait for one answer.
    """

    command: Words | None = None
    timeout_s: Seconds = 120.0


class Tune(_Section):
    """What `hwtune tune` does when no flag says otherwise.

    Attributes:
        objective: the figure to minimise.
        max_slowdown: longest run time accepted, relative to the default, less one; None for no bound.
        budget: settings to measure, the default included, the receipt not.
        runs: measured runs of each setting.
        knobs: the knobs to turn; None for all but governor tunables.
        extra: knobs that are off by default and shall be turned too, by their words.
        verify_blocks: ABBA blocks of the receipt at most, two runs of each arm in each.
        max_risk: largest accepted probability that what is recommended breaks the bound.
        abandon: whether a probe that is far beyond the bound is stopped; off, because work that is killed half-way may
            leave something half done.
        on_exit: whether a proven setting stays.
        competing: what to do about other programs that set the same knobs.
        on_foreign: what to do when somebody sets a knob of ours in the middle: leave it to them, or stop.
    """

    objective: Objective = Objective.EDP
    max_slowdown: Annotated[Slowdown | None, BeforeValidator(_bound)] = None
    budget: Count = 14
    runs: Count = 3
    knobs: Names | None = None
    extra: Extra = ()
    verify_blocks: Count = 6
    max_risk: Share = 0.05
    abandon: bool = False
    on_exit: Literal["restore", "keep"] = "restore"
    competing: Literal["refuse", "yield", "ignore"] = "refuse"
    on_foreign: Literal["stop", "yield"] = "yield"


class Metric(_Section):
    """Where figures of the work may come from.

    Attributes:
        prometheus_hosts: hosts that `--metric-prometheus` may name.
    """

    prometheus_hosts: Names = ("127.0.0.1", "::1", "localhost")


class Config(_Section):
    """All of it, checked."""

    paths: Paths
    planner: Planner
    tune: Tune
    metric: Metric


@dataclass(frozen=True, slots=True, kw_only=True)
class Layered:
    """A configuration, and where each value of it came from.

    Args:
        config: the values.
        origins: for each dotted key (`tune.budget`) a file, an environment variable, `flag` or `default`.
    """

    config: Config
    origins: Mapping[str, str]


def _sections() -> Iterator[tuple[str, type[BaseModel]]]:
    for name, field in Config.model_fields.items():
        assert isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
        yield name, field.annotation


KEYS: tuple[str, ...] = tuple(f"{section}.{key}" for section, model in _sections() for key in model.model_fields)
_PLACES = (*Config.model_fields, *KEYS)
_VARIABLES: Mapping[str, str] = {ENVIRONMENT_PREFIX + key.replace(".", "_").upper(): key for key in KEYS}


def load_config(
    root: str | Path = "/",
    environ: Mapping[str, str] | None = None,
    flags: Mapping[str, object] | None = None,
) -> Config:
    """The configuration alone; see `load_layers`."""
    return load_layers(root, environ, flags).config


def load_layers(
    root: str | Path = "/",
    environ: Mapping[str, str] | None = None,
    flags: Mapping[str, object] | None = None,
) -> Layered:
    """Read and check every layer.

    Args:
        root: the machine whose `/usr/lib/hwtune` and `/etc/hwtune` are read.
        environ: the environment; our own if None.
        flags: values of the command line by dotted key; those that are None were not given.

    Raises:
        ConfigError: a file that is not TOML, an unknown key or variable, a value that does not fit.
        PermissionDenied: a file that we may not read.
    """
    environ = os.environ if environ is None else environ
    layers = _Layers()
    for key, path in _default_paths(environ, os.geteuid()).items():
        layers.put(key, path, "default")
    for file in config_files(root):
        layers.put_file(file)
    for variable, key in _given(environ).items():
        layers.put(key, environ[variable], variable)
    for key, value in (flags or {}).items():
        if value is not None:
            layers.put(key, value, "flag")
    return layers.checked()


def check_file(path: str | Path) -> tuple[str, ...]:
    """The keys that a configuration file sets, after checking it alone.

    Raises:
        ConfigError: as `load_layers`, or when there is no such file.
        PermissionDenied: when we may not read it.
    """
    layers = _Layers()
    for key, value in _default_paths({}, 0).items():
        layers.put(key, value, "default")
    layers.put_file(Path(path))
    return tuple(key for key, origin in layers.checked().origins.items() if origin == str(path))


def config_files(root: str | Path = "/") -> tuple[Path, ...]:
    """The configuration files of a machine that are there, weakest first."""
    vendor, ours = Path(root) / "usr/lib/hwtune", Path(root) / "etc/hwtune"
    main = ours / "hwtune.toml"
    return (
        *sorted(vendor.glob("*.toml")),
        *((main,) if os.path.lexists(main) else ()),
        *sorted((ours / "conf.d").glob("*.toml")),
    )


def _default_paths(environ: Mapping[str, str], user_id: int) -> dict[str, Path]:
    """The system's directories for root, those of the XDG base directory specification for everyone else."""
    if user_id == 0:
        return {"paths.run_dir": Path("/run/hwtune"), "paths.state_dir": Path("/var/lib/hwtune")}
    state = _xdg(environ, "XDG_STATE_HOME") or Path(environ.get("HOME") or "/") / ".local/state"
    runtime = _xdg(environ, "XDG_RUNTIME_DIR")
    # Without a runtime directory the journal outlives a reboot; its boot id says that it is void.
    return {
        "paths.run_dir": runtime / "hwtune" if runtime else state / "hwtune/run",
        "paths.state_dir": state / "hwtune",
    }


def _xdg(environ: Mapping[str, str], variable: str) -> Path | None:
    """The specification has relative paths ignored."""
    value = environ.get(variable, "")
    return Path(value) if os.path.isabs(value) else None


def _given(environ: Mapping[str, str]) -> dict[str, str]:
    """Our variables that are set, with their keys."""
    ours = [variable for variable in environ if variable.startswith(ENVIRONMENT_PREFIX)]
    for variable in ours:
        if variable not in _VARIABLES and variable != HEARTBEAT:
            raise ConfigError(
                f"unknown variable {variable}",
                source="environment",
                key=variable,
                hint=_meant(variable, tuple(_VARIABLES)),
            )
    return {variable: _VARIABLES[variable] for variable in sorted(ours) if variable in _VARIABLES}


def _meant(word: str, known: tuple[str, ...]) -> str:
    """The hint for a name that is not known; a key's own word outweighs the section it was put in."""
    last = {name.rpartition(".")[2]: name for name in known}
    same = last.get(word.rpartition(".")[2])
    near = [same] if same else get_close_matches(word, known, n=1)
    near = near or [last[name] for name in get_close_matches(word.rpartition(".")[2], last, n=1)]
    return f"did you mean {near[0]}?" if near else f"there are: {', '.join(known)}"


class _Layers:
    """Values under their dotted keys, later ones over earlier ones."""

    def __init__(self) -> None:
        self._values: dict[str, dict[str, object]] = {section: {} for section, _ in _sections()}
        self._origins: dict[str, str] = {}

    def put(self, key: str, value: object, origin: str) -> None:
        section, _, name = key.partition(".")
        if key not in KEYS:
            raise ConfigError(f"unknown key {key!r}", source=origin, key=key, hint=_meant(key, KEYS))
        self._values[section][name] = value
        self._origins[key] = origin

    def put_file(self, path: Path) -> None:
        for section, table in _read_toml(path).items():
            if section not in self._values:
                raise ConfigError(
                    f"unknown section or key {section!r}", source=str(path), key=section, hint=_meant(section, _PLACES)
                )
            if not isinstance(table, dict):
                raise ConfigError(f"{section} is a section", source=str(path), key=section, hint=f"write [{section}]")
            for name, value in table.items():
                self.put(f"{section}.{name}", value, str(path))

    def checked(self) -> Layered:
        try:
            config = Config.model_validate(self._values)
        except ValidationError as error:
            problem = error.errors()[0]
            key = ".".join(str(part) for part in problem["loc"][:2])
            reason = problem["msg"].removeprefix("Value error, ")
            raise ConfigError(
                f"{key} = {_shown(problem['input'])}: {reason[:1].lower()}{reason[1:]}",
                source=self._origins[key],
                key=key,
                hint="`hwtune config show --origin` lists every key and its value",
            ) from error
        return Layered(config=config, origins={key: self._origins.get(key, "default") for key in KEYS})


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _read_toml(path: Path) -> dict[str, Any]:
    hint = "see docs/configuration.md for the form"
    try:
        return tomllib.loads(path.read_bytes().decode())
    except PermissionError as error:
        raise PermissionDenied(str(path), "read", errno=error.errno, hint="the file must be readable") from error
    except OSError as error:
        raise ConfigError(f"cannot be read ({error.strerror})", source=str(path), hint="is the path right?") from error
    except (ValueError, RecursionError) as error:
        # Not only TOMLDecodeError: bytes that are not UTF-8, integers of too many digits, brackets nested too deep.
        raise ConfigError(f"not TOML: {error}", source=str(path), hint=hint) from error
