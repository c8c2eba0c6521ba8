"""Instructions retired as a stand-in for work that nobody counts, with a guard against counting waiting as work.

A thread that spins on a lock retires instructions and gets nothing done; a lower frequency makes others spin longer, so
that counting those would favour the wrong setting. Spinning looks like nothing else for long: it is all branches, none
of them mispredicted, and it needs no memory beyond the first cache (Li, Lebeck and Sorin, "Spin detection hardware for
improved management of multithreaded systems", IEEE TPDS 17(6), 2006, recognise it in hardware by its unchanged state).
A tight loop over a small array looks the same, so this guard refuses rather than guesses.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from hwtune.domain.errors import Unsupported, WorkloadError

NEEDED = ("instructions", "branches", "branch-misses", "cache-references")
_BRANCHES = 1 / 8  # per instruction: of ordinary code it is one in five to seven, of a spin loop one in two to five
_MISSES = 1e-3  # per branch: of ordinary code a hundredth
_REFERENCES = 1e-4  # to the last cache, per instruction: of ordinary code a hundredth to a thousandth
_MOST = 0.2  # share of the instructions that may look so


def spins(before: Mapping[str, int], after: Mapping[str, int]) -> bool:
    """Whether what was counted in between looks like spinning; both have all that is `NEEDED`."""
    grown = {name: max(after[name] - before[name], 0) for name in NEEDED}
    if grown["instructions"] == 0:
        return False
    return (
        grown["branches"] >= _BRANCHES * grown["instructions"]
        and grown["branch-misses"] <= _MISSES * grown["branches"]
        and grown["cache-references"] <= _REFERENCES * grown["instructions"]
    )


class Instructions:
    """Instructions per second of the whole machine, without those of stretches that look like spinning.

    Args:
        read: the event counts so far, by perf's name.
        now_ns: the machine's clock.

    Raises:
        Unsupported: the machine does not count what the guard needs.
    """

    def __init__(self, read: Callable[[], Mapping[str, int]], now_ns: Callable[[], int]) -> None:
        self._read, self._now_ns = read, now_ns
        counted = read()
        if missing := [name for name in NEEDED if name not in counted]:
            raise Unsupported(
                f"instructions cannot stand in for work here: {', '.join(missing)} not counted",
                hint="`hwtune probe` says why; choose another metric",
            )
        self._before = counted
        self._start_ns = 0
        self._working = self._spinning = 0

    def begin(self) -> None:
        """See `Source.begin`."""
        self._before, self._start_ns = self._read(), self._now_ns()
        self._working = self._spinning = 0

    def look(self) -> None:
        """See `Source.look`."""
        now = self._read()
        if any(name not in now or name not in self._before for name in NEEDED):
            raise WorkloadError(
                "another program holds the PMU: instructions were not counted", hint="stop it, or choose another metric"
            )
        grown = now["instructions"] - self._before["instructions"]
        if spins(self._before, now):
            self._spinning += grown
        else:
            self._working += grown
        self._before = now

    def end(self, said: str, errors: str) -> float:
        """See `Source.end`."""
        self.look()
        total = self._working + self._spinning
        if self._spinning > _MOST * total:
            raise WorkloadError(
                f"{self._spinning / total:.0%} of the instructions look like spinning: they cannot stand in for work",
                hint="choose a metric that the program gives itself; see docs/metrics.md",
            )
        return self._working / ((self._now_ns() - self._start_ns) / 1e9)
