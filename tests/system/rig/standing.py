"""One machine that stands ready for all tests of a session, and what happens to the session when it hangs.

An emulated machine can hang for reasons that are not the product's. That may cost one boot and one repetition, never
the rest of the session, and never goes unseen: every machine that had to be replaced is shown at the session's end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from rig.errors import RigError, RigHung
from rig.machine import Rig

_LOST = pytest.StashKey[list[str]]()


class Standing:
    """Boots when first asked, and again when the machine of before is of no more use.

    Args:
        machine: Makes a rig that is not booted yet.
        lost: Takes a text for each machine that had to be given up.
    """

    def __init__(self, machine: Callable[[], Rig], lost: Callable[[str], None]) -> None:
        self._machine = machine
        self._lost = lost
        self._rig: Rig | None = None

    def answering(self, test: str) -> Rig:
        """A machine that has just answered, for the test of that name."""
        if self._rig is not None:
            try:
                self._rig.ping()
                return self._rig
            except RigError as error:
                self._give_up(f"before {test}", error)
        rig = self._machine()
        self._rig = rig.__enter__()
        return self._rig

    def put_back(self, test: str) -> None:
        """After the test of that name: as the boot left it. One that hangs, or failed the test already, is given up.

        Raises:
            RigError: The machine had gone down, and no call of the test has said so.
        """
        assert self._rig is not None
        if self._rig.lost is not None:
            self._give_up(f"in {test}", self._rig.lost)
            return
        try:
            self._rig.put_back()
        except RigError as error:
            self._give_up(f"after {test}", error)
            if not isinstance(error, RigHung):
                raise

    def close(self) -> None:
        """Ends the machine, if there is one."""
        rig, self._rig = self._rig, None
        if rig is not None:
            rig.close()

    def _give_up(self, when: str, error: RigError) -> None:
        self.close()
        self._lost(f"{when}: {error}")


def report_lost(config: pytest.Config) -> Callable[[str], None]:
    """For `Standing`: what it hands over is shown at the session's end."""
    return config.stash.setdefault(_LOST, []).append


@pytest.fixture
def rig(standing_rig: Standing, request: pytest.FixtureRequest) -> Iterator[Rig]:
    """A machine that answers, as its boot left it. The session's only one, as long as that does not hang."""
    booted = standing_rig.answering(request.node.nodeid)
    yield booted
    standing_rig.put_back(request.node.nodeid)


@pytest.fixture
def sleeper(standing_sleeper: Standing, request: pytest.FixtureRequest) -> Iterator[Rig]:
    """As `rig`, but its root is memory, so that it can be suspended, once; one for all tests of a module."""
    booted = standing_sleeper.answering(request.node.nodeid)
    yield booted
    standing_sleeper.put_back(request.node.nodeid)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test whose machine hung is run once more, on a fresh boot; no other failure is, unless a test is marked so."""
    for item in items:
        if {"rig", "sleeper"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.flaky(reruns=1, only_rerun=[RigHung]))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Every machine that had to be replaced, with what was found out about it."""
    for text in config.stash.get(_LOST, []):
        terminalreporter.section("WARNING: a machine of the rig was lost and replaced", yellow=True, bold=True)
        terminalreporter.write_line(text)
