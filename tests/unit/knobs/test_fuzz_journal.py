"""A journal after a power cut, or with a flipped bit: a clear answer, and never a wrong write."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sysfs_trees import policy, write_tree

from hwtune.domain.errors import HwtuneError, JournalError, Locked
from hwtune.domain.knob import Setting
from hwtune.host.fs import LinuxFS
from hwtune.knobs import journal as journals
from hwtune.knobs.cpufreq import CpufreqBackend
from hwtune.knobs.journal import Journal, Owner
from hwtune.knobs.lock import Lock
from hwtune.knobs.restore import restore_machine
from hwtune.knobs.transaction import Transaction

BOOT = "proc/sys/kernel/random/boot_id"
ANOTHER = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


class Machine:
    """A tree whose maximum was lowered and kept, and the bytes of the journal that knows it."""

    def __init__(self, directory: Path) -> None:
        self.root = write_tree(directory, {**policy(0), BOOT: "3b9f3c1e"})
        self.files = LinuxFS(self.root)
        self.run_dir = self.root / "run/hwtune"
        self.found = self.texts()
        with Transaction(CpufreqBackend(self.files), run_dir=self.run_dir, verb="apply", files=self.files) as it:
            it.apply(Setting(max=1_400_000))
            it.keep()
        self.set = self.texts()
        self.journal = self.run_dir / "journal.json"
        self.whole = self.journal.read_bytes()

    def texts(self) -> dict[str, str]:
        return {str(path): path.read_text().rstrip() for path in (self.root / "sys").rglob("*") if path.is_file()}

    def restore(self) -> str:
        """What became of it, in a word; after it the machine and its journal are as they were before."""
        before = self.journal.read_bytes()
        try:
            report = restore_machine(CpufreqBackend(self.files), run_dir=self.run_dir, files=self.files)
        except JournalError as error:
            assert error.hint and error.exit_status == 1 and "\n" not in str(error)
            assert self.texts() == self.set
            assert self.journal.read_bytes() == before
            return "refused"
        if report is None:
            assert self.texts() == self.set
            return "void"
        assert self.texts() == self.found
        for path, text in self.set.items():
            if text != self.found[path]:
                Path(path).write_text(text + "\n")
        return "restored"


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    return Machine(tmp_path_factory.mktemp("journal"))


def test_whole_it_is_restored(machine: Machine) -> None:
    assert machine.set != machine.found
    assert machine.restore() == "restored"


def test_cut_anywhere_it_is_refused(machine: Machine) -> None:
    for length in range(len(machine.whole)):
        machine.journal.write_bytes(machine.whole[:length])
        assert machine.restore() == "refused", length


def test_a_hole_of_zeros_is_refused(machine: Machine) -> None:
    """What file systems leave of a page that was never written out."""
    for start in range(0, len(machine.whole), 64):
        machine.journal.write_bytes(machine.whole[:start].ljust(len(machine.whole), b"\0"))
        assert machine.restore() == "refused"


@pytest.mark.parametrize("bit", [0, 5])
def test_a_flipped_bit_anywhere_writes_nothing_wrong(machine: Machine, bit: int) -> None:
    """Only a flip that leaves the same document (in the white space) is restored."""
    refused = 0
    for place in range(len(machine.whole)):
        content = bytearray(machine.whole)
        content[place] ^= 1 << bit
        machine.journal.write_bytes(content)
        refused += (outcome := machine.restore()) == "refused"
        assert outcome == "refused" or json.loads(content) == json.loads(machine.whole)
    assert refused > len(machine.whole) * 0.8


def test_what_a_cut_save_left_beside_it_does_not_matter(machine: Machine) -> None:
    """A cut while the next journal is written aside: the one before is whole."""
    for length in range(0, len(machine.whole), 7):
        machine.journal.write_bytes(machine.whole)
        machine.journal.with_name("journal.json.new").write_bytes(machine.whole[:length])
        assert machine.restore() == "restored"
        assert list(machine.run_dir.glob("journal.json*")) == []


@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
@ANOTHER
def test_any_bytes_are_no_journal(machine: Machine, content: bytes) -> None:
    machine.journal.write_bytes(content)
    assert machine.restore() == "refused"


places = st.sampled_from(
    [
        "/sys/devices/system/cpu/cpufreq/policy0/scaling_max_freq",
        "/sys/devices/system/cpu/cpufreq/policy0/scaling_governor",
        "/sys/devices/system/cpu/cpufreq/policy0/energy_performance_preference",
        "/sys/devices/system/cpu/cpufreq/ondemand/up_threshold",
        "/sys/devices/system/cpu/intel_pstate/no_turbo",
        "",
        "/",
        "relative",
        "/sys/devices/system/cpu/cpufreq/policy0/é",
    ]
)
words = st.sampled_from(["", "1400000", "2000000", "²", "٣", "1" * 50, "-1", "a b", "\n"]) | st.text(max_size=5)


@given(
    original=st.dictionaries(places, words, max_size=4),
    ours=st.dictionaries(places, st.lists(words, max_size=3).map(tuple), max_size=4),
    state=st.sampled_from(["active", "kept"]),
)
@ANOTHER
@example(original={"/": "1"}, ours={}, state="kept")
def test_a_journal_of_odd_words_is_no_traceback(
    tmp_path: Path, machine: Machine, original: dict[str, str], ours: dict[str, tuple[str, ...]], state: str
) -> None:
    root = tmp_path / "copy"
    shutil.rmtree(root, ignore_errors=True)
    shutil.copytree(machine.root, root)
    files, run_dir = LinuxFS(root), root / "run/hwtune"
    journals.save(
        run_dir,
        Journal(
            boot_id="3b9f3c1e", owner=Owner(pid=1, start_ticks=0), verb="x", state=state, original=original, ours=ours
        ),
    )
    before = {path: path.read_text() for path in (root / "sys").rglob("*") if path.is_file()}
    try:
        restore_machine(CpufreqBackend(files, sleep=lambda _s: None), run_dir=run_dir, files=files)
    except HwtuneError as error:
        assert error.hint
        assert journals.load(run_dir, files) is not None
    for path, text in before.items():  # nothing that was not in the journal is written
        if path.read_text() != text:
            assert "/" + str(path.relative_to(root)) in original


@given(st.binary(max_size=300))
@ANOTHER
def test_any_bytes_in_the_lock_file(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "lock").write_bytes(content)
    first, second = Lock(tmp_path, verb="tune"), Lock(tmp_path, verb="apply")
    first.acquire()
    try:
        (tmp_path / "lock").write_bytes(content)
        with pytest.raises(Locked) as caught:
            second.acquire()
        assert caught.value.hint and "\n" not in str(caught.value)
    finally:
        first.release()
    second.acquire()
    second.release()
