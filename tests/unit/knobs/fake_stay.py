"""A stay at the fake kernel in this process, and what `hwtune restore` makes of what it left."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fake.host import InProcess
from fake.kernel import CPUFREQ, FakeKernel

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
