"""Which files of a machine are in a capture: places that speak of CPUs, power and temperature, and of no person.

What is not listed is not captured. Names of attributes that identify a device are left out wherever they are.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

CPU = "/sys/devices/system/cpu"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Files, or directories that are walked.

    Args:
        pattern: shell pattern of absolute paths; links to directories are followed.
        depth: how many levels of directories are walked below what the pattern finds; links met there are kept as
            links and not followed.
    """

    pattern: str
    depth: int = 0


def _files(*patterns: str) -> tuple[Place, ...]:
    return tuple(Place(pattern=pattern) for pattern in patterns)


PLACES = (
    Place(pattern=CPU, depth=6),
    *_files(
        "/proc/cmdline",
        "/proc/cpuinfo",
        "/proc/loadavg",
        "/proc/meminfo",
        "/proc/pressure/*",
        "/proc/stat",
        "/proc/sys/kernel/osrelease",
        "/proc/sys/kernel/ostype",
        "/proc/sys/kernel/perf_event_paranoid",
        "/proc/sys/kernel/random/boot_id",
        "/proc/sys/kernel/sched_*",
        "/proc/uptime",
        "/proc/version",
        # Only class devices of the machine itself: no address, no serial number, no asset tag.
        "/sys/class/dmi/id/bios_*",
        "/sys/class/dmi/id/board_name",
        "/sys/class/dmi/id/board_vendor",
        "/sys/class/dmi/id/chassis_type",
        "/sys/class/dmi/id/product_family",
        "/sys/class/dmi/id/product_name",
        "/sys/class/dmi/id/product_version",
        "/sys/class/dmi/id/sys_vendor",
        "/sys/firmware/devicetree/base/compatible",
        "/sys/firmware/devicetree/base/model",
        "/sys/firmware/acpi/platform_profile*",
        "/sys/firmware/acpi/pm_profile",
        "/sys/devices/system/clocksource/clocksource0/*_clocksource",
        "/sys/devices/system/node/online",
        "/sys/devices/system/node/node[0-9]*/cpulist",
        "/sys/devices/system/node/node[0-9]*/distance",
        "/sys/module/intel_idle/parameters/*",
        "/sys/module/intel_pstate/parameters/*",
        "/sys/module/amd_pstate/parameters/*",
        "/sys/module/acpi_cpufreq/parameters/*",
        "/sys/module/processor/parameters/*",
        "/sys/module/cpufreq/parameters/*",
        "/sys/module/haltpoll/parameters/*",
        "/sys/power/mem_sleep",
        "/sys/power/state",
        "/sys/bus/event_source/devices/*/type",
        "/sys/bus/event_source/devices/*/cpu*",
        "/sys/bus/event_source/devices/power/events/*",
    ),
    Place(pattern="/sys/class/hwmon/hwmon*", depth=1),
    # Drivers of the old kind have their attributes in the device's own directory, among many others.
    *_files(
        "/sys/class/hwmon/hwmon*/device/name",
        "/sys/class/hwmon/hwmon*/device/curr[0-9]*_*",
        "/sys/class/hwmon/hwmon*/device/energy[0-9]*_*",
        "/sys/class/hwmon/hwmon*/device/in[0-9]*_*",
        "/sys/class/hwmon/hwmon*/device/power[0-9]*_*",
        "/sys/class/hwmon/hwmon*/device/temp[0-9]*_*",
    ),
    Place(pattern="/sys/class/powercap/*", depth=1),
    Place(pattern="/sys/class/power_supply/*", depth=1),
    Place(pattern="/sys/class/thermal/*", depth=1),
)

# A kernel's configuration where distributions put it; only the lines about power management are kept.
CONFIG = "/boot/config-{release}"
CONFIG_LINE = re.compile(
    r"(?:# )?CONFIG_(?:ACPI_CPPC|ACPI_PROCESSOR|AMD_PSTATE|CPU_FREQ|CPU_IDLE|CPUFREQ|ENERGY_MODEL|HZ|INTEL_IDLE|"
    r"INTEL_RAPL|INTEL_UNCORE|NO_HZ|PERF_EVENTS|POWERCAP|PREEMPT|PSI|SCHED_MC|UCLAMP|X86_AMD_PSTATE|X86_INTEL_PSTATE|"
    r"X86_ACPI_CPUFREQ)\w*(?:=(?:[ymn]|[0-9]+)| is not set)"
)

# By these devices are told apart, and so are their owners.
_IDENTIFYING = re.compile(r"serial|uuid|guid|asset_?tag|wwid|wwn|address|unique_id|crash_notes", re.IGNORECASE)
# Of a wireless mouse it is what its owner calls it.
NAMED_BY_PEOPLE = "model_name"
# It repeats the other attributes, serial numbers among them.
REPEATS = "uevent"


def identifies(name: str) -> bool:
    """Whether an attribute of this name tells one device from another of its kind."""
    return _IDENTIFYING.search(name) is not None
