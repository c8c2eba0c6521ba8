"""Taking out of kernel text what names a machine, its network or its people. Pure: texts in, texts out.

Two nets. What is known to name this machine (`identity.find_secrets`) is replaced wherever it stands, whatever it
looks like; and what looks like an address, an identifier or a mailbox is replaced though nothing is known of it. Each
secret becomes `redacted-N`, the same one the same N, so that what belongs together stays so. Redacting twice changes
nothing more.
"""

from __future__ import annotations

import ipaddress
import re
from collections import Counter
from collections.abc import Callable, Collection, Mapping

CMDLINE = "/proc/cmdline"
VERSION = "/proc/version"
OSRELEASE = "/proc/sys/kernel/osrelease"
BOOT_ID = "/proc/sys/kernel/random/boot_id"
_NO_BOOT_ID = "00000000-0000-0000-0000-000000000000"

_SHORT = 200
# Names of hosts and users that name nobody: words that kernels and distributions say of every machine.
_COMMON_WORDS = """
active amd android apple arm balance_performance balance_power battery boost centos cluster conservative core cpu
cpufreq debian default disabled dram driver enabled fedora generic governor guest guided hwmon intel interactive
kernel laptop linux local localdomain localhost mains max memory min name node none nvidia off on ondemand oracle
package passive performance pi platform policy power powersave proc psys qualcomm raspberrypi redhat root schedutil
server state suse sys system temp test thermal type ubuntu uncore unknown user userspace vendor version virtual
"""
_COMMON = frozenset(_COMMON_WORDS.split())
# The kernel's parameters that say how it manages power and time, with values that can hold no secret.
_PARAMETERS = re.compile(
    r"(?:(?:intel_pstate|amd_pstate|intel_idle|processor|cpufreq|cpuidle|acpi_cpufreq|thermal|intel_rapl\w*|haltpoll|"
    r"cpuidle_haltpoll|rcutree|sched)(?:\.\w+)?|idle|mitigations|isolcpus|nohz|nohz_full|rcu_nocbs|maxcpus|nr_cpus|"
    r"nosmt|smt|psi|preempt|threadirqs|tsc|clocksource|hpet|noapic|nolapic|nox2apic|pcie_aspm|noreplace-smp|"
    r"irqaffinity|skew_tick|nmi_watchdog|nowatchdog|tickless|highres|lapic|energy_aware|quiet|ro|rw)"
    r"(?:=[A-Za-z0-9_.,:-]{0,80})?"
)
_WORDS = re.compile(r'(?:[^\s"]|"[^"]*"?)+')
_LABELLED = re.compile(
    r"\b((?:serial(?:[ _-]?(?:number|no))?|uuid|guid|asset[ _-]?tag|identification|hostname)[ \t]*[:=][ \t]*)([^\n,]+)",
    re.IGNORECASE,
)
_BUILDER = re.compile(r"[^\s()]{1,256}@[^\s()]*")
_UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_PATTERNS = (
    ("uuid", re.compile(_UUID, re.IGNORECASE)),
    ("mac", re.compile(r"[0-9a-f]{2}([:_-])(?:[0-9a-f]{2}\1){4,18}[0-9a-f]{2}", re.IGNORECASE)),
    ("id", re.compile(r"[0-9a-f]{32,}", re.IGNORECASE)),
    ("mailbox", re.compile(r"[\w.+%-]{1,64}@[A-Za-z][\w.-]*")),
)
_IPV4 = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}(?:/[0-9]{1,2})?")
_IPV6 = re.compile(r"(?<![0-9A-Za-z:])(?:[0-9a-f]{0,4}:){2,8}[0-9a-f.]{0,15}", re.IGNORECASE)


class Redactor:
    """Replaces secrets, and remembers which is which.

    Args:
        secrets: kind → texts that are known to name the machine or its people.
        vocabulary: names that the kernel gave; a secret that reads like a part of one cannot be told from it.

    Attributes:
        counts: replacements so far by kind; `cmdline` counts parameters left out.
    """

    def __init__(self, secrets: Mapping[str, Collection[str]], vocabulary: Collection[str] = ()) -> None:
        self.counts: Counter[str] = Counter()
        self._numbers: dict[str, int] = {}
        spoken = "\n".join(sorted(vocabulary))
        self._kinds = {
            text.casefold(): kind
            for kind, texts in sorted(secrets.items())
            for text in texts
            if _worth_looking_for(text) and not re.search(_anywhere(text), spoken, re.IGNORECASE)
        }
        longest_first = sorted(self._kinds, key=lambda text: (-len(text), text))
        self._known = re.compile("|".join(map(_anywhere, longest_first)) or "(?!)", re.IGNORECASE)
        self._names: dict[str, str] = {}
        self._harmless: set[str] = set()

    def text(self, path: str, text: str) -> str:
        """The text of a file without what is secret in it."""
        if path == BOOT_ID:
            self.counts["uuid"] += text != _NO_BOOT_ID
            return _NO_BOOT_ID
        if path == CMDLINE:
            text = self._cmdline(text)
        elif path == VERSION:
            # The release may look like an address ("5.10.0-136.12.0.86"), and is none.
            head, release, tail = re.match(r"(Linux version )?(\S*)(.*)", text, re.DOTALL).groups("")  # type: ignore[union-attr]
            tail = _BUILDER.sub(lambda found: self._replace("mailbox", found[0]), tail)
            return head + self._marks(release) + self._addresses(self._marks(tail))
        if text in self._harmless:
            return text
        marked = self._marks(_LABELLED.sub(self._label, text))
        if path == OSRELEASE:
            return marked
        clean = self._addresses(marked)
        if clean == text and len(text) < _SHORT:
            self._harmless.add(text)  # thousands of attributes read alike
        return clean

    def path(self, path: str) -> str:
        """A path without what is secret in it: device names hold addresses, too."""
        return "/".join(
            self._names.get(part) or self._names.setdefault(part, self._marks(part)) for part in path.split("/")
        )

    def _marks(self, text: str) -> str:
        folded = text.casefold()
        if any(secret in folded for secret in self._kinds):  # much faster than asking the pattern
            text = self._known.sub(
                lambda found: self._replace(self._kinds.get(found[0].casefold(), "name"), found[0]), text
            )
        for kind, pattern in _PATTERNS:
            text = pattern.sub(self._by_kind(kind), text)
        return text

    def _addresses(self, text: str) -> str:
        return _IPV4.sub(self._by_kind("ip"), _IPV6.sub(self._ipv6, text))

    def _by_kind(self, kind: str) -> Callable[[re.Match[str]], str]:
        return lambda found: found[0] if found[0] == _NO_BOOT_ID else self._replace(kind, found[0])

    def _ipv6(self, found: re.Match[str]) -> str:
        try:
            ipaddress.IPv6Address(found[0])
        except ValueError:
            return found[0]
        return self._replace("ip", found[0])

    def _label(self, found: re.Match[str]) -> str:
        value = found[2].rstrip()
        return found[1] + (value if value.startswith("redacted-") else self._replace("serial", value))

    def _cmdline(self, text: str) -> str:
        words = _WORDS.findall(text)
        kept = [word for word in words if _PARAMETERS.fullmatch(word)]
        self.counts["cmdline"] += len(words) - len(kept)
        return " ".join(kept)

    def _replace(self, kind: str, secret: str) -> str:
        self.counts[kind] += 1
        number = self._numbers.setdefault(secret.casefold(), len(self._numbers) + 1)
        return f"redacted-{number}"


def _worth_looking_for(text: str) -> bool:
    """Whether a text can be told from what a kernel says anyway: no number, no filler, no common word."""
    words = text.casefold()
    if len(text) < 2 or words in _COMMON or words.startswith("redacted"):
        return False
    return len(text) >= 8 and len(set(words)) > 1 if re.fullmatch(r"[0-9.]*", words) else True


def _anywhere(text: str) -> str:
    """A pattern for a known text: long ones also inside of words, short ones and numbers only by themselves."""
    escaped = re.escape(text)
    if len(text) >= 8 and not re.fullmatch("[0-9]*", text):
        return escaped
    return rf"(?<![^\W_]){escaped}(?![^\W_])"
