"""KEY=VALUE: what it means, and what is said about what it cannot mean."""

import pytest
from bench import CPUFREQ, acpi, biglittle, intel
from hypothesis import given
from hypothesis import strategies as st

from hwtune.domain.errors import Unsupported, UsageError
from hwtune.domain.knob import Setting
from hwtune.host.fs import LinuxFS
from hwtune.knobs.cpufreq import CpufreqBackend
from hwtune.knobs.keys import parse_assignments, parse_frequency_khz


def parse(kernel, *words):
    return parse_assignments(words, CpufreqBackend(kernel))


@pytest.mark.parametrize(
    ("text", "khz"),
    [
        ("2400000", 2_400_000),
        ("2400000kHz", 2_400_000),
        ("2400MHz", 2_400_000),
        ("2.4GHz", 2_400_000),
        ("2.4 ghz", 2_400_000),
    ],
)
def test_frequencies(text, khz):
    assert parse_frequency_khz(text) == khz


@given(st.integers(0, 10_000_000))
def test_a_frequency_says_the_same_in_every_unit(khz):
    for text in (f"{khz}", f"{khz}KHZ", f"{khz / 1000:.3f}MHz", f"{khz // 10**6}.{khz % 10**6:06d}GHz"):
        assert parse_frequency_khz(text) == khz


@pytest.mark.parametrize(
    "text", ["", "fast", "2.4", "2.4THz", "-1", "1e6", "0x10", "2,4GHz", "\uff12400", "2.4000001GHz", "80%"]
)
def test_no_frequencies(text):
    with pytest.raises(UsageError):
        parse_frequency_khz(text)


@pytest.mark.parametrize(
    ("make", "words", "expected"),
    [
        (acpi, ["max=2.4GHz", "governor=Performance"], {"max": 2_400_000, "governor": "performance"}),
        (acpi, ["policy1.max=2000MHz"], {"policy1.max": 2_000_000}),
        (acpi, ["max=2.45GHz"], {"max": 2_450_000}),  # the kernel rounds
        (
            acpi,
            ["governor=ondemand", "ondemand.up_threshold=70"],
            {"governor": "ondemand", "ondemand.up_threshold": 70},
        ),
        (acpi, ["max=2GHz", "policy1.max=1.2GHz"], {"max": 2_000_000, "policy1.max": 1_200_000}),
        (acpi, ["boost=0"], {"boost": "0"}),
        (intel, ["epp=balance_power"], {"epp": "balance_power"}),
        (intel, ["epp=070"], {"epp": "70"}),
        (intel, ["epp=default"], {"epp": "default"}),
        (biglittle, ["max=900000"], {"policy0.max": 900_000, "policy4.max": 900_000}),
        (biglittle, ["max=900000", "policy4.max=1.4GHz"], {"policy0.max": 900_000, "policy4.max": 1_400_000}),
    ],
)
def test_settings(make, words, expected):
    assert parse(make(), *words) == Setting(expected)


@pytest.mark.parametrize(
    ("make", "words", "message", "hint"),
    [
        (acpi, [], "nothing to apply", "KEY=VALUE"),
        (acpi, ["max"], "not KEY=VALUE", "max=2.4GHz"),
        (acpi, ["=3"], "not KEY=VALUE", "max"),
        (acpi, ["max="], "not KEY=VALUE", "max"),
        (acpi, ["governer=performance"], "unknown knob 'governer'", "did you mean 'governor'?"),
        (acpi, ["policy7.max=2GHz"], "unknown knob 'policy7.max'", "max"),
        (acpi, ["epp=power"], "unknown knob 'epp'", "active drivers"),
        (acpi, ["max=9GHz"], "out of range", "800000 to 3600000 kHz"),
        (acpi, ["max=fast"], "not a frequency", "2.4GHz"),
        (acpi, ["max=1GHz", "min=2GHz"], "min=2000000 is above max=1000000", "cannot be above"),
        (acpi, ["governor=performence"], "cannot be 'performence'", "did you mean 'performance'?"),
        (acpi, ["governor=userspace"], "leaves the frequency to a program", "min and max"),
        (acpi, ["governor=ondemand", "ondemand.up_threshold=101"], "out of range", "1 to 100 %"),
        (acpi, ["governor=ondemand", "ondemand.up_threshold=x"], "not a whole number", "1 to 100 %"),
        (acpi, ["ondemand.up_threshold=70"], "does nothing under governor=schedutil", "set governor to ondemand"),
        (acpi, ["max=2GHz", "max=1.2GHz"], "given twice", "leave one"),
        (acpi, ["boost=2"], "cannot be '2'", "0, 1"),
        (intel, ["epp=256"], "cannot be '256'", "0-255"),
        (intel, ["epp=powr"], "cannot be 'powr'", "did you mean 'power'?"),
        (intel, ["governor=performance", "epp=power"], "does nothing under governor=performance", "powersave"),
        (biglittle, ["max=2GHz"], "policy0.max=2GHz is out of range", "1700000"),
    ],
)
def test_refusals(make, words, message, hint):
    kernel = make()
    with pytest.raises(UsageError) as caught:
        parse(kernel, *words)
    assert message in str(caught.value)
    assert hint in caught.value.hint
    assert caught.value.exit_status == 2
    assert kernel.writes == []


def test_limits_are_checked_against_what_is_set_now():
    kernel = acpi()
    for policy in kernel.policies:
        kernel.write(f"{CPUFREQ}/policy{policy.number}/scaling_min_freq", "2000000")
    with pytest.raises(UsageError, match="min=2000000 is above max=1600000") as caught:
        parse(kernel, "max=1.6GHz")
    assert "set min too" in caught.value.hint
    assert parse(kernel, "max=1.6GHz", "min=800MHz") == Setting(max=1_600_000, min=800_000)
    with pytest.raises(UsageError, match=r"policy1\.min=2000000 is above policy1\.max=1600000"):
        parse(kernel, "policy1.max=1.6GHz")
    assert parse(kernel, "min=800MHz", "policy1.max=1.6GHz")


def test_no_cpufreq(tmp_path):
    with pytest.raises(Unsupported) as caught:
        parse(LinuxFS(tmp_path), "max=2GHz")
    assert caught.value.exit_status == 3
