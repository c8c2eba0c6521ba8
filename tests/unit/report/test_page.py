"""The page and what it is made of: a made-up session goes through a real store and comes out as HTML."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest
from report_values import BOX, PROBLEM, STEPS, write_session

from hwtune.domain.errors import StoreError, UsageError
from hwtune.domain.knob import Setting
from hwtune.domain.objective import Bound, Objective
from hwtune.report.axes import HEIGHT, WIDTH
from hwtune.report.html import page
from hwtune.report.picture import picture
from hwtune.report.stored import load_session
from hwtune.report.view import change_text, dots_of, view_of

VOID = {"meta", "br"}


class Outline(HTMLParser):
    """Balanced tags, their count, what they would load."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.loads: list[str] = []
        self.points = 0
        self.words: list[str] = []

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.tags.append(tag)
        self.loads += [value for name, value in values.items() if name in {"src", "href", "srcset", "data", "action"}]
        self.points += "point" in (values.get("class") or "").split()
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        self.open.pop()

    def handle_data(self, data):
        self.words.append(data)


def outline(document: str) -> Outline:
    found = Outline()
    found.feed(document)
    assert found.open == []
    return found


@pytest.fixture
def store(tmp_path) -> Path:
    return tmp_path / "hwtune.sqlite"


def document(store: Path, **session) -> str:
    return page(view_of(load_session(store, write_session(store, **session))))


def test_page_has_everything_and_loads_nothing(store):
    text = document(store)
    found = outline(text)
    assert found.tags.count("svg") == 4
    assert found.points == 7 + 7 + 6 + 6
    assert found.loads == []
    assert "script" not in found.tags and "url(" not in text and "@import" not in text
    words = " ".join(found.words)
    assert "13.2 % lower than at the defaults" in words and "95 % interval" in words
    for expected in ("make -j8", "box", "A CPU", "RAPL package-0", "epp power, max 2200 MHz", "3200 MHz"):
        assert expected in words
    assert len(re.findall(r"<tr[ >]", text)) == 1 + 3 + 2 + 1 + 7  # receipt with two knobs; settings


def test_figures_say_what_they_are(store):
    emulated = replace(BOX, energy_source="emulated meter acpi_power_meter (power1)")
    for machine, time, energy in (
        (BOX, "measured", "measured"),
        (emulated, "measured", "emulated meter"),
        (replace(BOX, simulated=True), "simulated", "simulated"),
    ):
        view = view_of(load_session(store, write_session(store, machine=machine)))
        assert (view.time_quality, view.energy_quality, view.objective_quality) == (time, energy, energy)
        assert [row.quality for row in view.comparisons] == [time, energy, energy]
        text = page(view)
        assert text.count(f"time of a run (s), {time}") == text.count(f"energy of a run (J), {energy}") == 1
        for other in {"simulated", "emulated meter"} - {time, energy}:
            assert f">{other}<" not in text


def test_a_command_line_cannot_write_into_the_page(store):
    command = "sh -c '<script>alert(1)</script> \"&amp;\" <b>'"
    text = document(store, workload=command)
    assert "<script" not in text and "<b>" not in text
    assert command in "".join(outline(text).words)


def test_the_verdict_in_words(store):
    def headline(**session) -> str:
        return view_of(load_session(store, write_session(store, **session))).headline

    assert headline() == "EDP 13.2 % lower than at the defaults"
    assert headline(gain=1.3) == "No significant gain: defaults kept"
    tight = replace(PROBLEM, bound=Bound(max_slowdown=0.05))
    assert headline(problem=tight) == "The gain breaks the slowdown bound: defaults kept"
    assert headline(verified=False) == "Stopped before it was verified: nothing is proven"
    assert headline(verified=False, steps=1) == "No better setting found: defaults kept"
    assert headline(problem=replace(PROBLEM, objective=Objective.ENERGY)).startswith("Energy 3")


def test_a_session_without_energy_has_no_front(store):
    timed = replace(PROBLEM, objective=Objective.TIME)
    found = outline(document(store, energy=False, problem=timed, machine=replace(BOX, energy_source=None)))
    assert found.tags.count("svg") == 2
    words = " ".join(found.words)
    assert "Without energy figures there is no time-energy front." in words
    assert "energy (J)" not in words


@pytest.mark.parametrize(("steps", "plots"), [(0, 0), (1, 2), (2, 4)])
def test_a_session_that_has_hardly_begun(store, steps, plots):
    assert outline(document(store, steps=steps, verified=False)).tags.count("svg") == plots


def test_the_recommendation_is_followed_by_its_measured_objective(store):
    dots = view_of(load_session(store, write_session(store))).dots
    lowest = [min(dot.objective for dot in dots[: n + 1]) for n in range(len(STEPS))]
    assert [dot.best_objective for dot in dots] == lowest
    assert [dot.number for dot in dots if dot.chosen] == [4]
    assert [dot.number for dot in dots if dot.default] == [1]


def test_a_run_that_was_stopped_is_in_the_table_and_on_no_plot(store):
    text = document(store, give_up_s=2.9)
    assert text.count(">stopped after 2.90 s<") == 2
    assert "at least 36.0" in text
    assert "2 of 7 decisions" in text
    assert outline(text).points == 5 + 5 + 4 + 4
    assert outline(picture(view_of(load_session(store, None)))).points == 5 + 5


def test_a_chosen_setting_that_only_the_receipt_ran(store):
    setting = Setting({"epp": "power", "max": 2300000})
    view = view_of(load_session(store, write_session(store, never_run=setting)))
    assert [dot.chosen for dot in view.dots] == [False] * 7
    assert view.verified is not None and view.verified.chosen
    assert {row.chosen_quality for row in view.comparisons} == {"measured"}
    assert outline(page(view)).points == 7 + 8 + 6 + 6
    unverified = view_of(load_session(store, write_session(store, never_run=setting, verified=False)))
    assert unverified.verified is None
    assert {row.chosen_quality for row in unverified.comparisons} == {"predicted"}
    assert "not verified" in page(unverified)


def test_a_request_that_the_kernel_clamped_is_the_same_trial(store):
    stored = load_session(store, write_session(store))
    decision = stored.decisions[-1]
    asked = Setting({"epp": "power", "max": 3100000})
    trial = replace(decision.trial, requested=asked)
    changed = replace(decision, trial=trial, recommended=replace(decision.recommended, setting=asked))
    dots = dots_of(replace(stored, decisions=(*stored.decisions[:-1], changed)))
    assert [dot.number for dot in dots if dot.chosen] == [7]
    assert dots[-1].best_objective == dots[-1].objective


def test_which_session(store):
    with pytest.raises(StoreError, match="no store"):
        load_session(store, None)
    first, second = write_session(store, workload="one"), write_session(store, workload="two")
    assert load_session(store, None).record.number == second
    assert load_session(store, first).record.workload == "one"
    with pytest.raises(UsageError, match="no session 9") as error:
        load_session(store, 9)
    assert error.value.hint


def test_changes_have_a_sign():
    assert change_text(0.868) == "−13.2\N{NO-BREAK SPACE}%"  # noqa: RUF001
    assert change_text(1.05) == "+5.0\N{NO-BREAK SPACE}%"


def test_picture_stands_by_itself(store):
    view = view_of(
        load_session(store, write_session(store, machine=replace(BOX, name="imagined <box>", simulated=True)))
    )
    text = picture(view)
    root = ElementTree.fromstring(text)
    assert root.get("viewBox") == f"0 0 {2 * WIDTH + 24} {52 + HEIGHT}"
    inner = root.findall("{http://www.w3.org/2000/svg}svg")
    assert [int(each.get("x", "")) for each in inner] == [0, WIDTH + 24]
    assert text.count('class="point') == 14
    assert "every figure is simulated" in "".join(root.itertext())
    assert "url(" not in text and "href" not in text


def test_no_picture_without_a_front(store):
    timed = replace(PROBLEM, objective=Objective.TIME)
    view = view_of(load_session(store, write_session(store, energy=False, problem=timed)))
    with pytest.raises(UsageError, match="no time-energy front"):
        picture(view)
