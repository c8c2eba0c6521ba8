"""Tunables: whose they are, when they are there, and which of them the kernel takes together."""

from __future__ import annotations

import pytest
from bench import CPUFREQ, Bench, acpi, biglittle
from fake.machines import MACHINES

from hwtune.domain.errors import UsageError
from hwtune.knobs.cpufreq import CpufreqBackend
from hwtune.knobs.keys import parse_assignments
from hwtune.knobs.rotation import Rotation, setting_of, values_of
from hwtune.knobs.transaction import Transaction

COMMON = f"{CPUFREQ}/ondemand/up_threshold"


def with_governors(kernel, *governors):
    for policy, governor in zip(kernel.policies, governors, strict=True):
        kernel.kernel.somebody(f"{CPUFREQ}/policy{policy.number}/scaling_governor", governor)
    return kernel


def visit(kernel, run_dir, *words):
    """Set these and go; knob → what it came to, and every threshold while it lasted."""
    backend = CpufreqBackend(kernel, sleep=lambda _: None)
    setting = parse_assignments(words, backend)
    with Transaction(backend, run_dir=run_dir, verb="test", files=kernel, slept_s=lambda: 0.0) as stay:
        results = {outcome.knob: outcome.result for outcome in stay.apply(setting).outcomes}
        return results, {path: text for path, text in kernel.texts().items() if path.endswith("up_threshold")}


def test_one_policy_that_gets_the_governor_is_enough(tmp_path):
    kernel = acpi()
    start = kernel.texts()
    results, thresholds = visit(kernel, tmp_path, "policy1.governor=ondemand", "ondemand.up_threshold=60")
    assert results == {"policy1.governor": "applied", "ondemand.up_threshold": "applied"}
    assert thresholds == {COMMON: "60"}
    assert kernel.texts() == start


def test_one_policy_that_has_the_governor_is_enough(tmp_path):
    kernel = with_governors(acpi(), "performance", "ondemand")  # two clusters, set unlike
    _, thresholds = visit(kernel, tmp_path, "ondemand.up_threshold=60")
    assert thresholds == {COMMON: "60"}
    kernel = with_governors(acpi(), "performance", "schedutil")
    _, thresholds = visit(kernel, tmp_path, "policy1.governor=ondemand", "ondemand.up_threshold=61")
    assert thresholds == {COMMON: "61"}


def test_tunables_of_one_policy_need_its_own_governor(tmp_path):
    own = f"{CPUFREQ}/policy4/ondemand/up_threshold"
    kernel = with_governors(biglittle(), "schedutil", "schedutil")
    words = ["policy4.governor=ondemand", "policy4.ondemand.up_threshold=60"]
    _, thresholds = visit(kernel, tmp_path, *words)
    assert thresholds == {own: "60"}
    with pytest.raises(UsageError, match=r"policy0\.ondemand\.up_threshold does nothing"):
        visit(kernel, tmp_path, "policy4.governor=ondemand", "policy0.ondemand.up_threshold=60")
    assert not [write for write in kernel.writes if "policy0/ondemand" in write[0]]


def test_a_governor_that_everybody_leaves_takes_its_tunables_along(tmp_path):
    kernel = with_governors(acpi(), "ondemand", "ondemand")
    with pytest.raises(UsageError, match="does nothing under governor=performance"):
        visit(kernel, tmp_path, "governor=performance", "ondemand.up_threshold=60")
    words = ["governor=performance", "policy1.governor=ondemand", "ondemand.up_threshold=60"]
    _, thresholds = visit(kernel, tmp_path, *words)
    assert thresholds == {COMMON: "60"}


@pytest.mark.parametrize("words", [["conservative.down_threshold=80"], ["conservative.up_threshold=20"]])
def test_thresholds_that_meet_are_refused_before_the_kernel_does(words):
    with pytest.raises(UsageError, match="is not below") as caught:
        parse_assignments(["governor=conservative", *words], CpufreqBackend(acpi()))
    assert caught.value.hint is not None
    assert "down_threshold must be below up_threshold" in caught.value.hint


def test_a_test_of_the_hands_keeps_the_thresholds_apart(tmp_path):
    kernel = acpi()
    backend = CpufreqBackend(kernel, sleep=lambda _: None)
    names = ("conservative.up_threshold", "conservative.down_threshold")
    low, high = names[1], names[0]
    space = backend.space
    for name in names:
        for value in values_of(space[name]):
            setting = space.default | setting_of(space, space[name], value)
            assert setting[low] < setting[high], (name, value)
            assert space.legal(setting), (name, value)
    rotation = Rotation(
        space=space,
        transaction=lambda: Transaction(backend, run_dir=tmp_path, verb="selftest", files=kernel, slept_s=lambda: 0.0),
        snapshot=backend.snapshot,
        now_s=lambda: 0.0,
    )
    turns = [turn for turned in rotation.run(names) for turn in turned.turns]
    assert {turn.wanted for turn in turns} >= {2, 100, 1, 99}
    assert {turn.result for turn in turns} <= {"applied", "already"}


@pytest.mark.parametrize("name", [name for name in MACHINES if "acpi" in name or "passive" in name])
def test_the_defaults_are_what_a_governor_begins_with(name):
    """What nobody uses cannot be read: what is said of it must hold once somebody does."""
    kernel = Bench(MACHINES[name]())
    said = CpufreqBackend(with_governors(kernel, *["performance"] * len(kernel.policies))).space.default
    for governor in ("ondemand", "conservative"):
        with_governors(kernel, *[governor] * len(kernel.policies))
        found = CpufreqBackend(kernel).space.default
        assert {key: said[key] for key in found if key.startswith(governor)} == {
            key: value for key, value in found.items() if key.startswith(governor)
        }
