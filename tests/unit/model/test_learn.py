from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from model_values import EPP, MAX, MIN, trial
from torch import Tensor

from hwtune.domain.knob import Knob, KnobSpace, RangeKnob, Setting
from hwtune.model.encoding import Encoding, tensor
from hwtune.model.features import Features, names
from hwtune.model.learn import MOST_GROUPS, ROWS, History, learn, teaches
from hwtune.model.learned import Component

THREADS = RangeKnob(name="threads", role="active_cpus", unit="1", low=1, high=8, default=8, levels=(1, 2, 4, 8))
SPACE = KnobSpace(knobs=(MAX,))
PLANE = KnobSpace(knobs=(MAX, THREADS))
Curve = Callable[[float], tuple[float, float]]
"""(log time, log power) relative to the default at u = log(max / default)."""


def history(curve: Curve, *, noise: float = 0.0, seed: int = 0, group: str = "a", kind: str = "chip") -> History:
    generator = torch.Generator().manual_seed(seed)
    assert MAX.levels is not None
    trials = []
    for level in MAX.levels:
        log_time, log_power = curve(math.log(level / MAX.default))
        off = noise * torch.randn(2, generator=generator, dtype=torch.float64) * (level != MAX.default)
        time_s = 7.0 * math.exp(log_time + off[0].item())
        trials.append(trial({"max": level}, (time_s, 20.0 * time_s * math.exp(log_power + off[1].item()))))
    return History(label=f"{group}{seed}", kind=kind, group=group, space=SPACE, trials=tuple(trials))


def straight(time_slope: float, power_slope: float) -> Curve:
    return lambda u: (time_slope * u, power_slope * u)


def expected(component: Component, u: float) -> tuple[Tensor, Tensor]:
    """Mean and deviation of log time and log power at a u, by the features alone."""
    encoding = Encoding(SPACE)
    x = (encoding.default + u).reshape(1, -1)
    phi = Features(encoding)(x)[0]
    p = len(phi)
    both = torch.block_diag(phi.reshape(1, p), phi.reshape(1, p))
    return both @ component.mean, (both @ component.covariance @ both.T).diagonal().sqrt()


def slopes(count: int) -> Tensor:
    """Of time and power: -0.7 ± 0.2 and 2 ± 0.4, correlated by -0.8."""
    draws = torch.randn(count, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return tensor([-0.7, 2.0]) + draws @ torch.diag(tensor([0.2, 0.4])) @ tensor([[1.0, -0.8], [0.0, 0.6]])


def test_mean_and_covariance_over_workloads_are_found() -> None:
    drawn = slopes(40)
    histories = [history(straight(*pair), noise=0.005, seed=i, group=str(i)) for i, pair in enumerate(drawn.tolist())]
    (component,) = learn(histories)
    for u in (-0.4, -0.8, -1.2):
        mean, sd = expected(component, u)
        own = drawn * u
        error = own.std(0) / math.sqrt(len(own))
        assert ((mean - own.mean(0)).abs() < 3.0 * error + 0.02).all()
        assert (sd / own.std(0) > 0.75).all() and (sd / own.std(0) < 1.35).all()
    phi = Features(Encoding(SPACE))((Encoding(SPACE).default - 0.8).reshape(1, -1))[0]
    between = phi @ component.covariance[: len(phi), len(phi) :] @ phi
    _, sd = expected(component, -0.8)
    assert (between / sd.prod()).item() == pytest.approx(torch.corrcoef(drawn.T)[0, 1].item(), abs=0.15)


@pytest.mark.parametrize("noise", [0.01, 0.05])
def test_what_is_special_to_each_setting_is_found(noise: float) -> None:
    pairs = slopes(14).tolist()
    histories = [history(straight(*pair), noise=noise, seed=i, group=str(i)) for i, pair in enumerate(pairs)]
    (component,) = learn(histories)
    spread = (component.roughness.square() + 0.008**2).sqrt()  # what a measured median is off by counts beside it
    assert (spread / noise).log().abs().max() < math.log(1.3)


def test_a_smooth_residual_is_no_roughness() -> None:
    def wave(phase: float) -> Curve:
        return lambda u: (0.05 * (math.sin(9.0 * u + phase) - math.sin(phase)), 0.0)

    (component,) = learn([history(wave(i), seed=i, group=str(i)) for i in range(14)])
    assert component.amplitude[0] > 3.0 * component.roughness[0]
    assert component.amplitude[0] > 3.0 * component.amplitude[1]


def test_a_glitch_captures_nothing() -> None:
    histories = [
        history(straight(*pair), noise=0.01, seed=i, group=str(i)) for i, pair in enumerate(slopes(14).tolist())
    ]
    (clean,) = learn(histories)
    hit = list(histories[3].trials)
    run = hit[0].runs[0]
    assert run.energy_j is not None
    hit[0] = trial(hit[0].setting, (2.0 * run.time_s, 2.0 * run.energy_j))
    glitched = History(label="hit", kind="chip", group="3", space=SPACE, trials=tuple(hit))
    (component,) = learn([*histories[:3], glitched, *histories[4:]])
    assert (component.roughness / clean.roughness).log().abs().max() < 0.3
    assert (component.amplitude[0] / clean.amplitude[0]).log().abs() < 0.5
    for mine, other in zip(expected(component, -1.0), expected(clean, -1.0), strict=True):
        assert mine.tolist() == pytest.approx(other.tolist(), abs=0.02)


def test_groups_that_differ_have_components_of_their_own() -> None:
    likes = {"scales": straight(-1.0, 2.0), "waits": straight(-0.1, 1.0)}
    histories = [history(curve, noise=0.01, seed=i, group=group) for group, curve in likes.items() for i in range(3)]
    kind, *groups = learn(histories)
    assert [kind.label, *(each.label for each in groups)] == ["chip", "chip/scales", "chip/waits"]
    assert sum(each.weight for each in (kind, *groups)) == pytest.approx(1.0)
    assert kind.weight == pytest.approx(0.35 / 0.85)
    for each, (time_slope, power_slope) in zip(groups, ((-1.0, 2.0), (-0.1, 1.0)), strict=True):
        mean, sd = expected(each, -0.8)
        assert mean.tolist() == pytest.approx([-0.8 * time_slope, -0.8 * power_slope], abs=0.03)
        assert (sd < expected(kind, -0.8)[1]).all()
    middle, wide = expected(kind, -0.8)
    assert 0.2 < middle[0] < 0.7 and wide[0] > 0.2


def test_more_groups_than_can_be_told_apart_are_the_spread_of_the_kind() -> None:
    histories = [
        history(straight(*pair), seed=i, group=str(i)) for i, pair in enumerate(slopes(MOST_GROUPS + 1).tolist())
    ]
    assert [(each.label, each.weight) for each in learn(histories)] == [("chip", 1.0)]
    assert len(learn(histories[:-1])) == 1 + MOST_GROUPS


def test_like_workloads_count_less_than_as_many_unlike_ones() -> None:
    one = [history(straight(-1.0, 2.0), group="one", seed=i) for i in range(9)]
    other = [history(straight(0.0, 2.0), group="other", seed=9)]
    alike = expected(learn(one + other)[0], -0.8)[0][0]
    unlike = [History(label=each.label, kind="chip", group=each.label, space=SPACE, trials=each.trials) for each in one]
    assert alike < expected(learn(unlike + other)[0], -0.8)[0][0] - 0.05


def test_kinds_and_signatures_are_learned_apart() -> None:
    curve = straight(-0.5, 1.5)
    plane = [
        trial({"max": level, "threads": n}, (1e6 / level / n, 3.0)) for level in (800_000, 3_600_000) for n in (4, 8)
    ]
    histories = [
        history(curve, kind="b"),
        history(curve, kind="a"),
        History(label="p", kind="b", group="p", space=PLANE, trials=tuple(plane)),
    ]
    found = learn(histories)
    assert [(each.label, each.roles) for each in found] == [
        ("b", ("frequency",)),
        ("a", ("frequency",)),
        ("b", ("active_cpus", "frequency")),
    ]
    assert [len(each.mean) for each in found] == [2 * len(names(each.roles)) for each in found]
    assert torch.equal(found[0].mean, learn(histories[1:2])[0].mean)


def test_the_same_histories_teach_the_same() -> None:
    histories = [history(straight(*pair), noise=0.02, seed=i) for i, pair in enumerate(slopes(4).tolist())]
    once, again = learn(histories), learn(histories)
    assert all(
        torch.equal(a.mean, b.mean) and torch.equal(a.covariance, b.covariance)
        for a, b in zip(once, again, strict=True)
    )


@pytest.mark.parametrize("settings", [1, 2])
def test_few_settings_teach_little_and_break_nothing(settings: int) -> None:
    whole = history(straight(-1.0, 2.0))
    few = History(
        label="few", kind="chip", group="few", space=SPACE, trials=(whole.trials[-1], *whole.trials[:settings])
    )
    assert teaches(few)
    (component,), (more,) = learn([few]), learn([whole])
    assert torch.linalg.eigvalsh(component.covariance).min() > 0.0
    assert (expected(component, -0.3)[1] > expected(more, -0.3)[1]).all()


def of(space: KnobSpace, *trials: object) -> History:
    return History(label="x", kind="chip", group="x", space=space, trials=trials)  # type: ignore[arg-type]


NO_NUMBER: tuple[Knob, ...] = (MAX, EPP)


@pytest.mark.parametrize(
    "useless",
    [
        of(SPACE),
        of(SPACE, trial(SPACE.default, (1.0, 2.0))),
        of(SPACE, trial({"max": 800_000}, (1.0, 2.0)), trial({"max": 1_000_000}, (1.0, 2.0))),
        of(KnobSpace(knobs=NO_NUMBER), trial({"max": 800_000, "epp": "power"}, (1.0, 2.0))),
        of(KnobSpace(knobs=(MAX, MIN)), trial({"max": 800_000, "min": 800_000}, (1.0, 2.0))),
    ],
    ids=["nothing", "default alone", "no default", "a choice", "a role of one machine"],
)
def test_histories_that_teach_nothing_are_passed_over(useless: History) -> None:
    assert not teaches(useless)
    assert learn([useless]) == ()
    good = history(straight(-1.0, 2.0))
    assert torch.equal(learn([useless, good])[0].mean, learn([good])[0].mean)


@pytest.mark.parametrize("blind", ["all", "default", "one"])
def test_missing_energies_are_not_made_up(blind: str) -> None:
    whole = history(straight(-1.0, 2.0))
    trials = []
    for index, each in enumerate(whole.trials):
        run = each.runs[0]
        default = each.setting == SPACE.default
        sensed = {"all": False, "default": not default, "one": index != 3}[blind]
        trials.append(trial(each.setting, (run.time_s, run.energy_j if sensed else None)))
    (component,) = learn([of(SPACE, *trials)])
    mean, sd = expected(component, -0.8)
    assert mean[0] == pytest.approx(0.8, rel=0.5)
    if blind == "one":
        assert mean[1] == pytest.approx(-1.6, rel=0.5)
    else:
        assert mean[1] == 0.0
        assert sd[1] > 2.0 * sd[0]


def test_many_settings_are_thinned_out() -> None:
    fine = RangeKnob(name="max", role="frequency", unit="kHz", low=1000, high=1000 + 4 * ROWS, default=1000 + 4 * ROWS)
    space = KnobSpace(knobs=(fine,))
    trials = [trial(Setting(max=1000 + i), (1e3 / (1000 + i), 1.0)) for i in range(4 * ROWS + 1)]
    (component,) = learn([of(space, *trials)])
    assert component.mean.isfinite().all()
