"""What is remembered of crashes, cut anywhere or with a flipped bit: said, left as it is, and nothing is written."""

from __future__ import annotations

from pathlib import Path

import pytest
from fake.faults import Fault, Killed
from fake.host import InProcess
from fake.kernel import FakeKernel
from fake.machines import MACHINES

from hwtune.domain.errors import JournalError
from hwtune.domain.knob import Setting
from hwtune.knobs.cpufreq import CpufreqBackend
from hwtune.knobs.quarantine import Quarantine
from hwtune.knobs.transaction import Transaction


def stay(kernel: FakeKernel, directory: Path) -> Transaction:
    files = InProcess(kernel)
    backend = CpufreqBackend(files, sleep=lambda _s: None)
    return Transaction(backend, run_dir=directory / "run", verb="tune", files=files, state_dir=directory / "state")


def went_down(directory: Path) -> FakeKernel:
    """A machine whose governor was set without harm, and that went down when its maximum was, and is up again."""
    kernel = MACHINES["acpi_cpufreq"]()
    with stay(kernel, directory) as transaction:
        transaction.apply(Setting(governor="powersave"))
    kernel.faults.append(Fault(pattern="*/scaling_max_freq", action="kill_before"))
    transaction = stay(kernel, directory)
    transaction.__enter__()
    with pytest.raises(Killed):
        transaction.apply(Setting(max=2_000_000))
    transaction._lock.release()
    kernel.faults.clear()
    kernel.reboot()
    return kernel


@pytest.mark.parametrize("name", ["attempt.json", "quarantine.json", "tried.json"])
def test_cut_or_flipped_anywhere(tmp_path: Path, name: str) -> None:
    kernel = went_down(tmp_path)
    if name == "quarantine.json":
        Quarantine(tmp_path / "state", InProcess(kernel)).open()
    file = tmp_path / "state" / name
    whole, state = file.read_bytes(), kernel.state()
    kernel.log.clear()
    damaged = [whole[:length] for length in range(len(whole))]
    for place in range(len(whole)):
        for bit in (0, 2, 7):
            content = bytearray(whole)
            content[place] ^= 1 << bit
            damaged.append(bytes(content))
    refused = 0
    for content in damaged:
        file.write_bytes(content)
        quarantine = Quarantine(tmp_path / "state", InProcess(kernel))
        try:
            quarantine.open()
        except JournalError as error:
            assert error.hint and "\n" not in str(error)
            assert file.read_bytes() == content
            refused += 1
        else:
            # Only in the white space between the words: it says what it said.
            assert [entry.knob for entry in quarantine.entries()] == ["max"]
            assert not quarantine.is_new("governor")
            if name == "attempt.json":
                (tmp_path / "state" / "quarantine.json").unlink()
    assert refused > len(damaged) * 0.8
    assert kernel.state() == state
    assert not [path for operation, path, *_ in kernel.log if operation == "write"]


def test_a_damaged_file_stops_a_run_before_its_first_write(tmp_path: Path) -> None:
    kernel = went_down(tmp_path)
    file = tmp_path / "state" / "attempt.json"
    file.write_bytes(file.read_bytes().replace(b'"max"', b'"mix"'))
    state = kernel.state()
    with pytest.raises(JournalError, match="damaged"), stay(kernel, tmp_path) as transaction:
        transaction.apply(Setting(max=2_000_000))
    assert kernel.state() == state
