"""What the campaign of faults has found about limits and what moves them, each as small as it gets."""

from __future__ import annotations

import errno
from contextlib import suppress
from pathlib import Path

import pytest
from fake.faults import Fault, Killed
from fake.host import InProcess
from fake.kernel import CPUFREQ
from fake.machines import MACHINES
from fake_stay import NO_TURBO, P0, restored, stay

from hwtune.domain.errors import RestoreError
from hwtune.domain.knob import Setting
from hwtune.knobs.cpufreq import CpufreqBackend
from hwtune.knobs.journal import baseline
from hwtune.knobs.transaction import Transaction


def test_a_switch_that_could_not_be_put_back_keeps_the_limits_it_moves(tmp_path: Path) -> None:
    """Where boost overwrites the maximum, putting it back later moves what had been put back before."""
    kernel = MACHINES["cppc_cpufreq"]()
    kernel.somebody(f"{P0}/scaling_max_freq", "2200000")
    start = kernel.state()
    with pytest.raises(RestoreError), stay(kernel, tmp_path) as transaction:
        transaction.apply(Setting(boost="0"))
        kernel.faults.append(Fault(pattern="*/boost", errno=errno.EIO, times=2))
    restored(kernel, tmp_path)
    assert kernel.state() == start


def test_a_minimum_that_our_maximum_held_down_is_ours(tmp_path: Path) -> None:
    """The driver shows another maximum than was asked for, and the minimum as it was clamped by the request."""
    kernel = MACHINES["intel_pstate_nohwp"]()
    start = kernel.state()
    with stay(kernel, tmp_path) as transaction:
        transaction.apply(Setting(min=3_200_000))
        transaction.apply(Setting(max=3_100_000))
        assert kernel.read(f"{P0}/scaling_min_freq") == "3100000\n"
        transaction.keep()
    report = restored(kernel, tmp_path)
    assert report is not None and report.foreign == {}
    assert kernel.state() == start


def test_a_request_that_turbo_lets_through_is_ours(tmp_path: Path) -> None:
    """Without hardware P-states a maximum in the turbo range reads as the driver's top once turbo is back."""
    kernel = MACHINES["intel_pstate_nohwp"]()
    kernel.somebody(f"{P0}/scaling_max_freq", "2138000")
    start = kernel.state()
    with stay(kernel, tmp_path) as transaction:
        transaction.apply(Setting(boost="0"))
        transaction.apply(Setting({"policy0.max": 3_200_000}))
        transaction.keep()
    kernel.faults.append(Fault(pattern="*/no_turbo", action="kill_after"))
    with pytest.raises(Killed):
        restored(kernel, tmp_path)
    assert kernel.read(f"{P0}/scaling_max_freq") == "3400000\n"
    restored(kernel, tmp_path)
    assert kernel.state() == start


def test_a_request_in_the_turbo_range_is_ours_before_it_was_read_back(tmp_path: Path) -> None:
    kernel = MACHINES["intel_pstate_nohwp"]()
    kernel.somebody(f"{P0}/scaling_max_freq", "2237000")
    start = kernel.state()
    transaction = stay(kernel, tmp_path)
    transaction.__enter__()
    kernel.faults.append(Fault(pattern=f"{P0}/scaling_max_freq", action="kill_after"))
    with pytest.raises(Killed):
        transaction.apply(Setting({"policy0.max": 2_900_000}))
    transaction._lock.release()
    assert kernel.read(f"{P0}/scaling_max_freq") == "3400000\n"
    restored(kernel, tmp_path)
    assert kernel.state() == start


def test_a_limit_that_boost_has_moved_waits_with_the_switch_that_explains_it(tmp_path: Path) -> None:
    """Boost is back and has overwritten the maximum, and the CPU goes before that is put back."""
    kernel = MACHINES["cppc_cpufreq"]()
    kernel.somebody(f"{CPUFREQ}/policy2/scaling_max_freq", "2375000")
    start = kernel.state()
    transaction = stay(kernel, tmp_path)
    with transaction:
        transaction.apply(Setting(boost="0"))
        kernel.faults.append(Fault(pattern=f"{P0}/scaling_max_freq", action=lambda kernel: kernel.hotplug(2, False)))
        with suppress(RestoreError):
            transaction.restore()
        kernel.hotplug(2, True)
        assert kernel.read(f"{CPUFREQ}/policy2/scaling_max_freq") == "3000000\n"
    restored(kernel, tmp_path)
    assert kernel.state() == start


def test_a_request_that_a_switched_off_turbo_clamps_is_ours_before_it_was_read_back(tmp_path: Path) -> None:
    """The hardware's maximum stays where it was, so that nothing but our own switch explains the value."""
    kernel = MACHINES["intel_pstate_nohwp"]()
    kernel.somebody(f"{P0}/scaling_max_freq", "2237000")
    start = kernel.state()
    transaction = stay(kernel, tmp_path)
    transaction.__enter__()
    transaction.apply(Setting({"boost": "0", "policy0.max": 1_400_000}))
    kernel.faults.append(Fault(pattern=f"{P0}/scaling_max_freq", action="kill_after"))
    with pytest.raises(Killed):
        transaction.apply(Setting({"policy0.max": 3_000_000}))
    transaction._lock.release()
    assert kernel.read(f"{P0}/scaling_max_freq") == "2400000\n"
    restored(kernel, tmp_path)
    assert kernel.state() == start


def test_a_minimum_under_a_hidden_maximum_is_ours_before_it_is_read_back(tmp_path: Path) -> None:
    kernel = MACHINES["intel_pstate_nohwp"]()
    kernel.somebody(f"{P0}/scaling_max_freq", "2533000")  # in the turbo range: it reads as the top
    start = kernel.state()
    transaction = stay(kernel, tmp_path)
    transaction.__enter__()
    kernel.faults.append(Fault(pattern="*/policy0/scaling_min_freq", action="kill_after"))
    with suppress(Killed):
        transaction.apply(Setting({"policy0.min": 3_200_000}))
    transaction._lock.release()
    kernel.faults.clear()
    restored(kernel, tmp_path)
    assert kernel.state() == start


def test_a_maximum_that_moves_by_itself_is_not_written(tmp_path: Path) -> None:
    """cppc_cpufreq tells of no firmware limit: what moves under one looks like somebody's, and hides their request."""
    kernel = MACHINES["cppc_cpufreq"]()
    start = kernel.state()
    kernel.firmware_limit(2_233_500)
    with stay(kernel, tmp_path) as transaction:
        transaction.apply(Setting(min=2_000_000))
        kernel.firmware_limit(2_461_500)
    kernel.firmware_limit(None)
    assert kernel.state() == start


def test_a_share_that_turbo_squashes_while_it_is_put_back_is_ours(tmp_path: Path) -> None:
    kernel = MACHINES["intel_pstate_nohwp"]()
    kernel.somebody(NO_TURBO, "1")
    start = kernel.state()
    files = InProcess(kernel)
    backend = CpufreqBackend(files, sleep=lambda _s: None, wanted=("perf_pct",))
    with (
        pytest.raises(RestoreError),
        Transaction(backend, run_dir=tmp_path, verb="tune", files=files) as transaction,
    ):
        transaction.apply(Setting({"boost": "1", "perf_pct.min": 93}))
        kernel.faults.append(Fault(pattern="*/min_perf_pct", operation="write", errno=errno.ENODEV, times=2))
    kernel.faults.clear()
    restored(kernel, tmp_path)
    assert kernel.state() == start


def test_a_limit_that_comes_before_the_first_write_hides_no_request(tmp_path: Path) -> None:
    """Without a `bios_limit` only the first look tells what was asked for."""
    kernel = MACHINES["no_table"]()
    start = kernel.state()
    with stay(kernel, tmp_path) as transaction:
        transaction.apply(Setting())
        kernel.firmware_limit(727_500)
        transaction.apply(Setting(max=700_000))
    kernel.firmware_limit(None)
    assert kernel.state()[f"{P0}/scaling_max_freq"] == start[f"{P0}/scaling_max_freq"]


def test_a_request_that_the_firmware_hides_less_is_nobodys_edit(tmp_path: Path) -> None:
    kernel = MACHINES["acpi_cpufreq"]()
    start = kernel.state()
    kernel.firmware_limit(800_000)
    with stay(kernel, tmp_path) as transaction:
        transaction.apply(Setting(governor="ondemand"))
        kernel.firmware_limit(1_200_000)
        assert transaction.foreign() == {}
        transaction.apply(Setting(governor="ondemand", min=1_200_000))
        kernel.firmware_limit(800_000)
    kernel.firmware_limit(None)
    assert kernel.state()[f"{CPUFREQ}/policy1/scaling_max_freq"] == start[f"{CPUFREQ}/policy1/scaling_max_freq"]


def test_a_share_below_its_untouched_counterpart_is_ours_before_it_is_read_back(tmp_path: Path) -> None:
    kernel = MACHINES["intel_pstate_hwp"]()
    start = kernel.state()
    files = InProcess(kernel)
    backend = CpufreqBackend(files, baseline(tmp_path, files), lambda _s: None, ("perf_pct",))
    transaction = Transaction(backend, run_dir=tmp_path, verb="tune", files=files)
    transaction.__enter__()
    kernel.faults.append(Fault(action="kill_after"))
    with suppress(Killed):
        transaction.apply(Setting({"perf_pct.max": 40}))
    transaction._lock.release()
    restored(kernel, tmp_path)
    assert kernel.state() == start


def test_a_shared_tunable_of_a_governor_that_we_never_touched_is_theirs(tmp_path: Path) -> None:
    kernel = MACHINES["amd_pstate_passive"]()
    kernel.somebody(f"{P0}/scaling_governor", "performance")
    theirs = f"{CPUFREQ}/schedutil/rate_limit_us"
    with stay(kernel, tmp_path) as transaction:
        transaction.apply(Setting({"policy0.governor": "conservative"}))
        transaction.keep()
    kernel.somebody(theirs, "5740")
    restored(kernel, tmp_path)
    assert kernel.state()[theirs] == "5740\n"
