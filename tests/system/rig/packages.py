"""The Debian packages the rig stands on: which are missing, and how they come."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from rig.errors import RigError

# what is run → the package that has it
_TOOLS = {
    "qemu-system-x86_64": "qemu-system-x86",
    "iasl": "acpica-tools",
    "busybox": "busybox-static",
    "cpio": "cpio",
    "modprobe": "kmod",
    "depmod": "kmod",
}


def missing_packages() -> list[str]:
    """Packages whose tools are not here. A dynamically linked busybox counts as missing: an initramfs has no libc."""
    missing = {package for tool, package in _TOOLS.items() if find_tool(tool) is None}
    busybox = find_tool("busybox")
    if busybox and b"/ld-linux" in Path(busybox).read_bytes():
        missing.add("busybox-static")
    return sorted(missing)


def find_tool(name: str) -> str | None:
    """Path of a program; the administrator's folders are not on everyone's PATH."""
    return shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin")


def tool(name: str) -> str:
    """As `find_tool`, for a program that must be there."""
    path = find_tool(name)
    if path is None:
        raise RigError(f"{name} is not installed", hint=f"apt install {_TOOLS.get(name, name)}")
    return path


def may_install() -> bool:
    """Whether packages may be fetched without asking: in CI, where nobody could be asked."""
    return os.environ.get("CI", "").lower() in ("1", "true")


def install(packages: list[str]) -> None:
    """Installs packages without their recommendations (QEMU's would bring a desktop)."""
    if not packages:
        return
    if os.geteuid() != 0:
        raise RigError("only root can install packages", hint=f"sudo apt install {' '.join(packages)}")
    command = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages]
    if _apt(command).returncode != 0:  # package lists may be missing or older than the archive
        _apt(["apt-get", "update", "-qq"])
        done = _apt(command)
        if done.returncode != 0:
            raise RigError(f"apt could not install {' '.join(packages)}: {done.stderr.strip()[-400:]}")


def kernel_package() -> str:
    """Name of the kernel package that Debian's `linux-image-amd64` stands for, such as linux-image-6.1.0-56-amd64."""
    text = _apt(["apt-cache", "depends", "linux-image-amd64"]).stdout
    names = [line.split()[1] for line in text.splitlines() if line.strip().startswith("Depends: linux-image-")]
    if not names:
        raise RigError(
            "apt knows no linux-image-amd64", hint="apt-get update; the rig needs the package lists of Debian (amd64)"
        )
    return names[0]


def download(package: str, folder: Path) -> Path:
    """Fetches a package file without installing it."""
    for update_first in (False, True):
        if update_first:
            _apt(["apt-get", "update", "-qq"])
        # as root apt would hand the download to a user who cannot write here, and complain
        done = _apt(["apt-get", "download", "-qq", "-o", "APT::Sandbox::User=root", package], cwd=folder)
        files = list(folder.glob(f"{package}_*.deb"))
        if done.returncode == 0 and files:
            return files[0]
    raise RigError(f"apt could not download {package}: {done.stderr.strip()[-400:]}")


def _apt(command: list[str], cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    env = dict(os.environ, DEBIAN_FRONTEND="noninteractive", LC_ALL="C.UTF-8")
    try:
        return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise RigError("the rig is built from Debian packages, and this host has no apt") from error
