"""What a guest needs of the host when its root is memory: an interpreter and hwtune without what only learning needs.

The 9p root does not survive suspend to RAM (its device is reset and the kernel's 9p cannot take that), so a machine
that is to sleep carries its files in the initramfs, under the host's paths.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
import subprocess
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path

from rig.errors import RigError
from rig.packages import tool

# What the verbs import, `tune` included. Not numpy and torch: half a gigabyte that only simulating and learning need.
_DISTRIBUTIONS = ("pydantic", "typer", "psutil", "pyperf")
# Of the standard library what no program needs: 200 of its 240 MB.
_LEFT_OUT = re.compile(
    r"(site-packages|_tkinter.*|_test.*|test|tests|idlelib|tkinter|turtledemo|ensurepip|lib2to3|distutils|pydoc_data|config-.*|.*\.opt-\d\.pyc)"
)


def carried_files(python: Path, scripts: Path) -> list[Path]:
    """Every file, folder and symbolic link to carry, as absolute paths of the host; what contains comes before.

    Args:
        python: The interpreter that the guest will use; its standard library must be the running one's.
        scripts: A folder of files that the guest will run.
    """
    program = importlib.util.find_spec("hwtune")
    if program is None or program.origin is None:
        raise RigError("the environment that starts the rig has no hwtune to carry")
    standard = [Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib")]
    environment = python.parents[1]
    wanted = [
        *(python, python.parent / "hwtune", environment / "pyvenv.cfg"),
        *(file for folder in {*standard, Path(program.origin).parent, scripts} for file in _files(folder)),
        *(file for name in _DISTRIBUTIONS for file in _distribution(name, set())),
        *(path for path in Path(sysconfig.get_path("purelib")).glob("*.pth") if not _imports(path)),
    ]
    present = [path for path in wanted if path.exists()]
    libraries = _libraries([python, *(path for path in present if path.suffix == ".so")])
    carried: dict[Path, None] = {}
    for path in (*present, *libraries):
        carried.update(dict.fromkeys(_with_parents(path)))
    return list(carried)


def _imports(path: Path) -> bool:
    """Whether a .pth file does more than name folders: what it would import may be left behind (site module)."""
    return any(line.startswith(("import ", "import\t")) for line in path.read_text().splitlines())


def _files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if _LEFT_OUT.fullmatch(path.name):
            continue
        if path.is_dir() and not path.is_symlink():
            yield from _files(path)
        else:
            yield path


def _distribution(name: str, seen: set[str]) -> Iterator[Path]:
    """The files of an installed distribution and of everything it requires."""
    if name in seen:
        return
    seen.add(name)
    try:
        distribution = importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        return  # a requirement of another platform
    for file in distribution.files or ():
        yield Path(str(file.locate()))
    for requirement in distribution.requires or ():
        if "extra ==" not in requirement and (match := re.match(r"[A-Za-z0-9._-]+", requirement)):
            yield from _distribution(match[0], seen)


def _libraries(binaries: Iterable[Path]) -> list[Path]:
    """Shared libraries and the loader. Lines of `ldd`: "libm.so.6 => /lib/x86_64-linux-gnu/libm.so.6 (0x00007f01)"."""
    text = subprocess.run([tool("ldd"), *binaries], capture_output=True, text=True, check=False).stdout
    return sorted({Path(path) for path in re.findall(r"(/\S+) \(0x", text)})


def _with_parents(path: Path) -> list[Path]:
    """The path as an archive needs it: the folders above it, and where one is a symbolic link also where that leads."""
    found: list[Path] = []
    here = Path("/")
    parts = list(path.parts[1:])
    while parts:
        part = parts.pop(0)
        if part == "..":
            here = here.parent
            continue
        here /= part
        found.append(here)
        if here.is_symlink():
            target = Path(here.readlink())
            parts = [*target.parts, *parts]
            here = here.parent
            if target.is_absolute():
                here, parts = Path("/"), parts[1:]
    return found
