"""Which settings a sweep visits, and in what order: a grid over the knobs, thinned, picked from, shuffled by pass.

Everything random comes from the seed, so that a sweep that was interrupted finds its order again.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from math import prod

from hwtune.domain.errors import UsageError
from hwtune.domain.knob import ChoiceKnob, Knob, KnobSpace, Setting, Value

# A night's worth of short commands; more than that is hardly meant, and has to be asked for by number.
MOST_SETTINGS = 2000
# More combinations than this are not even listed.
_MOST_COMBINATIONS = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """The settings of a sweep.

    Args:
        values: for each knob that is swept its values, ascending, or in the kernel's order for words.
        settings: different in effect, legal with the rest of the machine as it is; the default comes first.
    """

    values: Mapping[str, tuple[Value, ...]]
    settings: tuple[Setting, ...]

    def order(self, seed: int, number: int) -> tuple[Setting, ...]:
        """All settings in the order of one pass; every pass has its own, so that drift hits all of them alike."""
        return tuple(random.Random(f"{seed} pass {number}").sample(self.settings, len(self.settings)))


def build_grid(
    whole: KnobSpace, space: KnobSpace, *, levels: int | None = None, settings: int | None = None, seed: int = 0
) -> Grid:
    """The grid over a space.

    Args:
        whole: all knobs of the machine, those that stay as they are included: limits hold across all of them.
        space: the knobs to sweep.
        levels: values of each range, spread evenly from end to end, the default beside them; None for all.
        settings: how many to pick at random, the default among them; None for all.
        seed: of the picking.

    Raises:
        UsageError: nothing to sweep, or far too much.
    """
    values = {knob.name: _values(knob, levels) for knob in space.knobs}
    combinations = prod(len(each) for each in values.values())
    if combinations > _MOST_COMBINATIONS:
        raise UsageError(
            f"{combinations} combinations of {', '.join(values)} are too many to choose from",
            hint="thin every range with --levels 5, or name fewer --knobs",
        )
    candidates = (Setting(dict(zip(values, each, strict=True))) for each in product(*values.values()))
    legal = (space.canonical(setting) for setting in candidates if _in_order(whole, setting))
    found = tuple(dict.fromkeys((space.default, *legal)))
    if len(found) == 1:
        raise UsageError(
            f"nothing to sweep: {', '.join(values)} can only be as found",
            hint=f"name other --knobs; this machine has: {', '.join(whole.names)}",
        )
    if settings is None and len(found) > MOST_SETTINGS:
        raise UsageError(
            f"the grid has {len(found)} settings, which would take very long to measure",
            hint="thin every range with --levels 5, or measure a random part with --settings 200",
        )
    if settings is not None and settings < len(found):
        picked = random.Random(f"{seed} settings").sample(found[1:], settings - 1)
        found = (found[0], *picked)
    return Grid(values=values, settings=found)


def _values(knob: Knob, levels: int | None) -> tuple[Value, ...]:
    if isinstance(knob, ChoiceKnob):
        return tuple(dict.fromkeys((*knob.choices, knob.default)))
    known = knob.levels or tuple(range(knob.low, knob.high + 1, knob.step))
    if levels is not None and levels < len(known):
        known = tuple(known[round(i * (len(known) - 1) / (levels - 1))] for i in range(levels))
    return tuple(sorted({*known, knob.default}))


def _in_order(whole: KnobSpace, setting: Setting) -> bool:
    """Whether every limit that the setting touches holds, also against knobs that stay as they were found."""
    full = whole.default | setting
    touched = ((full[low], full[high]) for low, high in whole.ordered_pairs if low in setting or high in setting)
    return all(low <= high for low, high in touched if isinstance(low, int) and isinstance(high, int))
