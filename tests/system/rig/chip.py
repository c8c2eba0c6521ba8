"""The imagined processor: its P-states, its registers, and the page on which it tells the firmware what it measures.

Both sides of the rig are built from this one file: `ssdt` writes the guest's ACPI table from it, `silicon` obeys it on
the host.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Literal

Topology = Literal["own", "shared"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PState:
    """One row of `_PSS` (ACPI 6.5, 8.4.5.2): the clock, and what one busy core draws at it above the idle floor."""

    mhz: int
    busy_mw: int


# Power falls faster than the clock (voltage falls with it) until 2000 MHz; under that the idle floor of a longer run
# weighs more. So the energy of a fixed amount of work has its minimum inside the table, about 27 % under the top.
PSTATES = (
    PState(mhz=3600, busy_mw=15000),
    PState(mhz=3200, busy_mw=11500),
    PState(mhz=2800, busy_mw=8600),
    PState(mhz=2400, busy_mw=6300),
    PState(mhz=2000, busy_mw=4500),
    PState(mhz=1600, busy_mw=3100),
    PState(mhz=1200, busy_mw=2100),
    PState(mhz=800, busy_mw=1300),
)
IDLE_MW = 2500
AMBIENT_C = 35.0
BATTERY_MWH = 40_000

# One byte per CPU that holds the index of its P-state: the page registers of the ISA DMA controller. QEMU stores and
# returns what was written there, and nothing else happens because the machine has no ISA DMA device. Linux lists the
# range as "dma page reg", which does not stop acpi-cpufreq: it does not request regions.
REGISTER_PORTS = (0x81, 0x82, 0x83, 0x87, 0x89, 0x8A, 0x8B, 0x8F)
MAX_CPUS = len(REGISTER_PORTS)

# 64 KiB of guest memory that `memmap=` takes from the kernel; the host writes it, the guest's AML reads it.
TELEMETRY_ADDRESS = 0x0800_0000
TELEMETRY_SIZE = 0x1_0000
TELEMETRY_MAGIC = 0x4E54_5748  # "HWTN": the host's silicon is alive and publishing

# What hwmon and power_supply report, so that nobody takes the figures for measurements of a real machine.
METER_MODEL = "emulated"
METER_OEM = "hwtune-rig"

_TELEMETRY = struct.Struct("<7I4xQ")  # the fields of `Telemetry` in this order; `ssdt` names them in its Field ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Telemetry:
    """What the silicon publishes ten times a second; the firmware shows all but the energy, which is for tests."""

    power_mw: int
    temp_c: float
    battery_mw: int
    battery_mwh: int
    ac_online: bool
    highest_pstate: int
    """The firmware's limit, `_PPC` (ACPI 6.5, 8.4.5.3): index of the fastest P-state the kernel may use."""
    energy_j: float
    """Since the boot, without gaps: what a perfect meter would have counted."""

    def pack(self) -> bytes:
        """The page's first 40 bytes; temperature as ACPI wants it, in tenths of a kelvin."""
        return _TELEMETRY.pack(
            TELEMETRY_MAGIC,
            self.power_mw,
            round((self.temp_c + 273.15) * 10),
            self.battery_mw,
            self.battery_mwh,
            int(self.ac_online),
            self.highest_pstate,
            round(self.energy_j * 1e6),
        )


def published_energy_j(page: bytes) -> float | None:
    """The energy on a telemetry page, or None while nobody publishes."""
    magic, *_, energy_uj = _TELEMETRY.unpack(page[: _TELEMETRY.size])
    return energy_uj / 1e6 if magic == TELEMETRY_MAGIC else None


def register_port(cpu: int, topology: Topology) -> int:
    """The I/O port of a CPU's P-state register; with `shared` all CPUs are one clock domain and use the first one."""
    return REGISTER_PORTS[0 if topology == "shared" else cpu]
