"""What a kernel in memory does not need: time, which does not pass there, and fsync, as no power is ever cut.

A killed process loses nothing that it wrote; only the file system's own end needs fsync.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "system"))  # the fake kernel lives there


@pytest.fixture(scope="session", autouse=True)
def _in_memory() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hwtune.host.durable.os.fsync", lambda fd: None)
        patch.setattr("hwtune.knobs.cpufreq.time.sleep", lambda duration_s: None)
        yield
