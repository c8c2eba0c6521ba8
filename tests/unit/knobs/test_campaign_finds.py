"""What the campaign of faults has found, each as small as it gets."""

from __future__ import annotations

import errno
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from fake.faults import Fault, Killed
from fake.host import InProcess
from fake.kernel import CPUFREQ, FakeKernel
from fake.machines import MACHINES

from hwtune.domain.errors import ForeignEdit, JournalError, RestoreError
from hwtune.domain.knob import Setting
from hwtune.knobs.cpufreq import CpufreqBackend
from hwtune.knobs.journal import baseline
from hwtune.knobs.restore import RestoreReport, restore_machine
from hwtune.knobs.transaction import Transaction

P0 = f"{CPUFREQ}/policy0"
EPP = "energy_performance_preference"
NO_TURBO = "/sys/devices/system/cpu/intel_pstate/no_turbo"


def stay(kernel: FakeKernel, run_dir: Path, **more: Any) -> Transaction:
    files = InProcess(kernel)
    backend = CpufreqBackend(files, baseline(run_dir, files), sleep=lambda _s: None)
    return Transaction(backend, run_dir=run_dir, verb="tune", files=files, **more)


def restored(kernel: FakeKernel, run_dir: Path) -> RestoreReport | None:
    files = InProcess(kernel)
    return restore_machine(CpufreqBackend(files, sleep=lambda _s: None), run_dir=run_dir, files=files)


def test_tunables_wait_for_a_governor_that_could_not_be_put_back(tmp_path: Path) -> None:
    kernel = MACHINES["acpi_cpufreq_shared"]()
    kernel.somebody(f"{CPUFREQ}/ondemand/up_threshold", "57")
    start = kernel.state()
    with pytest.raises(RestoreError), stay(kernel, tmp_path) as transaction:
        transaction.apply(Setting(governor="performance"))
        kernel.faults.append(Fault(pattern="*/scaling_governor", errno=errno.EBUSY, times=2))
    assert f"{CPUFREQ}/ondemand/up_threshold" not in kernel.state()
    restored(kernel, tmp_path)
    assert kernel.state() == start


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


def test_what_cannot_be_read_is_not_written(tmp_path: Path) -> None:
    """Nobody could put it back."""
    kernel = MACHINES["hybrid"]()
    start = kernel.state()
    with stay(kernel, tmp_path) as transaction:
        kernel.faults.append(Fault(pattern=f"{P0}/scaling_max_freq", operation="read", errno=errno.EIO, times=None))
        name = next(knob.name for knob in transaction.backend.space.knobs if knob.name.endswith("max"))
        outcomes = transaction.apply(Setting({name: 3_000_000})).outcomes
        assert [outcome.result for outcome in outcomes] == ["rejected"]
        assert f"{P0}/scaling_max_freq" not in {path for operation, path, *_ in kernel.log if operation == "write"}
        kernel.faults.clear()
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


def test_a_tunable_that_somebody_sets_is_theirs_though_our_governor_was_there_too(tmp_path: Path) -> None:
    kernel = MACHINES["acpi_cpufreq"]()
    for number in (0, 1):
        kernel.somebody(f"{CPUFREQ}/policy{number}/scaling_governor", "ondemand")
    start = kernel.state()
    with stay(kernel, tmp_path) as transaction:
        transaction.apply(Setting({"policy0.governor": "performance"}))
        kernel.somebody(f"{CPUFREQ}/ondemand/up_threshold", "57")
        report = transaction.restore()
    assert report.foreign == {f"{CPUFREQ}/ondemand/up_threshold": "57"}
    assert kernel.state() == {**start, f"{CPUFREQ}/ondemand/up_threshold": "57\n"}


def test_every_edit_is_named_also_when_it_ends_it_all(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    kernel = MACHINES["acpi_cpufreq"]()
    with pytest.raises(ForeignEdit), stay(kernel, tmp_path, on_foreign="stop") as transaction:
        transaction.apply(Setting(max=2_000_000, governor="powersave"))
        kernel.somebody(f"{P0}/scaling_max_freq", "2800000")
        kernel.somebody(f"{P0}/scaling_governor", "performance")
        transaction.apply(Setting(max=1_600_000))
    assert {"policy0.scaling_max_freq", "policy0.scaling_governor"} <= set(caplog.text.split())


def test_a_boot_that_is_not_told_is_not_another_one(tmp_path: Path) -> None:
    """Else there would be nothing to restore, and nobody would say so."""
    kernel = MACHINES["acpi_cpufreq"]()
    with stay(kernel, tmp_path) as transaction:
        transaction.apply(Setting(max=2_000_000))
        transaction.keep()
    kernel.faults.append(Fault(pattern="*/boot_id", operation="read", errno=errno.ENODEV, times=None))
    with pytest.raises(JournalError, match="boot_id"):
        restored(kernel, tmp_path)


def test_a_write_that_was_taken_is_ours_though_it_cannot_be_read_back(tmp_path: Path) -> None:
    kernel = MACHINES["cppc_cpufreq"]()
    start = kernel.state()
    with stay(kernel, tmp_path) as transaction:
        kernel.faults.append(
            Fault(pattern="*/scaling_max_freq", action=lambda kernel: kernel.faults.append(unreadable), times=1)
        )
        unreadable = Fault(pattern="*/scaling_max_freq", operation="read", errno=errno.EIO, times=None)
        transaction.apply(Setting(max=2_000_000))
        kernel.faults.clear()
    assert kernel.state() == start


def test_what_could_not_be_read_at_first_is_not_taken_for_how_it_was(tmp_path: Path) -> None:
    """Read later it may already be as our own switch has made it."""
    kernel = MACHINES["intel_pstate_nohwp"]()
    start = kernel.state()
    transaction = stay(kernel, tmp_path)
    with transaction:
        kernel.faults.append(Fault(pattern=f"{P0}/scaling_max_freq", operation="read", errno=errno.EIO, times=None))
        transaction.apply(Setting(boost="0"))
        kernel.faults.clear()
        transaction.apply(Setting(max=1_700_000))
    assert kernel.state() == start


def test_what_is_gone_for_now_waits(tmp_path: Path) -> None:
    kernel = MACHINES["acpi_cpufreq"]()
    start = kernel.state()
    with stay(kernel, tmp_path) as transaction:
        transaction.apply(Setting(boost="0"))
        kernel.faults.append(Fault(pattern="*/boost", operation="read", errno=errno.ENODEV, times=None))
        assert transaction.restore().offline == (f"{CPUFREQ}/boost",)
        kernel.faults.clear()
    restored(kernel, tmp_path)
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


def test_a_tunable_that_could_not_be_put_back_is_known_to_be_ours_by_its_governor(tmp_path: Path) -> None:
    """Where every policy has tunables of its own, and only the governor was ever written."""
    kernel = MACHINES["cpufreq_dt_biglittle"]()
    kernel.somebody(f"{P0}/ondemand/io_is_busy", "1")
    start = kernel.state()
    with pytest.raises(RestoreError), stay(kernel, tmp_path) as transaction:
        transaction.apply(Setting({"policy0.governor": "powersave"}))
        kernel.faults.append(Fault(pattern="*/io_is_busy", errno=errno.EBUSY, times=2))
    restored(kernel, tmp_path)
    assert kernel.state() == start


def test_what_goes_in_the_middle_of_putting_back_waits(tmp_path: Path) -> None:
    kernel = MACHINES["acpi_cpufreq"]()
    start = kernel.state()
    with stay(kernel, tmp_path) as transaction:
        transaction.apply(Setting(boost="0", governor="powersave"))
        gone = Fault(pattern="*/boost", operation="read", errno=errno.ENODEV, times=None)
        kernel.faults.append(Fault(pattern="*/scaling_governor", action=lambda kernel: kernel.faults.append(gone)))
        assert transaction.restore().offline == (f"{CPUFREQ}/boost",)
        kernel.faults.clear()
    restored(kernel, tmp_path)
    assert kernel.state() == start


def test_a_preference_under_somebody_elses_governor_goes_with_it(tmp_path: Path) -> None:
    """The kernel refuses every other preference under `performance`; else restore would fail for ever."""
    kernel = MACHINES["amd_pstate_epp"]()
    with stay(kernel, tmp_path) as transaction:
        transaction.apply(Setting(epp="power", max=2_000_000))
        transaction.keep()
    kernel.somebody(f"{P0}/scaling_governor", "performance")
    kernel.somebody(f"{CPUFREQ}/policy1/scaling_governor", "performance")
    report = restored(kernel, tmp_path)
    assert report is not None
    assert report.failed == {}
    assert kernel.read(f"{P0}/scaling_max_freq") == "4900000\n"
    assert not (tmp_path / "journal.json").exists()


def test_a_journal_of_a_boot_that_was_not_told_is_of_this_one(tmp_path: Path) -> None:
    kernel = MACHINES["acpi_cpufreq"]()
    start = kernel.state()
    kernel.faults.append(Fault(pattern="*/boot_id", operation="read", errno=errno.ENODEV, times=None))
    with stay(kernel, tmp_path) as transaction:
        transaction.apply(Setting(max=2_000_000))
        transaction.keep()
    kernel.faults.clear()
    restored(kernel, tmp_path)
    assert kernel.state() == start


def test_a_preference_goes_with_a_governor_that_was_never_ours(tmp_path: Path) -> None:
    kernel = MACHINES["hybrid"]()
    with stay(kernel, tmp_path) as transaction:
        transaction.apply(Setting({"policy0.epp": "power"}))
        kernel.somebody(f"{P0}/scaling_governor", "performance")
        report = transaction.restore()
    assert report.foreign[f"{P0}/scaling_governor"] == report.foreign[f"{P0}/{EPP}"] == "performance"
    assert kernel.read(f"{CPUFREQ}/policy2/{EPP}") == "balance_performance\n"
    assert not (tmp_path / "journal.json").exists()


def test_a_preference_that_fails_by_itself_is_still_ours(tmp_path: Path) -> None:
    kernel = MACHINES["hybrid"]()
    start = kernel.state()
    with pytest.raises(RestoreError), stay(kernel, tmp_path) as transaction:
        transaction.apply(Setting({"policy0.epp": "performance"}))
        kernel.faults.append(Fault(pattern=f"*/{EPP}", errno=errno.EBUSY, times=20))
    kernel.faults.clear()
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


def test_tunables_that_began_anew_between_two_looks(tmp_path: Path) -> None:
    """The only policy left under a governor goes and comes back: the directory of its tunables is a new one."""
    kernel = MACHINES["intel_cpufreq"]()
    kernel.somebody(f"{CPUFREQ}/schedutil/rate_limit_us", "14412")
    start = kernel.state()
    with stay(kernel, tmp_path) as transaction:
        transaction.apply(Setting({"policy0.governor": "powersave"}))
        for online in (False, True):
            for cpu in kernel.policies[1].cpus:
                kernel.hotplug(cpu, online)
        assert kernel.state()[f"{CPUFREQ}/schedutil/rate_limit_us"] != "14412\n"
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


def test_a_tunable_that_cannot_be_read_under_its_governor_waits(tmp_path: Path) -> None:
    kernel = MACHINES["acpi_cpufreq"]()
    kernel.somebody(f"{P0}/scaling_governor", "ondemand")
    start, tunable = kernel.state(), f"{CPUFREQ}/ondemand/io_is_busy"
    with stay(kernel, tmp_path) as transaction:
        transaction.apply(Setting({"ondemand.io_is_busy": 1}))
        kernel.faults.append(Fault(pattern=tunable, operation="read", errno=errno.ENODEV, times=None))
    kernel.faults.clear()
    assert kernel.state()[tunable] == "1\n"
    restored(kernel, tmp_path)
    assert kernel.state() == start


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
