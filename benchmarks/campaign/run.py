"""A run of hwtune on a world: a transaction from lock to restore, then as many restores as there is something left."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Literal

from fake.faults import Killed

from campaign.draw import Moment
from campaign.world import World
from hwtune.domain.errors import HwtuneError
from hwtune.domain.knob import Setting
from hwtune.knobs.attributes import knob_of
from hwtune.knobs.cpufreq import CpufreqBackend
from hwtune.knobs.journal import baseline
from hwtune.knobs.restore import RestoreReport, restore_machine
from hwtune.knobs.transaction import Transaction

_MOST_RESTORES = 3


class Run:
    """Settings applied one after the other, and put back.

    Args:
        world: where.
        steps: the settings; empty until they are drawn.
        keep: whether they stay when the transaction ends, and `hwtune restore` is what puts back.
        on_foreign: of the transaction.
        wanted: knobs that are off by default.
    """

    def __init__(
        self,
        world: World,
        *,
        keep: bool = False,
        on_foreign: Literal["stop", "yield"] = "yield",
        wanted: Sequence[str] = (),
    ) -> None:
        self.world = world
        self.steps: Sequence[Setting] = ()
        self.keep = keep
        self.on_foreign: Literal["stop", "yield"] = on_foreign
        self.wanted = wanted
        self.moments: dict[int, Callable[[], None]] = {}
        """What happens between two settings: number of the setting it comes before → what."""
        self.later: list[Moment] = []
        """What ends with the fault."""
        self.reports: list[RestoreReport] = []
        self.errors: list[HwtuneError] = []
        self.broken: list[BaseException] = []
        """What is no error of ours: a traceback."""
        self.told_apart: dict[str, str | None] = {}
        """Path → what somebody else set after hwtune's last write, and hwtune had never seen there."""
        self.restore_s = self.waited_s = 0.0
        self.afterwards: Callable[[], object] = lambda: None
        """What happens between the run and the first restore."""
        self.repair: Callable[[], object] = lambda: None
        """What is mended when the fault has gone, besides the machine."""
        self.restoring: Callable[[], None] = lambda: None
        """Called when the settings are done, and putting back begins."""

    def backend(self, wanted: Sequence[str] = ()) -> CpufreqBackend:
        """The machine's knobs, as `hwtune.cli.host.open_knobs` opens them."""
        files = self.world.files
        return CpufreqBackend(files, baseline(self.world.run_dir, files), self.world.sleep, wanted)

    def work(self) -> None:
        """A process that tunes."""
        self._process(self._tune)

    def restore(self) -> None:
        """Processes that restore, until nothing is left, or nothing comes of it."""
        for _ in range(_MOST_RESTORES):
            if self.world.journal.exists():
                self._process(lambda: self._timed(self._put_back))

    def _process(self, work: Callable[[], None]) -> None:
        with self.world.process():
            try:
                work()
            except Killed:
                pass
            except HwtuneError as error:
                self.errors.append(error)
            except Exception as error:  # whatever it is, it would be a traceback on somebody's screen
                self.broken.append(error)

    def _tune(self) -> None:
        world = self.world
        transaction = Transaction(
            self.backend(self.wanted),
            run_dir=world.run_dir,
            verb="tune",
            files=world.files,
            state_dir=world.state_dir,
            on_foreign=self.on_foreign,
            slept_s=lambda: world.suspended_s,
        )
        try:
            transaction.__enter__()
            try:
                self._apply(transaction)
            except HwtuneError as error:
                self.errors.append(error)
            self.restoring()
            self._timed(lambda: transaction.__exit__(None, None, None))
        finally:
            transaction._lock.release()  # as the end of a process does

    def _apply(self, transaction: Transaction) -> None:
        for number, setting in enumerate(self.steps):
            if number in self.moments:
                self.moments[number]()
            transaction.apply(setting)
        if self.keep:
            transaction.keep()
        if len(self.steps) in self.moments:
            self.moments[len(self.steps)]()

    def _put_back(self) -> None:
        world = self.world
        report = restore_machine(
            self.backend(), run_dir=world.run_dir, files=world.files, slept_s=lambda: world.suspended_s
        )
        if report is not None:
            self.reports.append(report)

    def _timed(self, work: Callable[[], None]) -> None:
        waited_s, began = self.world.waited_s, time.perf_counter()
        try:
            work()
        finally:
            waited_s = self.world.waited_s - waited_s
            self.restore_s = max(self.restore_s, time.perf_counter() - began + waited_s)
            self.waited_s = max(self.waited_s, waited_s)

    def said(self, path: str) -> bool:
        """Whether anybody was told about a file: in a report, in the log, or by an error."""
        if any(path in {*report.foreign, *report.failed, *report.offline} for report in self.reports):
            return True
        return any(knob_of(path) in line for line in (*self.world.said, *map(str, self.errors)))
