"""The unmodified program on the true paths: a tree bound over /sys in a mount namespace, and real rights."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[3]
CPU = "/sys/devices/system/cpu"
TEXTS = {
    "affected_cpus": "0",
    "related_cpus": "0",
    "scaling_driver": "acpi-cpufreq",
    "scaling_available_governors": "powersave schedutil",
    "scaling_governor": "schedutil",
    "cpuinfo_min_freq": "1000000",
    "cpuinfo_max_freq": "2000000",
    "scaling_min_freq": "1000000",
    "scaling_max_freq": "2000000",
    "scaling_available_frequencies": "2000000 1400000 1000000",
}
NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
# What is bound must be bound by root, before the rights go.
BIND = """
mount --bind "$1" /sys/devices/system/cpu
test "$2" = rw || mount -o remount,bind,ro /sys/devices/system/cpu
mount -t tmpfs none /run
for unit in $3; do mkdir -p /run/systemd/units; ln -s x /run/systemd/units/invocation:$unit; done
shift 3
exec "$@"
"""


def may_try():
    """Why not, or None: root, the programs, and a Python that nobody may start too."""
    if os.geteuid() != 0 or not shutil.which("setpriv") or not shutil.which("unshare"):
        return "needs root and util-linux"
    words = [*NOBODY, sys.executable, "-c", "import hwtune"]
    if subprocess.run(words, cwd=CHECKOUT, capture_output=True, check=False).returncode:
        return "nobody may not start this Python"
    if subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode:
        return "no mount namespaces here"
    return None


pytestmark = pytest.mark.skipif(bool(may_try()), reason=str(may_try()))


@pytest.fixture
def live():
    """Run hwtune where a tree is this machine's /sys/devices/system/cpu."""
    with tempfile.TemporaryDirectory() as scratch:
        policy = Path(scratch) / "cpu/cpufreq/policy0"
        policy.mkdir(parents=True)
        home = Path(scratch) / "home"
        home.mkdir()
        for path in (Path(scratch), home):
            path.chmod(0o777)
        for name, text in TEXTS.items():
            (policy / name).write_text(text + "\n")
            (policy / name).chmod(0o644)

        class Live:
            directory = policy
            run_dir = home / "run"

            def text(self, name):
                return (policy / name).read_text().strip()

            def run(self, *words, **situation):
                return self.start(sys.executable, "-m", "hwtune", *words, **situation)

            def start(self, *words, prefix=(), mode="rw", units=""):
                environment = os.environ | {
                    "PYTHONPATH": str(CHECKOUT),
                    "HWTUNE_PATHS_RUN_DIR": str(self.run_dir),
                    "HWTUNE_PATHS_STATE_DIR": str(home / "state"),
                }
                environment.pop("DBUS_SYSTEM_BUS_ADDRESS", None)
                command = ["unshare", "-m", "--propagation", "private", "sh", "-e", "-c", BIND, "sh"]
                command += [str(policy.parents[1]), mode, units, *prefix, *words]
                return subprocess.run(command, env=environment, cwd="/", capture_output=True, text=True, check=False)

        yield Live()


def refused(done, status):
    """The one error and its hint."""
    lines = done.stderr.splitlines()
    assert (done.returncode, done.stdout) == (status, ""), done.stderr
    assert [line.partition(":")[0] for line in lines] == ["error", "hint"]
    return lines[0], lines[1]


def test_without_rights_nothing_begins(live):
    error, hint = refused(live.run("apply", "max=1.4GHz", "governor=powersave", prefix=NOBODY), 4)
    assert error == f"error: write {CPU}/cpufreq/policy0/scaling_governor failed: EACCES"
    assert "user 65534 is not root and has no CAP_DAC_OVERRIDE" in hint
    assert not live.run_dir.exists()
    _, hint = refused(live.run("tune", "--objective", "time", "--", "true", prefix=NOBODY), 4)
    assert "user 65534 is not root" in hint
    assert not live.run_dir.exists()
    assert live.text("scaling_max_freq") == "2000000"
    # What is so already needs no right.
    assert live.run("apply", "max=2GHz", prefix=NOBODY).stdout == "max = 2000000 kHz already\n"


def test_with_the_capability_nobody_may(live):
    able = (*NOBODY, "--inh-caps=+dac_override", "--ambient-caps=+dac_override")
    done = live.run("apply", "max=1.4GHz", prefix=able)
    assert (done.returncode, done.stderr) == (0, "")
    assert live.text("scaling_max_freq") == "1400000"
    assert live.run("restore", prefix=able).returncode == 0
    assert live.text("scaling_max_freq") == "2000000"


def test_what_a_group_may_write_can_be_turned(live):
    (live.directory / "scaling_max_freq").chmod(0o664)
    os.chown(live.directory / "scaling_max_freq", 0, 27)
    member = ("setpriv", "--reuid=65534", "--regid=65534", "--groups=27")
    assert live.run("apply", "max=1.4GHz", prefix=member).returncode == 0
    assert live.text("scaling_max_freq") == "1400000"
    _, hint = refused(live.run("apply", "max=1.4GHz", "governor=powersave", prefix=member), 4)
    assert "sudo" in hint
    _, hint = refused(live.run("apply", "max=1GHz", prefix=NOBODY), 4)
    assert "only group 27 may write it" in hint


def test_read_only_sysfs(live):
    error, hint = refused(live.run("apply", "max=1.4GHz", mode="ro"), 4)
    assert "EROFS" in error
    assert f"{CPU} is mounted read-only" in hint
    assert not live.run_dir.exists()


def test_probe_explains_once(live):
    done = live.run("probe", prefix=NOBODY)
    assert done.returncode == 0
    assert "may NOT write scaling_governor" in done.stdout
    assert "may NOT write scaling_max_freq" in done.stdout
    assert done.stdout.count("user 65534 is not root and has no CAP_DAC_OVERRIDE") == 1
    assert "rights       user 65534, no capability that helps" in done.stdout
    done = live.run("probe")
    assert "may write scaling_governor" in done.stdout
    assert "rights       root, CAP_DAC_OVERRIDE" in done.stdout


def test_another_tuner_is_refused_ignored_or_given_way_to(live):
    error, hint = refused(live.run("apply", "governor=powersave", units="tuned.service"), 7)
    assert error == "error: tuned (tuned.service) sets governor as well"
    assert "systemctl mask --runtime --now tuned.service" in hint
    assert not live.run_dir.exists()
    words = ("apply", "governor=powersave", "max=1.4GHz", "--competing")
    done = live.run(*words, "yield", units="tuned.service")
    assert (done.returncode, done.stderr) == (0, "tuned (tuned.service) keeps governor\n")
    assert (live.text("scaling_governor"), live.text("scaling_max_freq")) == ("schedutil", "1400000")
    done = live.run(*words, "ignore", units="tuned.service thermald.service")
    assert done.returncode == 0
    assert len(done.stderr.splitlines()) == 2
    assert live.text("scaling_governor") == "powersave"
    assert live.run("restore", units="tuned.service").returncode == 0
    assert (live.text("scaling_governor"), live.text("scaling_max_freq")) == ("schedutil", "2000000")


def test_nobody_may_not_reset_and_is_told_of_what_root_has_changed(live):
    (live.directory / "scaling_max_freq").write_text("1000000\n")
    _, hint = refused(live.run("reset", prefix=NOBODY), 4)
    assert "user 65534 is not root" in hint
    assert live.run("reset").returncode == 0
    assert live.text("scaling_max_freq") == "2000000"
    assert live.run("restore", prefix=NOBODY).stdout == "nothing to restore\n"
    script = (
        'HWTUNE_PATHS_RUN_DIR=/run/hwtune "$@" apply max=1.4GHz >/dev/null && exec '
        + " ".join(NOBODY)
        + ' "$@" restore'
    )
    done = live.start("sh", "-c", script, "sh", sys.executable, "-m", "hwtune")
    error, hint = refused(done, 4)
    assert "/run/hwtune/journal.json" in error
    assert "sudo hwtune restore" in hint
    assert live.text("scaling_max_freq") == "1400000"


def test_what_a_right_keeps_from_being_put_back_is_told_as_one(live):
    target = live.directory / "scaling_max_freq"
    target.chmod(0o664)
    os.chown(target, 0, 27)
    member = ("setpriv", "--reuid=65534", "--regid=65534", "--groups=27")
    assert live.run("apply", "max=1.4GHz", prefix=member).returncode == 0
    target.chmod(0o644)
    error, hint = refused(live.run("restore", prefix=member), 4)
    assert error == f"error: put back {CPU}/cpufreq/policy0/scaling_max_freq failed: EACCES"
    assert "user 65534 is not root and has no CAP_DAC_OVERRIDE" in hint
    assert "then `hwtune restore`" in hint
    error, hint = refused(live.run("restore", mode="ro"), 4)
    assert "EROFS" in error
    assert f"{CPU} is mounted read-only" in hint
    assert live.text("scaling_max_freq") == "1400000"
    assert live.run("restore").returncode == 0, "the journal was kept"
    assert live.text("scaling_max_freq") == "2000000"
