"""What hwtune says a run used, against the rig's own log of its silicon: at every P-state.

hwtune reads the emulated ACPI meter through the real driver in the guest, as it does while tuning. The log is the
energy that the silicon publishes about ten times a second, read from the guest's memory on the host.
"""

from __future__ import annotations

import json
import threading
import time
from bisect import bisect_left, bisect_right
from pathlib import Path
from types import TracebackType

import pytest
from rig.chip import PSTATES
from rig.machine import Rig

pytestmark = pytest.mark.rig

SERIES = Path(__file__).with_name("energy_series.py")
RUN_S = 10
WITHIN = 0.02
_LOOK_S = 0.005


class EnergyLog:
    """Follows the silicon's energy: (host's clock, J) whenever it was published, from entering to leaving."""

    def __init__(self, rig: Rig) -> None:
        self._rig = rig
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._follow)
        self.at_s: list[float] = []
        self.energy_j: list[float] = []

    def __enter__(self) -> EnergyLog:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def _follow(self) -> None:
        while not self._ended.wait(_LOOK_S):
            energy_j = self._rig.energy_j()
            if not self.energy_j or energy_j != self.energy_j[-1]:
                self.at_s.append(time.monotonic())
                self.energy_j.append(energy_j)

    def between_j(self, start_s: float, end_s: float) -> float:
        """Energy of a run with rest before and after: of all windows it touches, less the rest's share of the outer."""
        first, last = bisect_right(self.at_s, start_s) - 1, bisect_left(self.at_s, end_s)
        touched_j = self.energy_j[last] - self.energy_j[first]
        before_s, after_s = start_s - self.at_s[first], self.at_s[last] - end_s
        return touched_j - self._power_w(first - 1) * before_s - self._power_w(last) * after_s

    def _power_w(self, window: int) -> float:
        joules = self.energy_j[window + 1] - self.energy_j[window]
        return joules / (self.at_s[window + 1] - self.at_s[window])


def host_minus_guest_s(rig: Rig) -> float:
    """What to add to the guest's monotonic clock to get the host's, to a few milliseconds.

    /proc/uptime cuts its seconds off after two digits; each answer gives an interval, all together a small one.
    """
    least, most = -float("inf"), float("inf")
    for _ in range(40):
        before_s = time.monotonic()
        guest_s = float(rig.read("/proc/uptime").split()[0])
        least, most = max(least, before_s - guest_s - 0.01), min(most, time.monotonic() - guest_s)
    return (least + most) / 2


def test_every_pstate_over_ten_seconds(rig: Rig) -> None:
    offset_s = host_minus_guest_s(rig)
    with EnergyLog(rig) as log:
        levels = [str(state.mhz * 1000) for state in PSTATES]
        result = rig.run(["python", str(SERIES), str(RUN_S), *levels], timeout_s=200).check()
        rig.restore_cpufreq()
        drift_s = host_minus_guest_s(rig) - offset_s
    print(f"the guest's clock drifted by {drift_s * 1e3:.1f} ms, the series took {result.seconds:.0f} s")
    assert abs(drift_s) < 0.1
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert [row["khz"] for row in rows] == [state.mhz * 1000 for state in PSTATES]
    beyond = []
    for row in rows:
        start_s, end_s = (row[key] + offset_s + drift_s / 2 for key in ("start_s", "end_s"))
        true_j = log.between_j(start_s, end_s)
        off = row["energy_j"] / true_j - 1.0
        print(
            f"{row['khz'] // 1000:5} MHz {end_s - start_s:6.2f} s  hwtune {row['energy_j']:8.2f} J  "
            f"log {true_j:8.2f} J  {off:+.2%}"
        )
        assert row["source"].startswith("emulated meter power_meter")
        assert end_s - start_s >= RUN_S
        if abs(off) > WITHIN:
            beyond.append(row["khz"])
    assert beyond == []
