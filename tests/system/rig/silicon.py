"""The physical model: what the chip's P-states cost in power, heat and charge, given how long each core was busy.

Nothing here measures a real machine. Energy is the idle floor plus, for each core, its busy time times its P-state's
power; heat is one thermal node with one resistance and one capacity; the battery gives what the chip takes. `helper`
feeds it from the live vCPU threads.
"""

from __future__ import annotations

from collections.abc import Sequence

from rig.chip import AMBIENT_C, BATTERY_MWH, IDLE_MW, PSTATES, Telemetry

C_PER_W = 1.5
THERMAL_TAU_S = 8.0


class Silicon:
    """Integrates one package. Times in seconds, energy in joules, power in mW where the guest's firmware wants mW."""

    def __init__(self, cpus: int, share: float) -> None:
        """Starts cold, with a full battery, every core at the fastest P-state and no throttle.

        Args:
            cpus: Number of vCPUs.
            share: Share of one host core that a vCPU gets at the fastest P-state.
        """
        self._share = share
        self.states = [0] * cpus
        self.throttled = False
        self.energy_j = 0.0
        self.temp_c = AMBIENT_C
        self.battery_mwh = float(BATTERY_MWH)
        self.power_mw = float(IDLE_MW)
        self._window_start_j = 0.0

    def capacity(self, cpu: int) -> float:
        """Share of one host core that this core's clock is worth now; all of it while the rig is unthrottled."""
        if not self.throttled:
            return 1.0
        return self._share * PSTATES[self.states[cpu]].mhz / PSTATES[0].mhz

    def ran(self, host_s: Sequence[float]) -> None:
        """Charges what each vCPU ran since the last call, in seconds of host CPU time, at the P-state it ran in.

        A core that has run for the whole of its share was busy for the whole time: busy time is host time / capacity.
        What the quota could not give (a busy host) is not charged: the core did not run.
        """
        for cpu, seconds in enumerate(host_s):
            busy_s = seconds / self.capacity(cpu)
            self.energy_j += busy_s * PSTATES[self.states[cpu]].busy_mw / 1e3

    def advance(self, dt_s: float, *, ac_online: bool) -> None:
        """Closes an averaging window of `dt_s` seconds: idle floor, mean power, temperature, charge."""
        self.energy_j += IDLE_MW / 1e3 * dt_s
        self.power_mw = (self.energy_j - self._window_start_j) / dt_s * 1e3
        self._window_start_j = self.energy_j
        target_c = AMBIENT_C + C_PER_W * self.power_mw / 1e3
        self.temp_c += (target_c - self.temp_c) * min(1.0, dt_s / THERMAL_TAU_S)
        if not ac_online:
            self.battery_mwh = max(0.0, self.battery_mwh - self.power_mw * dt_s / 3600)

    def telemetry(self, *, ac_online: bool, highest_pstate: int) -> Telemetry:
        """What the last window looked like to the firmware."""
        return Telemetry(
            power_mw=round(self.power_mw),
            temp_c=self.temp_c,
            battery_mw=0 if ac_online else round(self.power_mw),
            battery_mwh=round(self.battery_mwh),
            ac_online=ac_online,
            highest_pstate=highest_pstate,
            energy_j=self.energy_j,
        )
