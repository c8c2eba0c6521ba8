"""Putting a comparison together from what the options and the machine say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from hwtune.cli.command import Command
from hwtune.cli.compare_progress import CompareProgress
from hwtune.cli.compare_settings import Arm, full_settings, named_keys
from hwtune.cli.competing import make_way
from hwtune.cli.host import OpenHost, open_knobs, open_transaction
from hwtune.cli.ours import check_writable
from hwtune.cli.problem import check_energy
from hwtune.cli.signals import Terminated, exit_status
from hwtune.compare import Compare
from hwtune.domain.errors import Unsupported
from hwtune.domain.knob import KnobSpace, Setting
from hwtune.domain.objective import Objective
from hwtune.domain.trial import Run
from hwtune.knobs.cpufreq import CpufreqBackend
from hwtune.knobs.transaction import Transaction
from hwtune.sensors.circumstances import Circumstances, read_circumstances
from hwtune.sensors.collector import Collector
from hwtune.sensors.energy import EnergySource
from hwtune.sensors.noise import NoiseMeter, count_cpus
from hwtune.sensors.noise_report import NoiseReport, noise_report
from hwtune.session import Work
from hwtune.workload.verdict import Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What the command line asks for.

    Args:
        a: the first setting.
        b: the second.
        command: what runs under both.
        objective: what is compared.
        margin: the smallest difference that matters (0.01 = 1 %).
        max_runs: runs of each arm, at most.
        seed: of the order of the arms.
    """

    a: Arm
    b: Arm
    command: Command
    objective: Objective
    margin: float
    max_runs: int
    seed: int


@dataclass(slots=True, kw_only=True)
class Comparing:
    """A comparison with everything it stands on, and how it ended.

    Args:
        wish: what was asked for.
        label: the work, as one would type it.
        energy: where energy figures come from.
        settings: by arm, for all knobs; empty where nothing can be set.
        compare: the loop.
        space: the machine's knobs, None where it has none.
        circumstances: how the machine stood at the start.
        cpus: CPUs that are online.
        work: what is measured.
        restored: whether every attribute reads as at the start, once everything is closed.
        interrupted: whether a signal ended it.
        would_write: in a dry run, by arm, path → text of what would be written.
    """

    wish: Wish
    label: str
    energy: EnergySource
    settings: Mapping[str, Setting]
    compare: Compare
    space: KnobSpace | None
    circumstances: Circumstances
    cpus: int
    work: Work
    restored: bool = True
    interrupted: bool = False
    would_write: dict[str, dict[str, str]] | None = None

    @property
    def asked(self) -> Mapping[str, Arm]:
        """Both settings as they were written, by arm."""
        return {"A": self.wish.a, "B": self.wish.b}

    @property
    def verdict(self) -> Verdict | None:
        """What is known, None before the first block is complete."""
        comparison = self.compare.comparison
        return comparison.verdict() if comparison is not None and comparison.blocks else None

    def runs(self, arm: str) -> tuple[Run, ...]:
        """The runs that count."""
        return () if self.compare.comparison is None else self.compare.comparison.runs(arm)

    @property
    def noise(self) -> NoiseReport:
        """What the runs tell of the machine."""
        return noise_report(self.compare.runs, self.circumstances, cpus=self.cpus)

    def run(self) -> int:
        """Measure; 0, or the exit status of the signal that ended it early."""
        try:
            self.compare.run()
        except (KeyboardInterrupt, Terminated) as ending:
            self.interrupted = True
            return exit_status(ending)
        return 0


@contextmanager
def open_compare(opened: OpenHost, wish: Wish, progress: CompareProgress) -> Iterator[Comparing]:
    """Everything a comparison needs, undone in reverse when it ends.

    Raises:
        Unsupported: nothing can be set here, or no energy sensor for the objective.
        UsageError: unknown knobs or values.
        Locked: another writer holds the machine, or another tuner is at work.
        PermissionDenied: no right to set these knobs.
    """
    host = opened.host
    collector = Collector(host)
    needs_energy = wish.objective.needs_energy
    if not opened.dry:
        check_energy(collector.energy, wish.objective, needed=needs_energy)
    backend = _knobs(opened, wish)
    settings = {"A": Setting(), "B": Setting()} if backend is None else _settings(opened, wish, backend)
    circumstances = read_circumstances(host.files)
    with ExitStack() as stack:
        ended = stack.enter_context(ExitStack())  # closed behind the transaction
        transaction = (
            None
            if backend is None
            else stack.enter_context(
                open_transaction(opened, backend, verb="compare", on_foreign=opened.config.tune.on_foreign)
            )
        )
        collector.clocks.watching = True
        work = stack.enter_context(wish.command.working(opened, collector, needs_energy=needs_energy))
        stack.enter_context(progress)
        comparing = Comparing(
            wish=wish,
            label=wish.command.label(opened),
            energy=collector.energy,
            settings=settings,
            compare=Compare(
                settings=settings,
                transaction=transaction,
                work=work,
                meter=NoiseMeter(host.files, collector.clocks.take),
                objective=wish.objective,
                margin=wish.margin,
                max_runs=wish.max_runs,
                seed=wish.seed,
                watcher=progress,
            ),
            space=None if backend is None else backend.space,
            circumstances=circumstances,
            cpus=count_cpus(host.files),
            work=work,
        )
        if backend is not None and transaction is not None:
            before = backend.snapshot()
            ended.callback(_look_again, comparing, transaction, before)
            if opened.dry:
                comparing.would_write = _would_write(backend, transaction, settings, before)
        yield comparing


def _knobs(opened: OpenHost, wish: Wish) -> CpufreqBackend | None:
    """The machine's knobs; None where it has none, and none are asked for.

    Raises:
        Unsupported: it has none, and some are.
    """
    names = named_keys(wish.a, wish.b)
    backend = open_knobs(opened, names)
    if backend.policies:
        return backend
    if names:
        raise Unsupported(
            f"this machine has no cpufreq policies, so {names[0]} cannot be set",
            hint="`hwtune probe` tells what there is; `hwtune compare default default -- CMD` measures the noise here",
        )
    return None


def _settings(opened: OpenHost, wish: Wish, backend: CpufreqBackend) -> dict[str, Setting]:
    """Both settings, without what is left to other tuners."""
    settings = full_settings(wish.a, wish.b, backend)
    compared = settings["A"].diff(settings["B"]) | settings["B"].diff(settings["A"])
    left = make_way(opened, tuple(compared), measuring=True)
    settings = {
        name: setting.only({knob for knob in setting if knob not in left}) for name, setting in settings.items()
    }
    touched = [write.knob for setting in settings.values() for write in backend.plan(setting)]
    check_writable(opened, backend, dict.fromkeys(touched))
    return settings


def _would_write(
    backend: CpufreqBackend, transaction: Transaction, settings: Mapping[str, Setting], before: Mapping[str, str]
) -> dict[str, dict[str, str]]:
    """By arm, what reads otherwise than before once it is set."""
    found = {}
    for name, setting in settings.items():
        transaction.apply(setting)
        found[name] = {path: text for path, text in backend.snapshot().items() if before.get(path) != text}
    return found


def _look_again(comparing: Comparing, transaction: Transaction, before: Mapping[str, str]) -> None:
    """Compare the machine with how it was found, behind the end of the transaction."""
    comparing.restored = transaction.is_back(before)
