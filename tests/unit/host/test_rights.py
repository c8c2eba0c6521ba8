"""Why the kernel says no, from its texts and, for root, in the real cases."""

import errno
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwtune.host.denial import FileMode, explain, mode_allows, refused, why_denied
from hwtune.host.fs import LinuxFS
from hwtune.host.rights import (
    CAP_DAC_OVERRIDE,
    Credentials,
    Mount,
    Rights,
    parse_credentials,
    parse_lockdown,
    parse_mounts,
    parse_uid_map,
    read_rights,
)

PATH = "/sys/devices/system/cpu/cpufreq/policy0/scaling_max_freq"
STATUS = (
    "Name:\tcat\nUid:\t1000\t1001\t1000\t1000\nGid:\t100\t101\t100\t100\nGroups:\t27 1000\nCapEff:\t0000000000000002"
)
MOUNTS = (
    "22 27 0:21 / / rw,relatime - ext4 /dev/vda rw\n"
    "23 22 0:22 / /sys ro,nosuid shared:7 - sysfs sysfs rw\n"
    "24 23 0:22 /devices/system/cpu /sys/devices/system/cpu rw - sysfs sysfs rw\n"
    "garbage\n"
    r"25 22 0:9 / /mnt/a\040b rw,noatime master:1 - ext3 /dev/root ro,errors=continue"
)
OURS = FileMode(uid=0, gid=0, mode=0o100644)
NOBODY = Credentials(uid=65534, groups=(65534,), capabilities=0)
ROOT = Credentials(uid=0, groups=(0,), capabilities=(1 << 41) - 1)


def said(rights, file=OURS, *, write=True, code=errno.EACCES):
    return explain(PATH, write=write, rights=rights, file=file, errno=code)


def test_credentials_are_the_effective_ones():
    who = parse_credentials(STATUS)
    assert who == Credentials(uid=1001, groups=(101, 27, 1000), capabilities=2)
    assert who.has(CAP_DAC_OVERRIDE)
    assert not who.has(2)


@given(st.text(max_size=60), st.text(max_size=60))
def test_no_text_is_a_traceback(one, other):
    parse_credentials(f"Uid:{one}\nGid:{other}\nCapEff:{one}")
    parse_mounts(f"1 2 3 4 {one} {other} - a b c")
    parse_uid_map(one)
    parse_lockdown(other)


def test_mounts():
    assert parse_mounts(MOUNTS) == (
        Mount(point="/", read_only=False),
        Mount(point="/sys", read_only=True),
        Mount(point="/sys/devices/system/cpu", read_only=False),
        Mount(point="/mnt/a b", read_only=True),
    )


def test_small_texts():
    assert parse_uid_map("         0     100000      65536")
    assert not parse_uid_map("         0          0 4294967295")
    assert not parse_uid_map("")
    assert parse_lockdown("none [integrity] confidentiality") == "integrity"
    assert parse_lockdown("[none] integrity confidentiality") is None


def test_rights_of_a_tree(tmp_path):
    texts = {
        "proc/self/status": STATUS,
        "proc/self/mountinfo": MOUNTS,
        "proc/self/uid_map": "0 0 4294967295",
        "proc/self/attr/current": "unconfined_u:unconfined_r:unconfined_t:s0\0",
        "sys/kernel/security/lsm": "lockdown,capability,selinux",
        "sys/kernel/security/lockdown": "none integrity [confidentiality]",
        "sys/fs/selinux/enforce": "1",
        "run/.containerenv": "",
    }
    for path, text in texts.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    assert read_rights(LinuxFS(tmp_path)) == Rights(
        credentials=parse_credentials(STATUS),
        mounts=parse_mounts(MOUNTS),
        modules=("lockdown", "capability", "selinux"),
        selinux_enforcing=True,
        label="unconfined_u:unconfined_r:unconfined_t:s0",
        lockdown="confidentiality",
        container=True,
    )
    assert read_rights(LinuxFS(tmp_path / "nothing")) == Rights()


def test_the_innermost_mount_decides():
    mounts = parse_mounts(MOUNTS)
    assert "read-only" not in said(Rights(credentials=ROOT, mounts=mounts), code=None).why
    assert "/sys is mounted read-only" in said(Rights(credentials=ROOT, mounts=mounts[:2]), code=errno.EROFS).why
    # A later mount at the same place hides the earlier one.
    over = (*mounts[:2], Mount(point="/sys", read_only=False))
    assert "read-only" not in said(Rights(credentials=ROOT, mounts=over), code=None).why


@pytest.mark.parametrize(
    ("rights", "file", "why", "hint"),
    [
        (Rights(credentials=NOBODY), OURS, "user 65534 is not root", "sudo"),
        (Rights(credentials=NOBODY), replace(OURS, gid=27, mode=0o100664), "group 27", "usermod"),
        (Rights(credentials=replace(ROOT, capabilities=0)), replace(OURS, uid=5), "root without", "--cap-add"),
        (Rights(credentials=ROOT), replace(OURS, mode=0o100444), "reading only", "no right"),
        (Rights(credentials=ROOT, inside_user_namespace=True), replace(OURS, uid=65534), "user namespace", "rootless"),
        (Rights(credentials=ROOT, selinux_enforcing=True, label="u:r:t:s0"), OURS, "SELinux", "ausearch"),
        (Rights(credentials=ROOT, label="docker-default (enforce)"), OURS, "AppArmor", "apparmor=unconfined"),
        (Rights(credentials=ROOT, label="unconfined", modules=("landlock",)), OURS, "landlock", "dmesg"),
    ],
)
def test_each_case_is_told_apart(rights, file, why, hint):
    denial = said(rights, file)
    assert why in denial.why
    assert hint in denial.hint


def test_lockdown_answers_eperm_only():
    rights = Rights(credentials=ROOT, lockdown="integrity")
    assert "locked down (integrity)" in said(rights, code=errno.EPERM).why
    assert "locked down" not in said(rights, code=errno.EACCES).why


def test_a_container_is_told_what_a_container_needs():
    mounts = (Mount(point="/sys", read_only=True),)
    assert "--privileged" in said(Rights(mounts=mounts, container=True), code=errno.EROFS).hint
    assert "ReadWritePaths" in said(Rights(mounts=mounts), code=errno.EROFS).hint


def test_reading_needs_another_capability():
    secret = replace(OURS, mode=0o100400)
    assert "CAP_DAC_READ_SEARCH" in said(Rights(credentials=NOBODY), secret, write=False).hint
    reader = replace(NOBODY, capabilities=1 << 2)
    assert "security module" in said(Rights(credentials=reader), secret, write=False).why


@pytest.mark.parametrize(("uid", "groups", "shift"), [(1, (9,), 6), (8, (2,), 3), (8, (9, 2), 3), (8, (9,), 0)])
def test_mode_is_judged_as_the_class_that_fits(uid, groups, shift):
    credentials = Credentials(uid=uid, groups=groups, capabilities=0)
    for mode in range(0o1000):
        file = FileMode(uid=1, gid=2, mode=mode)
        assert mode_allows(credentials, file, write=True) == bool(mode >> shift & 2)
        assert mode_allows(credentials, file, write=False) == bool(mode >> shift & 4)


def test_what_this_machine_lets_us_write(tmp_path):
    file = tmp_path / "attribute"
    assert refused(str(file)) == errno.ENOENT
    file.write_text("kept")
    assert refused(str(file)) is None
    assert file.read_text() == "kept"


NOBODY_RUNS = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")


def may_try():
    """Whether other situations can be gone into, and nobody may start this Python there."""
    if os.geteuid() != 0 or not shutil.which("setpriv") or not shutil.which("unshare"):
        return False
    words = [*NOBODY_RUNS, sys.executable, "-c", "import hwtune"]
    return subprocess.run(words, capture_output=True, check=False).returncode == 0


root_only = pytest.mark.skipif(not may_try(), reason="needs root, util-linux, and a Python that nobody may start")
LOOK = """
import sys
import tempfile
from hwtune.host.denial import refused, why_denied
from hwtune.host.fs import LinuxFS
path = sys.argv[1]
code = refused(path)
print(code, LinuxFS("/").writable(path), why_denied(path, errno=code).why)
"""


def look(*prefix, path):
    """What a process in that situation finds out about a file: errno, whether it is writable, the reason."""
    words = [*prefix, sys.executable, "-c", LOOK, str(path)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    code, writable, why = done.stdout.rstrip("\n").split(" ", 2)
    return None if code == "None" else int(code), writable == "True", why


@pytest.fixture
def attribute():
    """A file of root, mode 0644, in a directory that everybody may enter."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "scaling_max_freq"
        path.parent.chmod(0o755)
        path.write_text("2000000")
        path.chmod(0o644)
        yield path


@root_only
def test_really_nobody(attribute):
    assert look(*NOBODY_RUNS, path=attribute) == (
        errno.EACCES,
        False,
        "user 65534 is not root and has no CAP_DAC_OVERRIDE",
    )
    able = (*NOBODY_RUNS, "--inh-caps=+dac_override", "--ambient-caps=+dac_override")
    assert look(*able, path=attribute)[:2] == (None, True)
    attribute.chmod(0o664)
    os.chown(attribute, 0, 27)
    assert "only group 27 may write" in look(*NOBODY_RUNS, path=attribute)[2]
    member = ("setpriv", "--reuid=65534", "--regid=65534", "--groups=27")
    assert look(*member, path=attribute)[:2] == (None, True)


@root_only
def test_really_read_only(attribute):
    script = 'mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" && shift && exec "$@"'
    inside = ("unshare", "-m", "--propagation", "private", "sh", "-c", script, "sh", str(attribute.parent))
    code, writable, why = look(*inside, path=attribute)
    assert (code, writable) == (errno.EROFS, False)
    assert why == f"{attribute.parent} is mounted read-only"
    assert refused(str(attribute)) is None
    assert "read-only" not in why_denied(str(attribute)).why


# What a security module does: owner, mode and capabilities allow it, and it is refused.
LANDLOCK = """
import ctypes, struct
libc = ctypes.CDLL(None, use_errno=True)
writing_files, no_new_privileges = 1 << 1, 38
rules = libc.syscall(444, struct.pack("Q", writing_files), ctypes.c_size_t(8), 0)  # landlock_create_ruleset
libc.prctl(no_new_privileges, 1, 0, 0, 0)
if rules < 0 or libc.syscall(446, rules, 0):  # landlock_restrict_self
    raise SystemExit(77)
"""


def test_really_refused_by_a_security_module(tmp_path):
    attribute = tmp_path / "scaling_max_freq"
    attribute.write_text("2000000")
    words = [sys.executable, "-c", LANDLOCK + LOOK, str(attribute)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode == 77:
        pytest.skip("no Landlock here")
    code, _, why = done.stdout.rstrip("\n").split(" ", 2)
    assert int(code) == errno.EACCES, done.stderr
    assert "owner, mode and mount let us write it, so a security module or the driver refuses" in why
