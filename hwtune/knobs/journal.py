"""The record of what to put back: written before the first change, and kept until everything is back.

`run_dir/journal.json` is on a file system that a reboot empties, as a reboot undoes cpufreq; a journal of another boot
is void all the same. Of this boot it is the older truth: whoever comes next adds to it and never replaces it.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from hwtune.domain.errors import JournalError, ParseError
from hwtune.host.fs import HostFS, LinuxFS
from hwtune.knobs import durable

_NAME = "journal.json"
_BOOT_ID = "/proc/sys/kernel/random/boot_id"


def _inside(path: str) -> str:
    """A tree's journal must not lead out of the tree."""
    if ".." in path.split("/"):
        raise ValueError("a path must not go up")
    return path


Attribute = Annotated[str, AfterValidator(_inside)]


class Owner(BaseModel):
    """A process, told from a later one of the same number by when it started."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    pid: int
    start_ticks: int


class Journal(BaseModel):
    """What was found, and what is ours.

    Attributes:
        schema_version: of this form.
        boot_id: of the boot it belongs to, None where the machine has none (a tree).
        owner: who writes.
        verb: on whose behalf.
        state: `active` while its owner may still change things, `kept` when the settings are meant to stay.
        original: path → text before anything was changed.
        ours: path → the texts that are ours: what was asked for last, and what the kernel made of it. Written ahead
            of every change, so that after a crash the value is one of these or the one before.
        suspended_s: how long the machine had slept since its boot when this was written; None where it is not known.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = 1
    boot_id: str | None
    owner: Owner
    verb: str
    state: Literal["active", "kept"]
    original: dict[Attribute, str]
    ours: dict[Attribute, tuple[str, ...]]
    suspended_s: float | None = None


class _Signed(Journal):
    """A journal as it is in its file: what one flipped bit would have us write is not written."""

    digest: str


def _digest(journal: Journal) -> str:
    return hashlib.sha256(journal.model_dump_json(exclude={"digest"}).encode()).hexdigest()


def boot_id(files: HostFS) -> str | None:
    """The kernel's random name of this boot."""
    return files.read(_BOOT_ID)


def parse_start_ticks(text: str) -> int:
    """When a process started, in clock ticks since boot: field 22 of `/proc/<pid>/stat`.

        3411 (python3) S 3390 3411 3390 34816 3411 4194304 5011 0 0 0 21 4 0 0 20 0 1 0 128671 …

    The command, field 2, may hold blanks and parentheses. Documentation: proc(5).

    Raises:
        ParseError: when there are not that many fields.
    """
    try:
        return int(text.rpartition(")")[2].split()[19])
    except (IndexError, ValueError) as error:
        raise ParseError("/proc/<pid>/stat", text) from error


def process(pid: int) -> Owner | None:
    """The process of that number on the running machine, None when there is none."""
    text = LinuxFS("/").read(f"/proc/{pid}/stat")
    return None if text is None else Owner(pid=pid, start_ticks=parse_start_ticks(text))


def this_process() -> Owner:
    """Ourselves."""
    return process(os.getpid()) or Owner(pid=os.getpid(), start_ticks=0)


def held_by_another(journal: Journal) -> bool:
    """Whether an active journal belongs to a process that lives and is not this one."""
    own = journal.owner.pid == os.getpid()
    return journal.state == "active" and not own and process(journal.owner.pid) == journal.owner


def load(run_dir: Path, files: HostFS) -> Journal | None:
    """The journal of this boot, None when there is none.

    Raises:
        JournalError: it cannot be read; it is left where it is.
        PermissionDenied: it is not ours to read.
    """
    path = run_dir / _NAME
    text = durable.load(path, hint=_hint(path))
    if text is None:
        return None
    try:
        journal = _Signed.model_validate_json(text)
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(str(part) for part in problem["loc"])
        raise JournalError(
            f"{path} is not a journal: {where + ': ' if where else ''}{problem['msg']}", hint=_hint(path)
        ) from error
    if journal.digest != _digest(journal):
        raise JournalError(f"{path} is damaged: its digest does not fit", hint=_hint(path))
    now = boot_id(files)
    if now is None and journal.boot_id is not None:
        raise JournalError(f"{path} may be this boot's or another's: {_BOOT_ID} cannot be read", hint=_hint(path))
    # One that was written when the boot was not told may be of this one: what is not ours any more is left anyway.
    return Journal(**journal.model_dump(exclude={"digest"})) if journal.boot_id in (None, now) else None


def save(run_dir: Path, journal: Journal) -> None:
    """Put the journal on its file system for good.

    Raises:
        JournalError: no space, a read-only file system.
        PermissionDenied: no right to write there.
    """
    signed = _Signed(**journal.model_dump(), digest=_digest(journal))
    durable.save(run_dir / _NAME, signed.model_dump_json(indent=1))


def remove(run_dir: Path) -> None:
    """Forget: everything is back, or belongs to others.

    Raises:
        JournalError: when the file cannot be removed.
    """
    durable.remove(run_dir / _NAME)


def baseline(run_dir: Path, files: HostFS) -> Mapping[str, str]:
    """What "default" means: the texts of this boot's journal, empty when nothing was changed yet.

    Raises:
        JournalError: see `load`.
    """
    journal = load(run_dir, files)
    return {} if journal is None else journal.original


def _hint(path: Path) -> str:
    return f"look at {path}; once it is moved away, `hwtune reset` goes to hardware defaults, as does a reboot"
