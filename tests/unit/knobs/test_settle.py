"""Limits that follow late: the kernel notes a request at once and takes it over in a work item."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from bench import CPUFREQ, Bench, acpi

from hwtune.domain.errors import VerifyError
from hwtune.domain.knob import Setting
from hwtune.knobs.cpufreq import CpufreqBackend
from hwtune.knobs.reset import reset
from hwtune.knobs.restore import restore_machine
from hwtune.knobs.transaction import Transaction

LIMITS = ("scaling_min_freq", "scaling_max_freq")


class LateKernel:
    """Another kernel whose limits read as they did until `late_s` have passed since the last write."""

    def __init__(self, inner: Bench, late_s: float) -> None:
        self._inner = inner
        self._late_s = late_s
        self._now_s = 0.0
        self._due_s = 0.0
        self._old: dict[str, str | None] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def sleep(self, duration_s: float) -> None:
        self._now_s += duration_s

    def _limits(self) -> dict[str, str | None]:
        return {path: self._inner.read(path) for path in self._inner.texts() if path.endswith(LIMITS)}

    def read(self, path: str) -> str | None:
        late = self._now_s < self._due_s and path in self._old
        return self._old[path] if late else self._inner.read(path)

    def write(self, path: str, value: str) -> None:
        if path.endswith(LIMITS):
            self._old = {limit: self.read(limit) for limit in self._limits()}
            self._due_s = self._now_s + self._late_s
        self._inner.write(path, value)


def transaction(kernel: LateKernel, run_dir: Path, sleep: Callable[[float], None]) -> Transaction:
    return Transaction(CpufreqBackend(kernel, sleep=sleep), run_dir=run_dir, verb="tune", files=kernel)


def test_limits_are_read_back_once_the_kernel_has_taken_them_over(tmp_path: Path) -> None:
    kernel = LateKernel(acpi(), late_s=0.05)
    before = kernel.texts()
    with transaction(kernel, tmp_path, kernel.sleep) as stay:
        for low, high in ((800_000, 800_000), (1_200_000, 2_000_000), (2_000_000, 3_600_000), (800_000, 1_200_000)):
            applied = stay.apply(Setting(min=low, max=high))
            assert {outcome.result for outcome in applied.outcomes} <= {"applied", "already"}
            assert (applied.effective["min"], applied.effective["max"]) == (low, high)
    assert kernel.texts() == before
    assert not (tmp_path / "journal.json").exists()


def test_a_limit_that_the_firmware_holds_is_not_waited_for_long(tmp_path: Path) -> None:
    inner = acpi()
    inner.kernel.firmware_limit(2_400_000)
    kernel = LateKernel(inner, late_s=0.05)
    with transaction(kernel, tmp_path, kernel.sleep) as stay:
        (outcome,) = stay.apply(Setting(max=3_200_000)).outcomes
    assert (outcome.result, outcome.effective) == ("clamped", "2400000")
    assert kernel._now_s < 2


def test_a_limit_that_never_follows_is_an_error_and_is_put_back(tmp_path: Path) -> None:
    kernel = LateKernel(acpi(), late_s=1e9)
    before = kernel.texts()
    with pytest.raises(VerifyError, match="max: wrote"), transaction(kernel, tmp_path, kernel.sleep) as stay:
        stay.apply(Setting(max=1_200_000))
    assert kernel.texts() == before


def test_reset_and_a_later_restore_wait_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = LateKernel(acpi(), late_s=0.05)
    monkeypatch.setattr("hwtune.knobs.cpufreq.time.sleep", kernel.sleep)
    before = kernel.texts()
    with transaction(kernel, tmp_path, kernel.sleep) as stay:
        stay.apply(Setting(max=1_200_000, min=1_200_000))
        stay.keep()
    assert kernel.read(f"{CPUFREQ}/policy0/scaling_max_freq") == "1200000"
    report = restore_machine(CpufreqBackend(kernel, sleep=kernel.sleep), run_dir=tmp_path, files=kernel)
    assert report is not None
    assert not report.failed
    assert kernel.texts() == before
    kernel.write(f"{CPUFREQ}/policy0/scaling_max_freq", "1200000")
    kernel.sleep(1)
    assert {outcome.result for outcome in reset(kernel)} == {"applied"}
