"""What names a machine and its people, looked up only so that it can be left out of a capture."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

from hwtune.domain.errors import HostError
from hwtune.host.fs import HostFS

_HOSTS = ("/proc/sys/kernel/hostname", "/proc/sys/kernel/domainname", "/etc/hostname")
_IDS = ("/etc/machine-id", "/var/lib/dbus/machine-id", "/proc/sys/kernel/random/boot_id")
_ADDRESSES = "/sys/class/net/*/address"
_SERIALS = (
    "/sys/class/dmi/id/*_serial",
    "/sys/class/dmi/id/*_uuid",
    "/sys/class/dmi/id/*_asset_tag",
    "/sys/class/power_supply/*/serial_number",
    "/sys/class/hwmon/hwmon*/device/power*_serial_number",
    "/sys/firmware/devicetree/base/serial-number",
)
# Batteries of mice and pens are named after their Bluetooth address: wacom_battery_…, hid-aa:bb:cc:dd:ee:ff-battery.
_SUPPLIES = "/sys/class/power_supply/*"
_ADDRESS = re.compile(r"(?<![0-9a-f])[0-9a-f]{2}(?:[:_-][0-9a-f]{2}){5}(?![0-9a-f])", re.IGNORECASE)
# What boards say whose maker has not numbered them.
_FILLER = re.compile(
    r"to be filled|default|not (?:spec|avail|appl)|none|unknown|system serial|serial number|o\.e\.m|asset|invalid",
    re.IGNORECASE,
)
_PASSWD = "/etc/passwd"
_FIRST_PERSON, _NOBODY = 1000, 65534


def find_secrets(files: HostFS, names: Collection[str] = ()) -> dict[str, set[str]]:
    """Kind → texts that name this machine or somebody who uses it; see `redaction.Redactor`.

    Args:
        files: the machine.
        names: names of the host and of users that are known besides.
    """
    hosts = {part for path in _HOSTS for host in _said(files, path) for part in _labels(host)}
    addresses = {address for path in files.glob(_ADDRESSES) for address in _said(files, path)}
    addresses |= {found for path in files.glob(_SUPPLIES) for found in _ADDRESS.findall(path.rsplit("/", 1)[1])}
    serials = {serial for pattern in _SERIALS for path in files.glob(pattern) for serial in _said(files, path)}
    return {
        "name": hosts | {part for name in names for part in _labels(name)} | set(_people(files)),
        "id": {identifier for path in _IDS for identifier in _said(files, path)},
        "mac": {form for address in addresses for form in _spellings(address)},
        "serial": {serial for serial in serials if not _FILLER.search(serial)},
    }


def _said(files: HostFS, path: str) -> Iterator[str]:
    """The file's text without blanks and NULs around it; nothing where there is none."""
    try:
        text = (files.read(path) or "").strip("\0 \t\n")
    except HostError:
        return
    if text and text != "(none)":
        yield text


def _labels(host: str) -> set[str]:
    """A host's full name, its first label, its domain."""
    first, _, domain = host.partition(".")
    return {host, first, domain} - {""}


def _spellings(address: str) -> set[str]:
    """A hardware address with colons, with hyphens, with underscores, and without."""
    parts = re.split("[:_-]", address)
    if len(set("".join(parts))) < 2:  # the loopback's zeros
        return set()
    return {between.join(parts) for between in (":", "-", "_", "")}


def _people(files: HostFS) -> Iterator[str]:
    """Login names and full names of people, from passwd(5).

    alice:x:1000:1000:Alice Example,,,:/home/alice:/bin/bash
    """
    for text in _said(files, _PASSWD):
        for line in text.splitlines():
            fields = line.split(":")
            if len(fields) == 7 and fields[2].isdecimal() and _FIRST_PERSON <= int(fields[2][:9]) < _NOBODY:
                yield fields[0]
                full = fields[4].split(",")[0].strip()
                if " " in full:
                    yield full
