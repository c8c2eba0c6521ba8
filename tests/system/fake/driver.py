"""What tells one cpufreq driver from another, as data; the rules themselves are in the modules named here.

Sources: drivers/cpufreq/{cpufreq,acpi-cpufreq,intel_pstate,amd-pstate,cppc_cpufreq,cpufreq-dt}.c of Linux 6.1 and,
where it says so, of later versions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

GENERIC_GOVERNORS = ("conservative", "ondemand", "userspace", "powersave", "performance", "schedutil")
OWN_GOVERNORS = ("performance", "powersave")


@dataclass(frozen=True, slots=True, kw_only=True)
class BoostRules:
    """See `fake.boost`.

    Args:
        files: where the switch is.
        moves_cpuinfo: whether `cpuinfo_max_freq` is the nominal frequency while boost is off.
        clamps: whether limits above the nominal frequency are cut while boost is off.
        overwrites_max: whether switching makes the new hardware maximum the request, whatever it was.
        locked: turbo is disabled by firmware: off, and EPERM.
    """

    files: tuple[Literal["global", "policy", "no_turbo"], ...]
    moves_cpuinfo: bool = False
    clamps: bool = False
    overwrites_max: bool = False
    locked: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class EppRules:
    """See `fake.epp`.

    Args:
        values: word → register value.
        default: register value after boot, which the word `default` brings back.
        numbers: whether 0-255 is taken.
        locks: whether `performance` as governor refuses any other preference.
        remembers: whether the preference from before `performance` comes back after it.
        offers_one: whether under `performance` no other preference is on offer.
    """

    values: dict[str, int]
    default: int = 128
    numbers: bool = False
    locks: bool = False
    remembers: bool = False
    offers_one: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Driver:
    """One cpufreq driver on one kernel.

    Args:
        name: as `scaling_driver` reads.
        governs_itself: a `setpolicy` driver, whose two governors are its own.
        boost: None where there is no switch.
        epp: None where there is no preference.
        tunables_per_policy: in `policyN/<governor>/`, not in `cpufreq/<governor>/`.
        bios_limit: whether that file is there (a firmware limit without it is a cooling device's).
        table_descends: order of `scaling_available_frequencies`.
        old_layout: before Linux 4.3: only `cpuN/cpufreq`, gone with its CPU; crossing limits are EINVAL.
        status: of `intel_pstate/status` or `amd_pstate/status`.
        loses: what a suspend makes it forget: `epp`, `boost`, `limits`, `governor`, `powercap`, `uncore`.
    """

    name: str
    governs_itself: bool = False
    boost: BoostRules | None = None
    epp: EppRules | None = None
    tunables_per_policy: bool = False
    bios_limit: bool = False
    table_descends: bool = False
    old_layout: bool = False
    status: str | None = None
    loses: tuple[str, ...] = ()

    @property
    def governors(self) -> tuple[str, ...]:
        """What `scaling_available_governors` offers."""
        return OWN_GOVERNORS if self.governs_itself else GENERIC_GOVERNORS
