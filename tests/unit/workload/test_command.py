"""A command's runs: what is measured, what is left out, how failure is told."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import BinaryIO

import pytest

from hwtune.domain.errors import UsageError, WorkloadError
from hwtune.domain.interval import Interval
from hwtune.domain.sample import CpuTimes, EnergyReading, Resolution, Sample
from hwtune.domain.trial import TrialStatus
from hwtune.host.runner import Completed
from hwtune.workload.command import CommandWorkload, calling_user
from hwtune.workload.features import features_of

MS = 1_000_000


class Machine:
    """Ten watts whenever time passes; a sample takes `sample_ms`, an energy sample `energy_ms`."""

    def __init__(
        self, *, runs_ms: Sequence[int] = (1000,), sample_ms: int = 50, energy_ms: int = 1, power_w: float = 10
    ):
        self.now_ns = 0
        self.started: list[tuple[tuple[str, ...], str | None, str | None]] = []
        self.slept: list[float] = []
        self.statuses: dict[str, int] = {}
        self.stderr = ""
        self.metered = True
        self.own_cpu_ns: int | None = None
        self.counters: dict[str, float] = {}
        self._runs_ms = list(runs_ms)
        self._sample_ms, self._energy_ms, self._power_w = sample_ms, energy_ms, power_w

    def monotonic_ns(self) -> int:
        return self.now_ns

    def sleep(self, duration_s: float) -> None:
        self.slept.append(duration_s)
        self.now_ns += round(duration_s * 1e9)

    def _energy(self) -> tuple[EnergyReading, ...]:
        uj = int(self.now_ns * self._power_w / 1000)
        fine = Resolution(update_s=0.001)
        reading = EnergyReading(zone="package-0", source="powercap", energy_uj=uj, resolution=fine)
        return (reading,) if self.metered else ()

    def sample(self) -> Sample:
        taken = Sample(
            t_ns=self.now_ns,
            energy=self._energy(),
            cpu=CpuTimes(user_ticks=self.now_ns // (10 * MS), nice_ticks=0, system_ticks=0, idle_ticks=0),
            counters={"instructions": self.now_ns, "cycles": self.now_ns // 2},
        )
        self.now_ns += self._sample_ms * MS
        return taken

    def sample_energy(self) -> Sample:
        taken = Sample(t_ns=self.now_ns, energy=self._energy(), own_cpu_ns=self.own_cpu_ns)
        if self.own_cpu_ns is not None:
            self.own_cpu_ns += 2 * MS
        self.now_ns += self._energy_ms * MS
        return taken

    def run(
        self,
        command: Sequence[str],
        *,
        cwd: str | None,
        user: str | None,
        tick: Callable[[], object],
        period_s: float,
        give_up_s: float | None = None,
        output: BinaryIO | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> Completed:
        self.started.append((tuple(command), cwd, user))
        duration_ms = (
            (self._runs_ms.pop(0) if len(self._runs_ms) > 1 else self._runs_ms[0]) if command[0] != "sh" else 5000
        )
        start_ns = self.now_ns
        end_ns = start_ns + duration_ms * MS
        given_up = give_up_s is not None and duration_ms > give_up_s * 1000
        if given_up:
            end_ns = start_ns + round(give_up_s * 1e9)
        while self.now_ns + round(period_s * 1e9) < end_ns:
            self.now_ns += round(period_s * 1e9)
            tick()
        self.now_ns = ended_ns = max(self.now_ns, end_ns)
        if given_up:
            tick()
            self.now_ns += 2000 * MS  # it takes its time to end
        return Completed(
            exit_status=143 if given_up else self.statuses.get(command[0], 0),
            start_ns=start_ns,
            end_ns=ended_ns,
            cpu_time_s=0.5,
            stderr_tail=self.stderr,
            given_up=given_up,
            counters=self.counters,
        )


def workload(machine: Machine, **options) -> CommandWorkload:
    options = {"command": ("make", "-j 8"), "period_s": 0.1, **options}
    return CommandWorkload(
        runner=machine, clock=machine, sample=machine.sample, sample_energy=machine.sample_energy, **options
    )


def test_energy_is_that_of_the_run_and_not_of_what_surrounds_it():
    """10 W for one second are 10 J, though the full samples around it take 100 ms and preparing takes 5 s."""
    machine = Machine()
    (run,) = workload(machine, prepare="make clean").measure(1)
    assert run.time_s == 1.0
    assert run.energy_j == pytest.approx(10.0, rel=1e-6)
    assert run.cpu_time_s == 0.5
    assert [command[0] for command, _, _ in machine.started] == ["sh", "make"]


def test_a_run_says_what_hwtune_used_meanwhile_and_not_what_its_full_samples_take():
    machine = Machine()
    machine.own_cpu_ns = 7 * MS
    (run,) = workload(machine, period_s=0.5).measure(1)
    assert run.own_cpu_s == pytest.approx(0.002 * 2)  # before, one within, after
    assert run.own_share == pytest.approx(0.004 / 0.504)
    machine.own_cpu_ns = None
    (run,) = workload(machine).measure(1)
    assert run.own_cpu_s is None and run.own_share is None


def test_every_run_is_prepared_where_and_by_whom_the_command_runs():
    machine = Machine()
    runs = workload(machine, prepare="rm -f *.o", cwd="/src", user="nobody").measure(2)
    assert len(runs) == 2
    one = [(("sh", "-c", "rm -f *.o"), "/src", "nobody"), (("make", "-j 8"), "/src", "nobody")]
    assert machine.started == one * 2


def test_a_setting_gets_a_moment_to_take_effect_once_for_all_repeats():
    machine = Machine()
    work = workload(machine)
    work.warm_up()
    assert machine.slept == []
    work.measure(3)
    assert machine.slept == [0.1]
    assert work.status is TrialStatus.OK


def test_without_a_meter_energy_is_absent():
    machine = Machine()
    machine.metered = False
    assert workload(machine).measure(1)[0].energy_j is None


def test_a_meter_that_did_not_move_measured_nothing():
    assert workload(Machine(power_w=0.0)).measure(1)[0].energy_j is None


def test_a_meter_that_fails_in_the_middle_leaves_no_energy():
    machine = Machine()
    energy_samples = iter([True] * 5 + [False] + [True] * 100)

    def flaky() -> Sample:
        machine.metered = next(energy_samples)
        return machine.sample_energy()

    work = CommandWorkload(
        runner=machine, clock=machine, sample=machine.sample, sample_energy=flaky, period_s=0.1, command=("x",)
    )
    assert work.measure(1)[0].energy_j is None


def test_readings_at_the_same_instant_are_one():
    """On a virtual clock the last tick and the end of the run coincide."""
    machine = Machine(sample_ms=0, energy_ms=0)
    (run,) = workload(machine, period_s=0.5).measure(1)
    assert run.energy_j == pytest.approx(10.0)


def test_features_come_with_the_run():
    (run,) = workload(Machine()).measure(1)
    assert run.features["busy_ratio"] == 1.0
    assert run.features["ipc"] == 2.0
    assert run.features["cycles_per_instruction"] == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("status", "ending"), [(2, "failed with exit status 2"), (137, "was killed by SIGKILL"), (255, "exit status 255")]
)
def test_a_command_that_fails_shows_its_last_words(status, ending):
    machine = Machine()
    machine.statuses = {"make": status}
    machine.stderr = "\n".join(f"line {number}" for number in range(20))
    with pytest.raises(WorkloadError, match=f"make '-j 8' .*{ending}") as caught:
        workload(machine).warm_up()
    assert caught.value.hint == "its last words were:\n  line 15\n  line 16\n  line 17\n  line 18\n  line 19"


def test_a_preparation_that_fails_stops_before_the_command():
    machine = Machine()
    machine.statuses = {"sh": 1}
    with pytest.raises(WorkloadError, match="--prepare make clean failed") as caught:
        workload(machine, prepare="make clean").measure(1)
    assert caught.value.hint == "it wrote no error"
    assert len(machine.started) == 1


def test_a_script_of_many_lines_is_told_in_one():
    machine = Machine()
    machine.statuses = {"bash": 1}
    with pytest.raises(WorkloadError) as caught:
        workload(machine, command=("bash", "-c", "echo one\n" * 50)).warm_up()
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 120


def test_what_takes_too_long_is_abandoned_and_not_failed():
    """Its energy is that of its time, though ending it takes two seconds more; there is no further repeat."""
    machine = Machine(runs_ms=(1000, 9000, 1000))
    work = workload(machine, prepare="make clean")
    first, second = work.measure(3, give_up_s=4.0)
    assert (first.time_s, first.censored) == (1.0, False)
    assert (second.time_s, second.censored) == (pytest.approx(4.0, abs=0.11), True)
    assert second.energy_j == pytest.approx(10.0 * second.time_s, rel=0.01)
    (third,) = work.measure(1, give_up_s=4.0)
    assert not third.censored
    # Every run is prepared, and preparing has all the time it takes: 5 s here.
    assert [command[0] for command, _, _ in machine.started] == ["sh", "make"] * 3
    assert work.warnings == ()


def test_what_is_as_slow_as_may_be_is_not_abandoned():
    (run,) = workload(Machine(runs_ms=(1000,))).measure(1, give_up_s=1.0)
    assert (run.time_s, run.censored) == (1.0, False)


def test_a_command_that_fails_in_time_has_failed():
    machine = Machine()
    machine.statuses = {"make": 143}
    with pytest.raises(WorkloadError, match="SIGTERM"):
        workload(machine).measure(1, give_up_s=4.0)


def test_an_empty_command_is_a_usage_error():
    with pytest.raises(UsageError):
        workload(Machine(), command=())


def test_runs_with_nothing_left_to_do_are_pointed_out():
    work = workload(Machine(runs_ms=(1000, 900, 199)))
    work.warm_up()
    work.measure(1)
    assert work.warnings == ()
    work.measure(1)
    (warning,) = work.warnings
    assert "0.199 s" in warning and "give --prepare" in warning
    work = workload(Machine(runs_ms=(1000, 200)))
    work.measure(2)
    assert work.warnings == ()


def test_a_run_has_the_commands_own_events_beside_those_of_the_machine():
    machine = Machine(runs_ms=(2000,))
    machine.counters = {"instructions": 4e6, "page-faults": 8.0}
    (run,) = workload(machine).measure(1)
    assert run.features["command.page-faults_per_instruction"] == 2e-6
    assert run.features["ipc"] == pytest.approx(2.0, rel=1e-6)


def test_features_without_instructions_are_rates():
    interval = Interval(
        duration_s=1.0,
        energy_j=None,
        freq_hz={0: 1e9, 4: 3e9},
        temp_c={"a": 40.0, "b": 60.0},
        pressure={"cpu_some": 0.1},
        idle_ratio={"C6": 0.5},
        counter_rate={"context-switches": 7.0},
    )
    assert features_of(interval) == {
        "freq_hz": 2e9,
        "temp_c": 60.0,
        "pressure.cpu_some": 0.1,
        "idle.C6": 0.5,
        "context-switches_per_s": 7.0,
    }


@pytest.mark.parametrize(
    ("user_id", "sudo_user", "expected"),
    [(0, "alice", "alice"), (0, "root", None), (0, None, None), (1000, "alice", None)],
)
def test_under_sudo_the_work_belongs_to_the_caller(monkeypatch, user_id, sudo_user, expected):
    monkeypatch.setattr("os.geteuid", lambda: user_id)
    monkeypatch.delenv("SUDO_USER", raising=False)
    if sudo_user is not None:
        monkeypatch.setenv("SUDO_USER", sudo_user)
    assert calling_user() == expected
