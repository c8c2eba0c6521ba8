"""One cpufreq policy: requests that are remembered, and what the kernel makes of them now.

drivers/cpufreq/cpufreq.c: `cpufreq_set_policy`, `__resolve_freq`; freq_table.c: `cpufreq_frequency_table_verify`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from fake.driver import Driver
from fake.epp import Epp


@dataclass(kw_only=True)
class Policy:
    """A group of CPUs with one frequency; all frequencies in kHz.

    Args:
        number: of the directory.
        cpus: all of them, online or not.
        low: lowest frequency of the hardware.
        nominal: highest without boost.
        top: highest with boost.
        driver: which rules hold.
        table: what the hardware can do, ascending, boost included; empty where it can do anything.
        governor: after boot.
        snaps_above: a maximum between this and the top becomes the top (intel_pstate without HWP, with a lowered TDP).
        facts: further read-only files, name → text.
    """

    number: int
    cpus: tuple[int, ...]
    low: int
    nominal: int
    top: int
    driver: Driver
    governor: str
    table: tuple[int, ...] = ()
    snaps_above: int | None = None
    facts: dict[str, str] = field(default_factory=dict)
    boost: bool = True
    min_request: int = 0
    max_request: int = 0
    setspeed: int = 0
    epp: Epp | None = None
    held_max: dict[str, int] = field(default_factory=dict)
    """Maxima that others hold besides the user: firmware, thermal, the driver itself."""
    held_min: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.min_request = self.min_request or self.low
        self.max_request = self.max_request or self.cpuinfo_max
        if self.epp is None and self.driver.epp is not None:
            self.epp = Epp(self.driver.epp)

    @property
    def cpuinfo_max(self) -> int:
        """What `cpuinfo_max_freq` says now."""
        rules = self.driver.boost
        return self.nominal if rules is not None and rules.moves_cpuinfo and not self.boost else self.top

    @property
    def _ceiling(self) -> int:
        rules = self.driver.boost
        return self.nominal if rules is not None and rules.clamps and not self.boost else self.cpuinfo_max

    @property
    def limits(self) -> tuple[int, int]:
        """Minimum and maximum in force, as `scaling_min_freq` and `scaling_max_freq` read."""
        low = max(self.min_request, *self.held_min.values(), 0)
        high = min((self.max_request, *self.held_max.values()))
        low, high = self._inside(low, high)
        if self.snaps_above is not None and self.snaps_above < high < self._ceiling:
            high = self._ceiling
        if self.table:
            if not any(low <= khz <= high for khz in self.table):
                low, high = self._inside(low, min((khz for khz in self.table if khz > high), default=high))
            low, high = self._at_least(low, low, high), self._at_most(high, low, high)
        return low, high

    def _inside(self, low: int, high: int) -> tuple[int, int]:
        high = min(max(high, self.low), self._ceiling)
        return min(max(low, self.low), high), high

    def _at_least(self, khz: int, low: int, high: int) -> int:
        inside = [entry for entry in self.table if low <= entry <= high]
        return min((entry for entry in inside if entry >= khz), default=max(inside, default=khz))

    def _at_most(self, khz: int, low: int, high: int) -> int:
        inside = [entry for entry in self.table if low <= entry <= high]
        return max((entry for entry in inside if entry <= khz), default=min(inside, default=khz))

    def frequency(self, *, busy: bool, obeys: bool = True) -> int:
        """What it runs at: as the governor wants within the limits, or at its best where nothing is obeyed."""
        if not obeys:
            return self.top if self.boost else self.nominal
        low, high = self.limits
        match self.governor:
            case "userspace":
                wanted = min(max(self.setspeed, low), high)
                return self._at_least(wanted, low, high) if self.table else wanted
            case "performance":
                return high
            case "powersave" if not self.driver.governs_itself:
                return low
        return high if busy else low

    def rebase(self) -> None:
        """The new hardware maximum becomes the request."""
        self.max_request = self.cpuinfo_max
