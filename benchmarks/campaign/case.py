"""One case of the campaign: drawn, run without its fault to know how long it is, run with it, judged."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from random import Random
from typing import Literal

from campaign import draw
from campaign.faults import KINDS, Length
from campaign.judge import at_the_end, in_between
from campaign.run import Run
from campaign.world import Edit, World, scratch
from hwtune.domain.errors import HwtuneError
from hwtune.domain.knob import Setting
from hwtune.knobs import extra

from fake.machines import MACHINES  # isort: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What happened in one case.

    Args:
        number: of the case; with the seed it says everything about it.
        machine: of `fake.machines`.
        kind: of fault.
        lost: see `judge.Verdict`.
        yielded: see `judge.Verdict`.
        restore_s: the longest time that putting back took, with the waiting it asked for.
        waited_s: that waiting alone.
    """

    number: int
    machine: str
    kind: str
    lost: tuple[str, ...]
    yielded: bool
    restore_s: float
    waited_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scene:
    machine: str
    earlier: tuple[Edit, ...]
    limit_khz: int | None
    keep: bool
    on_foreign: Literal["stop", "yield"]
    wanted: tuple[str, ...]
    steps: tuple[Setting, ...]


def play(
    seed: int,
    number: int,
    machines: Sequence[str],
    under: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> Case | None:
    """One case; None when its machine has no knobs, or its fault did not happen.

    Args:
        seed: of the campaign.
        number: of the case.
        machines: taken in turn.
        under: holds while the case is run with its fault.
    """
    rng = Random(f"{seed}/{number}")
    scene = _scene(rng, machines[number % len(machines)])
    if scene is None:
        return None
    kind = rng.choice(tuple(KINDS))
    length = _length(scene)
    if length.applying in (0, length.writes):
        return None  # everything was so already
    with scratch() as run_dir:
        world = World(scene.machine, scene.earlier, run_dir, scene.limit_khz)
        run = Run(world, keep=scene.keep, on_foreign=scene.on_foreign, wanted=scene.wanted)
        run.steps = scene.steps
        happened = KINDS[kind](rng, run, length)
        with under():
            lost = _through(run)
        if not happened():
            return None
        verdict = at_the_end(run)
        return Case(
            number=number,
            machine=scene.machine,
            kind=kind,
            lost=(*lost, *verdict.lost),
            yielded=verdict.yielded,
            restore_s=run.restore_s,
            waited_s=run.waited_s,
        )


def _through(run: Run) -> tuple[str, ...]:
    """The run, what follows it at once, and what follows when the fault has gone; what was hidden in between."""
    world = run.world
    run.work()
    run.afterwards()
    run.restore()
    lost = in_between(run)
    world.kernel.faults.clear()
    run.repair()
    for moment in run.later:
        world.happens(moment)
    run.restore()
    return lost


def _scene(rng: Random, machine: str) -> _Scene | None:
    kernel = MACHINES[machine]()
    limit_khz = draw.firmware_khz(rng, kernel) if rng.random() < 0.1 else None
    earlier = draw.edits(rng, kernel, 4) if limit_khz is None else ()
    wanted = rng.choice(((), (), extra.WORDS))
    with scratch() as run_dir:
        run = Run(World(machine, earlier, run_dir, limit_khz))
        try:
            steps = draw.settings(rng, run.backend(wanted))
        except HwtuneError:
            return None
    return _Scene(
        machine=machine,
        earlier=earlier,
        limit_khz=limit_khz,
        keep=rng.random() < 0.3,
        on_foreign=rng.choice(("stop", "yield")),
        wanted=wanted,
        steps=steps,
    )


def _length(scene: _Scene) -> Length:
    """How long the run is without a fault, which then ends as it has to or is a fault of its own."""
    with scratch() as run_dir:
        world = World(scene.machine, scene.earlier, run_dir, scene.limit_khz)
        run = Run(world, keep=scene.keep, on_foreign=scene.on_foreign, wanted=scene.wanted)
        run.steps = scene.steps
        reads, writes = world.calls("read"), world.calls("write")
        begun: list[tuple[int, int]] = []
        run.restoring = lambda: begun.append((writes.met, world.disk.calls))
        run.work()
        run.restore()
        written = [path for operation, path, _, _ in world.kernel.log if operation == "write"]
        applying, syncs_applying = begun[0] if begun else (0, 0)
        return Length(
            reads=reads.met,
            writes=writes.met,
            written=tuple(written[: writes.met]),
            applying=applying,
            syncs=world.disk.calls,
            syncs_applying=syncs_applying,
        )
