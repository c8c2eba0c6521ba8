"""How long a CPU may take to resume from idle.

Kernel documentation: admin-guide/pm/cpuidle.rst, "Power Management Quality of Service for CPUs";
Documentation/ABI/testing/sysfs-devices-power.

    /sys/devices/system/cpu/cpu0/power/pm_qos_resume_latency_us    0     µs

0 stands for no constraint, and `n/a` for none being accepted: then a CPU does not even stop its clock. Any number in
between keeps the governor from idle states with a longer exit latency. Knob: `pm_qos.resume_latency_us` over all CPUs;
the latencies of this machine's idle states are the values that make a difference.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hwtune.domain.knob import ChoiceKnob
from hwtune.host.fs import HostFS
from hwtune.knobs.attributes import CPU, name_of
from hwtune.knobs.policies import read_text
from hwtune.knobs.target import FileTarget, Unit, whole

WORD = "pm_qos"
UNIT = r"cpu\d+"
_KEY = f"{WORD}.resume_latency_us"
_FILE = "pm_qos_resume_latency_us"
_NO_CONSTRAINT, _NO_LATENCY = "0", "n/a"
# One less than the kernel's own word for "no constraint", which it refuses as a number.
_LARGEST_US = 2**31 - 2


def units(files: HostFS) -> tuple[Unit, ...]:
    """Every CPU that has the file."""
    found = []
    for path in files.glob(f"{CPU}/cpu[0-9]*/power/{_FILE}"):
        text, directory = read_text(files, path), path.removesuffix(f"/{_FILE}")
        cpu = directory.removesuffix("/power")
        if text is not None:
            latencies = {whole(read_text(files, state)) for state in files.glob(f"{cpu}/cpuidle/state[0-9]*/latency")}
            known = sorted(latency for latency in latencies if latency)
            texts = {_FILE: text, "latencies": " ".join(map(str, known))}
            found.append(Unit(name=name_of(cpu), directory=directory, texts=texts))
    return tuple(found)


def targets(group: tuple[Unit, ...], prefix: str) -> list[FileTarget]:
    """The limit of a group of like CPUs: from none accepted over each state's latency to no constraint."""
    first = group[0]
    found, latencies = first.texts[_FILE], first.texts["latencies"].split()
    choices = {_NO_LATENCY, *latencies, found, _NO_CONSTRAINT}
    knob = ChoiceKnob(
        name=f"{prefix}{_KEY}",
        role="other",
        choices=tuple(sorted(choices, key=_strictness)),
        default=found,
        ordered=True,
    )
    paths = tuple(unit.path(_FILE) for unit in group)
    return [FileTarget(knob=knob, key=_KEY, files=paths, reset=_NO_CONSTRAINT, numbers=_LARGEST_US)]


def coupled(files: HostFS, path: str) -> tuple[str, ...]:
    """A request of one CPU is its own."""
    return (path,)


def owns(path: str) -> bool:
    """Whether it is a file of these."""
    return name_of(path) == _FILE


def accepts(path: str, wanted: str, text: str) -> bool:
    """What was written is what is read."""
    return False


def explains(path: str, text: str, *, ours: Mapping[str, Sequence[str]], original: Mapping[str, str]) -> bool:
    """Nothing but what was written."""
    return False


def _strictness(word: str) -> float:
    if word == _NO_CONSTRAINT:
        return float("inf")
    return float(whole(word) or 0)
