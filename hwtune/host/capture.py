"""A machine's relevant files, walked, read and redacted, ready to be put into an archive."""

from __future__ import annotations

import errno
import glob
import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from hwtune.domain.errors import HostError
from hwtune.host.archive import Member
from hwtune.host.fs import FILE_BYTES, HostFS, LinkedFS
from hwtune.host.identity import find_secrets
from hwtune.host.manifest import MANIFEST, Manifest
from hwtune.host.places import CONFIG, CONFIG_LINE, CPU, NAMED_BY_PEOPLE, PLACES, REPEATS, Place, identifies
from hwtune.host.redaction import OSRELEASE, Redactor

# A machine of 1024 CPUs has 200,000 files here; what is above it is somebody's tree, not a kernel's.
_MOST_FILES = 250_000
_MOST_BYTES = 64 << 20
_MOST_LINKS = 40
_INSIDE = ("/proc/", "/sys/")


@dataclass(frozen=True, slots=True, kw_only=True)
class Capture:
    """What goes into the archive, the manifest among it."""

    members: tuple[Member, ...]
    manifest: Manifest


def capture(files: HostFS, *, version: str, superuser: bool, names: tuple[str, ...] = ()) -> Capture:
    """Read a machine, and take out what names it or its people.

    Args:
        files: the machine.
        version: of hwtune.
        superuser: whether it is read with root's rights.
        names: names of the host and of users that are to be taken out besides those that the machine's files tell.

    Raises:
        HostError: more files than a machine has.
    """
    walk = _Walk(files)
    walk.run()
    vocabulary = {part for path in walk.texts if path.startswith(f"{CPU}/") for part in path.split("/")}
    return _redacted(walk, Redactor(find_secrets(files, names), vocabulary), version=version, superuser=superuser)


def _redacted(walk: _Walk, redactor: Redactor, *, version: str, superuser: bool) -> Capture:
    members = {
        (path := redactor.path(found)): Member(
            path=path, text=redactor.text(found, walk.texts[found]), writable=found in walk.writable
        )
        for found in sorted(walk.texts)
    }
    there = {parent for path in walk.texts | walk.refused for parent in _and_above(path)}
    for found in sorted(walk.links):
        if walk.links[found] in there:  # what it leads to is in the capture
            path = redactor.path(found)
            members.setdefault(path, Member(path=path, target=redactor.path(walk.links[found])))
    links = sum(member.target is not None for member in members.values())
    manifest = Manifest(
        hwtune=version,
        superuser=superuser,
        files=len(members) - links,
        links=links,
        refused={redactor.path(path): name for path, name in sorted(walk.refused.items())},
        left_out={redactor.path(path): why for path, why in sorted(walk.left_out.items())},
        redactions=dict(sorted((+redactor.counts).items())),
    )
    said = Member(path=MANIFEST, text=manifest.model_dump_json(indent=1))
    return Capture(members=(said, *members.values()), manifest=manifest)


def _and_above(path: str) -> Iterator[str]:
    while path not in {"/", ""}:
        yield path
        path = posixpath.dirname(path)


@dataclass(slots=True)
class _Walk:
    """Everything that the places name, by its path without links.

    Args:
        files: the machine.
        texts: path → text.
        links: path → absolute path that it leads to.
        refused: path → errno's name.
        left_out: path → why.
        writable: paths of files that can be written.
    """

    files: HostFS
    texts: dict[str, str] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    writable: set[str] = field(default_factory=set)
    _depths: dict[str, int] = field(default_factory=dict)
    _bytes: int = 0

    def run(self) -> None:
        for place in PLACES:
            self._place(place)
        self._config()

    def _place(self, place: Place) -> None:
        for found in self.files.glob(place.pattern):
            path = self._without_links(found)
            if path is None or not path.startswith(_INSIDE):
                self.left_out[found] = "leads out of /proc and /sys"
            elif not identifies(posixpath.basename(found)):
                self._visit(path, place.depth)

    def _visit(self, path: str, depth: int) -> None:
        if depth <= self._depths.get(path, -1):
            return
        self._depths[path] = depth
        if len(self._depths) > _MOST_FILES or self._bytes > _MOST_BYTES:
            hint = f"more than {_MOST_FILES} files, or than {_MOST_BYTES >> 20} MiB of them: is this a machine's root?"
            raise HostError(path, "capture", errno=errno.EFBIG, hint=hint)
        try:
            text = self.files.read(path)
        except HostError as error:
            self.refused[path] = errno.errorcode.get(error.errno or 0, "EIO")
            return
        if text is not None:
            self._keep(path, text)
        elif depth > 0:
            for child in self.files.glob(f"{glob.escape(path)}/*"):
                if (target := self._link(child)) is not None:
                    self.links[child] = target
                elif identifies(posixpath.basename(child)):
                    self.left_out[child] = "identifies a device"
                elif posixpath.basename(child) == NAMED_BY_PEOPLE and self._belongs_to_a_device(path):
                    self.left_out[child] = "people name their mice and keyboards"
                elif posixpath.basename(child) != REPEATS:
                    self._visit(child, depth - 1)

    def _belongs_to_a_device(self, supply: str) -> bool:
        """Whether a battery is that of a device beside the machine (Documentation/ABI/testing/sysfs-class-power)."""
        try:
            return self.files.read(f"{supply}/scope") == "Device"
        except HostError:
            return True

    def _keep(self, path: str, text: str) -> None:
        if re.search(r"[\x01-\x08\x0b-\x1f\x7f\ufffd]", text):
            self.left_out[path] = "not text"
            return
        self._bytes += len(text)
        self.texts[path] = text
        if len(text.encode()) >= FILE_BYTES - 1:
            self.left_out[path] = f"all behind the first {FILE_BYTES} bytes"
        if self.files.writable(path):
            self.writable.add(path)

    def _config(self) -> None:
        """The kernel's configuration, as far as it is about power; lines hold nothing but names and letters."""
        path = CONFIG.format(release=self.texts.get(OSRELEASE, ""))
        try:
            text = self.files.read(path)
        except HostError:
            return
        kept = [line for line in (text or "").splitlines() if CONFIG_LINE.fullmatch(line)]
        if kept:
            self.texts[path] = "\n".join(kept)

    def _link(self, path: str) -> str | None:
        return self.files.link_target(path) if isinstance(self.files, LinkedFS) else None

    def _without_links(self, path: str) -> str | None:
        """The same place by a path that has no link in it, each one remembered; None where links go in circles."""
        for _ in range(_MOST_LINKS):
            parts = path.split("/")
            for end in range(2, len(parts) + 1):
                head = "/".join(parts[:end])
                if (target := self._link(head)) is not None:
                    self.links[head] = target
                    path = posixpath.normpath("/".join([target, *parts[end:]]))
                    break
            else:
                return path
        return None
