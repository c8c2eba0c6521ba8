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
from rig.standing import Standing, pytest_collection_modifyitems, pytest_terminal_summary, report_lost, rig, sleeper

__all__ = [
    "pytest_collection_modifyitems",
    "pytest_terminal_summary",
    "rig",
    "sleeper",
    "standing_rig",
    "standing_sleeper",
]


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
def standing_rig(pytestconfig: pytest.Config) -> Iterator[Standing]:
    """The session's machine, booted when the first test wants it."""
    if reason := why_no_rig():
        pytest.skip(reason)
    # Of a host core for each vCPU: with half of one, bursts are so short that at 2000 MHz the same work cost 10 % less
    # energy than at the top instead of the 28 % that the chip's table says; with 0.8 it is 24 %.
    standing = Standing(lambda: Rig(share=0.8, may_fetch=may_install()), report_lost(pytestconfig))
    yield standing
    standing.close()


@pytest.fixture(scope="module")
def standing_sleeper(pytestconfig: pytest.Config) -> Iterator[Standing]:
    """A machine beside the session's whose root survives suspend to RAM."""
    if reason := why_no_rig():
        pytest.skip(reason)
    standing = Standing(lambda: Rig(root="memory", share=0.8, may_fetch=may_install()), report_lost(pytestconfig))
    yield standing
    standing.close()
