"""The plots: how many points, where they lie, what is said of them."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import pairwise
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwtune.report.axes import BOTTOM, HEIGHT, LEFT, MARKERS, RIGHT, TOP, WIDTH, Scale, digits
from hwtune.report.plots import Dot, Guess, front, pareto, predicted, tried

SVG = "{http://www.w3.org/2000/svg}"
FIGURES = st.floats(min_value=1e-6, max_value=1e9)


def dot(number: int, time_s: float, energy_j: float | None, **more) -> Dot:
    values = {
        "reason": "default" if number == 1 else "exploit",
        "label": f"max {number}00 MHz",
        "objective": None if energy_j is None else time_s * energy_j,
        "best_objective": None if energy_j is None else time_s * energy_j,
        "time_guess": None if number == 1 else Guess(median=time_s, low=time_s * 0.9, high=time_s * 1.1),
        "energy_guess": None
        if number == 1 or energy_j is None
        else Guess(median=energy_j * 1.5, low=energy_j * 1.3, high=energy_j * 1.7),
        "default": number == 1,
    }
    return Dot(number=number, time_s=time_s, energy_j=energy_j, **(values | more))


DOTS = (dot(1, 1.0, 10.0), dot(2, 1.5, 6.0), dot(3, 1.2, 8.0, chosen=True), dot(4, 1.6, 9.0))


def parsed(svg: str | None) -> ElementTree.Element:
    assert svg is not None
    return ElementTree.fromstring(svg)


def points(root: ElementTree.Element) -> list[tuple[float, float]]:
    """Where the data points are."""
    found = [path for path in root.iter(f"{SVG}path") if "point" in path.get("class", "").split()]
    return [tuple(map(float, re.findall(r"[-0-9.]+", path.get("transform", "")))) for path in found]


def texts(root: ElementTree.Element) -> list[str]:
    return [element.text or "" for element in root.iter(f"{SVG}text")]


def assert_everything_is_inside(root: ElementTree.Element) -> None:
    assert root.get("viewBox") == f"0 0 {WIDTH} {HEIGHT}"
    for x, y in points(root):
        assert LEFT <= x <= RIGHT and TOP <= y <= BOTTOM
    for line in root.iter(f"{SVG}polyline"):
        for pair in line.get("points", "").split():
            x, y = map(float, pair.split(","))
            assert 0 <= x <= WIDTH and 0 <= y <= HEIGHT
    for text in root.iter(f"{SVG}text"):
        assert 0 <= float(text.get("x", "-1")) <= WIDTH and 0 <= float(text.get("y", "-1")) <= HEIGHT


def test_tried_has_a_point_for_each_evaluation_and_a_step_line():
    root = parsed(tried(DOTS, objective="EDP (J·s)", quality="simulated"))
    assert len(points(root)) == 4
    assert_everything_is_inside(root)
    assert "EDP (J·s), simulated" in texts(root) and "evaluation" in texts(root)
    best = next(line for line in root.iter(f"{SVG}polyline") if line.get("points", "").count(",") == 8)
    heights = [pair.split(",")[1] for pair in best.get("points", "").split()]
    assert heights[0::2] == heights[1::2]  # level between evaluations
    # Lower objectives are lower on the page, that is, further down.
    ys = [y for _, y in points(root)]
    assert max(ys) == ys[1] and ys[1] < BOTTOM


def test_reasons_are_told_apart_by_shape():
    assert len(set(MARKERS.values())) == len(MARKERS)
    reasons = ["default", "explore", "exploit", "expand", "verify"]
    dots = [replace(dot(n, n, n), reason=reason) for n, reason in enumerate(reasons, start=1)]
    root = parsed(tried(dots, objective="EDP", quality="measured"))
    drawn = [path.get("d") for path in root.iter(f"{SVG}path") if "point" in path.get("class", "").split()]
    assert drawn == [MARKERS[reason] for reason in reasons]
    assert set(reasons) <= set(texts(root))  # the legend


def test_predicted_tells_what_held_from_what_did_not():
    time = parsed(predicted(DOTS, quantity="time", unit="s", quality="measured"))
    energy = parsed(predicted(DOTS, quantity="energy", unit="J", quality="emulated meter"))
    assert len(points(time)) == len(points(energy)) == 3  # the default is not predicted
    assert_everything_is_inside(time)
    assert_everything_is_inside(energy)
    assert any("held 3 of 3" in words for words in texts(time))
    assert any("held 0 of 3" in words for words in texts(energy))
    missed = [path for path in energy.iter(f"{SVG}path") if "missed" in path.get("class", "")]
    assert len(missed) == 3
    assert "emulated meter energy (J)" in texts(energy)


def test_the_diagonal_is_where_both_are_the_same():
    root = parsed(predicted(DOTS, quantity="time", unit="s", quality="measured"))
    assert all(
        y == pytest.approx(BOTTOM - (x - LEFT) / (RIGHT - LEFT) * (BOTTOM - TOP), abs=0.2) for x, y in points(root)
    )


def test_a_very_wide_bar_does_not_squeeze_the_points():
    wide = replace(DOTS[1], time_guess=Guess(median=1.5, low=0.001, high=1e6))
    root = parsed(predicted([DOTS[0], wide, DOTS[2]], quantity="time", unit="s", quality="measured"))
    assert_everything_is_inside(root)
    (x1, _), (x2, _) = points(root)
    assert abs(x1 - x2) > 60


def test_front_names_default_and_chosen_and_draws_the_bound():
    root = parsed(front(DOTS, max_slowdown=0.3, time_quality="measured", energy_quality="emulated meter"))
    assert len(points(root)) == 4
    assert_everything_is_inside(root)
    assert {"default", "chosen", "bound +30 %", "time of a run (s), measured"} <= set(texts(root))
    assert "energy of a run (J), emulated meter" in texts(root)
    bounds = [line for line in root.iter(f"{SVG}polyline") if line.get("class") == "bound"]
    assert len(bounds) == 1
    x = float(bounds[0].get("points", "").split(",")[0])
    inside, outside = [px < x for px, _ in points(root)].count(True), [px > x for px, _ in points(root)].count(True)
    assert (inside, outside) == (2, 2)


def test_a_bound_far_from_everything_is_not_drawn():
    root = parsed(front(DOTS, max_slowdown=20.0, time_quality="measured", energy_quality="measured"))
    assert not [line for line in root.iter(f"{SVG}polyline") if line.get("class") == "bound"]


def test_nothing_to_draw_is_none():
    no_energy = [replace(each, energy_j=None, energy_guess=None) for each in DOTS]
    assert front(no_energy, max_slowdown=None, time_quality="measured", energy_quality="measured") is None
    assert predicted(no_energy, quantity="energy", unit="J", quality="measured") is None
    assert predicted(DOTS[:1], quantity="time", unit="s", quality="measured") is None
    assert tried([], objective="EDP", quality="measured") is None


def test_a_single_trial_is_drawn():
    for svg in (
        tried(DOTS[:1], objective="EDP", quality="measured"),
        front(DOTS[:1], max_slowdown=0.05, time_quality="measured", energy_quality="measured"),
    ):
        root = parsed(svg)
        assert len(points(root)) == 1
        assert_everything_is_inside(root)


def test_words_are_escaped_and_spoken():
    label = "max <script>alert('&')</script>"
    root = parsed(tried([replace(DOTS[0], label=label)], objective="EDP <&>", quality="measured"))
    titles = [element.text or "" for element in root.iter(f"{SVG}title")]
    assert any(label in title for title in titles)
    assert root.get("role") == "img"
    ids = {element.get("id") for element in root.iter()}
    assert set(root.get("aria-labelledby", "").split()) <= ids


@given(st.lists(st.tuples(FIGURES, FIGURES), min_size=1, max_size=20))
def test_any_figures_stay_inside(figures):
    dots = [dot(number, time_s, energy_j) for number, (time_s, energy_j) in enumerate(figures, start=1)]
    for svg in (
        tried(dots, objective="EDP", quality="measured"),
        front(dots, max_slowdown=0.1, time_quality="measured", energy_quality="measured"),
    ):
        root = parsed(svg)
        assert len(points(root)) == len(dots)
        assert_everything_is_inside(root)


@given(st.lists(st.tuples(FIGURES, FIGURES), min_size=1, max_size=20))
def test_nothing_beats_the_pareto_front(figures):
    best = pareto(figures)
    for time_s, energy_j in figures:
        assert any(t <= time_s and e <= energy_j for t, e in best)
    assert all(a[0] < b[0] and a[1] > b[1] for a, b in pairwise(best))


@given(st.lists(FIGURES, min_size=1, max_size=8))
def test_ticks_are_few_ordered_and_distinct(values):
    scale = Scale.over(values, LEFT, RIGHT)
    assert 1 <= len(scale.ticks) <= 35
    places = [scale.at(tick) for tick in scale.ticks]
    assert places == sorted(places)
    assert len(set(scale.labels())) == len(scale.ticks)


def test_digits():
    assert [digits(value) for value in (0, 0.012345, 1.2345, 12.345, 1234567.0)] == [
        "0",
        "0.0123",
        "1.23",
        "12.3",
        "1234567",
    ]


def test_values_that_differ_in_the_last_bit_are_one_value() -> None:
    scale = Scale.over([57.2416, 57.241600000000005], 0.0, 100.0)
    assert scale.low == pytest.approx(57.2416 * 0.9) and scale.high == pytest.approx(57.2416 * 1.1)
    assert len(set(scale.labels())) == len(scale.ticks) > 1
