"""Writing a session into the store as it happens, beside showing it."""

from __future__ import annotations

import platform
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from statistics import median

from hwtune import __version__
from hwtune.cli.host import OpenHost
from hwtune.config import Config
from hwtune.domain.problem import Problem
from hwtune.domain.trial import Proposal
from hwtune.host.fs import HostFS
from hwtune.knobs.policies import read_policies
from hwtune.sensors.energy import EnergySource
from hwtune.session import Decision, Receipt, Session, Watcher
from hwtune.store.database import Store
from hwtune.store.records import Fingerprint


def store_path(config: Config) -> Path:
    """Where the store is."""
    return config.paths.state_dir / "hwtune.sqlite"


def fingerprint(opened: OpenHost, energy: EnergySource) -> Fingerprint:
    """What tells this machine from others, as far as measurements go; where energies come from is part of that."""
    files = opened.host.files
    policies = read_policies(files)
    return Fingerprint(
        name=opened.host.name,
        simulated=opened.host.simulated,
        hwtune_version=__version__,
        cpu_model=_cpuinfo(files, "model name"),
        microcode=_cpuinfo(files, "microcode"),
        driver=policies[0].driver if policies else None,
        kernel=platform.release() if opened.live else None,
        energy_source=None if energy.quality == "none" else energy.name,
    )


def _cpuinfo(files: HostFS, key: str) -> str | None:
    """The first value of a key of /proc/cpuinfo; other architectures have other keys."""
    found = re.search(rf"^{key}\s*:\s*(.+)$", files.read("/proc/cpuinfo") or "", re.MULTILINE)
    return found[1] if found else None


class Recorder:
    """A watcher that stores every decision before it passes it on."""

    def __init__(self, store: Store, number: int, watcher: Watcher) -> None:
        self._store = store
        self._number = number
        self._watcher = watcher

    def proposed(self, number: int, proposal: Proposal) -> None:
        """See `session.Watcher.proposed`."""
        self._watcher.proposed(number, proposal)

    def decided(self, number: int, decision: Decision) -> None:
        """See `session.Watcher.decided`."""
        self._store.record_decision(self._number, decision.proposal, decision.trial, decision.recommended)
        self._watcher.decided(number, decision)

    def verifying(self, done: int, total: int) -> None:
        """See `session.Watcher.verifying`."""
        self._watcher.verifying(done, total)

    def end(self, session: Session) -> None:
        """The session's last word: the receipt, and how it ended."""
        figures = None if session.receipt is None else _figures(session.receipt)
        self._store.end_session(self._number, _outcome(session), figures)


def _figures(receipt: Receipt) -> dict[str, object]:
    """The ratios of the receipt, and the medians of both arms in s and J."""
    arms = {"default": receipt.default_runs, "chosen": receipt.chosen_runs}
    medians: dict[str, object] = {f"{arm}_time_s": median(run.time_s for run in runs) for arm, runs in arms.items()}
    for arm, runs in arms.items():
        energies = [run.energy_j for run in runs if run.energy_j is not None]
        medians[f"{arm}_energy_j"] = median(energies) if len(energies) == len(runs) else None
    return asdict(receipt.verdict) | medians


def _outcome(session: Session) -> str:
    if session.proven:
        return "gain proven"
    if session.receipt is None:
        return session.stopped
    broken = session.receipt.verdict.significant
    return f"{'the gain breaks the slowdown bound' if broken else 'no significant gain'}: defaults kept"


@contextmanager
def open_store(
    opened: OpenHost,
    problem: Problem,
    *,
    workload: str,
    argv: Sequence[str],
    energy: EnergySource,
    watcher: Watcher,
) -> Iterator[Recorder]:
    """A new session in the store.

    Raises:
        StoreError: the store cannot be opened or is not one.
    """
    with Store(store_path(opened.config)) as store:
        machine = fingerprint(opened, energy)
        number = store.begin_session(machine, verb="tune", workload=workload, argv=argv, problem=problem)
        yield Recorder(store, number, watcher)
