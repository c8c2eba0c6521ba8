"""What happens between two writes of ours: somebody else's edits, a suspend, CPUs that go and come back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from bench import CPUFREQ, Bench, acpi, biglittle, intel

from hwtune.domain.errors import ForeignEdit
from hwtune.domain.knob import Setting
from hwtune.knobs import journal as journals
from hwtune.knobs.cpufreq import CpufreqBackend
from hwtune.knobs.restore import restore_machine
from hwtune.knobs.transaction import Transaction

P0, P1, P2 = (f"{CPUFREQ}/policy{number}" for number in (0, 1, 2))


class Sleep:
    """How long the machine has slept."""

    def __init__(self) -> None:
        self.s = 0.0

    def __call__(self) -> float:
        return self.s


def transaction(kernel: Bench, run_dir: Path, **more: Any) -> Transaction:
    return Transaction(CpufreqBackend(kernel), run_dir=run_dir, verb="tune", files=kernel, **more)


def results(applied: Any) -> dict[str, str]:
    return {outcome.knob: outcome.result for outcome in applied.outcomes}


def test_what_somebody_else_sets_is_theirs_for_the_rest_of_the_run(tmp_path: Path) -> None:
    kernel = acpi()
    start = kernel.texts()
    with transaction(kernel, tmp_path) as stay:
        stay.apply(Setting(max=1_600_000, governor="powersave"))
        assert stay.foreign() == {}
        kernel.write(f"{P1}/scaling_max_freq", "2800000")
        assert stay.foreign() == {f"{P1}/scaling_max_freq": "2800000"}
        found = stay.look()
        assert dict(found.foreign) == {f"{P1}/scaling_max_freq": "2800000"}
        # The rest of that knob is as it was found; nothing of it is ours any more.
        assert kernel.texts()[f"{P0}/scaling_max_freq"] == start[f"{P0}/scaling_max_freq"]
        assert stay.held["max"].result == "yielded"
        assert stay.foreign() == {}
        applied = stay.apply(Setting(max=1_200_000, governor="performance"))
        assert results(applied) == {"max": "yielded", "governor": "applied"}
        assert kernel.texts()[f"{P1}/scaling_max_freq"] == "2800000"
        assert f"{P1}/scaling_max_freq" not in journals.load(tmp_path, kernel).ours
        report = stay.restore()
        assert dict(report.foreign) == {f"{P1}/scaling_max_freq": "2800000"}
    assert kernel.texts() == {**start, f"{P1}/scaling_max_freq": "2800000"}


def test_an_edit_is_seen_before_the_next_write_too(tmp_path: Path) -> None:
    kernel = acpi()
    with transaction(kernel, tmp_path) as stay:
        stay.apply(Setting(max=1_600_000))
        kernel.write(f"{P0}/scaling_governor", "performance")  # not even ours
        applied = stay.apply(Setting(max=2_000_000, governor="powersave"))
        assert results(applied) == {"max": "applied", "governor": "yielded"}
        assert kernel.texts()[f"{P0}/scaling_governor"] == "performance"
        assert applied.effective["governor"] == "performance"
    assert kernel.texts()[f"{P0}/scaling_governor"] == "performance"


def test_stop_puts_everything_back_and_ends_it(tmp_path: Path) -> None:
    kernel = acpi()
    start = kernel.texts()
    with (
        pytest.raises(ForeignEdit, match=r"policy1\.scaling_max_freq to 2800000") as caught,
        transaction(kernel, tmp_path, on_foreign="stop") as stay,
    ):
        stay.apply(Setting(max=1_600_000, governor="powersave"))
        kernel.write(f"{P1}/scaling_max_freq", "2800000")
        stay.look()
    assert caught.value.exit_status == 6
    assert kernel.texts() == {**start, f"{P1}/scaling_max_freq": "2800000"}
    assert not (tmp_path / "journal.json").exists()


def test_what_the_kernel_does_by_itself_is_nobodys_edit(tmp_path: Path) -> None:
    kernel = acpi()
    start = kernel.texts()
    with transaction(kernel, tmp_path) as stay:
        stay.apply(Setting(max=3_200_000, min=2_000_000, governor="ondemand", boost="0"))
        kernel.kernel.firmware_limit(1_600_000)  # the firmware takes it down, minimum and all, for a while
        assert stay.foreign() == {}
        kernel.kernel.firmware_limit(None)
        assert stay.foreign() == {}
        assert not stay.held
    assert kernel.texts() == start


def test_a_suspend_that_loses_settings_is_no_edit(tmp_path: Path) -> None:
    kernel, slept = intel(), Sleep()
    start = kernel.texts()
    with transaction(kernel, tmp_path, slept_s=slept) as stay:
        stay.apply(Setting(epp="power", max=2_000_000))
        slept.s += 60.0
        for policy in kernel.policies:
            policy.epp.value, policy.max_request = 128, policy.top
        found = stay.look()
        assert not found.foreign
        assert {path.rpartition("/")[2] for path in found.lost} == {
            "energy_performance_preference",
            "scaling_max_freq",
        }
        assert results(stay.apply(Setting(epp="power", max=2_000_000))) == {"epp": "applied", "max": "applied"}
        assert not stay.look().lost
    assert kernel.texts() == start


def test_after_a_suspend_an_edit_is_still_an_edit(tmp_path: Path) -> None:
    kernel, slept = intel(), Sleep()
    with transaction(kernel, tmp_path, slept_s=slept) as stay:
        stay.apply(Setting(max=2_000_000))
        slept.s += 60.0
        kernel.write(f"{P2}/scaling_max_freq", "1800000")
        assert stay.foreign() == {f"{P2}/scaling_max_freq": "1800000"}


def test_without_a_suspend_the_old_value_is_an_edit(tmp_path: Path) -> None:
    kernel = intel()
    with transaction(kernel, tmp_path, slept_s=Sleep()) as stay:
        stay.apply(Setting(max=2_000_000))
        kernel.write(f"{P2}/scaling_max_freq", "4200000")
        assert stay.foreign() == {f"{P2}/scaling_max_freq": "4200000"}


def test_restoring_after_a_crash_and_a_suspend(tmp_path: Path) -> None:
    """What the driver begins with is nobody's wish: it goes back to what was found."""
    kernel, slept = intel(), Sleep()
    for policy in kernel.policies:
        policy.epp.value = 255
    start = kernel.texts()
    stay = transaction(kernel, tmp_path, slept_s=slept)
    stay.__enter__()
    stay.apply(Setting(epp="performance"))
    stay._lock.release()
    for policy in kernel.policies:
        policy.epp.value = 128
    report = restore_machine(CpufreqBackend(kernel), run_dir=tmp_path, files=kernel, slept_s=lambda: 0.0)
    assert report is not None and len(report.foreign) == 4

    for policy in kernel.policies:
        policy.epp.value = 255
    stay = transaction(kernel, tmp_path, slept_s=slept)
    stay.__enter__()
    stay.apply(Setting(epp="performance"))
    stay._lock.release()
    for policy in kernel.policies:
        policy.epp.value = 128
    report = restore_machine(CpufreqBackend(kernel), run_dir=tmp_path, files=kernel, slept_s=lambda: 60.0)
    assert report is not None and not report.foreign
    assert kernel.texts() == start


def test_a_policy_that_goes_offline_is_no_failure(tmp_path: Path) -> None:
    kernel = acpi()
    start = kernel.texts()
    with transaction(kernel, tmp_path) as stay:
        stay.apply(Setting(max=1_600_000, governor="powersave"))
        kernel.plug(1, False)
        found = stay.look()
        assert not found.foreign and found.away == {P1}
        assert results(stay.apply(Setting(max=2_000_000, governor="powersave"))) == {
            "max": "applied",
            "governor": "already",
        }
        assert not stay.held
        kernel.plug(1, True)
        assert not stay.look().foreign
        assert results(stay.apply(Setting(max=2_000_000, governor="powersave")))["max"] == "applied"
        assert kernel.texts()[f"{P1}/scaling_max_freq"] == "2000000"
    assert kernel.texts() == start


def test_a_knob_all_of_whose_cpus_are_offline_waits(tmp_path: Path) -> None:
    kernel = biglittle()
    start = kernel.texts()
    with transaction(kernel, tmp_path) as stay:
        stay.apply(Setting({"policy4.max": 1_400_000}))
        kernel.plug(1, False)
        applied = stay.apply(Setting({"policy4.max": 2_100_000, "policy0.max": 900_000}))
        assert results(applied) == {"policy4.max": "offline", "policy0.max": "applied"}
        assert "offline" in str(next(each for each in applied.outcomes if each.result == "offline"))
    assert journals.load(tmp_path, kernel) is not None  # it waits
    kernel.plug(1, True)
    restore_machine(CpufreqBackend(kernel), run_dir=tmp_path, files=kernel)
    assert kernel.texts() == start


def test_a_policy_that_goes_offline_between_write_and_look(tmp_path: Path) -> None:
    kernel = acpi()
    start = kernel.texts()
    write = kernel.write

    def unplugged(path: str, value: str) -> None:
        write(path, value)
        if path == f"{P1}/scaling_governor":
            kernel.plug(1, False)

    kernel.write = unplugged  # type: ignore[method-assign]
    with transaction(kernel, tmp_path) as stay:
        applied = stay.apply(Setting(governor="powersave", max=1_600_000))
        assert set(results(applied).values()) == {"applied"}
        assert not stay.held
        kernel.write = write  # type: ignore[method-assign]
        kernel.plug(1, True)
    assert kernel.texts() == start


def test_what_waits_from_a_crash_is_put_back_by_a_later_visit(tmp_path: Path) -> None:
    kernel = acpi()
    start = kernel.texts()
    first = transaction(kernel, tmp_path)
    first.__enter__()
    first.apply(Setting(max=1_200_000, governor="powersave"))
    first._lock.release()
    kernel.plug(1, False)
    with transaction(kernel, tmp_path) as stay:
        assert stay.recovered is not None and stay.recovered.offline
        kernel.plug(1, True)
        stay.apply(Setting(max=2_000_000))
    assert kernel.texts() == start
    assert not (tmp_path / "journal.json").exists()


def test_everything_is_back_but_for_what_is_theirs(tmp_path: Path) -> None:
    kernel = acpi()
    backend = CpufreqBackend(kernel)
    before = backend.snapshot()
    with transaction(kernel, tmp_path) as stay:
        stay.apply(Setting(max=1_600_000, governor="powersave"))
        assert not stay.is_back(before)
        kernel.kernel.somebody(f"{P0}/scaling_governor", "conservative")
    assert backend.snapshot() != before
    assert stay.is_back(before)
    kernel.kernel.somebody(f"{P1}/scaling_max_freq", "1600000")
    assert not stay.is_back(before)
