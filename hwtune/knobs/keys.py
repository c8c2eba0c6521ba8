"""`KEY=VALUE` as people write it: checked whole before anything is written.

Keys are `governor`, `min`, `max`, `epp`, `boost`, `GOVERNOR.TUNABLE`, those of what is off by default
(`powercap.long_term`, `cpuidle.C6`), and any of them for one policy or unit (`policy4.max`). Without one a key means
every cluster. Frequencies are in kHz and powers in µW, or carry a suffix (`2.4GHz`, `15W`).
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal

from hwtune.domain.errors import UsageError
from hwtune.domain.knob import ChoiceKnob, RangeKnob, Setting, Value
from hwtune.knobs.cpufreq import CpufreqBackend, knobs_there
from hwtune.knobs.drivers import driver_named
from hwtune.knobs.extra import WORDS
from hwtune.knobs.policy_knobs import PolicyTarget
from hwtune.knobs.target import LIMITS, FileTarget, Target

_IN_KHZ = {"": 1, "khz": 1, "mhz": 1000, "ghz": 1_000_000}
_IN_UW = {"": 1, "uw": 1, "mw": 1000, "w": 1_000_000}
# 0-255: from most performance to most saving.
_LARGEST_EPP = 255


def parse_frequency_khz(text: str) -> int:
    """`2400000`, `2400000kHz`, `2400MHz` or `2.4GHz`.

    Raises:
        UsageError: anything else, fractions of a kHz among it.
    """
    return _quantity(text, _IN_KHZ, "frequency", "write 2400000 (kHz), 2400MHz or 2.4GHz", "kHz", "2.4GHz")


def parse_power_uw(text: str) -> int:
    """`15000000`, `15000000uW`, `15000mW` or `15W`.

    Raises:
        UsageError: anything else, fractions of a µW among it.
    """
    return _quantity(text, _IN_UW, "power", "write 15000000 (uW), 15000mW or 15W", "uW", "15W")


def _quantity(text: str, factors: Mapping[str, int], what: str, hint: str, unit: str, example: str) -> int:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([a-z]*)", text.strip().lower(), re.ASCII)
    factor = factors.get(match[2]) if match is not None else None
    if match is None or factor is None:
        raise UsageError(f"{text!r} is not a {what}", hint=hint)
    value = Decimal(match[1]) * factor
    if value != int(value):
        raise UsageError(
            f"{text!r} is not a whole number of {unit}", hint=f"without a suffix the number is in {unit}: {example}"
        )
    return int(value)


def parse_assignments(texts: Sequence[str], backend: CpufreqBackend) -> Setting:
    """The setting that these words ask for, legal together and with what is set now.

    Raises:
        UsageError: no `KEY=VALUE`, an unknown key or value, one out of range, a minimum above its maximum, a knob that
            does nothing under the governor; with what to write instead.
        Unsupported: no cpufreq here.
    """
    space = backend.space
    if not texts:
        raise UsageError("nothing to apply", hint=f"give KEY=VALUE; {knobs_there(space)}")
    general: dict[str, Value] = {}
    exact: dict[str, Value] = {}
    for text in texts:
        key, equals, word = text.partition("=")
        if not equals or not key or not word:
            raise UsageError(f"{text!r} is not KEY=VALUE", hint="for example max=2.4GHz or governor=powersave")
        targets = _targets(key, backend)
        into = exact if len(targets) == 1 and targets[0].knob.name == key else general
        for target in targets:
            value = _value(target, word)
            if into.get(target.knob.name, value) != value:
                raise UsageError(f"{target.knob.name} is given twice, differently", hint="leave one of them out")
            into[target.knob.name] = value
    setting = Setting({**general, **exact})
    for name in setting:
        _check_limits(backend.target(name), setting, backend)
        _check_active(backend.target(name), setting, backend)
    return setting


def _targets(key: str, backend: CpufreqBackend) -> list[Target]:
    """What a key means: itself, else that knob of every cluster, else one policy's own."""
    if key in backend.space.names:
        return [backend.target(key)]
    of_clusters = [target for target in backend.targets if target.key == key]
    if of_clusters:
        return of_clusters
    try:
        return [backend.target(key)]
    except UsageError as error:
        raise UsageError(str(error), hint=_meant(key, backend) or error.hint) from None


def _meant(key: str, backend: CpufreqBackend) -> str | None:
    """What to do about a key that this machine does not have, as far as that can be said."""
    bare = re.sub(r"^policy\d+\.", "", key)
    for driver in dict.fromkeys(policy.driver for policy in backend.policies):
        if bare in driver_named(driver).without:
            return driver_named(driver).without[bare]
    known = {*backend.space.names, *(target.key for target in backend.targets)}
    # A misspelt word of what is off by default has not brought its knobs into the space.
    words = difflib.get_close_matches(key.partition(".")[0], WORDS, n=1) if "." in key else []
    known |= {target.key for target in backend.off_by_default(words)}
    close = difflib.get_close_matches(key, sorted(known), n=1)
    return f"did you mean {close[0]!r}?" if close else None


def _value(target: Target, word: str) -> Value:
    knob = target.knob
    if isinstance(knob, ChoiceKnob):
        return _choice(target, knob, word.strip())
    parse = {"kHz": parse_frequency_khz, "uW": parse_power_uw}.get(knob.unit)
    value = parse(word) if parse is not None else _whole(knob, word)
    if not knob.low <= value <= knob.high:
        raise UsageError(
            f"{knob.name}={word} is out of range",
            hint=f"{knob.name} takes {knob.low} to {knob.high} {knob.unit}".rstrip(),
        )
    return value


def _whole(knob: RangeKnob, word: str) -> int:
    if not re.fullmatch(r"\d+", word.strip(), re.ASCII):
        raise UsageError(
            f"{knob.name}={word} is not a whole number", hint=f"it takes {knob.low} to {knob.high} {knob.unit}".rstrip()
        )
    return int(word)


def _choice(target: Target, knob: ChoiceKnob, word: str) -> str:
    words, largest = _on_offer(target, knob)
    if word in words:
        return word
    if largest is not None and re.fullmatch(r"\d{1,10}", word, re.ASCII) and int(word) <= largest:
        return str(int(word))
    if word.lower() in knob.choices:
        return word.lower()
    if word == "userspace":
        raise UsageError(
            f"{knob.name}=userspace leaves the frequency to a program, and hwtune is none",
            hint="to hold one frequency set min and max to it",
        )
    raise _no_such_choice(knob, word, words if largest is None else (*words, f"0-{largest}"))


def _on_offer(target: Target, knob: ChoiceKnob) -> tuple[tuple[str, ...], int | None]:
    """The words that it takes, an EPP's `default` among them, and the largest number, None where it takes none."""
    if isinstance(target, FileTarget):
        return knob.choices, target.numbers
    if target.key == "epp" and isinstance(target, PolicyTarget) and target.policies:
        policy = target.policies[0]
        return policy.epp_choices or knob.choices, _LARGEST_EPP if driver_named(policy.driver).epp_numbers else None
    return knob.choices, None


def _no_such_choice(knob: ChoiceKnob, word: str, choices: tuple[str, ...]) -> UsageError:
    close = difflib.get_close_matches(word, choices, n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return UsageError(f"{knob.name} cannot be {word!r}", hint=f"{hint}it takes {', '.join(choices)}")


def _check_limits(target: Target, setting: Setting, backend: CpufreqBackend) -> None:
    """A minimum above its maximum is refused, also when one of them is not being set; the kernel would clamp it.

    So is a lower threshold that is not below the upper one, which the kernel would reject.
    """
    name = target.knob.name
    for low, high, gap in LIMITS:
        if name.rpartition(".")[2] not in (low, high):
            continue
        stem = name.removesuffix(low).removesuffix(high)
        lower, upper = (_number(stem + word, setting, backend) for word in (low, high))
        if lower is not None and upper is not None and lower + gap > upper:
            other = stem + (high if name.endswith(low) else low)
            hint = f"{low} must be below {high}" if gap else f"{low} cannot be above {high}"
            if other not in setting:
                hint += f"; set {other} too, it is {_number(other, setting, backend)} now"
            fault = "is not below" if gap else "is above"
            raise UsageError(f"{stem}{low}={lower} {fault} {stem}{high}={upper}", hint=hint)


def _number(name: str, setting: Setting, backend: CpufreqBackend) -> int | None:
    """A limit as it will be: set for the name, set for its cluster, or as it is now, or as its governor will begin."""
    try:
        target = backend.target(name)
    except UsageError:
        return None
    for candidate in (name, _cluster_name(target, backend)):
        if candidate in setting:
            value = setting[candidate]
            return value if isinstance(value, int) else None
    now = backend.value(target)
    if now is None and target.knob.active_when:
        now = target.knob.default
    return now if isinstance(now, int) else None


def _cluster_name(target: Target, backend: CpufreqBackend) -> str:
    """The knob of the space that covers a single policy's own."""
    paths = set(backend.paths(target))
    covering = (each for each in backend.targets if each.key == target.key and paths <= set(backend.paths(each)))
    return next((each.knob.name for each in covering), target.knob.name)


def _check_active(target: Target, setting: Setting, backend: CpufreqBackend) -> None:
    for when in target.knob.active_when:
        cluster = _cluster_name(backend.target(when.knob), backend)
        under = setting if when.knob in setting or cluster not in setting else setting | {when.knob: setting[cluster]}
        found = backend.under(target, when.knob, under)
        if not any(now in when.values for now in found):
            raise UsageError(
                f"{target.knob.name} does nothing under {when.knob}={found[0] if found else None}",
                hint=f"set {when.knob} to {' or '.join(str(value) for value in when.values)} in the same command",
            )
