"""Whether a machine ended as it has to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from campaign.run import Run

Texts = Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What became of a case.

    Args:
        lost: what is not as it has to be, and why not; empty when all is well.
        yielded: whether something is left as somebody else has set it.
    """

    lost: tuple[str, ...]
    yielded: bool


def in_between(run: Run) -> tuple[str, ...]:
    """After the first attempts, the fault still there: what differs without anybody having been told.

    Whatever an error or a report has told of may come right later; for that the journal has to be there.
    """
    told = bool(run.errors or run.world.said or any(report.offline or report.failed for report in run.reports))
    lost = []
    for path, text in _differences(run):
        if run.said(path) or (told and run.world.journal.exists()):
            continue
        lost.append(f"{path}: {_change(run, path, text)}, nobody was told")
    return tuple(lost)


def at_the_end(run: Run) -> Verdict:
    """After the fault has gone and everything was tried again."""
    world = run.world
    lost = [f"{type(error).__name__}: {error}" for error in run.broken]
    written = world.written()
    final, yielded = world.kernel.state(), False
    for path, text in _differences(run):
        lost.append(f"{path}: {_change(run, path, text)}")
    twin = world.twin.state()
    for path in sorted(final.keys() | world.start.keys()):
        now, found = final.get(path), world.start.get(path)
        if now == found:
            if path in world.theirs and _taken(run, path):
                lost.append(f"{path}: somebody's {world.theirs[path][-1]!r} was overwritten with {now!r}")
            continue
        if now == twin.get(path) or now in world.theirs.get(path, ()):
            # A request that the kernel has clamped can be read nowhere: nothing tells that somebody made it.
            edit = now is not None and now.strip() == world.edited.get(path)
            if edit and path in written and not run.said(path):
                lost.append(f"{path}: {_change(run, path, now)} was left without a word")
            yielded = yielded or path in world.theirs or path in written
    if world.journal.exists() and not world.void:
        lost.append(f"a journal is left: {world.journal.read_text()[:200]!r}")
    return Verdict(lost=tuple(lost), yielded=yielded)


def _differences(run: Run) -> list[tuple[str, str | None]]:
    """Files that read neither as found, nor as without hwtune, nor as somebody has set them."""
    world = run.world
    final, twin = world.kernel.state(), world.twin.state()
    found = []
    for path in sorted(final.keys() | world.start.keys()):
        now = final.get(path)
        if path.endswith("/scaling_setspeed") and world.start.get(path) == "<unsupported>\n":
            continue  # the program's that `userspace` leaves the frequency to; nothing of it is hwtune's
        if now not in (world.start.get(path), twin.get(path), *world.theirs.get(path, ())):
            found.append((path, now))
    return found


def _taken(run: Run, path: str) -> bool:
    """Whether an edit that could be told from hwtune's own doing was undone.

    One that came in the middle of a write cannot be told, nor one that reads as hwtune has seen the file before.
    """
    return path in run.told_apart and run.told_apart[path] != run.world.start.get(path)


def _change(run: Run, path: str, now: str | None) -> str:
    world = run.world
    return (
        f"found {_shown(world.start.get(path))}, reads {_shown(now)}, without us {_shown(world.twin.state().get(path))}"
    )


def _shown(text: str | None) -> str:
    return "nothing" if text is None else repr(text.strip())
