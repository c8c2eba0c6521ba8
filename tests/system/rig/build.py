"""Debian packages → a kernel, an initramfs and an ACPI table, kept outside the checkout and rebuilt when they change.

The cache is ${XDG_CACHE_HOME:-~/.cache}/hwtune-rig: about 400 MB of one kernel with its modules (the package is
unpacked, never installed), and some small files named after a digest of what they were made from.
"""

from __future__ import annotations

import fcntl
import gzip
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from rig.chip import Topology
from rig.errors import RigError
from rig.packages import download, install, kernel_package, missing_packages, tool
from rig.ssdt import ssdt

GUEST = Path(__file__).parent / "guest"

# In this order: the way to the root file system and the ports, then the drivers that the rig is there for. They are
# loaded from the initramfs because reading each over 9p, throttled, would take seconds.
_MODULES = (
    *("virtio_pci", "9p", "9pnet_virtio", "overlay", "virtio_console"),
    *("acpi-cpufreq", "cpufreq_ondemand", "cpufreq_conservative", "cpufreq_powersave", "cpufreq_userspace"),
    *("acpi_power_meter", "battery", "ac", "thermal"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Images:
    """What QEMU boots from, and the folder whose lib/modules belongs to that kernel."""

    kernel: Path
    initramfs: Path
    acpi_table: Path
    modules: Path


def with_files(images: Images, files: Iterable[Path], fd: int) -> Images:
    """The same with more files in the initramfs, which goes into an open file that QEMU is to inherit.

    Not cached: a hundred megabytes that copying makes in a second, of a checkout that changes all the time. The kernel
    unpacks one archive after the other, compressed or not (Documentation/driver-api/early-userspace/buffer-format.rst).

    Args:
        images: What to boot otherwise.
        files: Absolute paths of the host, folders before what they contain.
        fd: Where the archive goes.
    """
    names = "\n".join(str(path.relative_to("/")) for path in files)
    with os.fdopen(os.dup(fd), "wb") as archive:
        archive.write(_run([tool("cpio"), "-o", "-H", "newc", "--quiet"], cwd=Path("/"), stdin=names.encode()))
        archive.write(images.initramfs.read_bytes())
    return replace(images, initramfs=Path(f"/proc/self/fd/{fd}"))


def missing() -> list[str]:
    """What would have to be fetched first: Debian packages by name, in words fit for a hint."""
    wanted = missing_packages()
    if _cached_kernel(cache_folder()) is None:
        wanted.append("linux-image-amd64 (70 MB, unpacked into the cache, not installed)")
    return wanted


def build(cpus: int, topology: Topology, *, may_fetch: bool) -> Images:
    """Everything to boot with, from the cache where it is there already.

    Args:
        cpus: Number of processors in the ACPI table.
        topology: A clock for each (`own`) or one for all (`shared`).
        may_fetch: Whether missing packages may be installed and the kernel downloaded.

    Raises:
        RigError: Something is missing and may not be fetched, or a tool failed.
    """
    wanted = missing()
    if wanted and not may_fetch:
        raise RigError(
            f"missing: {', '.join(wanted)}",
            hint="scripts/rig --install as root fetches them (Debian; CI=true does too)",
        )
    install(missing_packages())
    cache = cache_folder()
    cache.mkdir(parents=True, exist_ok=True)
    with _locked(cache / "lock"):
        root = _cached_kernel(cache) or _fetch_kernel(cache)
        version = _version(root)
        return Images(
            kernel=root / "boot" / f"vmlinuz-{version}",
            initramfs=_initramfs(cache, root, version),
            acpi_table=_acpi_table(cache, cpus, topology),
            modules=root / "lib" / "modules",
        )


def cache_folder() -> Path:
    """The rig's folder in the user's cache (XDG Base Directory Specification)."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hwtune-rig"


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _cached_kernel(cache: Path) -> Path | None:
    """The newest unpacked kernel; it appears under its name only when it is complete."""
    return max(cache.glob("linux-image-*"), default=None)


def _version(root: Path) -> str:
    return root.name.removeprefix("linux-image-")


def _fetch_kernel(cache: Path) -> Path:
    package = kernel_package()
    with tempfile.TemporaryDirectory(dir=cache, prefix="unpack-") as name:
        work = Path(name)
        root = work / package
        _run([tool("dpkg-deb"), "-x", str(download(package, work)), str(root)])
        _run([tool("depmod"), "-b", str(root), _version(root)])
        root.rename(cache / package)
    return cache / package


def _initramfs(cache: Path, root: Path, version: str) -> Path:
    """Busybox, the modules and guest/init.sh, as a compressed cpio archive (1.6 MB)."""
    digest = _digest(version, *_MODULES, (GUEST / "init.sh").read_text())
    target = cache / f"initramfs-{digest}.gz"
    if target.exists():
        return target
    with tempfile.TemporaryDirectory(dir=cache, prefix="initramfs-") as name:
        tree = Path(name)
        (tree / "bin").mkdir()
        (tree / "modules").mkdir()
        shutil.copy(tool("busybox"), tree / "bin" / "busybox")
        shutil.copy(GUEST / "init.sh", tree / "init")
        (tree / "init").chmod(0o755)
        files = _with_dependencies(root, version)
        for file in files:
            shutil.copy(file, tree / "modules")
        (tree / "modules" / "order").write_text("".join(f"{file.name}\n" for file in files))
        names = "\n".join(str(path.relative_to(tree)) for path in sorted(tree.rglob("*")))
        archive = _run([tool("cpio"), "-o", "-H", "newc", "--quiet"], cwd=tree, stdin=names.encode())
    _write(target, gzip.compress(archive, compresslevel=1))
    return target


def _with_dependencies(root: Path, version: str) -> list[Path]:
    """The modules' files in loading order. Lines of `modprobe --show-depends`: "insmod /…/overlay.ko "."""
    files: dict[Path, None] = {}
    for module in _MODULES:
        text = _run([tool("modprobe"), "-d", str(root), "-S", version, "--show-depends", module]).decode()
        for line in text.splitlines():
            kind, path, *_ = line.split()
            if kind == "insmod":
                files[Path(path)] = None
    return list(files)


def _acpi_table(cache: Path, cpus: int, topology: Topology) -> Path:
    source = ssdt(cpus, topology)
    target = cache / f"ssdt-{_digest(source)}.aml"
    if target.exists():
        return target
    with tempfile.TemporaryDirectory(dir=cache, prefix="ssdt-") as name:
        asl = Path(name) / "rig.asl"
        asl.write_text(source)
        _run([tool("iasl"), "-vs", "-we", str(asl)])
        _write(target, asl.with_suffix(".aml").read_bytes())
    return target


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def _write(target: Path, data: bytes) -> None:
    """Whole or not at all, so that an interrupted build leaves no half file behind."""
    partial = target.with_suffix(".partial")
    partial.write_bytes(data)
    partial.rename(target)


def _run(command: list[str], *, cwd: Path | None = None, stdin: bytes | None = None) -> bytes:
    done = subprocess.run(command, cwd=cwd, input=stdin, capture_output=True, check=False)
    if done.returncode != 0:
        output = (done.stderr or done.stdout).decode(errors="replace").strip()[-800:]
        raise RigError(f"{Path(command[0]).name} failed with status {done.returncode}: {output}")
    return done.stdout
