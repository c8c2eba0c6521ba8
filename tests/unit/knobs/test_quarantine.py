"""A knob whose first change took the machine down is left alone until a person clears it."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import pytest
from bench import CPUFREQ, Bench, acpi, intel
from fake.faults import Killed
from fake.machines import amd_pstate_passive

from hwtune.domain.errors import JournalError
from hwtune.domain.knob import Setting
from hwtune.knobs.cpufreq import CpufreqBackend
from hwtune.knobs.quarantine import Quarantine
from hwtune.knobs.transaction import Transaction

FILES = ("attempt.json", "quarantine.json", "tried.json")


def transaction(kernel: Bench, place: Path) -> Transaction:
    return Transaction(
        CpufreqBackend(kernel), run_dir=place / "run", verb="tune", files=kernel, state_dir=place / "state"
    )


def crash(kernel: Bench, place: Path, setting: Setting, *, write: int = 0) -> None:
    """The machine goes down at a write: no process ends, no file is put away, everything is as after a boot."""
    stay = transaction(kernel, place)
    stay.__enter__()
    kernel.kill("kill_after", write)
    with pytest.raises(Killed):
        stay.apply(setting)
    stay._lock.release()
    kernel.spare()


def booted(name: str = "another boot") -> Bench:
    kernel = acpi()
    kernel.kernel.boot_id = name
    return kernel


def test_what_took_the_machine_down_is_left_alone(tmp_path: Path) -> None:
    crash(acpi(), tmp_path, Setting(governor="powersave", max=1_200_000, boost="0"), write=2)
    kernel = booted()
    with transaction(kernel, tmp_path) as stay:
        # Both governors were written; the first write of boost was the last of the machine.
        assert {knob: outcome.result for knob, outcome in stay.held.items()} == {"boost": "quarantined"}
        applied = stay.apply(Setting(governor="powersave", max=1_200_000, boost="0"))
        results = {outcome.knob: outcome.result for outcome in applied.outcomes}
        assert results == {"governor": "applied", "max": "applied", "boost": "quarantined"}
        assert kernel.texts()[f"{CPUFREQ}/boost"] == "1"
        assert not any(path.endswith("boost") for path, _ in kernel.writes)
        assert "quarantine" in str(applied.outcomes[0])
    # It stays so over further boots, until it is cleared.
    third = booted("a third boot")
    with transaction(third, tmp_path) as stay:
        assert set(stay.held) == {"boost"}
    assert [entry.knob for entry in Quarantine(tmp_path / "state", third).clear("boost")] == ["boost"]
    with transaction(third, tmp_path) as stay:
        assert not stay.held
        stay.apply(Setting(boost="0"))
        assert third.texts()[f"{CPUFREQ}/boost"] == "0"


def test_a_process_that_was_killed_took_no_machine_down(tmp_path: Path) -> None:
    kernel = acpi()
    crash(kernel, tmp_path, Setting(governor="powersave"))
    assert (tmp_path / "state/attempt.json").exists()
    with transaction(kernel, tmp_path) as stay:
        assert not stay.held
        assert not (tmp_path / "state/attempt.json").exists()


def test_only_the_first_change_costs_a_write_to_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved: list[str] = []
    save = Quarantine.attempt
    monkeypatch.setattr(Quarantine, "attempt", lambda it, knob, value: (saved.append(knob), save(it, knob, value)))
    kernel = acpi()
    for _ in range(2):
        with transaction(kernel, tmp_path) as stay:
            stay.apply(Setting(governor="powersave", max=1_200_000, min=1_200_000))
            stay.apply(Setting(governor="performance", max=2_000_000, min=1_600_000))
    assert sorted(saved) == ["governor", "max", "min"]
    assert not (tmp_path / "state/attempt.json").exists()
    # Another driver, another risk.
    kernel = Bench(amd_pstate_passive())
    with transaction(kernel, tmp_path) as stay:
        stay.apply(Setting(governor="powersave"))
    assert saved[3:] == ["governor"]


def test_the_marker_is_there_before_the_write_and_no_longer(tmp_path: Path) -> None:
    kernel = acpi()
    marker = tmp_path / "state/attempt.json"
    seen: list[tuple[str, str | None]] = []
    write = kernel.write

    def watched(path: str, value: str) -> None:
        known = json.loads(marker.read_text())["attempt"]["knob"] if marker.exists() else None
        seen.append((path.rpartition("/")[2], known))
        write(path, value)

    kernel.write = watched  # type: ignore[method-assign]
    with transaction(kernel, tmp_path) as stay:
        stay.apply(Setting(governor="powersave", max=1_200_000))
    first = dict(reversed(seen))
    assert first["scaling_governor"] == "governor"
    assert first["scaling_max_freq"] == "max"
    assert not marker.exists()


def test_a_rejected_write_has_survived_nothing(tmp_path: Path) -> None:
    kernel = intel()
    kernel.refuse({"*/no_turbo": errno.EINVAL})
    with transaction(kernel, tmp_path) as stay:
        stay.apply(Setting(boost="0"))
    assert not (tmp_path / "state/attempt.json").exists()
    assert Quarantine(tmp_path / "state", kernel).is_new("boost")


def test_one_policys_own_knob_is_covered_by_that_of_all(tmp_path: Path) -> None:
    crash(acpi(), tmp_path, Setting(max=1_200_000))
    kernel = booted()
    with transaction(kernel, tmp_path) as stay:
        (outcome,) = stay.apply(Setting({"policy1.max": 1_200_000})).outcomes
        assert outcome.result == "quarantined"
    assert not kernel.writes


def test_another_drivers_crash_says_nothing_about_this_one(tmp_path: Path) -> None:
    kernel = Bench(amd_pstate_passive())
    crash(kernel, tmp_path, Setting(max=1_200_000))
    with transaction(booted(), tmp_path) as stay:
        assert not stay.held


@pytest.mark.parametrize("name", FILES)
def test_a_torn_file_is_said_and_nothing_is_written(name: str, tmp_path: Path) -> None:
    crash(acpi(), tmp_path, Setting(max=1_200_000, governor="powersave"), write=2)
    if name == "quarantine.json":
        Quarantine(tmp_path / "state", booted()).open()
    path = tmp_path / "state" / name
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        kernel = booted()
        with pytest.raises(JournalError, match="is damaged") as caught:
            transaction(kernel, tmp_path).__enter__()
        assert caught.value.hint is not None and "hwtune quarantine clear" in caught.value.hint
        assert path.read_bytes() == whole[:length]
        assert not kernel.writes
    Quarantine(tmp_path / "state", booted()).clear()
    with transaction(booted(), tmp_path) as stay:
        assert not stay.held


def test_a_machine_that_does_not_name_its_boots_gets_no_marker(tmp_path: Path) -> None:
    kernel = acpi()
    kernel.kernel.boot_id = ""
    with transaction(kernel, tmp_path) as stay:
        stay.apply(Setting(max=1_200_000))
    assert not (tmp_path / "state").exists()
