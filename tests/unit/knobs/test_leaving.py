"""Leaving a transaction: what others own, what is kept, what interrupts it, who else wants the machine."""

import errno
import signal

import pytest
from bench import CPUFREQ, acpi

from hwtune.domain.errors import JournalError, Locked, RestoreError
from hwtune.domain.knob import Setting
from hwtune.knobs import journal as journals
from hwtune.knobs.cpufreq import CpufreqBackend
from hwtune.knobs.restore import restore_machine
from hwtune.knobs.transaction import Transaction

P0 = f"{CPUFREQ}/policy0"
P1 = f"{CPUFREQ}/policy1"


def open_transaction(kernel, run_dir, verb="tune"):
    backend = CpufreqBackend(kernel, baseline=journals.baseline(run_dir, kernel))
    return Transaction(backend, run_dir=run_dir, verb=verb, files=kernel)


@pytest.mark.parametrize(
    ("path", "value"),
    [(f"{P0}/scaling_governor", "performance"), (f"{P0}/scaling_max_freq", "2800000"), (f"{CPUFREQ}/boost", "1")],
)
def test_what_others_have_set_since_is_theirs(path, value, tmp_path):
    kernel = acpi()
    kernel.write(f"{CPUFREQ}/boost", "0")
    kernel.write(f"{P0}/scaling_governor", "schedutil")
    start = kernel.texts()
    with open_transaction(kernel, tmp_path) as transaction:
        boost = "1" if start[f"{CPUFREQ}/boost"] == "0" else "0"
        transaction.apply(Setting(governor="powersave", max=1_600_000, min=1_200_000, boost=boost))
        if path.endswith("boost"):
            kernel.write(path, "0")  # to ours and back is nobody's
        kernel.write(path, value)
        report = transaction.restore()
    if path.endswith("boost"):
        assert kernel.texts() == start
    else:
        assert report.foreign == {path: value}
        assert kernel.texts() == {**start, path: value}


def test_an_offline_policy_waits_in_the_journal(tmp_path):
    kernel = acpi()
    start = kernel.texts()
    with open_transaction(kernel, tmp_path) as transaction:
        transaction.apply(Setting(max=1_200_000, governor="powersave"))
        kernel.plug(1, False)
        report = transaction.restore()
        assert set(report.offline) == {f"{P1}/scaling_governor", f"{P1}/scaling_max_freq"}
    left = journals.load(tmp_path, kernel)
    assert left is not None
    assert {path for path in left.original if not path.startswith(P1)} == {f"{CPUFREQ}/schedutil/rate_limit_us"}
    kernel.plug(1, True)
    assert kernel.texts()[f"{P1}/scaling_max_freq"] == "1200000"
    restore_machine(CpufreqBackend(kernel), run_dir=tmp_path, files=kernel)
    assert kernel.texts() == start
    assert journals.load(tmp_path, kernel) is None


def test_what_cannot_be_put_back_keeps_the_journal(tmp_path):
    kernel = acpi()
    start = kernel.texts()
    with pytest.raises(RestoreError) as caught, open_transaction(kernel, tmp_path) as transaction:
        transaction.apply(Setting(governor="powersave", max=1_200_000))
        kernel.refuse({f"{P1}/scaling_governor": errno.EINVAL})
    assert caught.value.exit_status == 6
    assert {path for path, text in kernel.texts().items() if text != start[path]} == {f"{P1}/scaling_governor"}
    kernel.spare()
    restore_machine(CpufreqBackend(kernel), run_dir=tmp_path, files=kernel)
    assert kernel.texts() == start


def test_kept_settings_stay_until_restore(tmp_path):
    kernel = acpi()
    start = kernel.texts()
    with open_transaction(kernel, tmp_path, "apply") as transaction:
        transaction.apply(Setting(max=2_000_000))
        transaction.keep()
    kept = kernel.texts()
    assert kept != start
    journal = (tmp_path / "journal.json").read_text()
    # A later visit that keeps nothing leaves the machine, and the journal, as it found them.
    with open_transaction(kernel, tmp_path) as transaction:
        assert transaction.backend.space.default["max"] == 3_600_000
        transaction.apply(Setting(max=1_200_000, governor="powersave"))
    assert kernel.texts() == kept
    assert (tmp_path / "journal.json").read_text() == journal
    # One that keeps adds to it; the first snapshot is the truth.
    with open_transaction(kernel, tmp_path, "apply") as transaction:
        transaction.apply(Setting(max=1_600_000, governor="powersave"))
        transaction.keep()
    report = restore_machine(CpufreqBackend(kernel), run_dir=tmp_path, files=kernel)
    assert report is not None
    assert kernel.texts() == start


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, SystemExit, ValueError])
def test_any_way_out_restores(interruption, tmp_path):
    kernel = acpi()
    start = kernel.texts()
    with pytest.raises(interruption), open_transaction(kernel, tmp_path) as transaction:
        transaction.apply(Setting(governor="powersave"))
        raise interruption
    assert kernel.texts() == start


def test_a_second_interrupt_waits_for_the_restore(tmp_path):
    kernel = acpi()
    start = kernel.texts()
    write = kernel.write

    def impatient(path, value):
        signal.raise_signal(signal.SIGINT)
        write(path, value)

    with pytest.raises(KeyboardInterrupt), open_transaction(kernel, tmp_path) as transaction:
        transaction.apply(Setting(governor="powersave", max=1_200_000))
        kernel.write = impatient
        raise KeyboardInterrupt
    assert kernel.texts() == start
    assert not (tmp_path / "journal.json").exists()


def test_two_writers_at_once(tmp_path):
    kernel = acpi()
    with open_transaction(kernel, tmp_path, "tune"), pytest.raises(Locked, match="tune") as caught:
        open_transaction(kernel, tmp_path, "apply").__enter__()
    assert caught.value.exit_status == 7
    with open_transaction(kernel, tmp_path, "apply"):
        pass


def test_no_journal_no_write(tmp_path, monkeypatch):
    kernel = acpi()

    def full(fd):
        raise OSError(errno.ENOSPC, "No space left on device")

    with open_transaction(kernel, tmp_path) as transaction:
        monkeypatch.setattr("hwtune.host.durable.os.fsync", full)
        with pytest.raises(JournalError, match="No space left"):
            transaction.apply(Setting(governor="powersave", max=1_200_000))
    assert kernel.writes == []
    assert [path.name for path in tmp_path.iterdir()] == ["lock"]
