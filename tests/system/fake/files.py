"""The files of one cpufreq policy."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from fake.attribute import Attribute, constant, refuse, scan, scan_word
from fake.policy import Policy

if TYPE_CHECKING:
    from fake.kernel import FakeKernel


def policy_files(kernel: FakeKernel, policy: Policy) -> dict[str, Attribute]:
    """Name → file; all of them answer EBUSY while none of its CPUs is online."""
    files = _limits(policy) | _governor(kernel, policy) | _facts(kernel, policy)
    rules = policy.driver.boost
    if kernel.boost is not None and rules is not None and "policy" in rules.files:
        files["boost"] = kernel.boost.policy_file(policy)
    if policy.epp is not None:
        files |= _preference(policy)
    return {name: _while_active(kernel, policy, file) for name, file in files.items()}


def _while_active(kernel: FakeKernel, policy: Policy, file: Attribute) -> Attribute:
    def check() -> None:
        if not kernel.active(policy):
            refuse(errno.EBUSY)

    def show() -> str:
        check()
        return file.show()

    store = file.store
    if store is None:
        return Attribute(show, bits=file.bits)

    def checked(text: str) -> None:
        check()
        store(text)

    return Attribute(show, checked, file.bits)


def _limits(policy: Policy) -> dict[str, Attribute]:
    def store_min(text: str) -> None:
        khz = _request(text)
        if policy.driver.old_layout and khz > policy.limits[1]:
            refuse(errno.EINVAL)
        policy.min_request = khz

    def store_max(text: str) -> None:
        khz = _request(text)
        if policy.driver.old_layout and khz < policy.limits[0]:
            refuse(errno.EINVAL)
        policy.max_request = khz

    return {
        "scaling_min_freq": Attribute(lambda: str(policy.limits[0]), store_min),
        "scaling_max_freq": Attribute(lambda: str(policy.limits[1]), store_max),
        "cpuinfo_min_freq": constant(policy.low),
        "cpuinfo_max_freq": Attribute(lambda: str(policy.cpuinfo_max)),
    }


def _request(text: str) -> int:
    """An unsigned long that the kernel then takes for a signed int, and refuses when that is negative."""
    khz = scan(text) & 0xFFFF_FFFF
    if khz >= 1 << 31:
        refuse(errno.EINVAL)
    return khz


def _governor(kernel: FakeKernel, policy: Policy) -> dict[str, Attribute]:
    def store(text: str) -> None:
        word = scan_word(text, 15).lower()
        if word not in policy.driver.governors:
            refuse(errno.EINVAL)
        kernel.govern(policy, word)

    def store_setspeed(text: str) -> None:
        khz = scan(text)
        if policy.governor != "userspace":
            refuse(errno.EINVAL)
        policy.setspeed = khz

    def setspeed() -> str:
        return str(kernel.current_khz(policy)) if policy.governor == "userspace" else "<unsupported>"

    offer = " ".join(policy.driver.governors)
    return {
        "scaling_governor": Attribute(lambda: policy.governor, store),
        "scaling_available_governors": constant(offer if policy.driver.governs_itself else f"{offer} "),
        "scaling_setspeed": Attribute(setspeed, store_setspeed),
    }


def _preference(policy: Policy) -> dict[str, Attribute]:
    epp = policy.epp
    assert epp is not None
    words = " ".join(("default", *epp.rules.values)) + " "

    def offer() -> str:
        return "performance" if epp.rules.offers_one and policy.governor == "performance" else words

    return {
        "energy_performance_preference": Attribute(epp.show, lambda text: epp.store(text, policy.governor)),
        "energy_performance_available_preferences": Attribute(offer),
    }


def _facts(kernel: FakeKernel, policy: Policy) -> dict[str, Attribute]:
    def online() -> str:
        return " ".join(str(cpu) for cpu in policy.cpus if cpu in kernel.online)

    files = {
        "affected_cpus": Attribute(online),
        "related_cpus": constant(" ".join(map(str, policy.cpus))),
        "scaling_driver": constant(policy.driver.name),
        "scaling_cur_freq": Attribute(lambda: str(kernel.current_khz(policy))),
        "cpuinfo_transition_latency": constant(10000),
    }
    files |= {name: constant(text) for name, text in policy.facts.items()}
    if policy.driver.bios_limit:
        files["bios_limit"] = Attribute(lambda: str(policy.held_max.get("firmware", policy.top)))
    if policy.table:
        boosts = _boost_entries(policy)
        order = -1 if policy.driver.table_descends else 1
        plain = [khz for khz in policy.table if khz not in boosts][::order]
        files["scaling_available_frequencies"] = constant("".join(f"{khz} " for khz in plain))
        if boosts:
            files["scaling_boost_frequencies"] = constant("".join(f"{khz} " for khz in boosts))
    return files


def _boost_entries(policy: Policy) -> list[int]:
    rules = policy.driver.boost
    return [khz for khz in policy.table if khz > policy.nominal] if rules is not None and rules.moves_cpuinfo else []
