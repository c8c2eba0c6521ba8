"""`hwtune gradcheck` on simulated machines, and that what it must report is reported."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from hwtune.cli.command import Command
from hwtune.cli.gradcheck_open import Wish, check_gradients
from hwtune.cli.gradcheck_result import document, print_result
from hwtune.cli.host import open_host
from hwtune.domain.knob import Activity, ChoiceKnob, KnobSpace, RangeKnob
from hwtune.domain.slope import Effects, Slope
from hwtune.gradients import contrasts
from hwtune.tuner.gradients import along

TREES = Path(__file__).resolve().parents[2] / "trees"


def hwtune(state: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "hwtune", "gradcheck", *words],
        env={**os.environ, "HWTUNE_PATHS_STATE_DIR": str(state), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> Any:
    result = hwtune(
        tmp_path_factory.mktemp("state"),
        *("--simulate=laptop", "--workload", "compute", "--at", "max=2.4GHz", "--knobs", "max,min,boost"),
        *("--budget", "5", "--blocks", "2", "--json"),
    )
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    return json.loads(result.stdout)


def step(said: Any, knob: str) -> Any:
    (found,) = [each for each in said["steps"] if each["knob"] == knob]
    return found


def test_the_document_has_its_form(said: Any) -> None:
    assert (said["machine"], said["simulated"], said["workload"]) == ("simulated laptop", True, "compute")
    assert said["at"] == {"boost": "1", "max": 2_400_000, "min": 400_000}
    assert said["trials"] == 5 and said["stopped"] == "budget"
    assert said["agrees"] is True and said["restored"] is True
    assert [each["step"] for each in said["steps"]] == [[2_300_000, 2_500_000], [400_000, 500_000], ["1", "0"]]
    for each in said["steps"]:
        assert each["relative_error"] < said["tolerance"] == 1e-5
        low, high = each["expected"]["power"]["interval_95"]
        assert low <= each["expected"]["power"]["change"] <= high
        assert each["measured"]["runs"] == 4
        for name in ("time", "power", "objective"):
            seen = each["measured"][name]
            low, high = seen["interval_95"]
            assert low < seen["change"] < high
            assert (name in each["excluded"]) is not (low <= each["model"][name] <= high)


def test_model_plant_and_measurement_agree_which_way_a_cap_goes(said: Any) -> None:
    cap = step(said, "max")
    for figures in (cap["autograd"], cap["central"], cap["truth"]):
        assert figures["time"] < -0.01
        assert figures["power"] > 0.01
    assert cap["measured"]["time"]["change"] < 0.0 < cap["measured"]["power"]["change"]
    assert cap["model"] == cap["autograd"]
    for figures in (cap["autograd"], cap["truth"]):
        assert figures["objective"] == pytest.approx(2.0 * figures["time"] + figures["power"])


def test_the_measurement_holds_the_truth(said: Any) -> None:
    """Six intervals of 95 %, widened by a half: the plant's drift is in them too."""
    for each in said["steps"]:
        for name in ("time", "power"):
            low, high = each["measured"][name]["interval_95"]
            room = 0.5 * (high - low)
            assert low - room <= each["truth"][name] <= high + room


def test_of_a_choice_the_model_claims_the_whole_change(said: Any) -> None:
    boost = step(said, "boost")
    assert boost["model"]["time"] == boost["expected"]["time"]["change"]
    assert boost["truth"]["power"] < 0.0


def test_without_a_command_the_prior_is_checked_and_nothing_written(tmp_path: Path) -> None:
    result = hwtune(tmp_path, "--root", str(TREES / "laptop"), "--knobs", "max,epp")
    assert result.returncode == 0, result.stderr
    assert "nothing measured" in result.stdout and "max 3500 MHz" in result.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["--root", str(TREES / "no-cpufreq")], 3, "no cpufreq"),
        (["--simulate=vm"], 3, "no cpufreq"),
        (["--simulate", "--", "make"], 2, "cannot run on a simulated machine"),
        (["--root", str(TREES / "laptop"), "--", "make"], 2, "cannot be measured from here"),
        (["--simulate", "--knobs", "max", "--at", "boost=0"], 2, "boost is not among the knobs"),
        (["--simulate", "--at", "max=fast"], 2, "not a frequency"),
    ],
)
def test_bad_input_is_one_line_and_a_hint(tmp_path: Path, words: list[str], status: int, message: str) -> None:
    result = hwtune(tmp_path, *words)
    first, second = result.stderr.splitlines()
    assert result.returncode == status
    assert first.startswith("error: ") and message in first
    assert second.startswith("hint: ")
    assert result.stdout == ""


class Wrong(torch.autograd.Function):
    """The square, with a gradient that is one percent off."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(x)
        return x.square()

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> torch.Tensor:
        (x,) = ctx.saved_tensors
        return 2.02 * x * gradients[0]


def ends() -> tuple[torch.Tensor, torch.Tensor]:
    return torch.tensor([1.0, 2.0], dtype=torch.float64), torch.tensor([1.5, 2.0], dtype=torch.float64)


def slope_of(autograd: torch.Tensor, central: torch.Tensor) -> Slope:
    a, b = (Effects(time=pair[0].item(), power=pair[1].item()) for pair in (autograd, central))
    return Slope(autograd=a, central=b, change=b, change_sd=Effects(time=0.1, power=0.1))


def test_both_gradients_are_the_slope_half_way_times_the_step() -> None:
    found = along(lambda x: torch.stack([x[:, 0] ** 3, x[:, 0].exp()], 1), *ends())
    for pair in found:
        assert pair.tolist() == pytest.approx([0.5 * 3 * 1.25**2, 0.5 * torch.tensor(1.25).exp().item()], rel=1e-7)
    assert slope_of(*found).relative_error < 1e-9


def test_a_wrong_gradient_is_found_and_told(capsys: pytest.CaptureFixture[str]) -> None:
    slope = slope_of(*along(lambda x: torch.stack([x[:, 0], Wrong.apply(x[:, 0])], 1), *ends()))
    assert slope.relative_error == pytest.approx(0.01 / 1.01, rel=1e-6)
    nothing = Command(words=(), prepare=None, cwd=None, user=None)
    wish = Wish(command=nothing, at=None, budget=1, blocks=0, seed=0, spoken=False)
    with open_host(root=TREES / "laptop", flags={"tune.knobs": "max"}) as opened:
        found = check_gradients(opened, wish)
        told = document(opened, replace(found, steps=((found.steps[0][0], slope),)))
    assert not told.agrees
    print_result(found.problem.space, told)
    assert "DISAGREE" in capsys.readouterr().out


KHZ = RangeKnob(name="max", role="frequency", unit="kHz", low=1, high=9, default=9, levels=(1, 4, 6, 9))
FLOOR = RangeKnob(name="min", role="frequency_floor", unit="kHz", low=1, high=9, default=1, levels=(1, 4, 6, 9))
MODE = ChoiceKnob(name="mode", role="other", choices=("a", "b", "c"), default="b")
LEVEL = RangeKnob(
    name="level",
    role="other",
    unit="",
    low=0,
    high=10,
    default=0,
    step=5,
    active_when=(Activity(knob="mode", values=("a",)),),
)
SPACE = KnobSpace(knobs=(KHZ, FLOOR, MODE, LEVEL), ordered_pairs=(("min", "max"),))


def steps_at(**values: int | str) -> dict[str, list[tuple[object, object]]]:
    steps: dict[str, list[tuple[object, object]]] = {}
    for each in contrasts(SPACE, SPACE.canonical(SPACE.default | values)):
        assert SPACE.legal(each.first) and SPACE.legal(each.second)
        steps.setdefault(each.knob, []).append((each.first[each.knob], each.second[each.knob]))
    return steps


def test_steps_lead_to_neighbouring_levels_and_to_other_choices() -> None:
    assert steps_at(max=6) == {"max": [(4, 9)], "min": [(1, 4)], "mode": [("b", "a"), ("b", "c")]}
    assert steps_at()["max"] == [(6, 9)]


def test_steps_keep_the_limits_across_knobs() -> None:
    assert steps_at(max=6, min=6) == {"max": [(6, 9)], "min": [(4, 6)], "mode": [("b", "a"), ("b", "c")]}


def test_a_knob_that_does_nothing_there_has_no_step() -> None:
    assert "level" not in steps_at()
    assert steps_at(mode="a", level=5)["level"] == [(0, 10)]
    assert steps_at(mode="a")["level"] == [(0, 5)]
