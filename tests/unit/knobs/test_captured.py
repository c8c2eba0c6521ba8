"""A capture of every kind of machine has its knobs: the same policies, values and defaults, offline CPUs among them."""

from __future__ import annotations

import pytest
from bench import Bench
from fake.machines import MACHINES

from hwtune.host.archive import write_archive
from hwtune.host.capture import capture
from hwtune.host.fs import CapturedFS, DryRunFS
from hwtune.knobs import extra
from hwtune.knobs.cpufreq import CpufreqBackend
from hwtune.knobs.policies import read_policies


@pytest.mark.parametrize("offline", [False, True], ids=["", "one offline"])
@pytest.mark.parametrize("name", MACHINES)
def test_a_capture_has_the_knobs_of_its_machine(tmp_path, name, offline):
    bench = Bench(MACHINES[name]())
    if offline:  # a whole policy where there are several, else its last CPU
        for cpu in bench.policies[-1].cpus if len(bench.policies) > 1 else bench.policies[-1].cpus[-1:]:
            bench.kernel.hotplug(cpu, online=False)
    file = tmp_path / "capture.tar.gz"
    with file.open("wb") as stream:
        write_archive(stream, capture(bench, version="0", superuser=True).members)
    files = CapturedFS(file)
    assert read_policies(files) == read_policies(bench)
    live, captured = (CpufreqBackend(each, wanted=extra.WORDS) for each in (bench, DryRunFS(files)))
    assert captured.space == live.space
    assert captured.effective() == live.effective()
    assert bench.writes == []
