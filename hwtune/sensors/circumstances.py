"""How a machine stands while something is measured on it: what makes runs differ that nobody has disturbed.

Turbo, hyper-threads, the governor, address space randomisation, the sampling rate of perf, the power cord, isolated
CPUs: what `python -m pyperf system tune` sets on a machine that does nothing but benchmarks. Here it is only looked at.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from hwtune.host.fs import HostFS
from hwtune.sensors.optional import optional_int, optional_text

_CPU = "/sys/devices/system/cpu"
_KERNEL = "/proc/sys/kernel"


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """Facts that stay; each None (or empty) where this machine does not say.

    Args:
        hypervisor: whether this is a virtual machine (x86 only).
        turbo: whether clocks above the base frequency are allowed.
        smt: whether CPUs share a core.
        governors: those in use.
        frequency_fixed: whether minimum and maximum are the same everywhere.
        aslr: `randomize_va_space`: 0 off, 1 partly, 2 fully (admin-guide/sysctl/kernel.rst).
        perf_sample_rate: `perf_event_max_sample_rate` in samples per second.
        on_mains: whether a charger is connected; None without any.
        isolated_cpus: CPUs kept from the scheduler, as the kernel lists them.
    """

    hypervisor: bool | None = None
    turbo: bool | None = None
    smt: bool | None = None
    governors: tuple[str, ...] = ()
    frequency_fixed: bool | None = None
    aslr: int | None = None
    perf_sample_rate: int | None = None
    on_mains: bool | None = None
    isolated_cpus: str | None = None


def read_circumstances(files: HostFS) -> Circumstances:
    """How the machine stands now."""
    smt = optional_int(files, f"{_CPU}/smt/active")
    return Circumstances(
        hypervisor=_hypervisor(optional_text(files, "/proc/cpuinfo") or ""),
        turbo=_turbo(files),
        smt=None if smt is None else smt == 1,
        governors=tuple(dict.fromkeys(_of_policies(files, "scaling_governor"))),
        frequency_fixed=_frequency_fixed(files),
        aslr=optional_int(files, f"{_KERNEL}/randomize_va_space"),
        perf_sample_rate=optional_int(files, f"{_KERNEL}/perf_event_max_sample_rate"),
        on_mains=_on_mains(files),
        isolated_cpus=optional_text(files, f"{_CPU}/isolated") or None,
    )


def _hypervisor(cpuinfo: str) -> bool | None:
    """Whether CPUID says so; other architectures have no such flag.

    flags : fpu vme de pse tsc msr pae … hypervisor lahf_lm
    """
    flags = re.search(r"^flags\s*:(.*)$", cpuinfo, re.MULTILINE)
    return "hypervisor" in flags[1].split() if flags else None


def _turbo(files: HostFS) -> bool | None:
    no_turbo = optional_int(files, f"{_CPU}/intel_pstate/no_turbo")
    if no_turbo is not None:
        return no_turbo == 0
    boosts = [optional_int(files, path) for path in files.glob(f"{_CPU}/cpufreq/boost")]
    boosts += [optional_int(files, path) for path in files.glob(f"{_CPU}/cpufreq/policy[0-9]*/boost")]
    known = [boost for boost in boosts if boost is not None]
    return any(boost == 1 for boost in known) if known else None


def _frequency_fixed(files: HostFS) -> bool | None:
    lowest, highest = (_of_policies(files, f"scaling_{end}_freq") for end in ("min", "max"))
    return lowest == highest if lowest and len(lowest) == len(highest) else None


def _of_policies(files: HostFS, attribute: str) -> list[str]:
    for pattern in (f"{_CPU}/cpufreq/policy[0-9]*", f"{_CPU}/cpu[0-9]*/cpufreq"):
        texts = [optional_text(files, path) for path in files.glob(f"{pattern}/{attribute}")]
        if found := [text for text in texts if text]:
            return found
    return []


def _on_mains(files: HostFS) -> bool | None:
    supplies = files.glob("/sys/class/power_supply/*")
    online = [optional_int(files, f"{path}/online") for path in supplies if _is_charger(files, path)]
    known = [value for value in online if value is not None]
    return any(known) if known else None


def _is_charger(files: HostFS, path: str) -> bool:
    return optional_text(files, f"{path}/type") in {"Mains", "USB", "Wireless"}
