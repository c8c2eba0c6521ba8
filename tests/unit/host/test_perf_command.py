"""A command's own events: on a fake kernel for the arithmetic, on this one for who is counted."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from contextlib import closing

import pytest
from counting_kernel import ENABLE_ON_EXEC, EXCLUDE_KERNEL, INHERIT, FakePerf, no_hardware
from test_perf_system import hybrid

from hwtune.domain.errors import UsageError
from hwtune.host.perf_command import CommandCounters, credible
from hwtune.host.runner import Completed, LinuxRunner

S = 1_000_000_000
SPIN = "for i in range(400000): pass"


def counted(perf: FakePerf, seconds: float, rates: dict[str, int], **how) -> tuple[dict[str, float], CommandCounters]:
    counters = CommandCounters(perf, perf.files)
    with closing(counters.open()) as events:
        perf.run(seconds, rates, **how)
        found = dict(events.read())
    assert perf.events == {}
    return found, counters


def test_events_are_ours_inherited_and_enabled_by_an_exec(tmp_path):
    perf = FakePerf(tmp_path)
    with closing(CommandCounters(perf, perf.files).open()):
        opened = list(perf.events.values())
        leaders = {event.name for event in opened if event.leader is None and event.type == 0}
    assert opened
    for event in opened:
        assert (event.pid, event.cpu) == (0, -1)
        assert event.flags & 0b11 == 0b11 and event.flags & INHERIT and event.flags & ENABLE_ON_EXEC
        assert not event.read_format & 8, "PERF_FORMAT_GROUP with inherit is EINVAL up to Linux 4.12"
    assert leaders == {
        "cycles",
        "cache-references",
        "ref-cycles",
        "branches",
        "cycles:u",
        "cycles:k",
        "stalled-cycles-frontend",
    }
    assert all(event.leader is None for event in opened if event.type == 1)


def test_counts_are_those_of_the_command(tmp_path):
    found, counters = counted(FakePerf(tmp_path), 2.0, {"cycles": 3_000, "page-faults": 5, "task-clock": S})
    assert found["cycles"] == 6_000
    assert found["page-faults"] == 10
    assert found["task-clock"] == 2 * S
    assert found["instructions:k"] == 0
    assert counters.why is None and counters.hint is None


@pytest.mark.parametrize(("share", "cycles"), [(0.8, 6_000), (0.5, None), (0.0, None)])
def test_what_shared_the_pmu_is_scaled_or_left_out(tmp_path, share, cycles):
    found, counters = counted(
        FakePerf(tmp_path), 2.0, {"cycles": 3_000}, share=lambda event: share if event.name == "cycles" else 1.0
    )
    assert found.get("cycles") == (None if cycles is None else pytest.approx(cycles))
    assert "instructions" in found
    assert (counters.why is None) is (cycles is not None)


def test_the_next_command_wants_less_of_a_pmu_that_was_too_small(tmp_path):
    perf = FakePerf(tmp_path)
    counters = CommandCounters(perf, perf.files)
    opened = []
    for _ in range(5):
        with closing(counters.open()) as events:
            opened.append({event.name for event in perf.events.values() if event.type == 0})
            few = len(opened[-1]) <= 2
            perf.run(1.0, {"cycles": 100}, share=lambda event, few=few: 1.0 if few or event.type else 0.4)
            last = events.read()
    assert opened[0] > opened[1] > opened[2] > opened[3] == opened[4] == {"cycles", "instructions"}
    assert last["cycles"] == 100
    assert counters.why is None


def test_two_kinds_of_cores_are_one_count(tmp_path):
    """A quarter of its time on the small cores: each PMU ran for a part, together they ran all the time."""
    perf = FakePerf(tmp_path)
    hybrid(perf)
    found, counters = counted(
        perf,
        4.0,
        {"cycles": 1_000},
        share=lambda event: {4: 0.75, 10: 0.25}.get(event.pmu, 1.0),
    )
    assert found["cycles"] == 4_000
    assert counters.why is None
    perf = FakePerf(
        tmp_path, refuse=lambda event: errno.ENOENT if event.pmu == 10 and event.name == "branches" else None
    )
    found, _ = counted(perf, 1.0, {}, share=lambda event: {4: 0.75, 10: 0.25}.get(event.pmu, 1.0))
    assert "branches" not in found, "of one kind alone it would look like all of the command"
    assert "branch-misses" in found


def test_without_a_right_to_the_kernel_user_mode_is_counted_and_called_so(tmp_path):
    perf = FakePerf(tmp_path, refuse=lambda event: None if event.flags & EXCLUDE_KERNEL else errno.EACCES)
    found, counters = counted(perf, 1.0, {"cycles:u": 70, "page-faults:u": 3, "task-clock:u": S})
    assert found["cycles:u"] == 70
    assert found["page-faults:u"] == 3
    assert found["task-clock"] == S, "a clock takes no notice of modes"
    assert not {"cycles", "cycles:k", "context-switches", "context-switches:u", "cpu-migrations:u"} & found.keys()
    assert counters.why is None


@pytest.mark.parametrize("code", [errno.EACCES, errno.EPERM, errno.ENOSYS, errno.EMFILE])
@pytest.mark.parametrize("after", [0, 2, 8])
def test_refusal_gives_no_counts_a_reason_and_no_leak(tmp_path, code, after):
    perf = FakePerf(tmp_path)
    perf.refuse = lambda event: code if len(perf.events) >= after else None
    perf.put("/proc/sys/kernel/perf_event_paranoid", "3")
    found, counters = counted(perf, 1.0, {})
    assert found == {}
    assert counters.why and counters.hint


def test_without_a_pmu_there_are_software_events(tmp_path):
    found, _ = counted(FakePerf(tmp_path, refuse=no_hardware), 1.0, {"task-clock": S})
    assert set(found) == {"task-clock", "context-switches", "cpu-migrations", "page-faults", "major-faults"}


def test_a_reading_that_is_torn_is_no_count(tmp_path):
    perf = FakePerf(tmp_path)
    counters = CommandCounters(perf, perf.files)
    with closing(counters.open()) as events:
        perf.run(1.0, {"cycles": 5, "task-clock": S})
        whole = perf.read
        perf.read = lambda fd, size: whole(fd, size)[: 8 if perf.events[fd].name == "cycles" else size]
        found = events.read()
    assert "cycles" not in found and found["task-clock"] == S
    assert "cycles" in counters.why


def test_who_escaped_shows_in_the_clock():
    assert credible({"task-clock": 0.95 * S}, 1.0)
    assert credible({"task-clock": 0.0}, 0.01), "a tick of the accounting"
    assert credible({"task-clock": 0.5 * S}, None)
    assert credible({"task-clock": 2.0 * S}, 1.0), "of children that nobody waited for the accounting knows nothing"
    assert not credible({"task-clock": 0.5 * S}, 1.0)


# On this kernel.


def run(*command: str, user: str | None = None, tick=lambda: None, period_s: float = 60.0) -> Completed:
    runner = LinuxRunner()
    done = runner.run(command, cwd=None, user=user, tick=tick, period_s=period_s)
    if not done.counters and runner.counters.why:
        pytest.skip(f"no perf events here: {runner.counters.why}")
    return done


def clock_s(done: Completed) -> float:
    return done.counters["task-clock"] / 1e9


def is_counted(done: Completed) -> bool:
    """Whether nobody is missing: the clock also runs while a hypervisor has stolen the CPU, the accounting may not."""
    return 0.95 * done.cpu_time_s - 0.01 <= clock_s(done) <= 2.0 * done.cpu_time_s + 0.05


def test_the_whole_tree_is_counted_and_nobody_else():
    """Threads, children in the background, children of children; while we ourselves work hard beside it."""
    script = f"{sys.executable} -S -c '{SPIN}' & ({sys.executable} -S -c '{SPIN}'); wait"

    def tick():
        for _ in range(20_000):
            pass

    done = run("sh", "-c", script, tick=tick, period_s=0.001)
    assert is_counted(done)
    alone = run("true", tick=tick, period_s=0.001)
    assert clock_s(alone) < 0.5 * clock_s(done)


def test_a_command_that_is_given_up_has_been_counted():
    runner = LinuxRunner()
    spin = f"while True:\n {SPIN}"
    done = runner.run(
        [sys.executable, "-S", "-c", spin], cwd=None, user=None, tick=lambda: None, period_s=60.0, give_up_s=0.5
    )
    assert done.given_up
    assert done.counters == {} or 0.0 < clock_s(done) < 60.0
    assert done.counters or runner.counters.why


def test_what_cannot_be_started_leaves_nothing_open():
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(UsageError, match="cannot start"):
        run("/no/such/program")
    assert len(os.listdir("/proc/self/fd")) == before
    assert run("sh", "-c", "exit 3").exit_status == 3
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_another_user_is_counted_as_well():
    done = run("sh", "-c", "i=0; while [ $i -lt 50000 ]; do i=$((i+1)); done; (cat /dev/null)", user="nobody")
    assert is_counted(done)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a program its rights")
def test_a_set_user_id_program_escapes_and_then_there_are_no_counts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("suid")
    for path in (folder, *folder.parents[:2]):
        path.chmod(0o755)
    program = folder / "dd"
    shutil.copy(shutil.which("dd"), program)
    program.chmod(0o4755)
    shown = subprocess.run(
        ["sh", "-c", f"{program} if=/proc/self/status bs=4k 2>/dev/null | grep Uid"],
        capture_output=True,
        text=True,
        user="nobody",
        check=False,
    ).stdout.split()
    if shown[2:3] != ["0"]:
        pytest.skip("set-user-ID has no effect in the folder for temporary files")
    done = run(str(program), "if=/dev/zero", "of=/dev/null", "bs=1M", "count=8000", user="nobody")
    assert done.cpu_time_s > 0.05
    assert done.counters == {}
