"""Real processes: their end, their output, their time, and that none is left behind."""

from __future__ import annotations

import fcntl
import os
import pwd
import resource
import signal
import sys
import time
from pathlib import Path

import pytest

from hwtune.domain.errors import UsageError
from hwtune.host.clock import LinuxClock
from hwtune.host.runner import Completed, LinuxRunner

NOBODY = pwd.getpwnam("nobody")
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")


def run(*command: str, tick=lambda: None, cwd=None, user=None, period_s=0.01, give_up_s=None) -> Completed:
    return LinuxRunner().run(command, cwd=cwd, user=user, tick=tick, period_s=period_s, give_up_s=give_up_s)


def shell(script: str, **options) -> Completed:
    return run("sh", "-c", script, **options)


def alive(pid: int) -> bool:
    """Whether a process runs; one that waits to be reaped by its new parent does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] not in {"Z", "X"}


def gone(pid: int) -> bool:
    for _ in range(500):
        if not alive(pid):
            return True
        time.sleep(0.01)
    return False


def wait_for(path: Path) -> int:
    """The number that a process of the test writes into a file."""
    for _ in range(1000):
        if path.exists() and path.read_text().endswith("\n"):
            return int(path.read_text())
        time.sleep(0.01)
    raise AssertionError(f"{path} was never written")


@pytest.mark.parametrize(
    ("script", "status"), [("exit 0", 0), ("exit 3", 3), ("kill -KILL $$", 137), ("kill -TERM $$", 143)]
)
def test_the_exit_status_is_the_shells(script, status):
    assert shell(script).exit_status == status


def test_output_is_not_ours_and_the_last_errors_are_kept(capfd):
    done = shell("echo out; i=0; while [ $i -lt 2000 ]; do echo line $i >&2; i=$((i+1)); done; echo 'caf\\351' >&2")
    assert capfd.readouterr() == ("", "")
    assert done.stderr_tail.endswith("line 1999\ncaf\ufffd")
    assert len(done.stderr_tail) <= 8192


def test_output_can_be_kept_and_is_whole(tmp_path):
    """A file of the caller's is written through its descriptor, behind what it holds."""
    with (tmp_path / "out").open("w+b", buffering=0) as kept:
        kept.write(b"first\n")
        done = LinuxRunner().run(
            ["sh", "-c", "echo tps=12.5; seq 100000; echo no >&2"],
            cwd=None,
            user=None,
            tick=lambda: None,
            period_s=0.01,
            output=kept,
        )
        kept.seek(0)
        lines = kept.read().decode().splitlines()
    assert lines == ["first", "tps=12.5", *map(str, range(1, 100001))]
    assert done.stderr_tail == "no"


def test_what_a_tick_says_no_to_is_ended():
    """Only True is a no: the number that a tick happens to return is none."""
    looks = []

    def tick() -> object:
        looks.append(1)
        return True if len(looks) == 3 else len(looks)

    done = LinuxRunner().run(["sleep", "60"], cwd=None, user=None, tick=tick, period_s=0.01)
    assert done.given_up
    assert len(looks) == 4, "and once more, for what it used until then"


def test_the_command_finds_what_is_put_into_its_environment(monkeypatch):
    monkeypatch.setenv("USUAL", "here")
    program = 'test "$HWTUNE_HEARTBEAT" = /run/x && test "$USUAL" = here'
    done = LinuxRunner().run(
        ["sh", "-c", program],
        cwd=None,
        user=None,
        tick=lambda: None,
        period_s=1.0,
        environment={"HWTUNE_HEARTBEAT": "/run/x"},
    )
    assert done.exit_status == 0


def test_standard_input_is_empty():
    assert run("cat").exit_status == 0


def test_time_is_that_of_the_clock_and_cpu_time_that_of_the_tree():
    clock = LinuxClock()
    before = clock.monotonic_ns()
    done = shell(f"{sys.executable} -c 'for i in range(2000000): pass'; true")
    after = clock.monotonic_ns()
    assert before <= done.start_ns < done.end_ns <= after
    assert done.cpu_time_s is not None
    assert done.cpu_time_s > 0.01, "the loop ran in a grandchild"


def test_ticks_come_while_it_runs(tmp_path):
    ticks = []
    go = tmp_path / "go"

    def tick():
        ticks.append(time.monotonic_ns())
        if len(ticks) == 5:
            go.touch()

    done = shell(f"while [ ! -e {go} ]; do sleep 0.01; done", tick=tick)
    assert len(ticks) >= 5
    assert done.start_ns < ticks[0] <= ticks[-1] <= done.end_ns
    assert run("true", tick=ticks.clear, period_s=60.0).exit_status == 0
    assert ticks, "a command shorter than the period has no tick"


def test_it_runs_where_it_is_told(tmp_path):
    assert shell(f'[ "$(pwd -P)" = "{tmp_path.resolve()}" ]', cwd=str(tmp_path)).exit_status == 0


@pytest.mark.parametrize(
    "options",
    [{"command": "/no/such/program"}, {"cwd": "/no/such/directory"}, {"user": "no-such-user"}, {"command": "a\0b"}],
)
def test_what_cannot_be_started_is_a_usage_error(options):
    command = options.pop("command", "true")
    with pytest.raises(UsageError, match="cannot start") as caught:
        run(command, **options)
    assert caught.value.hint


@pytest.mark.parametrize("stubborn", [False, True], ids=["obedient", "ignores SIGTERM"])
@pytest.mark.parametrize("ending", [KeyboardInterrupt, SystemExit])
def test_whatever_ends_the_wait_ends_the_whole_group(tmp_path, ending, stubborn, monkeypatch):
    """The shell goes at once; its child may not want to."""
    monkeypatch.setattr("hwtune.host.runner._PATIENCE_S", 0.2)
    ignore = "trap '' TERM;" if stubborn else ""
    script = f"""
        sh -c '{ignore} echo $$ > {tmp_path}/child; while :; do sleep 0.05; done' &
        wait_for_ever() {{ echo $$ > {tmp_path}/shell; wait; }}; wait_for_ever"""

    def tick():
        if (tmp_path / "child").exists() and (tmp_path / "shell").exists():
            raise ending

    with pytest.raises(ending):
        shell(script, tick=tick)
    assert gone(wait_for(tmp_path / "shell"))
    assert gone(wait_for(tmp_path / "child"))


@pytest.mark.parametrize("stubborn", [False, True], ids=["obedient", "ignores SIGTERM"])
def test_what_takes_too_long_is_given_up_with_its_whole_group(tmp_path, stubborn, monkeypatch):
    """Its time is that until we decided so; that, and a last tick, come before anybody is told to end."""
    monkeypatch.setattr("hwtune.host.runner._PATIENCE_S", 0.2)
    told = "" if stubborn else f"echo > {tmp_path}/told; exit"
    script = f"""
        sh -c 'trap "{told}" TERM; echo $$ > {tmp_path}/child; while :; do sleep 0.05; done' &
        echo $$ > {tmp_path}/shell; wait"""
    ticks = []
    # The period is longer than the wait: the only tick is the last.
    done = shell(
        script,
        tick=lambda: ticks.append((time.monotonic_ns(), (tmp_path / "told").exists())),
        period_s=60.0,
        give_up_s=1.0,
    )
    assert done.given_up
    assert done.cpu_time_s is None
    assert done.end_ns - done.start_ns >= 1_000_000_000
    ((last_ns, too_late),) = ticks
    assert done.end_ns <= last_ns and not too_late
    assert gone(wait_for(tmp_path / "shell"))
    assert gone(wait_for(tmp_path / "child"))
    assert (tmp_path / "told").exists() is not stubborn


def test_what_ends_in_time_is_not_given_up():
    done = shell("exit 3", give_up_s=60.0)
    assert (done.given_up, done.exit_status) == (False, 3)
    assert done.cpu_time_s is not None


def test_a_real_ctrl_c_reaches_us_and_not_the_command(tmp_path, monkeypatch):
    """The command has a session of its own: it learns of a Ctrl-C from us, after we have decided to stop."""
    monkeypatch.setattr("hwtune.host.runner._PATIENCE_S", 0.2)
    done = shell('[ "$(cut -d" " -f6 /proc/$$/stat)" = "$$" ]')  # the session, proc_stat(5)
    assert done.exit_status == 0

    def tick():
        if (tmp_path / "ready").exists():
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        shell(f"echo $$ > {tmp_path}/ready; while :; do sleep 0.05; done", tick=tick)
    assert gone(wait_for(tmp_path / "ready"))


@as_root
def test_another_user_has_nothing_of_ours():
    """User, group, supplementary groups and home: root's group would be enough to read much."""
    done = shell('{ id -u; id -g; id -G; echo "$HOME $USER $LOGNAME"; } >&2', user="nobody")
    user_id, group_id, groups, names = done.stderr_tail.splitlines()
    assert (int(user_id), int(group_id)) == (NOBODY.pw_uid, NOBODY.pw_gid)
    assert {int(group) for group in groups.split()} == set(os.getgrouplist("nobody", NOBODY.pw_gid))
    assert names == f"{NOBODY.pw_dir} nobody nobody"


def test_oneself_is_no_other_user():
    me = pwd.getpwuid(os.geteuid()).pw_name
    assert shell('[ "$HOME" = "' + os.environ.get("HOME", "") + '" ]', user=me).exit_status == 0


def test_many_open_files_are_no_hindrance(monkeypatch):
    """Counters of a large machine are thousands of descriptors: more than select(2) can tell apart."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 2048)), hard))
    pidfd_open = os.pidfd_open

    def far_up(pid):
        near = pidfd_open(pid)
        try:
            return fcntl.fcntl(near, fcntl.F_DUPFD_CLOEXEC, 1500)
        finally:
            os.close(near)

    monkeypatch.setattr("os.pidfd_open", far_up)
    try:
        assert shell("exit 3").exit_status == 3
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
