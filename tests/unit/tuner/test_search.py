from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tuner_values import CAPS, LAPTOP, LEVELS, every, searched

from hwtune.domain.knob import KnobSpace, RangeKnob, Setting
from hwtune.model.encoding import Encoding
from hwtune.tuner.search import Neighbourhood, climb

THREADS = RangeKnob(
    name="threads", role="active_cpus", unit="1", low=1, high=32, default=32, levels=(1, 2, 4, 8, 16, 32)
)
SETTINGS = list(every(LAPTOP))
TABLE = KnobSpace(
    knobs=(*CAPS.knobs, THREADS),
    allowed=tuple({"max": f, "threads": n} for f in LEVELS[::3] for n in (1, 4, 32) if (f, n) != (LEVELS[0], 4)),
)


@given(data=st.data())
@settings(max_examples=50)
def test_neighbours_are_legal_canonical_and_others(data: st.DataObject) -> None:
    start = data.draw(st.sampled_from(SETTINGS))
    near = Neighbourhood(Encoding(LAPTOP))
    around = list(near.around(start))
    assert around
    for setting in around:
        assert LAPTOP.legal(setting) and LAPTOP.canonical(setting) == setting != start


def test_every_legal_setting_can_be_reached() -> None:
    space = LAPTOP.subset(("governor", "epp", "boost", "max"))
    near = Neighbourhood(Encoding(space))
    reached, fresh = {space.default}, [space.default]
    while fresh:
        fresh = list({other for setting in fresh for other in near.around(setting)} - reached)
        reached.update(fresh)
    assert reached == set(every(space))


def test_a_floor_is_lowered_under_its_cap() -> None:
    near = Neighbourhood(Encoding(LAPTOP))
    assert near.legal(LAPTOP.default | {"max": LEVELS[2], "min": LEVELS[9]})["min"] == LEVELS[2]


def test_only_offered_settings_are_neighbours() -> None:
    near = Neighbourhood(Encoding(TABLE))
    missing = Setting(max=LEVELS[0], threads=4)
    assert TABLE.legal(near.legal(missing)) and near.legal(missing) != missing
    for row in TABLE.allowed or ():
        assert all(TABLE.legal(setting) for setting in near.around(Setting(row)))


def test_the_climb_ends_empty_only_when_nothing_is_left() -> None:
    near = Neighbourhood(Encoding(TABLE))
    offered = [Setting(row) for row in TABLE.allowed or ()]
    for missing in range(len(offered)):
        left = {*offered[:missing]}
        found = climb(near, [offered[-1]], lambda rows: [0.0] * len(rows), set(offered) - left)
        assert bool(found) == bool(left)
        assert {setting for _, setting in found} <= left


def test_a_knob_is_not_turned_for_nothing() -> None:
    encoding = Encoding(LAPTOP)
    column = encoding.columns["max"].start

    def only_the_cap(x: torch.Tensor) -> torch.Tensor:
        return -10.0 * (x[:, column] - x[:, column].new_tensor(14.5)).square()

    _, found = searched(encoding, only_the_cap, LAPTOP.default, parsimony=0.01)
    assert set(LAPTOP.default.diff(found)) == {"max"}
