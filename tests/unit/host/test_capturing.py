"""Captures: the machine is in them, its people are not, and the same machine is the same bytes."""

from __future__ import annotations

import errno
import gzip
import io
import json
import os
import shutil
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwtune.domain.errors import HostError, PermissionDenied, TransientError
from hwtune.host import capture as captures
from hwtune.host.archive import write_archive
from hwtune.host.capture import capture
from hwtune.host.fs import CapturedFS, DryRunFS, LinuxFS, open_root
from hwtune.host.places import CONFIG_LINE
from hwtune.sim.sysfs import SimulatedFS

TREES = Path(__file__).resolve().parents[2] / "trees"
CPU = "/sys/devices/system/cpu"
GOVERNOR = f"{CPU}/cpufreq/policy0/scaling_governor"


def take(files, names=()):
    """The manifest and the archive's bytes."""
    found = capture(files, version="0", superuser=True, names=names)
    stream = io.BytesIO()
    write_archive(stream, found.members)
    return found.manifest, stream.getvalue()


def reopened(tmp_path, content):
    file = tmp_path / "capture.tar.gz"
    file.write_bytes(content)
    return CapturedFS(file)


def of_texts(**texts):
    files = SimulatedFS()
    for path, text in texts.items():
        files.add(path, text)
    return files


@pytest.mark.parametrize("name", ["laptop", "phone", "no-cpufreq"])
def test_every_file_of_a_small_machine_is_in_its_capture(tmp_path, name):
    tree = LinuxFS(TREES / name)
    files = reopened(tmp_path, take(tree)[1])
    there = [path for path in (TREES / name).rglob("*") if path.is_file()]
    assert there
    for path in there:
        inside = "/" + str(path.relative_to(TREES / name))
        assert files.read(inside) == tree.read(inside), inside


def test_the_same_machine_is_the_same_bytes(tmp_path):
    shutil.copytree(TREES / "laptop", tmp_path / "copy")
    for path in (tmp_path / "copy").rglob("*"):
        os.utime(path, (1, 1))
    first, again = take(LinuxFS(TREES / "laptop"))[1], take(LinuxFS(tmp_path / "copy"))[1]
    assert first == again
    assert take(reopened(tmp_path, first))[1] == take(reopened(tmp_path, again))[1]


def test_a_capture_of_a_capture_says_the_same(tmp_path):
    _, content = take(LinuxFS(TREES / "laptop"))
    first = reopened(tmp_path, content)
    second = reopened(tmp_path, take(first)[1])
    for path in first.glob(f"{CPU}/cpufreq/policy*/*"):
        assert second.read(path) == first.read(path)


def test_class_directories_keep_their_links(tmp_path):
    root = tmp_path / "root"
    device = root / "sys/devices/platform/coretemp.0/hwmon/hwmon3"
    device.mkdir(parents=True)
    (device / "name").write_text("coretemp\n")
    (device / "temp1_input").write_text("50000\n")
    (device / "uevent").write_text("SERIAL=1\n")
    (device / "device").symlink_to("../../../coretemp.0")
    (device / "subsystem").symlink_to("../../../../../class/hwmon")
    (root / "sys/class/hwmon").mkdir(parents=True)
    (root / "sys/class/hwmon/hwmon3").symlink_to("../../devices/platform/coretemp.0/hwmon/hwmon3")
    (root / "sys/devices/system/cpu/cpu0").mkdir(parents=True)
    (root / "sys/devices/system/cpu/cpufreq/policy0").mkdir(parents=True)
    (root / "sys/devices/system/cpu/cpufreq/policy0/scaling_governor").write_text("powersave\n")
    (root / "sys/devices/system/cpu/cpu0/cpufreq").symlink_to("../cpufreq/policy0")
    (root / "sys/devices/system/cpu/cpu0/firmware_node").symlink_to("../../../../nowhere")
    files = reopened(tmp_path, take(LinuxFS(root))[1])
    assert files.read("/sys/class/hwmon/hwmon3/name") == "coretemp"
    assert files.link_target("/sys/class/hwmon/hwmon3") == "/sys/devices/platform/coretemp.0/hwmon/hwmon3"
    assert files.read("/sys/class/hwmon/hwmon3/device/hwmon/hwmon3/temp1_input") == "50000"
    assert files.read(f"{CPU}/cpu0/cpufreq/scaling_governor") == "powersave"
    assert files.link_target(f"{CPU}/cpu0/firmware_node") is None, "leads to nothing that is in the capture"
    assert files.glob("/sys/class/hwmon/hwmon3/uevent") == ()


def test_zones_within_zones_are_all_there(tmp_path):
    root = tmp_path / "root"
    inner = root / "sys/devices/virtual/powercap/intel-rapl/intel-rapl:0/intel-rapl:0:0"
    inner.mkdir(parents=True)
    (inner / "name").write_text("core\n")
    (inner.parent / "name").write_text("package-0\n")
    (root / "sys/class/powercap").mkdir(parents=True)
    for path in (inner, inner.parent):
        link = root / "sys/class/powercap" / path.name
        link.symlink_to(os.path.relpath(path, link.parent))
    files = reopened(tmp_path, take(LinuxFS(root))[1])
    assert files.read("/sys/class/powercap/intel-rapl:0/name") == "package-0"
    assert files.read("/sys/class/powercap/intel-rapl:0:0/name") == "core"


def test_links_never_lead_to_files_of_others(tmp_path):
    root = tmp_path / "root"
    (root / "home/alice").mkdir(parents=True)
    (root / "home/alice/name").write_text("a diary\n")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/name").write_text("a diary\n")
    (root / "sys/class/hwmon").mkdir(parents=True)
    (root / "proc").mkdir()
    for number, target in enumerate(["../../../home/alice", tmp_path / "outside", "hwmon2", "../../../../outside"]):
        (root / f"sys/class/hwmon/hwmon{number}").symlink_to(target)
    (root / "proc/version").symlink_to("../home/alice/name")
    manifest, content = take(LinuxFS(root))
    assert b"diary" not in gzip.decompress(content)
    assert manifest.files == 0
    assert manifest.left_out["/sys/class/hwmon/hwmon0"] == "leads out of /proc and /sys"
    assert "/proc/version" in manifest.left_out


class Refusing(DryRunFS):
    """A machine on which some files answer with an errno."""

    codes: ClassVar = {GOVERNOR: errno.EBUSY, f"{CPU}/online": errno.EACCES}

    def read(self, path):
        kinds = {errno.EBUSY: TransientError, errno.EACCES: PermissionDenied}
        if path in self.codes:
            raise kinds.get(self.codes[path], HostError)(path, "read", errno=self.codes[path])
        return super().read(path)


def test_what_the_kernel_refuses_is_in_the_manifest_and_refused_again(tmp_path):
    manifest, content = take(Refusing(LinuxFS(TREES / "laptop")))
    assert manifest.refused == {GOVERNOR: "EBUSY", f"{CPU}/online": "EACCES"}
    files = reopened(tmp_path, content)
    for path in manifest.refused:
        with pytest.raises(HostError) as caught:
            files.read(path)
        assert caught.value.errno == Refusing.codes[path]


def test_what_is_not_text_is_left_out(tmp_path):
    files = of_texts(**{f"{CPU}/cpu0/blob": "\x00\x01\x02", f"{CPU}/cpu0/latin": "caf\ufffd", f"{CPU}/cpu0/ok": "1"})
    manifest, content = take(files)
    assert manifest.left_out == {f"{CPU}/cpu0/blob": "not text", f"{CPU}/cpu0/latin": "not text"}
    assert reopened(tmp_path, content).read(f"{CPU}/cpu0/ok") == "1"


def test_attributes_that_identify_a_device_are_left_out(tmp_path):
    """Whatever they say: a serial number of four digits could not be told from a number."""
    meter, supply = "/sys/class/hwmon/hwmon0", "/sys/class/power_supply/BAT0"
    files = of_texts(
        **{f"{meter}/power1_average": "1", f"{meter}/power1_serial_number": "4711", f"{supply}/serial_number": " 4711"}
    )
    manifest, content = take(files)
    assert b"4711" not in gzip.decompress(content)
    assert manifest.left_out == dict.fromkeys(
        [f"{meter}/power1_serial_number", f"{supply}/serial_number"], "identifies a device"
    )
    assert reopened(tmp_path, content).read(f"{meter}/power1_average") == "1"


def test_what_people_call_their_mice_is_left_out(tmp_path):
    """Whoever they are: the owner of a wireless mouse need not have an account here."""
    mouse, own = "/sys/class/power_supply/hid-0-battery", "/sys/class/power_supply/BAT0"
    files = of_texts(
        **{f"{mouse}/type": "Battery", f"{mouse}/scope": "Device", f"{mouse}/model_name": "Zoe's mouse"},
        **{f"{own}/type": "Battery", f"{own}/model_name": "DELL 7VTMN2"},
    )
    content = take(files)[1]
    assert b"Zoe" not in gzip.decompress(content)
    assert reopened(tmp_path, content).read(f"{mouse}/scope") == "Device"
    assert reopened(tmp_path, content).read(f"{own}/model_name") == "DELL 7VTMN2"


def test_more_than_a_machine_has_is_refused(monkeypatch):
    files = of_texts(**{f"{CPU}/cpu{number}/x": "y" * 600 for number in range(9)})
    assert take(files)
    monkeypatch.setattr(captures, "_MOST_BYTES", 4000)
    with pytest.raises(HostError, match="EFBIG") as caught:
        take(files)
    assert caught.value.hint
    monkeypatch.undo()
    monkeypatch.setattr(captures, "_MOST_FILES", 10)
    with pytest.raises(HostError, match="EFBIG"):
        take(files)


def test_of_the_kernel_configuration_only_power_management(tmp_path):
    lines = ["CONFIG_CPU_FREQ=y", "# CONFIG_CPU_IDLE_GOV_TEO is not set", "CONFIG_HZ=250", "CONFIG_X86_INTEL_PSTATE=y"]
    more = ['CONFIG_DEFAULT_HOSTNAME="alice"', "CONFIG_NET=y", 'CONFIG_CPU_FREQ_X="alice"', "# by alice"]
    assert not any(CONFIG_LINE.fullmatch(line) for line in more)
    files = of_texts(**{"/proc/sys/kernel/osrelease": "6.1.0", "/boot/config-6.1.0": "\n".join(lines + more)})
    assert reopened(tmp_path, take(files)[1]).read("/boot/config-6.1.0") == "\n".join(lines)


NAME = st.from_regex(r"zq[a-z][a-z0-9]{1,12}", fullmatch=True)
LONG = st.from_regex(r"[A-Z0-9]{3}ZQ[A-Z0-9]{3,10}", fullmatch=True)


@settings(max_examples=40, deadline=None)
@given(
    host=NAME,
    domain=NAME,
    user=NAME,
    full=st.tuples(NAME, NAME).map(" ".join),
    serial=LONG,
    battery=LONG,
    machine=st.uuids().map(lambda value: value.hex),
    boot=st.uuids().map(str),
    disk=st.uuids().map(str),
    mac=st.from_regex(r"(?:[1-9a-f][0-9a-f]:){5}[0-9a-f]{2}", fullmatch=True),
    address=st.ip_addresses(v=4).map(str).filter(lambda text: len(text) > 8),
    caller=NAME,
)
def test_no_byte_of_a_capture_names_anybody(
    host, domain, user, full, serial, battery, machine, boot, disk, mac, address, caller
):
    """Secrets where they are kept, and strewn over what is captured: none is in the archive."""
    supply = f"/sys/class/power_supply/hid-{mac}-battery"
    every = f"{host} {host}.{domain} {user}, {full}; {serial} {machine}/{disk} ({mac}) {caller}"
    files = of_texts(
        **{
            "/etc/hostname": f"{host}.{domain}",
            "/proc/sys/kernel/hostname": host,
            "/etc/machine-id": machine,
            "/etc/passwd": f"root:x:0:0:root:/root:/bin/sh\n{user}:x:1000:1000:{full},,,:/home/{user}:/bin/sh",
            "/proc/sys/kernel/random/boot_id": boot,
            "/sys/class/net/eth0/address": mac,
            "/sys/class/dmi/id/product_serial": serial,
            "/sys/class/dmi/id/product_uuid": disk,
            "/sys/class/dmi/id/product_name": f"{host} of {full}",
            "/proc/cmdline": f"root=UUID={disk} quiet ip={address} hostname={host} psi={user}",
            "/proc/version": f"Linux version 6.1.0-{host} ({user}@{host}) (gcc {address}) #1 {every}",
            "/proc/sys/kernel/osrelease": f"6.1.0-{host}",
            "/proc/cpuinfo": f"processor : 0\nSerial : {serial.lower()}\nmodel name : CPU {every} @ 2.00GHz",
            f"{supply}/type": "Battery",
            f"{supply}/serial_number": battery,
            f"{supply}/model_name": f"{battery} of {user} {every}",
            "/sys/class/hwmon/hwmon0/name": every,
            "/sys/class/hwmon/hwmon0/temp1_label": f"{address} {mac.replace(':', '')}",
            "/sys/class/hwmon/hwmon0/power1_serial_number": serial,
            f"{CPU}/cpu0/note": every,
            f"/boot/config-6.1.0-{host}": f'CONFIG_CPU_FREQ=y\n# {every}\nCONFIG_DEFAULT_HOSTNAME="{host}"',
        }
    )
    manifest, content = take(files, names=(caller,))
    plain = gzip.decompress(content).decode().casefold()
    for secret in (host, domain, user, full, serial, battery, machine, boot, disk, mac, address, caller):
        assert secret.casefold() not in plain, secret
    assert mac.replace(":", "") not in plain
    assert sum(manifest.redactions.values()) > 20
    assert "cpu redacted-" in plain


def test_the_manifest_says_what_is_in_it(tmp_path):
    manifest, content = take(LinuxFS(TREES / "laptop"))
    file = tmp_path / "x.tar.gz"
    file.write_bytes(content)
    said = json.loads(open_root(file).read("/hwtune-capture.json") or "null")
    assert said is None, "it is about the machine, and no file of it"
    assert manifest.files > 50
    assert (manifest.links, manifest.refused) == (0, {})


@pytest.mark.parametrize("name", ["wacom_AA-BB-CC-DD-EE-0F", "hid-aa:bb:cc:dd:ee:0f-battery", "hid_aa_bb_cc_dd_ee_0f"])
def test_the_address_of_a_device_goes_also_where_it_is_written_together(name):
    supply = f"/sys/class/power_supply/{name}"
    texts = {f"{supply}/type": "Battery\n", f"{supply}/model_name": "Pen aabbccddee0f\n"}
    content = gzip.decompress(take(of_texts(**texts))[1]).lower()
    assert b"aabbccddee0f" not in content
    assert b"ee-0f" not in content and b"ee:0f" not in content and b"ee_0f" not in content
