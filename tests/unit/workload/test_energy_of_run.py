"""Energy of a run, against simulated meters that know what was really used."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwtune.domain.energy import PRECISION
from hwtune.domain.errors import Unsupported
from hwtune.domain.measure import Better, measure_of
from hwtune.domain.sample import EnergyReading, Resolution, Sample
from hwtune.host.runner import Completed
from hwtune.sensors.refresh import RefreshWatch
from hwtune.workload.command import CommandWorkload
from hwtune.workload.energy import Rest, coarse, energy_of_run
from hwtune.workload.gauge import Gauge
from hwtune.workload.metric import ServedNumber
from hwtune.workload.window import WindowWorkload

REST_W = 4.0


class Power:
    """True power: `REST_W` at rest, in a run what its steps say; energy without gaps."""

    def __init__(self) -> None:
        self.edges: list[tuple[float, float]] = [(-1e6, REST_W)]

    def run(self, start_s: float, steps: Sequence[tuple[float, float]], after_w: float = REST_W) -> float:
        """Adds a run of (seconds, watts); its end."""
        for duration_s, power_w in steps:
            self.edges.append((start_s, power_w))
            start_s += duration_s
        self.edges.append((start_s, after_w))
        return start_s

    def energy_j(self, begin_s: float, end_s: float) -> float:
        total = 0.0
        for (at_s, power_w), (next_s, _) in zip(self.edges, [*self.edges[1:], (1e9, 0.0)], strict=True):
            total += power_w * max(min(next_s, end_s) - max(at_s, begin_s), 0.0)
        return total


class Meter:
    """Shows every `update_s` the mean power of the last `average_s` (0: that moment's), `late_s` after the fact."""

    def __init__(self, update_s: float, average_s: float, *, phase: float = 0.0, late_s: float = 0.0) -> None:
        self.power = Power()
        self.now_s = 100.0
        self.update_s, self.average_s, self.phase, self.late_s = update_s, average_s, phase, late_s
        self.announced = Resolution(update_s=update_s, average_s=average_s)

    def monotonic_ns(self) -> int:
        return round(self.now_s * 1e9)

    def sleep(self, duration_s: float) -> None:
        self.now_s += duration_s

    def shown_w(self) -> float:
        refreshed_s = ((self.now_s - self.late_s) // self.update_s + self.phase) * self.update_s
        if refreshed_s > self.now_s - self.late_s:
            refreshed_s -= self.update_s
        return self.power.energy_j(refreshed_s - self.average_s, refreshed_s) / self.average_s

    def sample_energy(self) -> Sample:
        reading = EnergyReading(
            zone="m", source="hwmon", power_uw=round(self.shown_w() * 1e6), resolution=self.announced
        )
        return Sample(t_ns=self.monotonic_ns(), energy=(reading,))


def measured(meter, steps: Sequence[tuple[float, float]], period_s: float, after_w: float = REST_W, given_up=False):
    """What a run of these steps is said to have used, and what it did use."""
    rest = Rest(meter, meter.sample_energy)
    readings = rest.before()
    start_s = meter.now_s
    end_s = meter.power.run(start_s, steps, after_w)
    while meter.now_s + period_s < end_s:
        meter.now_s += period_s
        readings.append(meter.sample_energy())
    meter.now_s = end_s
    readings.append(meter.sample_energy())
    if not given_up:
        readings += rest.after(end_s - start_s)
    found = energy_of_run(readings, round(start_s * 1e9), round(end_s * 1e9))
    return found, meter.power.energy_j(start_s, end_s)


@given(
    interval_s=st.floats(0.05, 2.0),
    windows=st.floats(10.0, 60.0),
    power_w=st.floats(5.0, 300.0),
    phase=st.floats(0.0, 0.999),
    after_w=st.floats(2.0, 8.0),
)
@settings(max_examples=200, deadline=None)
def test_a_meter_that_shows_means_of_its_interval(interval_s, windows, power_w, phase, after_w):
    """A run of ten intervals or more at any phase: within 3 %, where the mean of what was shown misses a tenth."""
    meter = Meter(interval_s, interval_s, phase=phase)
    found, true_j = measured(meter, [(windows * interval_s, power_w)], interval_s / 4, after_w)
    assert found.energy_j == pytest.approx(true_j, rel=0.03)
    assert abs(found.energy_j - true_j) <= 2.5 * found.error_j + 1e-3


@given(
    average_s=st.floats(0.1, 3.0),
    power_w=st.floats(5.0, 300.0),
    share=st.floats(0.05, 1.0),
    run_s=st.floats(10.0, 40.0),
)
@settings(max_examples=100, deadline=None)
def test_a_moving_average_is_as_good(average_s, power_w, share, run_s):
    """Refreshed oftener than it averages over, and shown still later: the energy loses nothing by that."""
    meter = Meter(average_s * share, average_s, phase=0.3, late_s=average_s * 0.2)
    found, true_j = measured(meter, [(run_s / 2, power_w), (run_s / 2, power_w / 2)], average_s / 4)
    assert abs(found.energy_j - true_j) <= 2.5 * found.error_j + 0.003 * true_j
    assert found.error_j < 0.2 * average_s / run_s * power_w * run_s


def test_what_the_mean_of_the_bracket_would_say_instead():
    """Without rest a tenth of the run's energy goes missing."""
    meter = Meter(1.0, 1.0, phase=0.5)
    found, true_j = measured(meter, [(10.0, 100.0)], 0.25)
    hasty, _ = measured(Meter(1.0, 1.0, phase=0.5), [(10.0, 100.0)], 0.25, given_up=True)
    assert found.energy_j == pytest.approx(true_j, rel=0.01)
    assert hasty.energy_j == pytest.approx(true_j, rel=0.06)  # taken to go on as it was, so still near
    shown = Meter(1.0, 1.0, phase=0.5)
    shown.power.run(shown.now_s, [(10.0, 100.0)])
    total_j = 0.0
    for _ in range(40):
        total_j += shown.shown_w() * 0.25
        shown.sleep(0.25)
    assert total_j < 0.91 * true_j


def test_a_run_of_many_phases_of_power():
    chance = random.Random(5)
    steps = [(chance.uniform(0.05, 0.6), chance.uniform(5.0, 80.0)) for _ in range(60)]
    found, true_j = measured(Meter(0.1, 0.1), steps, 0.025)
    assert found.energy_j == pytest.approx(true_j, rel=0.005)


def test_a_run_too_short_for_the_meter_is_refused_with_what_would_do():
    found, _ = measured(Meter(1.0, 1.0), [(0.3, 60.0)], 0.25)
    assert found.energy_j is None and found.error_j is None
    assert "0.3 s" in found.why and "too short" in found.why
    assert " s or more" in found.hint and "1%" in found.hint
    enough_s = float(found.hint.split("last ")[1].split(" s")[0])
    assert enough_s > 1.0
    good, true_j = measured(Meter(1.0, 1.0), [(20 * enough_s, 60.0)], 0.25)
    assert good.error_j < PRECISION * good.energy_j and good.energy_j == pytest.approx(true_j, rel=0.01)


def test_no_rest_for_a_run_that_is_over_before_the_meter_shows_it():
    meter = Meter(5.0, 5.0)
    rest = Rest(meter, meter.sample_energy)
    assert len(rest.before(0.5)) == 1 and len(rest.after(9.0)) == 1
    began_s = meter.now_s
    rest.after(11.0)
    assert meter.now_s - began_s == pytest.approx(15.0, abs=1.3)


class Counter(Meter):
    """An energy counter that is added to every `update_s`, in steps; `watched`: that is not announced."""

    def __init__(self, update_s: float, *, step: float = 0.0, watched: bool = False) -> None:
        super().__init__(update_s, 0.0)
        self.announced = Resolution(update_s=None if watched else update_s, step=step)
        self.unread = False

    def sample_energy(self) -> Sample:
        refreshed_s = self.now_s // self.update_s * self.update_s
        uj = None if self.unread else round(self.power.energy_j(0.0, refreshed_s) * 1e6)
        self.now_s += 0.0002
        reading = EnergyReading(zone="package-0", source="powercap", energy_uj=uj, resolution=self.announced)
        return Sample(t_ns=round((self.now_s - 0.0002) * 1e9), energy=(reading,))


@given(run_s=st.floats(0.05, 30.0), power_w=st.floats(REST_W, 300.0))
@settings(max_examples=100, deadline=None)
def test_a_counter_is_off_by_what_it_had_not_added_yet(run_s, power_w):
    found, true_j = measured(Counter(0.001), [(run_s, power_w)], 1.0)
    assert found.energy_j == pytest.approx(true_j, rel=0.0015 / run_s)
    assert found.error_j == pytest.approx(0.001 * true_j / run_s, rel=0.1)


def test_a_run_shorter_than_the_counter_is_added_to_is_refused():
    found, _ = measured(Counter(0.001), [(0.003, 50.0)], 1.0)
    assert found.energy_j is None and "too short" in found.why


def test_a_counter_needs_no_rest():
    meter = Counter(0.001)
    rest = Rest(meter, meter.sample_energy)
    assert len(rest.before()) == len(rest.after(1.0)) == 1


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda: Meter(1.0, 1.0), "did not answer"),
        (lambda: Counter(0.001), "vanished"),
    ],
)
def test_a_meter_that_fails_in_the_middle(make: Callable[[], Meter], why):
    meter = make()
    readings = [meter.sample_energy() for _ in range(1)]
    for second in range(1, 12):
        meter.now_s = 100.0 + second
        readings.append(meter.sample_energy())
    blind = EnergyReading(zone=readings[5].energy[0].zone, source=readings[5].energy[0].source)
    readings[5] = Sample(t_ns=readings[5].t_ns, energy=(blind,))
    found = energy_of_run(readings, round(101e9), round(110e9))
    assert found.energy_j is None and why in found.why and found.hint


def test_no_sensor_and_no_time():
    nothing = [Sample(t_ns=1), Sample(t_ns=2)]
    assert energy_of_run(nothing, 1, 2).why == "there is no energy sensor"
    meter = Counter(0.001)
    assert energy_of_run([meter.sample_energy()], 5, 5).energy_j is None


def test_a_meter_that_stands_still_measured_nothing():
    meter = Counter(0.001)
    meter.power.edges = [(-1e6, 0.0)]
    found, _ = measured(meter, [(1.0, 0.0)], 0.5, after_w=0.0)
    assert found.energy_j is None and "did not move" in found.why


def windows_of(meter: Meter, window_s: float) -> WindowWorkload:
    rate = measure_of("requests", better=Better.HIGHER, unit="request")
    return WindowWorkload(
        clock=meter,
        sample=meter.sample_energy,
        sample_energy=meter.sample_energy,
        period_s=0.25,
        window_s=window_s,
        gauge=Gauge(measure=rate, source=ServedNumber(lambda: 1.0, now_ns=meter.monotonic_ns)),
    )


def test_a_window_too_short_for_the_meter_is_widened():
    meter = Meter(1.0, 1.0, phase=0.4)
    meter.power.run(meter.now_s, [(15.0, 50.0), (500.0, 60.0)])
    work = windows_of(meter, 2.0)
    work.warm_up()
    (run,) = work.measure(1)
    assert run.wall_s == pytest.approx(8.0, abs=0.3)
    true_j = meter.power.energy_j(meter.now_s - run.wall_s, meter.now_s)
    assert run.energy_j / run.time_s == pytest.approx(true_j / run.wall_s, rel=0.02)  # both per request
    assert any("windows last 8 s instead of 2 s" in warning for warning in work.warnings)


def test_a_window_long_enough_is_as_long_as_asked_for():
    work = windows_of(Counter(0.001), 2.0)
    work.warm_up()
    assert work.measure(1)[0].wall_s == pytest.approx(2.0, abs=0.01)
    assert work.warnings == ()


def test_runs_that_are_short_for_the_meter_are_told():
    assert coarse(0.009, 1.0) == ()
    (said,) = coarse(0.05, 3.0)
    assert "5%" in said and "with 20 s a run" in said


class BusyRunner:
    """A command that draws power on the meter's machine for so long; nothing before and after."""

    def __init__(self, meter: Meter, steps: Sequence[tuple[float, float]]) -> None:
        self.meter, self.steps, self.true_j = meter, steps, 0.0

    def run(self, command, *, tick, period_s, give_up_s=None, **_) -> Completed:
        meter, start_s = self.meter, self.meter.now_s
        end_s = meter.power.run(start_s, self.steps)
        given_up = give_up_s is not None and end_s - start_s > give_up_s
        if given_up:
            end_s = start_s + give_up_s
        while meter.now_s + period_s < end_s:
            meter.now_s += period_s
            tick()
        meter.now_s = end_s
        self.true_j = meter.power.energy_j(start_s, end_s)
        if given_up:
            tick()
        return Completed(
            exit_status=0,
            start_ns=round(start_s * 1e9),
            end_ns=round(end_s * 1e9),
            cpu_time_s=1.0,
            stderr_tail="",
            given_up=given_up,
        )


def command_on(
    meter: Meter, steps: Sequence[tuple[float, float]], *, needs_energy: bool = True
) -> tuple[CommandWorkload, BusyRunner]:
    runner = BusyRunner(meter, steps)
    work = CommandWorkload(
        runner=runner,
        clock=meter,
        sample=meter.sample_energy,
        sample_energy=meter.sample_energy,
        period_s=0.25,
        command=("make",),
        needs_energy=needs_energy,
    )
    return work, runner


def test_a_slow_meter_is_not_waited_for_where_energies_decide_nothing():
    lasted_s = {}
    for needs_energy in (True, False):
        meter = Meter(4.0, 4.0)
        work, _ = command_on(meter, [(12.0, 60.0)], needs_energy=needs_energy)
        (run,) = work.measure(1)
        assert run.time_s == pytest.approx(12.0)
        lasted_s[needs_energy] = meter.now_s - 100.0
    assert lasted_s[False] < 13.0 and lasted_s[True] > 20.0


def test_a_command_by_a_meter_that_averages_over_a_second():
    work, runner = command_on(Meter(1.0, 1.0, phase=0.7), [(8.0, 60.0), (4.0, 35.0)])
    for run in (work.warm_up(), *work.measure(3)):
        assert run.energy_j == pytest.approx(runner.true_j, rel=0.02)
        assert 0.0 < run.energy_off < 0.03 and run.no_energy is None
        assert run.time_s == pytest.approx(12.0)
    (warning,) = work.warnings
    assert "each be off by" in warning


def test_a_command_that_was_given_up_by_such_a_meter():
    work, runner = command_on(Meter(0.5, 0.5, phase=0.2), [(100.0, 60.0)])
    (run,) = work.measure(1, give_up_s=10.0)
    assert run.censored
    assert run.energy_j == pytest.approx(runner.true_j, rel=0.02)


def test_a_command_too_short_for_the_meter_says_what_would_do():
    work, _ = command_on(Meter(1.0, 1.0), [(0.5, 60.0)])
    run = work.warm_up()
    with pytest.raises(Unsupported, match="too short for the energy meter") as caught:
        run.metered_j()
    assert "or more" in caught.value.hint


class SilentMeter(Meter):
    """Does not announce its refresh, and the last digit of what it shows never rests: a battery's gauge."""

    def __init__(self) -> None:
        super().__init__(4.0, 4.0)
        self.watch = RefreshWatch()

    def sample_energy(self) -> Sample:
        uw = round(self.shown_w() * 1e6) + int(self.now_s // 4.0) % 7
        self.watch.see(self.monotonic_ns(), uw)
        fine = Resolution(update_s=self.watch.update_s, learned=True)
        reading = EnergyReading(zone="BAT0", source="power_supply", power_uw=uw, resolution=fine)
        return Sample(t_ns=self.monotonic_ns(), energy=(reading,))


def test_how_often_a_gauge_is_refreshed_is_waited_for_once():
    """The first run waits until enough changes were seen; later ones rest for as long as was learned."""
    meter = SilentMeter()
    work, runner = command_on(meter, [(300.0, 20.0)])
    began_s = meter.now_s
    runs = [work.warm_up()]
    learned_s = meter.now_s - began_s - 300.0
    began_s = meter.now_s
    runs += work.measure(1)
    rested_s = meter.now_s - began_s - 300.0
    assert 16.0 < learned_s < 60.0
    assert rested_s < 20.0
    for run in runs:
        assert run.energy_j == pytest.approx(runner.true_j, rel=0.02)


def test_a_gauge_that_never_changes_is_not_waited_for_for_ever():
    class Stuck(SilentMeter):
        def shown_w(self) -> float:
            return 7.0 - int(self.now_s // 4.0) % 7 / 1e6

    meter = Stuck()
    work, _ = command_on(meter, [(30.0, 20.0)])
    began_s = meter.now_s
    for run in (work.warm_up(), *work.measure(3)):
        assert run.energy_j is None and "could not be learned" in run.no_energy[0]
    assert 60.0 < meter.now_s - began_s - 4 * 30.0 < 70.0
