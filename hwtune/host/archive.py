"""A machine's files as one tar archive, laid out from `/`: written alike every time, read with suspicion.

Nothing of an archive is ever unpacked to disk. What a kernel would not have is ignored (devices, pipes, names with
`..`), what no machine is large enough for is refused, and a path that leads in circles is absent.
"""

from __future__ import annotations

import bz2
import errno
import gzip
import io
import lzma
import os
import posixpath
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from hwtune.domain.errors import HostError
from hwtune.host.fs import FILE_BYTES
from hwtune.host.manifest import MANIFEST, parse_manifest

_MANIFEST_BYTES = 16 << 20
# A capture of 1024 CPUs has 200,000 entries and unpacks to 150 MB, most of it padding.
_UNPACKED_BYTES = 512 << 20
_TEXT_BYTES = 128 << 20
_ENTRIES = 400_000
_NAME_CHARS = 1024

_UNPACK = ((b"\x1f\x8b", gzip.open), (b"BZh", bz2.open), (b"\xfd7zXZ\0", lzma.open))


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One entry of an archive that is written: a file's text, or a link's target (an absolute path)."""

    path: str
    text: str = ""
    target: str | None = None
    writable: bool = False


@dataclass(slots=True, kw_only=True)
class Archive:
    """What an archive holds.

    Args:
        texts: path → text.
        links: path → absolute path that it leads to.
        refused: path → errno that the kernel answered with when it was captured.
        names: directory → names in it; the root directory is the empty string.
    """

    texts: dict[str, str] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    refused: dict[str, int] = field(default_factory=dict)
    names: dict[str, set[str]] = field(default_factory=lambda: {"": set()})


def read_archive(path: Path) -> Archive:
    """Everything of a tar archive, compressed by gzip, bzip2, xz or not at all.

    Raises:
        HostError: too large for a machine, or a damaged manifest.
        Exception: whatever tarfile and the decompressors raise for what is not an archive.
    """
    return _Reading(path).read()


class _Reading:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._archive = Archive()
        self._entries = 0
        self._text_bytes = 0

    def read(self) -> Archive:
        with self._path.open("rb") as file:
            magic = file.read(6)
            file.seek(0)
            unpack = next((unpack for start, unpack in _UNPACK if magic.startswith(start)), None)
            limited = _Limited(self._path, file if unpack is None else unpack(file))
            # A stream never goes back, so an offset that points backwards cannot make it go round for ever.
            with tarfile.open(fileobj=limited, mode="r|", encoding="utf-8", errors="replace") as tar:
                for member in tar:
                    self._add(tar, member)
        return self._archive

    def _add(self, tar: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        path = _inside(member.name)
        if path is None:
            return
        if path == MANIFEST and member.isfile():
            for refused, name in parse_manifest(
                str(self._path), self._text(tar, member, _MANIFEST_BYTES)
            ).refused.items():
                self._refuse(refused, name)
        elif member.isfile():
            self._enter(path)
            self._archive.texts[path] = self._text(tar, member, FILE_BYTES).rstrip()
        elif member.issym():
            self._link(path, posixpath.normpath(posixpath.join(posixpath.dirname(path), member.linkname)))
        elif member.islnk():
            self._link(path, _inside(member.linkname))
        elif member.isdir():
            self._enter(path)
            self._archive.names.setdefault(path, set())

    def _text(self, tar: tarfile.TarFile, member: tarfile.TarInfo, most: int) -> str:
        content = tar.extractfile(member)
        read = b"" if content is None else content.read(most)
        self._text_bytes += len(read)
        if self._text_bytes > _TEXT_BYTES:
            raise _too_large(self._path)
        return read.decode("utf-8", "replace")

    def _link(self, path: str, target: str | None) -> None:
        if target is not None and target.startswith("/") and len(target) <= _NAME_CHARS:
            self._enter(path)
            self._archive.links[path] = target

    def _refuse(self, name: str, reason: str) -> None:
        path, code = _inside(name), getattr(errno, reason, None)
        if path is not None and isinstance(code, int):
            self._enter(path)
            self._archive.refused[path] = code

    def _enter(self, path: str) -> None:
        """Make the path and all directories above it known; an archive need not list them."""
        while path:
            parent, _, name = path.rpartition("/")
            known = self._archive.names.setdefault(parent, set())
            if name in known:
                return
            known.add(name)
            self._entries += 1
            if self._entries > _ENTRIES:
                raise _too_large(self._path)
            path = parent


class _Limited(io.RawIOBase):
    """A stream that refuses to give more than a machine could have filled."""

    def __init__(self, path: Path, source: object) -> None:
        self._path = path
        self._source = source
        self._left = _UNPACKED_BYTES

    def read(self, size: int = -1) -> bytes:
        content: bytes = self._source.read(size)  # type: ignore[attr-defined]
        self._left -= len(content)
        if self._left < 0:
            raise _too_large(self._path)
        return content


def _too_large(path: Path) -> HostError:
    return HostError(str(path), "open root", errno=errno.EFBIG, hint="no machine has that much to say: not a capture")


def _inside(name: str) -> str | None:
    """The path in the machine, None for a name that leads out of it or that no kernel has."""
    if len(name) > _NAME_CHARS or not name.isprintable():
        return None
    parts = [part for part in name.split("/") if part not in {"", "."}]
    return None if not parts or ".." in parts else "/" + "/".join(parts)


def write_archive(stream: BinaryIO, members: Iterable[Member]) -> None:
    """Write members, by path; the same members are always the same bytes."""
    with (
        gzip.GzipFile(filename="", mode="wb", fileobj=stream, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):
        for member in sorted(members, key=lambda member: member.path):
            info = tarfile.TarInfo(member.path.lstrip("/"))
            info.mode = 0o644 if member.writable else 0o444
            content = (member.text + "\n" if member.text else "").encode()
            if member.target is not None:
                info.type, info.mode = tarfile.SYMTYPE, 0o777
                info.linkname = os.path.relpath(member.target, posixpath.dirname(member.path))
                content = b""
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
