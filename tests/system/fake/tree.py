"""The files of a machine put together: by path, in directories, with the links that sysfs has."""

from __future__ import annotations

import errno
from collections import defaultdict
from typing import TYPE_CHECKING

from fake.attribute import Attribute, constant, refuse
from fake.cpus import CPU
from fake.files import policy_files
from fake.policy import Policy

if TYPE_CHECKING:
    from fake.kernel import FakeKernel

BOOT_ID = "/proc/sys/kernel/random/boot_id"
# Class directories are there also when nothing is in them.
_CLASSES = ("hwmon", "powercap", "power_supply", "thermal")


class FileTree:
    """Files and directories at one moment.

    Args:
        files: path → file.
        links: path → where it leads; only `cpuN/cpufreq` is one.
    """

    def __init__(self, files: dict[str, Attribute], links: dict[str, str]) -> None:
        self.files = files
        self.links = links
        directories: defaultdict[str, set[str]] = defaultdict(set)
        for name in _CLASSES:
            directories[f"/sys/class/{name}"] = set()
        for path in (*files, *links, *list(directories)):
            rest = path
            while rest:
                rest, _, name = rest.rpartition("/")
                if name in directories[rest]:
                    break
                directories[rest].add(name)
        self._directories = dict(directories)

    def resolve(self, path: str) -> str:
        """The path without links."""
        head, link, tail = path.partition("/cpufreq")
        target = self.links.get(head + link)
        return path if target is None else target + tail

    def find(self, path: str) -> Attribute | None:
        """The file of a path."""
        return self.files.get(self.resolve(path))

    def is_dir(self, path: str) -> bool:
        """Whether there is such a directory, followed through links."""
        return self.resolve(path.rstrip("/")) in self._directories

    def listdir(self, path: str) -> list[str]:
        """Names in a directory, links among them."""
        names = self._directories.get(self.resolve(path.rstrip("/")))
        if names is None:
            refuse(errno.ENOENT if self.find(path) is None else errno.ENOTDIR)
        return sorted(names)


def lasting(kernel: FakeKernel) -> dict[str, Attribute]:
    """Files that are there from boot to boot, whatever they show."""
    files = {BOOT_ID: Attribute(lambda: kernel.boot_id)}
    if kernel.boost is not None and "global" in kernel.boost.rules.files:
        files[f"{CPU}/cpufreq/boost"] = kernel.boost.global_file()
    if kernel.intel is not None:
        files |= {f"{CPU}/intel_pstate/{name}": file for name, file in kernel.intel.attributes().items()}
    elif kernel.driver.status is not None:
        files[f"{CPU}/amd_pstate/status"] = constant(kernel.driver.status)
    if not kernel.driver.old_layout:
        for policy in kernel.policies:
            files |= _of(kernel, policy)
    for tree in (kernel.heat, *kernel.trees):
        files |= tree.attributes(kernel)
    return files


def build(kernel: FakeKernel, files: dict[str, Attribute]) -> FileTree:
    """All that the machine shows now: what lasts, and what has come with a CPU or a governor."""
    files = files | kernel.cpus.attributes() | kernel.tunables.attributes()
    links: dict[str, str] = {}
    for policy in kernel.policies:
        if not kernel.driver.old_layout:
            links |= {f"{CPU}/cpu{cpu}/cpufreq": kernel.directory(policy) for cpu in policy.cpus}
        elif kernel.active(policy):
            files |= _of(kernel, policy)
    return FileTree(files, links)


def _of(kernel: FakeKernel, policy: Policy) -> dict[str, Attribute]:
    return {f"{kernel.directory(policy)}/{name}": file for name, file in policy_files(kernel, policy).items()}
