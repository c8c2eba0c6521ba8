"""The words of `hwtune compare`: two settings, each `default` or assignments in one word, and the margin."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hwtune.cli.command import Command, check_simulated, check_window
from hwtune.config import parse_ratio
from hwtune.domain.errors import UsageError
from hwtune.domain.knob import Setting
from hwtune.knobs.cpufreq import CpufreqBackend
from hwtune.knobs.keys import parse_assignments

_FOUND = "default"
_HOW = "hwtune compare A B -- CMD, where A and B are `default` or KEY=VALUE[,KEY=VALUE]..., one word each"


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """One of the two as it was asked for.

    Args:
        text: as it was written, with commas.
        assignments: `KEY=VALUE` each; none for the machine as it was found.
    """

    text: str
    assignments: tuple[str, ...]


def check_words(
    words: Sequence[str], work: Command, *, simulate: str | None, root: Path | None, dry_run: bool, noise: bool
) -> None:
    """Refuse what contradicts itself before anything is opened.

    Args:
        words: all that are no options.
        work: what is made of those behind the settings.
        simulate: the imaginary machine, or None.
        root: a machine that is not running, or None.
        dry_run: whether nothing is written.
        noise: whether the machine is only watched.

    Raises:
        UsageError: with what to do instead.
    """
    if noise and words:
        raise UsageError(
            "--noise runs nothing and sets nothing", hint="hwtune compare default default -- CMD measures under load"
        )
    if noise and (dry_run or root is not None):
        raise UsageError("--noise watches a running machine", hint="leave --dry-run and --root out")
    if noise:
        return
    if len(words) < 2:
        raise UsageError("two settings are needed", hint=_HOW)
    check_simulated(work.words, simulate)
    work.metric.check()
    if work.window is not None:
        check_window(work.words, work.window, work.metric)
    elif simulate is None and not work.words:
        raise UsageError("no command to compare them under", hint=_HOW)
    if root is not None and not dry_run:
        raise UsageError(
            "a machine under --root cannot be measured from here", hint="add --dry-run to see what would be written"
        )


def parse_margin(text: str) -> float:
    """A difference that matters, as a share: `1%` or 0.01.

    Raises:
        UsageError: anything else, and what is not between 0.01 % and 50 %.
    """
    margin = parse_ratio(text)
    if not 0.0001 <= margin <= 0.5:
        raise UsageError(f"a margin of {text} is out of range", hint="it takes 0.01% to 50%; 1% is the default")
    return margin


def parse_arm(text: str) -> Arm:
    """`default`, or `KEY=VALUE` separated by commas or blanks: `governor=powersave,max=2.4GHz`.

    Raises:
        UsageError: anything else.
    """
    words = tuple(word for word in re.split(r"[,\s]+", text) if word)
    if words == (_FOUND,):
        return Arm(text=_FOUND, assignments=())
    if not words or any("=" not in word for word in words):
        raise UsageError(f"{text!r} is no setting", hint=_HOW)
    return Arm(text=",".join(words), assignments=words)


def named_keys(*arms: Arm) -> list[str]:
    """The keys that the arms assign."""
    return [word.partition("=")[0] for arm in arms for word in arm.assignments]


def full_settings(a: Arm, b: Arm, backend: CpufreqBackend) -> dict[str, Setting]:
    """Both arms for all knobs of the machine: what one of them does not name is as it was found.

    All knobs, because turning one moves others: a governor its tunables and the EPP, boost the limits.

    Raises:
        UsageError: unknown keys or values, or limits that contradict each other.
        Unsupported: no cpufreq here.
    """
    found = backend.space.default
    settings = {
        name: found | (parse_assignments(arm.assignments, backend) if arm.assignments else Setting())
        for name, arm in (("A", a), ("B", b))
    }
    for name, setting in settings.items():
        for low, high in backend.space.ordered_pairs:
            if int(setting[low]) > int(setting[high]):
                raise UsageError(
                    f"{low}={setting[low]} is above {high}={setting[high]} in {name}",
                    hint=f"name both limits; as found they are {found[low]} and {found[high]}",
                )
    return settings
