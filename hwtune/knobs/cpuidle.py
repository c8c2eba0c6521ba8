"""Idle states, each of which may be forbidden (admin-guide/pm/cpuidle.rst, "Idle State Representation in sysfs").

    /sys/devices/system/cpu/cpu0/cpuidle/state2/name              C6
    /sys/devices/system/cpu/cpu0/cpuidle/state2/disable           0          1 forbids it on this CPU
    /sys/devices/system/cpu/cpu0/cpuidle/state2/default_status    enabled    or disabled, from the driver

Knobs: one for each state, over all CPUs that have it, `cpuidle.C6`: 1 lets the governor use it, 0 does not. State 0 is
never one of them: without it a CPU has nothing left to wait in, and on x86 it is the busy loop (POLL), whose `disable`
does not mean the same.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from hwtune.domain.knob import ChoiceKnob
from hwtune.host.fs import HostFS, natural
from hwtune.knobs.attributes import CPU, flipped, name_of
from hwtune.knobs.policies import read_text
from hwtune.knobs.target import FileTarget, Unit

WORD = "cpuidle"
UNIT = r"cpu\d+"
_POLL = "POLL"


def units(files: HostFS) -> tuple[Unit, ...]:
    """Every CPU with idle states that can be forbidden."""
    found = []
    for directory in files.glob(f"{CPU}/cpu[0-9]*/cpuidle"):
        unit = _unit(files, directory)
        if unit.texts:
            found.append(unit)
    return tuple(found)


def targets(group: tuple[Unit, ...], prefix: str) -> list[FileTarget]:
    """One knob for each state of a group of like CPUs."""
    first, found = group[0], []
    for state in sorted({file.partition("/")[0] for file in first.texts}, key=natural):
        key = f"{WORD}.{_label(first, state)}"
        default = flipped(first.texts[f"{state}/disable"])
        knob = ChoiceKnob(name=f"{prefix}{key}", role="other", choices=("0", "1"), default=default)
        paths = tuple(unit.path(f"{state}/disable") for unit in group)
        reset = "0" if first.texts.get(f"{state}/default_status") == "disabled" else "1"
        found.append(FileTarget(knob=knob, key=key, files=paths, reset=reset))
    return found


def coupled(files: HostFS, path: str) -> tuple[str, ...]:
    """A state is forbidden by itself."""
    return (path,)


def owns(path: str) -> bool:
    """Whether it is a file of these."""
    return "/cpuidle/" in path


def accepts(path: str, wanted: str, text: str) -> bool:
    """What was written is what is read."""
    return False


def explains(path: str, text: str, *, ours: Mapping[str, Sequence[str]], original: Mapping[str, str]) -> bool:
    """Nothing but what was written."""
    return False


def _unit(files: HostFS, directory: str) -> Unit:
    texts: dict[str, str] = {}
    for path in files.glob(f"{directory}/state[0-9]*/disable"):
        state = path.removeprefix(f"{directory}/").partition("/")[0]
        name, disable = (read_text(files, f"{directory}/{state}/{file}") for file in ("name", "disable"))
        if state == "state0" or name == _POLL or disable not in ("0", "1"):
            continue
        texts |= {f"{state}/name": name or state, f"{state}/disable": disable}
        status = read_text(files, f"{directory}/{state}/default_status")
        if status is not None:
            texts[f"{state}/default_status"] = status
    return Unit(name=name_of(directory.removesuffix("/cpuidle")), directory=directory, texts=texts)


def _label(unit: Unit, state: str) -> str:
    """The state's own name where that is a word, and no other state's."""
    name = unit.texts[f"{state}/name"]
    names = [text for file, text in unit.texts.items() if file.endswith("/name")]
    return name if names.count(name) == 1 and re.fullmatch(r"[\w+-]+", name) else state
