"""What goes wrong in a run, drawn so that it surely does: its place is counted in the same run without it."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from fake.faults import Fault, Killed
from fake.kernel import FakeKernel

from campaign import draw
from campaign.draw import Moment
from campaign.run import Run
from campaign.world import World


@dataclass(frozen=True, slots=True, kw_only=True)
class Length:
    """What the same run does without a fault.

    Args:
        reads: of files, by all of it.
        writes: by all of it.
        written: paths, one for each of these writes.
        applying: writes before anything is put back.
        syncs: calls of `fsync`.
        syncs_applying: those before anything is put back.
    """

    reads: int
    writes: int
    written: tuple[str, ...]
    applying: int
    syncs: int
    syncs_applying: int


Arm = Callable[[Random, Run, Length], Callable[[], bool]]
"""Prepares a fault; what it returns tells afterwards whether it happened."""

ERRNOS = (
    errno.EINVAL,
    errno.EBUSY,
    errno.EACCES,
    errno.EPERM,
    errno.EIO,
    errno.EAGAIN,
    errno.EINTR,
    errno.ENODEV,
    errno.ENOSPC,
    errno.EROFS,
)


def refusal(operation: str, code: int) -> Arm:
    """An errno on some call: once, a few times, or from then on; anywhere, or of one file."""

    def arm(rng: Random, run: Run, length: Length) -> Callable[[], bool]:
        times = rng.choice((1, 1, 3, None))
        skip, pattern = rng.randrange(length.reads if operation == "read" else length.writes), "*"
        if operation == "write" and rng.random() < 0.5:
            pattern = length.written[skip]
            skip = rng.randrange(length.written.count(pattern))
        fault = Fault(operation=operation, pattern=pattern, skip=skip, times=times, errno=code)  # type: ignore[arg-type]
        return _strikes(run.world, fault)

    return arm


def killed(when: str, where: str) -> Arm:
    """`kill -9` just before or after a write, of the settings or of putting back."""

    def arm(rng: Random, run: Run, length: Length) -> Callable[[], bool]:
        first, last = (0, length.applying) if where == "apply" else (length.applying, length.writes)
        skip = rng.randrange(first, last)
        return _strikes(run.world, Fault(skip=skip, action=when))  # type: ignore[arg-type]

    return arm


def killed_twice(rng: Random, run: Run, length: Length) -> Callable[[], bool]:
    """`kill -9` while setting, and again while restoring."""
    first = rng.randrange(length.applying)
    second = first + 1 + rng.randrange(max(length.writes - length.applying, 1))
    _strikes(run.world, Fault(skip=second, action=rng.choice(("kill_before", "kill_after"))))
    return _strikes(run.world, Fault(skip=first, action=rng.choice(("kill_before", "kill_after"))))


def _strikes(world: World, fault: Fault) -> Callable[[], bool]:
    world.kernel.faults.append(fault)
    return lambda: fault.met > 0


def _befalls(
    run: Run, rng: Random, length: Length, moment: Callable[[], None], *, first: int = 0
) -> Callable[[], bool]:
    """Between two settings, not before that of number `first`, or just before some write."""
    happened: list[bool] = []

    def happen() -> None:
        happened.append(True)
        moment()

    def happen_before() -> None:
        happen()
        run.world.start = run.world.kernel.state()  # hwtune has touched nothing yet, and finds it so

    if rng.random() < 0.5:
        number = rng.randint(first, len(run.steps))
        run.moments[number] = happen if number else happen_before
    else:
        fault = Fault(skip=rng.randrange(length.writes), action=lambda _kernel: happen())
        run.world.kernel.faults.append(fault)
    return lambda: bool(happened)


def both(run: Run, moment: Moment) -> Callable[[], None]:
    """A moment of the machine and of its twin."""
    return lambda: run.world.happens(moment)


def unplugged(rng: Random, run: Run, length: Length) -> Callable[[], bool]:
    """CPUs go, and come back when hwtune has ended."""
    away, back = draw.unplug(rng, run.world.kernel)
    run.later.append(back)
    return _befalls(run, rng, length, both(run, away))


def replugged(rng: Random, run: Run, length: Length) -> Callable[[], bool]:
    """CPUs go and come back at once."""
    away, back = draw.unplug(rng, run.world.kernel)

    def blink(kernel: FakeKernel) -> None:
        away(kernel)
        back(kernel)

    return _befalls(run, rng, length, both(run, blink))


def suspended(rng: Random, run: Run, length: Length) -> Callable[[], bool]:
    """To RAM and back."""
    world = run.world

    def sleep() -> None:
        world.happens(FakeKernel.suspend)
        world.suspended_s += 3600.0

    return _befalls(run, rng, length, sleep)


def limited(rng: Random, run: Run, length: Length) -> Callable[[], bool]:
    """A firmware limit comes, and goes when hwtune has ended."""
    khz = draw.firmware_khz(rng, run.world.kernel)
    run.later.append(lambda kernel: kernel.firmware_limit(None))
    # A request that the firmware hides when hwtune comes cannot be known to it.
    asked = any(policy.max_request < policy.top for policy in run.world.kernel.policies)
    return _befalls(run, rng, length, both(run, lambda kernel: kernel.firmware_limit(khz)), first=int(asked))


def limited_for_a_while(rng: Random, run: Run, length: Length) -> Callable[[], bool]:
    """A firmware limit that comes and goes in the middle."""
    khz = draw.firmware_khz(rng, run.world.kernel)
    at = sorted(rng.sample(range(length.writes), min(2, length.writes)))
    come = Fault(skip=at[0], action=lambda _k: run.world.happens(lambda kernel: kernel.firmware_limit(khz)))
    go = Fault(skip=at[-1], action=lambda _k: run.world.happens(lambda kernel: kernel.firmware_limit(None)))
    run.world.kernel.faults += [come, go]
    run.later.append(lambda kernel: kernel.firmware_limit(None))
    return lambda: come.met > 0


def ignored(rng: Random, run: Run, length: Length) -> Callable[[], bool]:
    """Limits are accepted, and not obeyed."""

    def ignore(kernel: FakeKernel) -> None:
        kernel.ignore_limits = True

    return _befalls(run, rng, length, both(run, ignore))


def edited(rng: Random, run: Run, length: Length) -> Callable[[], bool]:
    """Somebody else sets something."""
    world = run.world

    def edit() -> None:
        world.edit(draw.edits(rng, world.kernel, 2) or draw.edits(rng, world.kernel, 4))

    return _befalls(run, rng, length, edit)


def edited_at_last(rng: Random, run: Run, _length: Length) -> Callable[[], bool]:
    """Somebody else sets something after the last setting: what hwtune has never seen there is surely not its own."""
    world = run.world

    def edit() -> None:
        edits = dict(draw.edits(rng, world.kernel, 3))
        world.edit(tuple(edits.items()))
        for path, texts in world.theirs.items():
            text = "" if texts[-1] is None else texts[-1].strip()
            cooled = any(policy.held_max for policy in world.kernel.policies)
            if text == edits.get(path) and text not in world.seen(path) and not cooled:
                run.told_apart[path] = texts[-1]

    run.moments[len(run.steps)] = edit
    return lambda: bool(world.theirs)


def no_space(rng: Random, run: Run, length: Length) -> Callable[[], bool]:
    """The file system of the journal is full at some save."""
    disk, struck = run.world.disk, []

    def strike(_fd: int) -> None:
        struck.append(True)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    disk.strike, disk.strike_at = strike, rng.randrange(length.syncs)
    return lambda: bool(struck)


def cut_while_saving(rng: Random, run: Run, length: Length) -> Callable[[], bool]:
    """`kill -9` in the middle of a save, with a part of the file written."""
    world, struck, share = run.world, [], rng.random()

    def strike(fd: int) -> None:
        struck.append(True)
        if os.path.isfile(f"/proc/self/fd/{fd}"):
            os.ftruncate(fd, int(os.fstat(fd).st_size * share))
        world.dead = True
        raise Killed

    world.disk.strike, world.disk.strike_at = strike, rng.randrange(length.syncs)
    return lambda: bool(struck)


def journal_cut(rng: Random, run: Run, length: Length) -> Callable[[], bool]:
    """The process is killed, and the journal is truncated or has a flipped bit; later somebody has the whole one."""
    world, fault = run.world, Fault(skip=rng.randrange(length.applying), action="kill_after")
    world.kernel.faults.append(fault)

    def spoil() -> None:
        if not world.journal.exists():
            return
        whole = world.journal.read_bytes()
        spoilt, place = bytearray(whole), rng.randrange(len(whole))
        if rng.random() < 0.5:
            del spoilt[place:]
        else:
            spoilt[place] ^= 1 << rng.randrange(8)
        world.journal.write_bytes(spoilt)
        run.repair = lambda: world.journal.write_bytes(whole) if world.journal.exists() else None

    run.afterwards = spoil
    return lambda: fault.met > 0


def rebooted(rng: Random, run: Run, length: Length) -> Callable[[], bool]:
    """The machine goes down in the middle: everything is as after power-on, and the journal is another boot's."""
    world, fault = run.world, Fault(skip=rng.randrange(length.writes), action="kill_after")
    world.kernel.faults.append(fault)

    def reboot() -> None:
        world.happens(FakeKernel.reboot)
        world.start = world.kernel.state()
        world.void = True

    run.afterwards = reboot
    return lambda: fault.met > 0


KINDS: dict[str, Arm] = {
    **{f"{errno.errorcode[code]} on a write": refusal("write", code) for code in ERRNOS},
    **{
        f"{errno.errorcode[code]} on a read": refusal("read", code)
        for code in (errno.EIO, errno.EBUSY, errno.EAGAIN, errno.EINVAL, errno.EACCES, errno.ENODEV)
    },
    "killed before a write": killed("kill_before", "apply"),
    "killed after a write": killed("kill_after", "apply"),
    "killed before a write of restore": killed("kill_before", "restore"),
    "killed after a write of restore": killed("kill_after", "restore"),
    "killed twice": killed_twice,
    "killed while saving the journal": cut_while_saving,
    "no space for the journal": no_space,
    "journal cut or flipped": journal_cut,
    "reboot": rebooted,
    "somebody's edit": edited,
    "somebody's edit at last": edited_at_last,
    "CPUs go": unplugged,
    "CPUs go and come": replugged,
    "suspend": suspended,
    "firmware limit": limited,
    "firmware limit for a while": limited_for_a_while,
    "limits ignored": ignored,
}
