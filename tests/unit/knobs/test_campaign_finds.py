"""What the campaign of faults has found, each as small as it gets."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
from fake.faults import Fault
from fake.kernel import CPUFREQ
from fake.machines import MACHINES
from fake_stay import EPP, P0, restored, stay

from hwtune.domain.errors import ForeignEdit, JournalError, RestoreError
from hwtune.domain.knob import Setting


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
