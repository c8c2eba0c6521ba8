"""One sample of everything, or of time and energy alone."""

from __future__ import annotations

from hwtune.domain.sample import Sample
from hwtune.host.machine import Host
from hwtune.host.perf_event import LinuxPerf
from hwtune.host.perf_system import LinuxCounters
from hwtune.sensors.cpu import CpuSensor
from hwtune.sensors.energy import EnergySource, find_energy_source
from hwtune.sensors.loaded import LoadedClocks
from hwtune.sensors.own import Cost, Ledger, OwnTime
from hwtune.sensors.pressure import PressureSensor
from hwtune.sensors.thermal import ThermalSensor


class Collector:
    """Samples of one machine. What can be read is looked up once, here; absent sensors cost nothing later."""

    energy: EnergySource

    def __init__(self, host: Host) -> None:
        self._host = host
        live = isinstance(host.counters, LinuxCounters)
        self.energy = find_energy_source(host.files, LinuxPerf() if live else None)
        self._cpu = CpuSensor(host.files)
        self._thermal = ThermalSensor(host.files)
        self._pressure = PressureSensor(host.files)
        self.clocks = LoadedClocks(host.files)
        self.own = OwnTime()
        self._ledger = Ledger()

    def sample_energy(self) -> Sample:
        """Time and energy only: a few microseconds per zone, fit for the middle of a measured run.

        Behind it the clocks of busy cores are looked at, where somebody watches them.
        """
        found = self.meter()
        self.clocks.look()
        return found

    def meter(self) -> Sample:
        """Time and energy, for between the runs: the ledger sees every turn of a counter."""
        t_ns = self._host.clock.monotonic_ns()
        return self._noted(Sample(t_ns=t_ns, energy=self.energy.read(t_ns), own_cpu_ns=self._own_ns()))

    def sample(self) -> Sample:
        """Everything. The energy is read right after the clock; the rest may be a few milliseconds younger."""
        self._cpu.look_again()
        t_ns = self._host.clock.monotonic_ns()
        return self._noted(
            Sample(
                t_ns=t_ns,
                energy=self.energy.read(t_ns),
                own_cpu_ns=self._own_ns(),
                counters=self._host.counters.read(),
                counter_gaps=self._host.counters.gaps,
                cpu=self._cpu.times(),
                pressure=self._pressure.stall_us(),
                freq_khz=self._cpu.freq_khz(),
                time_in_state=self._cpu.time_in_state(),
                idle_us=self._cpu.idle_us(),
                temp_mc=self._thermal.temp_mc(),
            )
        )

    def cost(self) -> Cost:
        """What the time from the first sample to the last has cost, and what hwtune has used until now."""
        return self._ledger.cost(self.own, same_machine=not self._host.simulated)

    def _own_ns(self) -> int | None:
        """None on a simulated machine, whose time is not that of our processes."""
        return None if self._host.simulated else self.own.read_ns()

    def _noted(self, sample: Sample) -> Sample:
        self._ledger.note(sample)
        return sample
