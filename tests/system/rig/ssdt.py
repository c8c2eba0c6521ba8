"""The ACPI table that gives QEMU's processors P-states, and the machine a power meter, a battery and a thermal zone.

The text is ASL; `build` compiles it with iasl and QEMU adds it with `-acpitable`. QEMU's q35 names its processors
`\\_SB.CPUS.C000`, `C001`, … . References: ACPI 6.5, chapters 8.4.5 (performance states), 10.2 (batteries), 10.4 (power
meters), 11 (thermal); Linux: drivers/cpufreq/acpi-cpufreq.c, drivers/hwmon/acpi_power_meter.c.
"""

from __future__ import annotations

from rig.chip import (
    AMBIENT_C,
    BATTERY_MWH,
    IDLE_MW,
    METER_MODEL,
    METER_OEM,
    PSTATES,
    TELEMETRY_ADDRESS,
    TELEMETRY_MAGIC,
    Topology,
    register_port,
)

METER_WINDOW_MS = 100
_TRANSITION_US = 10


def ssdt(cpus: int, topology: Topology) -> str:
    """The table for so many CPUs, each with a clock of its own (`own`) or all with one (`shared`)."""
    parts = [f"  External ({_cpu(i)}, DeviceObj)" for i in range(cpus)]
    parts += [_processor(i, cpus, topology) for i in range(cpus)]
    parts += [_firmware(cpus, topology), _POWER_METER, _ADAPTER, _BATTERY, _thermal_zone(cpus)]
    return 'DefinitionBlock ("", "SSDT", 2, "HWTUNE", "RIG", 1) {\n' + "\n".join(parts) + "\n}\n"


def _cpu(index: int) -> str:
    return f"\\_SB.CPUS.C{index:03X}"


def _processor(index: int, cpus: int, topology: Topology) -> str:
    """P-states of one CPU: _PCT (where the register is), _PSS (the rows), _PSD (who shares it), _PPC (the limit)."""
    rows = ",\n".join(
        f"      Package () {{ {p.mhz}, {p.busy_mw}, {_TRANSITION_US}, {_TRANSITION_US}, {value}, {value} }}"
        for value, p in enumerate(PSTATES)
    )
    register = f"ResourceTemplate () {{ Register (SystemIO, 8, 0, 0x{register_port(index, topology):X}, 1) }}"
    # coordination: 0xFD "SW_ANY" for a domain of one, 0xFC "SW_ALL" where software must keep all CPUs of it together
    domain, coordination, members = (index, "0xFD", 1) if topology == "own" else (0, "0xFC", cpus)
    return f"""
  Scope ({_cpu(index)}) {{
    Name (_PCT, Package () {{ {register}, {register} }})
    Name (_PSS, Package () {{
{rows} }})
    Name (_PSD, Package () {{ Package () {{ 5, 0, {domain}, {coordination}, {members} }} }})
    Method (_PPC) {{ Return (\\_SB.HWTN.PLIM ()) }}
  }}"""


def _firmware(cpus: int, topology: Topology) -> str:
    """The machine's private device: reads the telemetry page, and stands in for it when no silicon publishes.

    EVTS is how a change of the firmware's limit or of the adapter reaches the kernel: the kernel polls `_TMP` each
    second, and that is where this firmware notices and Notifies.
    """
    ports = range(cpus) if topology == "own" else range(1)
    regions = "\n".join(
        f"""    OperationRegion (P{i:03X}, SystemIO, 0x{register_port(i, topology):X}, 1)
    Field (P{i:03X}, ByteAcc, NoLock, Preserve) {{ S{i:03X}, 8 }}"""
        for i in ports
    )
    total = "\n".join(
        f"""      Local1 = S{i if topology == "own" else 0:03X}
      If (Local1 > {len(PSTATES) - 1}) {{ Local1 = {len(PSTATES) - 1} }}
      Local0 += DerefOf (BUSY [Local1])"""
        for i in range(cpus)
    )
    notify = "\n".join(f"        Notify ({_cpu(i)}, 0x80)" for i in range(cpus))
    return f"""
  Device (\\_SB.HWTN) {{
    Name (_HID, "HWTN0001")
    OperationRegion (TELE, SystemMemory, 0x{TELEMETRY_ADDRESS:X}, 0x1C)
    Field (TELE, DWordAcc, NoLock, Preserve) {{
      MAGC, 32, PWRM, 32, TMPK, 32, BRAT, 32, BREM, 32, ACON, 32, PPCL, 32 }}
{regions}
    Name (BUSY, Package () {{ {", ".join(str(p.busy_mw) for p in PSTATES)} }})
    Name (LPPC, 0)
    Name (LACO, 0)
    Method (LIVE) {{ Return (MAGC == 0x{TELEMETRY_MAGIC:X}) }}
    Method (PLIM) {{
      If (LIVE ()) {{ Return (PPCL) }}
      Return (0) }}
    Method (POWR, 0, Serialized) {{  // mW; without silicon as if every core were busy
      If (LIVE ()) {{ Return (PWRM) }}
      Local0 = {IDLE_MW}
{total}
      Return (Local0) }}
    Method (EVTS, 0, Serialized) {{
      If (PPCL != LPPC) {{
        LPPC = PPCL
{notify} }}
      If (ACON != LACO) {{
        LACO = ACON
        Notify (\\_SB.ADP0, 0x80)
        Notify (\\_SB.BAT0, 0x80) }} }}
    Method (TEMP, 0, Serialized) {{
      If (LIVE ()) {{
        EVTS ()
        Return (TMPK) }}
      Return ({round((AMBIENT_C + 273.15) * 10)} + POWR () / 100) }}
  }}"""


def _thermal_zone(cpus: int) -> str:
    """Polled each second (_TZP in tenths); passive at 95 °C and critical at 120 °C, neither of which it reaches."""
    return f"""
  Scope (\\_TZ) {{ ThermalZone (TZ00) {{
    Method (_TMP) {{ Return (\\_SB.HWTN.TEMP ()) }}
    Method (_CRT) {{ Return (3932) }}
    Method (_PSV) {{ Return (3682) }}
    Name (_PSL, Package () {{ {", ".join(_cpu(i) for i in range(cpus))} }})
    Name (_TC1, 2)
    Name (_TC2, 5)
    Name (_TSP, 10)
    Name (_TZP, 10)
  }} }}"""


# _PMC: measures only (no cap, no trip points), mW, input power, accuracy 1 %, sampled each 10 ms, averaged over 100 ms.
# The kernel caches a reading for the sampling time, so a reader sees each new average as soon as it is published.
_POWER_METER = f"""
  Device (\\_SB.PMTR) {{
    Name (_HID, "ACPI000D")
    Name (_PMC, Package () {{ 0x1, 0, 0, 1000, 10, {METER_WINDOW_MS}, {METER_WINDOW_MS}, 0, 0, 0, 0,
      "{METER_MODEL}", "0", "{METER_OEM}" }})
    Method (_PMM) {{ Return (\\_SB.HWTN.POWR ()) }}
    Name (_PMD, Package () {{ {_cpu(0)} }})
    Method (_PAI, 1) {{ Return (0) }}
    Method (_GAI) {{ Return ({METER_WINDOW_MS}) }}
  }}"""

_ADAPTER = """
  Device (\\_SB.ADP0) {
    Name (_HID, "ACPI0003")
    Name (_PCL, Package () { \\_SB })
    Method (_PSR) {
      If (\\_SB.HWTN.LIVE ()) { Return (\\_SB.HWTN.ACON) }
      Return (0) }
  }"""

# _BST: state (1 discharging, 2 charging), rate mW, remaining mWh, mV. mWh are 3.6 J: far coarser than the meter.
_BATTERY = f"""
  Device (\\_SB.BAT0) {{
    Name (_HID, EisaId ("PNP0C0A"))
    Name (_UID, 0)
    Name (_PCL, Package () {{ \\_SB }})
    Method (_STA) {{ Return (0x1F) }}
    Name (_BIF, Package () {{ 0, {BATTERY_MWH * 5 // 4}, {BATTERY_MWH * 6 // 5}, 1, 11400, 2400, 1000, 10, 10,
      "{METER_MODEL}", "0", "LION", "{METER_OEM}" }})
    Method (_BST, 0, Serialized) {{
      Name (PKG, Package () {{ 1, 0, {BATTERY_MWH}, 11400 }})
      If (\\_SB.HWTN.LIVE ()) {{
        If (\\_SB.HWTN.ACON) {{ PKG [0] = 2 }}
        PKG [1] = \\_SB.HWTN.BRAT
        PKG [2] = \\_SB.HWTN.BREM
      }} Else {{
        PKG [1] = \\_SB.HWTN.POWR () }}
      Return (PKG) }}
  }}"""
