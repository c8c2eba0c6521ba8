"""Hardware defaults: what is forgotten with them, and what is not because it could not be set."""

from __future__ import annotations

import errno
import json

import pytest
from bench import CPUFREQ, MACHINES
from sysfs_trees import CPU, policy, write_tree

from hwtune.cli import knobs
from hwtune.domain.errors import HostError, Rejected
from hwtune.host.fs import LinuxFS
from hwtune.knobs import journal as journals
from hwtune.knobs.cpufreq import CpufreqBackend
from hwtune.knobs.keys import parse_assignments
from hwtune.knobs.reset import forget, reset
from hwtune.knobs.restore import restore_machine
from hwtune.knobs.transaction import Transaction

GOVERNOR = f"{CPUFREQ}/policy0/scaling_governor"
MAX_OF_1 = f"{CPUFREQ}/policy1/scaling_max_freq"


def keep(kernel, run_dir, *words):
    backend = CpufreqBackend(kernel)
    with Transaction(backend, run_dir=run_dir, verb="apply", files=kernel, slept_s=lambda: 0.0) as stay:
        stay.apply(parse_assignments(words, backend))
        stay.keep()


def go_to_defaults(kernel, run_dir):
    journal = journals.load(run_dir, kernel)
    return forget(kernel, run_dir, journal, reset(kernel, journal.original))


@pytest.mark.parametrize("name", MACHINES)
def test_what_could_be_reset_is_forgotten(tmp_path, name):
    kernel = MACHINES[name]()
    keep(kernel, tmp_path, "governor=performance")
    assert go_to_defaults(kernel, tmp_path) == ()
    assert not (tmp_path / "journal.json").exists()


def test_what_the_kernel_refuses_to_reset_can_still_be_put_back(tmp_path):
    kernel = MACHINES["acpi"]()
    kernel.kernel.somebody(MAX_OF_1, "3000000")
    start = kernel.texts()
    keep(kernel, tmp_path, "governor=performance", "max=2GHz")
    kernel.refuse({MAX_OF_1: errno.EIO})
    assert go_to_defaults(kernel, tmp_path) == (MAX_OF_1,)
    assert kernel.texts()[MAX_OF_1] == "2000000"
    after = kernel.texts()
    kernel.spare()
    report = restore_machine(CpufreqBackend(kernel), run_dir=tmp_path, files=kernel, slept_s=lambda: 0.0)
    assert report is not None
    assert report.restored == (MAX_OF_1,)
    assert report.foreign == {}, "what was reset is nobody else's, and stays reset"
    assert kernel.texts() == {**after, MAX_OF_1: start[MAX_OF_1]}
    assert not (tmp_path / "journal.json").exists()


def test_what_is_away_with_its_cpus_can_still_be_put_back(tmp_path):
    kernel = MACHINES["acpi"]()
    start = kernel.texts()
    keep(kernel, tmp_path, "max=2GHz")
    kernel.plug(1, online=False)
    assert MAX_OF_1 in go_to_defaults(kernel, tmp_path)
    kernel.plug(1, online=True)
    assert kernel.texts()[MAX_OF_1] == "2000000", "the kernel remembers the request"
    restore_machine(CpufreqBackend(kernel), run_dir=tmp_path, files=kernel, slept_s=lambda: 0.0)
    assert kernel.texts()[MAX_OF_1] == start[MAX_OF_1]


def test_the_verb_says_what_was_refused_and_fails(tmp_path, capsys, monkeypatch):
    root = write_tree(tmp_path, policy(0) | policy(1) | {f"{CPU}/cpufreq/boost": "1"})
    knobs.apply(["max=1.4GHz", "boost=0"], root=root)
    capsys.readouterr()
    write = LinuxFS.write

    def refusing(self, path, value):
        if path.endswith(("policy1/scaling_max_freq", "boost")):
            raise HostError(path, "write", errno=errno.EIO)
        write(self, path, value)

    with monkeypatch.context() as patch:
        patch.setattr(LinuxFS, "write", refusing)
        with pytest.raises(Rejected) as caught:
            knobs.reset(root=root, as_json=True)
    document = json.loads(capsys.readouterr().out)
    assert {path.rpartition("/")[2] for path in document["still_ours"]} == {"scaling_max_freq", "boost"}
    rejected = {outcome["knob"] for outcome in document["outcomes"] if outcome["result"] == "rejected"}
    assert rejected == {"max", "boost"}
    assert all(word in f"{caught.value}; {caught.value.hint}" for word in ("max", "boost", "EIO", "hwtune restore"))
    assert caught.value.exit_status == 1
    knobs.reset(root=root)
    assert not (root / "run/hwtune/journal.json").exists()
    assert (root / f"{CPU}/cpufreq/boost").read_text() == "1"
