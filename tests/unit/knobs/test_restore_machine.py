"""Whatever happens, in whatever order, then restore: the start is back, except for what others have set.

A second machine without hwtune goes through the same moments and the same edits by others. Every attribute must end as
it was at the start, or as on that machine: what a suspend or a hotplug takes is nobody's. What somebody has set must
end as they have set it.
"""

from __future__ import annotations

import contextlib
import errno
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
from fake.faults import Fault, Killed
from fake.host import InProcess
from fake.kernel import FakeKernel
from fake.machines import MACHINES
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from hwtune.domain.errors import HwtuneError, RestoreError
from hwtune.domain.knob import ChoiceKnob, RangeKnob, Setting
from hwtune.knobs.cpufreq import CpufreqBackend
from hwtune.knobs.journal import baseline
from hwtune.knobs.restore import restore_machine
from hwtune.knobs.transaction import Transaction

ERRNOS = (errno.EBUSY, errno.EINVAL, errno.EIO, errno.EAGAIN, errno.ENODEV, errno.EPERM)
# Never chosen here by hwtune, so that whose it is can be told.
THEIRS = {"scaling_governor": "conservative", "energy_performance_preference": "77", "scaling_max_freq": "1234500"}


class Life(RuleBasedStateMachine):
    @initialize(name=st.sampled_from(sorted(MACHINES)))
    def boot(self, name: str) -> None:
        self.kernel: FakeKernel = MACHINES[name]()
        self.start = self.kernel.state()
        self.alone: FakeKernel = MACHINES[name]()
        self.theirs: dict[str, str] = {}
        self.slept_s = 0.0
        self.place = Path(tempfile.mkdtemp(prefix="hwtune-life-"))
        self.stay: Transaction | None = None

    def backend(self) -> CpufreqBackend:
        files = InProcess(self.kernel)
        return CpufreqBackend(files, baseline(self.place / "run", files), sleep=lambda _s: None)

    def entered(self) -> Transaction:
        if self.stay is None:
            stay = Transaction(
                self.backend(),
                run_dir=self.place / "run",
                verb="tune",
                files=InProcess(self.kernel),
                state_dir=self.place / "state",
                slept_s=lambda: self.slept_s,
            )
            stay.__enter__()
            self.stay = stay
        return self.stay

    def gone(self) -> None:
        """What the kernel does for a process that is no more."""
        if self.stay is not None:
            self.stay._lock.release()
            self.stay = None

    def wanted(self, data: st.DataObject) -> Setting:
        space = self.entered().backend.space
        chosen: dict[str, Any] = {}
        for knob in data.draw(
            st.lists(st.sampled_from(space.knobs), min_size=2, max_size=6, unique_by=lambda each: each.name)
        ):
            if isinstance(knob, ChoiceKnob):
                words = [word for word in knob.choices if word not in THEIRS.values()]
                chosen[knob.name] = data.draw(st.sampled_from(words))
            elif isinstance(knob, RangeKnob):
                chosen[knob.name] = data.draw(st.sampled_from(knob.levels or (knob.low, knob.high)))
        for low, high in space.ordered_pairs:
            if low in chosen and high in chosen and chosen[low] > chosen[high]:
                chosen[low], chosen[high] = chosen[high], chosen[low]
        return Setting(chosen)

    @rule(data=st.data())
    def apply(self, data: st.DataObject) -> None:
        with contextlib.suppress(HwtuneError):
            self.entered().apply(self.wanted(data))

    @rule(data=st.data(), writes=st.integers(0, 6), moment=st.sampled_from(("kill_before", "kill_after")))
    def crash(self, data: st.DataObject, writes: int, moment: Any) -> None:
        with contextlib.suppress(HwtuneError):
            setting = self.wanted(data)
            self.kernel.faults = [Fault(action=moment, skip=writes)]
            with contextlib.suppress(Killed):
                self.entered().apply(setting)
                self.entered().restore()
        self.kernel.faults = []
        self.gone()

    @rule()
    def leave(self) -> None:
        stay, self.stay = self.stay, None
        if stay is not None:
            with contextlib.suppress(RestoreError):
                stay.__exit__(None, None, None)

    @precondition(lambda self: self.stay is not None)
    @rule()
    def look(self) -> None:
        with contextlib.suppress(HwtuneError):
            self.entered().look()

    @rule(data=st.data())
    def edit(self, data: st.DataObject) -> None:
        path = data.draw(st.sampled_from([path for path in sorted(self.start) if path.rpartition("/")[2] in THEIRS]))
        text = THEIRS[path.rpartition("/")[2]]
        if path.endswith("_freq") and self.kernel.policies[0].table:
            return  # a table rounds to what we may have chosen
        before = self.alone.state().get(path, "").strip()
        try:
            self.alone.somebody(path, text)
        except OSError:
            return  # no such word on this machine, or locked, or offline
        try:
            self.kernel.somebody(path, text)
        except OSError:
            self.alone.somebody(path, before)  # locked by what we have set
            return
        self.theirs[path] = f"{text}\n"

    @rule(data=st.data())
    def hotplug(self, data: st.DataObject) -> None:
        cpus = sorted({cpu for policy in self.kernel.policies for cpu in policy.cpus} - {0})
        cpu = data.draw(st.sampled_from(cpus))
        online = cpu not in self.kernel.online
        for kernel in (self.kernel, self.alone):
            kernel.hotplug(cpu, online)

    @rule()
    def suspend(self) -> None:
        self.slept_s += 60.0
        for kernel in (self.kernel, self.alone):
            kernel.suspend()

    @precondition(lambda self: self.kernel.driver.bios_limit and self.kernel.policies[0].table)
    @rule(data=st.data())
    def firmware(self, data: st.DataObject) -> None:
        khz = data.draw(st.sampled_from((None, *self.kernel.policies[0].table)))
        for kernel in (self.kernel, self.alone):
            kernel.firmware_limit(khz)

    @rule(data=st.data(), code=st.sampled_from(ERRNOS), times=st.integers(1, 3))
    def fault(self, data: st.DataObject, code: int, times: int) -> None:
        path = data.draw(st.sampled_from(sorted(self.start)))
        self.kernel.faults = [Fault(pattern=path, operation="write", errno=code, times=times)]

    def teardown(self) -> None:
        if not hasattr(self, "kernel"):
            return
        self.kernel.faults = []
        for kernel in (self.kernel, self.alone):
            kernel.firmware_limit(None)
            for cpu in {cpu for policy in kernel.policies for cpu in policy.cpus} - kernel.online:
                kernel.hotplug(cpu, True)
        self.leave()
        restore_machine(
            self.backend(),
            run_dir=self.place / "run",
            files=InProcess(self.kernel),
            slept_s=lambda: self.slept_s,
        )
        end, alone = self.kernel.state(), self.alone.state()
        kept = {path: text for path, text in self.theirs.items() if alone.get(path) == text}
        for path in sorted({*end, *alone}):
            # What a suspend has taken of somebody's may come back with what hwtune found.
            either = {self.start.get(path), alone.get(path), self.theirs.get(path)}
            allowed = {kept[path]} if path in kept else either
            assert end.get(path) in allowed, (path, end.get(path), allowed)
        assert not (self.place / "run/journal.json").exists()
        assert not (self.place / "state/attempt.json").exists() or self.stay is None
        shutil.rmtree(self.place)


@pytest.fixture
def _no_power_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hwtune.host.durable.os.fsync", lambda fd: None)


@pytest.mark.usefixtures("_no_power_cut")
def test_any_life_ends_where_it_began() -> None:
    run_state_machine_as_test(
        Life,
        settings=settings(
            max_examples=120,
            stateful_step_count=20,
            deadline=None,
            derandomize=True,  # the same lives each time; other ones are a search, to be begun by hand
            suppress_health_check=list(HealthCheck),
        ),
    )
