"""Whose a value is: what the kernel makes of a request, and what it makes of it later.

The kernel clamps numbers silently, remembers the request, and brings it back when what clamped it goes. So a value
that reads otherwise than it was written is still ours when our own request explains it: a firmware limit
(`bios_limit`), the limits of the hardware, a minimum above the maximum, an EPP that the governor overrides, tunables
that began anew with their governor. Anything else is somebody else's by now.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hwtune.host.fs import HostFS
from hwtune.knobs.attributes import (
    BIOS_LIMIT,
    BOOST,
    CPUFREQ,
    EPP,
    GLOBAL_BOOST,
    GOVERNOR,
    MAX,
    MIN,
    NO_TURBO,
    PERF_PCT,
    SETSPEED,
    Stage,
    directory_of,
    name_of,
    stage_of,
)
from hwtune.knobs.drivers import driver_named
from hwtune.knobs.extra import source_of
from hwtune.knobs.policies import read_text

Ours = Mapping[str, Sequence[str]]


def same(path: str, wanted: str, text: str) -> bool:
    """Whether the text says what was wanted; numbers as numbers, governors in any case as the kernel takes them."""
    if wanted.isdecimal() and text.isdecimal():
        return int(wanted) == int(text)
    return wanted.lower() == text.lower() if name_of(path) == GOVERNOR else wanted == text


def accepts(files: HostFS, path: str, wanted: str, text: str) -> bool:
    """Whether the kernel may answer `text` right after `wanted` was written, by clamping or by rounding.

    A maximum that reads lower has met another limit (firmware, thermal, power); one that reads higher is accepted
    only where no lower value exists. A minimum the other way round.
    """
    if same(path, wanted, text):
        return True
    source = source_of(path)
    if source is not None:
        return source.accepts(path, wanted, text)
    name = name_of(path)
    if name == GOVERNOR:
        driver = driver_named(read_text(files, f"{directory_of(path)}/scaling_driver"))
        return driver.may_refuse_dynamic and text == "performance"
    if name == EPP:
        # Numbers read back as the word that means them, `default` as what it stands for.
        return wanted.isdecimal() or wanted == "default"
    if stage_of(path) is Stage.TUNABLE:
        return wanted.isdecimal() and text.isdecimal()
    if name not in (MAX, MIN) or not (wanted.isdecimal() and text.isdecimal()):
        return False
    request, now = int(wanted), int(text)
    if (now < request) is (name == MAX):
        return True
    if name == MAX:
        return now in _raised(files, directory_of(path), request)
    highest = _highest(files, directory_of(path))
    maximum = _number(files, f"{directory_of(path)}/{MAX}")
    if maximum == highest and _snaps_to_top(files, directory_of(path)):
        return True  # the maximum that holds it down was asked for lower than it reads
    return now == maximum or (highest is not None and now == _neighbours(files, directory_of(path), highest)[0])


def explains(files: HostFS, path: str, text: str, *, ours: Ours, original: Mapping[str, str]) -> bool:
    """Whether what we wrote, here or to an attribute coupled to this one, explains the value found now.

    Args:
        files: the machine.
        path: the attribute.
        text: what it reads.
        ours: for every attribute of ours the texts that are ours: what was asked for, and what came of it.
        original: the texts before we came.
    """
    if any(same(path, mine, text) for mine in ours.get(path, ())):
        return True
    source = source_of(path)
    if source is not None:
        return source.explains(path, text, ours=ours, original=original)
    directory, name = directory_of(path), name_of(path)
    if name in (MAX, MIN):
        return _explains_limit(files, path, text, ours=ours, original=original)
    if name == EPP:
        driver = driver_named(read_text(files, f"{directory}/scaling_driver"))
        if any(governor in driver.epp_locked_under for governor in ours.get(f"{directory}/{GOVERNOR}", ())):
            return text in ("performance", "0")
        return any(mine.isdecimal() or mine == "default" for mine in ours.get(path, ()))
    if name == BOOST and path != GLOBAL_BOOST:
        # A restore that was killed half way has put the switch for all back, and each policy's with it.
        return GLOBAL_BOOST in ours and text in (*ours[GLOBAL_BOOST], original.get(GLOBAL_BOOST))
    return stage_of(path) is Stage.TUNABLE and governor_was_changed(path, ours=ours, original=original)


def governor_was_changed(path: str, *, ours: Ours, original: Mapping[str, str]) -> bool:
    """Whether we have made a policy leave this tunable's governor, or take it up: then it has the kernel's tunables.

    Those that policies share last as long as one of them has the governor.
    """
    single = name_of(path) == SETSPEED
    directory = directory_of(path) if single else directory_of(directory_of(path))
    tuned = "userspace" if single else name_of(directory_of(path))
    for governor, texts in ours.items():
        if name_of(governor) != GOVERNOR or directory not in (CPUFREQ, directory_of(governor)):
            continue
        found = original.get(governor, "").lower()
        if any(mine.lower() != (found or mine.lower()) and tuned in (mine.lower(), found) for mine in texts):
            return True
    return False


def _explains_limit(files: HostFS, path: str, text: str, *, ours: Ours, original: Mapping[str, str]) -> bool:
    """A limit that our request gives under the limits of now, or that its counterpart of ours has moved."""
    if not text.isdecimal():
        return False
    directory, now = directory_of(path), int(text)
    lowest = _number(files, f"{directory}/cpuinfo_min_freq") or 0
    highest = _highest(files, directory)
    boost_is_ours = any(boost in ours for boost in (f"{directory}/{BOOST}", GLOBAL_BOOST, NO_TURBO))
    touched = path in ours or f"{directory}/{MAX}" in ours or f"{directory}/{MIN}" in ours
    driver = driver_named(read_text(files, f"{directory}/scaling_driver"))
    percent_is_ours = driver.perf_pct_limits and any(path in ours for path in PERF_PCT)
    if not touched and not boost_is_ours:
        return False
    # A boost of ours has moved it there, or has let a request through that then reads as the driver's top.
    if name_of(path) == MAX and now == highest:
        if boost_is_ours and driver.boost_resets_max:
            return True
        if path in ours and _snaps_to_top(files, directory):
            return True
    requests = [int(mine) for mine in (*ours.get(path, ()), original.get(path, "")) if mine.isdecimal()]
    for request in requests:
        clamped = max(lowest, request if highest is None else min(request, highest))
        if now in (clamped, *_neighbours(files, directory, clamped)):
            return True
        if name_of(path) == MAX and now < clamped and (percent_is_ours or _cooling(files)):
            return True
        # The hardware's maximum does not move with turbo everywhere, and then only the limit tells of it.
        unboosted = NO_TURBO in ours and read_text(files, NO_TURBO) == "1"
        if name_of(path) == MAX and now < clamped and unboosted and _is_base(files, directory, now):
            return True
        if name_of(path) == MIN and now > clamped and percent_is_ours:
            return True
        if name_of(path) == MIN and now < clamped and path in ours and _hidden(files, directory, now):
            return True
    if name_of(path) == MAX or not any(request >= now for request in requests):
        return False
    # A minimum above the maximum reads as the maximum: as it is, or as it was asked for where that reads otherwise.
    maximum = f"{directory}/{MAX}"
    return now == _number(files, maximum) or text in ours.get(maximum, ())


def _snaps_to_top(files: HostFS, directory: str) -> bool:
    """Whether a maximum in the turbo range reads as the driver's top: without hardware P-states, so without an EPP."""
    driver = driver_named(read_text(files, f"{directory}/scaling_driver"))
    return driver.max_snaps_to_top and read_text(files, f"{directory}/{EPP}") is None


def _is_base(files: HostFS, directory: str, khz: int) -> bool:
    """Whether this may be the highest frequency without turbo, as far as the driver tells of that."""
    base, floor = _number(files, f"{directory}/base_frequency"), _turbo_floor(files, directory)
    return khz == base if base is not None else floor is None or khz >= floor


def _hidden(files: HostFS, directory: str, khz: int) -> bool:
    """Whether a request for the maximum, which reads as the top, may hold a minimum here in the turbo range."""
    top, floor = _number(files, f"{directory}/cpuinfo_max_freq"), _turbo_floor(files, directory)
    at_top = top is not None and _number(files, f"{directory}/{MAX}") == top
    return at_top and _snaps_to_top(files, directory) and floor is not None and khz >= floor


def _turbo_floor(files: HostFS, directory: str) -> int | None:
    """Where the turbo range begins, at the lowest; None where intel_pstate does not tell.

    admin-guide/pm/intel_pstate.rst: `turbo_pct` is the share of the turbo range in all `num_pstates`, 100 MHz each.
    """
    top = _number(files, f"{directory}/cpuinfo_max_freq")
    states, share = (_number(files, f"{directory_of(NO_TURBO)}/{name}") for name in ("num_pstates", "turbo_pct"))
    if top is None or states is None or share is None:
        return None
    return top - (states * share // 100 + 1) * 100_000


def _highest(files: HostFS, directory: str) -> int | None:
    """The highest frequency the hardware and its firmware allow now."""
    found = [_number(files, f"{directory}/{name}") for name in ("cpuinfo_max_freq", BIOS_LIMIT)]
    return min((khz for khz in found if khz), default=None)


def _raised(files: HostFS, directory: str, request: int) -> tuple[int, ...]:
    """Where a maximum may end above its request: the lowest of all, the next of the table, a driver's own top."""
    above = _neighbours(files, directory, request)[1]
    driver = driver_named(read_text(files, f"{directory}/scaling_driver"))
    top = _number(files, f"{directory}/cpuinfo_max_freq") if driver.max_snaps_to_top else None
    lowest = _number(files, f"{directory}/cpuinfo_min_freq")
    bottom = lowest if lowest is not None and request < lowest else None
    return tuple(khz for khz in (above, top, bottom) if khz is not None)


def _neighbours(files: HostFS, directory: str, khz: int) -> tuple[int, int]:
    """The table's entries around a frequency, itself where it is one or there is no table."""
    names = ("scaling_available_frequencies", "scaling_boost_frequencies")
    words = [word for name in names for word in (read_text(files, f"{directory}/{name}") or "").split()]
    table = [int(word) for word in words if word.isdecimal()]
    below = max((entry for entry in table if entry <= khz), default=khz)
    above = min((entry for entry in table if entry >= khz), default=khz)
    return below, above


def _cooling(files: HostFS) -> bool:
    """Whether the thermal framework holds a processor's frequency down at this moment."""
    for kind in files.glob("/sys/class/thermal/cooling_device*/type"):
        text = (read_text(files, kind) or "").lower()
        if ("cpufreq" in text or text == "processor") and _number(files, f"{directory_of(kind)}/cur_state"):
            return True
    return False


def _number(files: HostFS, path: str) -> int | None:
    text = read_text(files, path)
    return int(text) if text is not None and text.isdecimal() else None
