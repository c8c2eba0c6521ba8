"""Putting a sweep together from what the options and the machine say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from hwtune.cli.command import Command
from hwtune.cli.host import OpenHost, open_knobs, open_transaction
from hwtune.cli.ours import turnable
from hwtune.cli.problem import choose_knobs
from hwtune.cli.record import fingerprint
from hwtune.cli.signals import Terminated, exit_status
from hwtune.cli.sweep_progress import SweepProgress
from hwtune.domain.errors import Unsupported, UsageError
from hwtune.domain.knob import KnobSpace
from hwtune.knobs.transaction import Transaction
from hwtune.sensors.collector import Collector
from hwtune.sensors.energy import EnergySource
from hwtune.sweep import Sweep
from hwtune.workload.command import CommandWorkload
from hwtune.workload.grid import Grid, build_grid
from hwtune.workload.sweep_table import Origin, one_line
from hwtune.workload.table_file import TableFile

# Knobs whose numbers mean something to every reader of a table; the others are swept when they are named.
_SWEPT_ROLES = ("frequency", "memory_frequency", "active_cpus", "power_cap")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What the command line asks for."""

    command: Command
    out: Path | None
    label: str | None
    knobs: tuple[str, ...] | None
    levels: int | None
    settings: int | None
    passes: int
    seed: int


@dataclass(slots=True, kw_only=True)
class Sweeping:
    """A sweep with everything it stands on, and how it ended.

    Args:
        sweep: the loop.
        grid: the settings it visits.
        space: the swept knobs.
        table: where rows go.
        passes: how often every setting is visited.
        energy: where energy figures come from.
        label: the work, as one would type it.
        transaction: what it writes through.
        work: what is measured.
        before: path → text of every attribute at the start.
        rows_before: rows of earlier, interrupted sweeps.
        restored: whether every attribute reads as at the start, once everything is closed.
    """

    sweep: Sweep
    grid: Grid
    space: KnobSpace
    table: TableFile
    passes: int
    energy: EnergySource
    label: str
    transaction: Transaction
    work: CommandWorkload
    before: Mapping[str, str]
    rows_before: int
    restored: bool = True

    def run(self) -> int:
        """Measure; 0, or the exit status of the signal that ended it early."""
        try:
            self.sweep.run()
        except (KeyboardInterrupt, Terminated) as ending:
            return exit_status(ending)
        return 0

    def look_again(self) -> None:
        """Compare the machine with how it was found, behind the end of the transaction."""
        self.restored = self.transaction.is_back(self.before)


@contextmanager
def open_sweep(opened: OpenHost, wish: Wish, watcher: SweepProgress) -> Iterator[Sweeping]:
    """Everything a sweep needs, undone in reverse when it ends. A dry run takes no lock and enters no transaction.

    Raises:
        Unsupported: no cpufreq, or no energy sensor.
        UsageError: unknown knobs, a grid too small or too large, files of another sweep.
        Locked: another writer holds the machine, or another tuner is at work.
        PermissionDenied: no right to turn these knobs.
    """
    host = opened.host
    backend = open_knobs(opened, wish.knobs or ())
    collector = Collector(host)
    if collector.energy.quality == "none" and not opened.dry:
        raise Unsupported(
            "every row of a table needs its energy, and this machine offers no energy sensor",
            hint=f"{collector.energy.why}; `hwtune tune --objective time` works without one",
        )
    space = turnable(opened, backend, _swept(backend.space, wish), named=wish.knobs is not None)
    grid = build_grid(backend.space, space, levels=wish.levels, settings=wish.settings, seed=wish.seed)
    label = one_line(wish.label or wish.command.label(opened))
    origin = _origin(opened, wish, collector.energy, grid, backend.space, label)
    with ExitStack() as stack:
        ended = stack.enter_context(ExitStack())  # closed behind the transaction
        transaction = open_transaction(opened, backend, verb="sweep", on_foreign=opened.config.tune.on_foreign)
        if not opened.dry:
            stack.enter_context(transaction)
        table = stack.enter_context(TableFile(wish.out or _default_path(opened, wish), origin, space.knobs))
        work = wish.command.work(opened, collector)
        stack.enter_context(watcher)
        sweeping = Sweeping(
            sweep=Sweep(
                whole=backend.space,
                space=space,
                grid=grid,
                passes=wish.passes,
                seed=wish.seed,
                transaction=transaction,
                work=work,
                table=table,
                now_ns=host.clock.monotonic_ns,
                watcher=watcher,
            ),
            grid=grid,
            space=space,
            table=table,
            passes=wish.passes,
            energy=collector.energy,
            label=label,
            transaction=transaction,
            work=work,
            before=backend.snapshot(),
            rows_before=len(table.rows),
        )
        ended.callback(sweeping.look_again)
        yield sweeping


def _swept(whole: KnobSpace, wish: Wish) -> KnobSpace:
    if wish.knobs is not None:
        return choose_knobs(whole, wish.knobs)
    names = tuple(knob.name for knob in whole.knobs if knob.role in _SWEPT_ROLES)
    if not names:
        raise UsageError(
            "no knob is swept unless it is named", hint=f"name some with --knobs; there are: {', '.join(whole.names)}"
        )
    return choose_knobs(whole, names)


def _default_path(opened: OpenHost, wish: Wish) -> Path:
    """In the working directory, named after the program that runs."""
    if opened.simulated is not None:
        name = f"{opened.host.name}-{opened.workload}".replace(" ", "-")
    else:
        name = Path(wish.command.words[0]).name
    return Path(f"sweep-{name}.csv")


def _origin(opened: OpenHost, wish: Wish, energy: EnergySource, grid: Grid, whole: KnobSpace, label: str) -> Origin:
    command = wish.command
    machine = fingerprint(opened, energy)
    found = whole.default
    return Origin(
        machine=one_line(machine.name),
        simulated=opened.host.simulated,
        cpu_model=machine.cpu_model,
        kernel=machine.kernel,
        driver=machine.driver,
        energy_source=energy.name,
        workload=label,
        command=tuple(one_line(word) for word in command.words),
        prepare=None if command.prepare is None else one_line(command.prepare),
        cwd=None if command.cwd is None else one_line(command.cwd),
        user=command.runs_as(opened),
        seed=wish.seed,
        settings=len(grid.settings),
        found={knob.name: found[knob.name] for knob in whole.knobs if whole.active(knob, found)},
        values=dict(grid.values),
        started=datetime.now(UTC).strftime("%Y-%m-%d"),
    )
