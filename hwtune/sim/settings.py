"""From words to the plant's controls: settings as `hwtune.knobs` names them, or what the kernel's files hold."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np

from hwtune.domain.errors import UsageError
from hwtune.domain.knob import Value
from hwtune.sim.chip import Chip, Cluster
from hwtune.sim.governors import DEFAULT_TUNABLES, Controls, governor_code
from hwtune.sim.plant import Column

# Energy-performance preference behind each word, as intel_pstate writes it for HWP; `default` is the firmware's.
EPP_OF_WORD = {
    "performance": 0,
    "default": 128,
    "balance_performance": 128,
    "balance_power": 192,
    "power": 255,
}
_KEYS = ("governor", "min", "max", "epp", "boost")


def columns(chip: Chip) -> tuple[Column, ...]:
    """One column for each cluster: all its policies alike."""
    return tuple(Column(cluster=cluster, cpus=len(cluster.cpus)) for cluster in chip.clusters)


def defaults(chip: Chip, cluster: Cluster) -> dict[str, Value]:
    """What the distribution ships, by key without a policy."""
    found: dict[str, Value] = {"governor": chip.governor, "min": cluster.min_khz, "max": cluster.max_khz, "boost": "1"}
    return found if chip.epp is None else found | {"epp": chip.epp}


def complete(chip: Chip, setting: Mapping[str, Value]) -> tuple[dict[str, Value], ...]:
    """The whole setting of each cluster, defaults where nothing is said.

    Args:
        chip: whose.
        setting: keys as users write them; `policyN.` means the cluster that policy N is of, none means all.

    Raises:
        UsageError: a key or value this machine does not know.
    """
    wholes = [defaults(chip, cluster) for cluster in chip.clusters]
    for name, value in setting.items():
        match = re.fullmatch(r"(?:policy(\d+)\.)?(.+)", name)
        key = match[2] if match else name
        if key not in _KEYS and key not in DEFAULT_TUNABLES:
            raise UsageError(f"unknown knob {name!r} of a simulated machine", hint=f"it has: {', '.join(_KEYS)}")
        kept = value if key in ("governor", "epp", "boost") else _number(name, value)
        for cluster, whole in zip(chip.clusters, wholes, strict=True):
            if match is None or match[1] is None or int(match[1]) in cluster.cpus:
                whole[key] = kept
    return tuple(wholes)


def controls(chip: Chip, clusters: Sequence[Cluster], rows: Sequence[Sequence[Mapping[str, Value]]]) -> Controls:
    """Rows of whole settings, one per column, as arrays.

    Raises:
        UsageError: a governor or EPP this machine does not know, or a word for a number.
    """
    shape = (len(rows), len(clusters))
    governor = np.zeros(shape, dtype=np.int64)
    low, high, speed, epp = (np.zeros(shape) for _ in range(4))
    names = sorted({key for row in rows for whole in row for key in whole if "." in key})
    tunables = {name: np.full(shape, DEFAULT_TUNABLES[name]) for name in names}
    for i, row in enumerate(rows):
        for j, (cluster, whole) in enumerate(zip(clusters, row, strict=True)):
            boost = str(whole["boost"]) != "0"
            governor[i, j] = _governor(chip, str(whole["governor"]))
            high[i, j] = cluster.clock_ghz(_number("max", whole["max"]), boost)
            low[i, j] = min(cluster.clock_ghz(_number("min", whole["min"]), boost), high[i, j])
            speed[i, j] = cluster.clock_ghz(_number("speed", whole.get("speed", whole["min"])), boost)
            # The driver writes EPP 0 under `performance`, whatever is remembered for later.
            locked = chip.hardware_managed and whole["governor"] == "performance"
            epp[i, j] = 0.0 if locked or chip.epp is None else epp_number(whole["epp"])
            for name in names:
                tunables[name][i, j] = _number(name, whole.get(name, int(DEFAULT_TUNABLES[name])))
    return Controls(governor=governor, low_ghz=low, high_ghz=high, speed_ghz=speed, epp=epp, tunables=tunables)


def epp_number(value: Value) -> int:
    """0-255 of a word or a number.

    Raises:
        UsageError: neither.
    """
    if isinstance(value, str) and value in EPP_OF_WORD:
        return EPP_OF_WORD[value]
    if str(value).isdigit() and int(value) <= 255:
        return int(value)
    raise UsageError(f"unknown epp {value!r}", hint=f"one of {', '.join(EPP_OF_WORD)}, or 0-255")


def _governor(chip: Chip, name: str) -> int:
    if chip.driver is not None and name not in chip.governors:
        raise UsageError(f"unknown governor {name!r}", hint=f"one of {', '.join(chip.governors)}")
    return governor_code(name, hardware_managed=chip.hardware_managed)


def _number(key: str, value: Value) -> int:
    if isinstance(value, str) and not value.isdigit():
        raise UsageError(f"{key}={value!r} is not a number")
    return int(value)
