"""The energy-performance preference: words over a register, and what the governor `performance` does to it.

drivers/cpufreq/intel_pstate.c: `store_energy_performance_preference`, `intel_pstate_hwp_set`;
drivers/cpufreq/amd-pstate.c: the function of the same name, `amd_pstate_epp_update_limit`.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass, field

from fake.attribute import kstrtouint, refuse, scan_word
from fake.driver import EppRules

INTEL = {"performance": 0, "balance_performance": 128, "balance_power": 192, "power": 255}
AMD = {**INTEL, "balance_power": 191}


@dataclass
class Epp:
    """The preference of one policy."""

    rules: EppRules
    value: int = field(init=False)
    before_performance: int | None = None

    def __post_init__(self) -> None:
        self.value = self.rules.default

    def show(self) -> str:
        """The word; a number where the driver knows numbers; AMD's has no answer for a value without a word."""
        for word, value in self.rules.values.items():
            if value == self.value:
                return word
        if not self.rules.numbers:
            refuse(errno.EINVAL)
        return str(self.value)

    def store(self, text: str, governor: str) -> None:
        """A word, `default`, or a number; EBUSY where the governor overrules it."""
        word = scan_word(text, 20)
        if word == "default":
            value = self.rules.default
        elif word in self.rules.values:
            value = self.rules.values[word]
        elif self.rules.numbers:
            value = kstrtouint(text)
            if value > 255:
                refuse(errno.EINVAL)
        else:
            refuse(errno.EINVAL)
        if value > 0 and self.rules.locks and governor == "performance":
            refuse(errno.EBUSY)
        self.value = value

    def govern(self, governor: str) -> None:
        """The governor has changed to this."""
        if not self.rules.locks:
            return
        if governor == "performance":
            self.before_performance, self.value = self.value, 0
        elif self.rules.remembers and self.before_performance is not None and self.value == 0:
            self.value = self.before_performance
