"""Accepted but ignored limits: told from noise, from boost bins, from limits that limit nothing."""

from __future__ import annotations

import pytest
from bench import CPUFREQ, Bench, acpi, biglittle, intel

from hwtune.knobs.cpufreq import CpufreqBackend
from hwtune.knobs.effective import LimitCheck, ignores

TABLE = (800_000, 1_200_000, 1_600_000, 2_000_000, 2_400_000, 2_800_000, 3_200_000, 3_600_000)


@pytest.mark.parametrize(
    ("limit", "measured", "table", "expected"),
    [
        (2_000_000, 3_500_000, TABLE, True),
        (2_000_000, 2_800_000, TABLE, True),
        (2_000_000, 2_400_000, TABLE, False),  # the next state: rounding of the driver
        (2_000_000, 2_000_000, TABLE, False),
        (2_000_000, 1_200_000, TABLE, False),  # cooler, or not asked for more
        (3_600_000, 4_400_000, TABLE, False),  # the top of the table has boost bins above it
        (3_200_000, 4_400_000, TABLE, True),
        (2_000_000, 2_090_000, None, False),
        (2_000_000, 2_200_000, None, True),
        (800_000, 890_000, None, False),  # one step of 100 MHz is more than 5 % here
        (4_200_000, 4_600_000, None, False),
    ],
)
def test_ignored_or_not(limit: int, measured: int, table: tuple[int, ...] | None, expected: bool) -> None:
    top = max(table) if table else 4_200_000
    assert ignores(limit, measured, table=table, top_khz=top) is expected


def check(kernel: Bench, clocks: dict[str, int]) -> LimitCheck:
    return LimitCheck(CpufreqBackend(kernel), lambda: clocks)


def test_the_worst_policy_speaks_for_the_knob() -> None:
    kernel = intel()
    for policy in kernel.policies:
        kernel.write(f"{CPUFREQ}/policy{policy.number}/scaling_max_freq", "2000000")
    names = [f"{CPUFREQ}/policy{policy.number}" for policy in kernel.policies]
    (found,) = check(kernel, {names[0]: 2_000_000, names[1]: 3_500_000, names[2]: 3_000_000}).end()
    assert (found.knob, found.limit_khz, found.measured_khz, found.level) == ("max", 2_000_000, 3_500_000, 3_500_000)
    assert str(found) == "max = 2 GHz is accepted but ignored: cores ran at 3.5 GHz"


def test_what_was_idle_says_nothing_and_a_limit_that_is_obeyed_is_not_reported() -> None:
    kernel = acpi()
    kernel.write(f"{CPUFREQ}/policy0/scaling_max_freq", "1200000")
    assert check(kernel, {}).end() == ()
    assert check(kernel, {f"{CPUFREQ}/policy0": 1_200_000, f"{CPUFREQ}/policy1": 3_600_000}).end() == ()


def test_a_policy_that_went_offline_after_it_was_busy_says_nothing() -> None:
    kernel = acpi()
    for policy in ("policy0", "policy1"):
        kernel.write(f"{CPUFREQ}/{policy}/scaling_max_freq", "1200000")
    checking = check(kernel, {f"{CPUFREQ}/policy0": 3_600_000, f"{CPUFREQ}/policy1": 3_600_000})
    kernel.plug(1, False)
    (found,) = checking.end()
    assert (found.knob, found.measured_khz) == ("max", 3_600_000)


def test_each_cluster_has_its_own_limit() -> None:
    kernel = biglittle()
    big = kernel.policies[-1]
    directory = f"{CPUFREQ}/policy{big.number}"
    low = min(big.table)
    kernel.write(f"{directory}/scaling_max_freq", str(low))
    (found,) = check(kernel, {directory: max(big.table)}).end()
    assert found.knob == f"policy{big.number}.max"
    assert found.level == max(big.table)
