"""`hwtune selftest`: opt-in, one receipt, everything back, and the exit status says which."""

from __future__ import annotations

import errno
import io
import json
import shutil
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from hwtune.cli import selftest_document as documents
from hwtune.cli.selftest import selftest
from hwtune.cli.selftest_document import Receipt
from hwtune.domain.errors import HwtuneError, PermissionDenied, RestoreError, Unsupported, UsageError, VerifyError

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "system"))  # the fake kernel lives there

from fake.faults import Fault
from fake.host import InProcess
from fake.machines import MACHINES

TREES = Path(__file__).resolve().parents[2] / "trees"
GOVERNOR = "/sys/devices/system/cpu/cpufreq/policy0/scaling_governor"

app = typer.Typer()
app.command()(selftest)


@app.callback()
def one_verb():
    """Keep `selftest` a verb of its own."""


def run(*words, ends=None, says=""):
    """Standard output, the verb having ended as it should."""
    result = CliRunner().invoke(app, ["selftest", *map(str, words)])
    if ends is None and result.exception is not None:
        raise result.exception
    if ends is not None:
        assert type(result.exception) is ends, result.exception
        assert says in str(result.exception)
        assert not isinstance(result.exception, HwtuneError) or result.exception.hint
    return result.stdout


@pytest.fixture
def fake(tmp_path, monkeypatch):
    """A fake kernel as the machine below `--root`; calling it runs the verb on it."""

    class Machine:
        def __init__(self):
            self.kernel = MACHINES["acpi_cpufreq"]()
            self.before = self.kernel.state()

        def __call__(self, *words, **expected):
            said = run("--root", tmp_path, "--hardware", "--yes", "--json", *words, **expected)
            return Receipt.model_validate_json(said) if said else None

    machine = Machine()
    monkeypatch.setattr("hwtune.host.fs.open_root", lambda _: InProcess(machine.kernel))
    monkeypatch.setattr("time.sleep", lambda _: None)
    return machine


def contents(directory):
    return {str(path): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


@pytest.fixture
def tree(tmp_path):
    return Path(shutil.copytree(TREES / "laptop", tmp_path / "tree"))


def test_without_leave_nothing_is_written(tree):
    before = contents(tree)
    text = run("--root", tree)
    assert text.startswith("nothing was written. With --hardware, 5 knobs go through 14 values")
    assert "governor: performance → powersave" in text
    receipt = Receipt.model_validate_json(run("--root", tree, "--json"))
    assert (receipt.ran, receipt.restored, receipt.knobs) == (False, None, [])
    assert [plan.knob for plan in receipt.plan] == ["governor", "max", "min", "epp", "boost"]
    assert contents(tree) == before


def test_nobody_to_ask_is_an_error(tree):
    before = contents(tree)
    with pytest.raises(UsageError) as caught:
        run("--root", tree, "--hardware")
    assert caught.value.hint == "add --yes"
    assert contents(tree) == before


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(("answer", "ran"), [("y\n", True), ("\n", False), ("no\n", False), ("", False)])
def test_whoever_is_there_is_asked(tree, monkeypatch, capsys, answer, ran):
    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    selftest(hardware=True, root=tree)
    said = capsys.readouterr()
    assert "Turn 5 knobs of" in said.err
    assert ("put back" in said.out) is ran


def test_a_dry_run_turns_everything_in_memory(tree):
    before = contents(tree)
    receipt = Receipt.model_validate_json(run("--root", tree, "--dry-run", "--json"))
    assert receipt.ran
    assert receipt.machine.dry_run
    assert receipt.results == {"applied": 14}
    assert receipt.restored
    assert contents(tree) == before


@pytest.mark.parametrize("machine", ["laptop", "server", "biglittle"])
def test_imaginary_machines_come_back(machine):
    receipt = Receipt.model_validate_json(run("--simulate", machine, "--json"))
    assert receipt.machine.simulated
    assert receipt.restored
    assert receipt.differing == []
    assert receipt.results["applied"] >= 14
    assert [knob.knob for knob in receipt.knobs] == [plan.knob for plan in receipt.plan]
    for knob, plan in zip(receipt.knobs, receipt.plan, strict=True):
        assert [turn.wanted for turn in knob.values] == plan.values
        assert knob.values[-1].wanted == knob.default, "it ends where it began"


def test_for_people(tree):
    text = run("--simulate", "laptop")
    assert text.splitlines()[0] == "simulated: simulated laptop"
    assert "governor: 2 of 2 values set as asked, put back" in text
    assert "5 knobs: 14 applied; everything is as it was found" in text


def test_only_the_knobs_that_are_named():
    receipt = Receipt.model_validate_json(run("--simulate", "laptop", "--knob", "epp", "--knob", "max", "--json"))
    assert [knob.knob for knob in receipt.knobs] == ["max", "epp"]
    with pytest.raises(UsageError, match="unknown knob 'turbo'"):
        run("--simulate", "laptop", "--knob", "turbo")


def test_words_that_contradict_each_other():
    with pytest.raises(UsageError):
        run("--simulate", "laptop", "--hardware")


def test_a_machine_without_knobs():
    with pytest.raises(Unsupported):
        run("--simulate", "vm")


def test_a_capture_cannot_be_turned(tmp_path):
    import tarfile

    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        tar.add(TREES / "laptop", arcname=".")
    with pytest.raises(PermissionDenied):
        run("--root", tmp_path / "x.tar", "--hardware", "--yes")
    receipt = Receipt.model_validate_json(run("--root", tmp_path / "x.tar", "--dry-run", "--json"))
    assert receipt.restored


def test_a_kernel_that_answers_as_kernels_do(fake):
    receipt = fake()
    assert receipt.ran
    assert receipt.restored
    assert receipt.machine.drivers == ["acpi-cpufreq"]
    assert receipt.machine.policies > 1
    needs = {knob.knob: knob.values[0].needed for knob in receipt.knobs}
    assert needs["ondemand.up_threshold"]["governor"] == "ondemand"
    rejected = {(knob.knob, turn.errno) for knob in receipt.knobs for turn in knob.values if turn.result == "rejected"}
    assert all(code == errno.EINVAL for _, code in rejected)
    assert fake.kernel.state() == fake.before


def test_off_by_default_and_named(fake):
    receipt = fake("--knob", "cpuidle")
    assert receipt.knobs
    assert all(knob.knob.startswith("cpuidle.") for knob in receipt.knobs)
    assert receipt.restored
    assert fake.kernel.state() == fake.before


def test_what_is_unexplained_ends_with_a_mismatch(fake):
    def ignored(kernel):
        kernel.faults.append(Fault(pattern=GOVERNOR, operation="read", text="userspace\n", times=2))

    fake.kernel.faults = [Fault(pattern=GOVERNOR, action=ignored)]
    receipt = fake("--knob", "governor", ends=VerifyError)
    assert VerifyError.exit_status == 6
    assert receipt.results["unexplained"] == 1
    assert receipt.restored
    assert fake.kernel.state() == fake.before


def test_what_is_not_put_back_ends_with_a_mismatch(fake):
    fake.kernel.faults = [Fault(pattern=GOVERNOR, skip=2, times=None, errno=errno.EIO)]
    receipt = fake("--knob", "governor", ends=RestoreError, says="governor is not as it was found: could not put back")
    assert RestoreError.exit_status == 6
    assert receipt.restored is False
    assert GOVERNOR in {each.path for each in receipt.differing}


def test_what_somebody_sets_between_two_knobs_is_told(fake, monkeypatch):
    note, limit = documents.receipt_of, GOVERNOR.replace("governor", "max_freq")

    def meddle(knob, turned):
        fake.kernel.somebody(limit, "1200000")
        return note(knob, turned)

    monkeypatch.setattr(documents, "receipt_of", meddle)
    receipt = fake("--knob", "governor", "--knob", "boost", ends=RestoreError, says="reads 1200000 now")
    assert [knob.restored for knob in receipt.knobs] == [True, True]
    assert [each.after for each in receipt.differing] == ["1200000"]
    assert receipt.restored is False


@pytest.mark.parametrize("writes", [0, 1, 5, 9])
def test_ctrl_c_puts_everything_back(fake, tmp_path, writes):
    def press(_):
        raise KeyboardInterrupt

    fake.kernel.faults = [Fault(action=press, skip=writes)]
    result = CliRunner().invoke(app, ["selftest", "--root", str(tmp_path), "--hardware", "--yes", "--json"])
    assert result.exit_code == 130
    receipt = json.loads(result.stdout)
    assert receipt["interrupted"]
    assert receipt["restored"]
    assert receipt["differing"] == []
    assert fake.kernel.state() == fake.before


def test_a_kernel_that_lets_nobody_write(fake):
    fake.kernel.faults = [Fault(errno=errno.EACCES, times=None)]
    fake(ends=PermissionDenied)
    assert PermissionDenied.exit_status == 4
    assert fake.kernel.state() == fake.before


def test_the_receipt_names_no_host(fake, monkeypatch):
    monkeypatch.setattr("platform.node", lambda: "zqtower")
    assert "zqtower" not in fake("--knob", "max").model_dump_json()
