"""The rig's fixture for all system tests: one boot for the session, or a reason why there is none."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from rig.build import missing
from rig.machine import Rig
from rig.packages import may_install
from rig.quota import find_hierarchy


def why_no_rig() -> str | None:
    """Why this host cannot boot the rig; in CI only what nothing can be done about."""
    if os.geteuid() != 0:
        return "the rig needs root"
    if may_install():
        return None  # what is missing is fetched; a rig that then does not boot is a failure, not a skip
    if wanted := missing():
        return f"missing: {', '.join(wanted)}; `scripts/rig --install true` as root fetches them"
    if find_hierarchy() is None:
        return "no writable cgroup hierarchy with a CPU controller"
    return None


@pytest.fixture(scope="session")
def rig() -> Iterator[Rig]:
    """The session's one boot. Every test finds it as the boot left it, see `_put_back`."""
    if reason := why_no_rig():
        pytest.skip(reason)
    # Three quarters of a host core for each vCPU: as fast as two cores can keep steady.
    with Rig(share=0.75, may_fetch=may_install()) as booted:
        yield booted


@pytest.fixture(autouse=True)
def _put_back(request: pytest.FixtureRequest) -> Iterator[None]:
    """After a test with the rig: as the boot left it, on battery, without a firmware limit, P-states that matter."""
    yield
    if "rig" in request.fixturenames:
        booted: Rig = request.getfixturevalue("rig")
        booted.set_highest_pstate(0)
        booted.set_ac(False)
        booted.set_throttle(True)
        booted.restore_cpufreq()
