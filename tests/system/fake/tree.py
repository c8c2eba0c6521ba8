"""The files of a machine put together: by path, in directories, with the links that sysfs has."""

from __future__ import annotations

import errno
from collections import defaultdict
from typing import TYPE_CHECKING

from fake.attribute import Attribute, constant, refuse
from fake.cpus import CPU
from fake.files import policy_files

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


def build(kernel: FakeKernel) -> FileTree:
    """All that the machine shows now."""
    boot_id = f"{kernel.boots:08x}-0000-4000-8000-000000000000"
    files = {BOOT_ID: constant(boot_id), **kernel.cpus.attributes(), **kernel.tunables.attributes()}
    links: dict[str, str] = {}
    for policy in kernel.policies:
        if kernel.active(policy) or not kernel.driver.old_layout:
            there = kernel.directory(policy)
            files |= {f"{there}/{name}": file for name, file in policy_files(kernel, policy).items()}
            links |= {f"{CPU}/cpu{cpu}/cpufreq": there for cpu in policy.cpus}
    if kernel.boost is not None and "global" in kernel.boost.rules.files:
        files[f"{CPU}/cpufreq/boost"] = kernel.boost.global_file()
    if kernel.intel is not None:
        files |= {f"{CPU}/intel_pstate/{name}": file for name, file in kernel.intel.attributes().items()}
    elif kernel.driver.status is not None:
        files[f"{CPU}/amd_pstate/status"] = constant(kernel.driver.status)
    for tree in (kernel.heat, *kernel.trees):
        files |= tree.attributes(kernel)
    return FileTree(files, {link: target for link, target in links.items() if link != target})
