"""A campaign of faults: whatever goes wrong, the machine ends as it was found, or as somebody else has set it.

    python benchmarks/faults.py [--n 1000] [--seed 1] [--machine NAME …] [--without-restore] [--show] [--json]

Each case is a fake machine with somebody's settings on it, settings of hwtune applied by the real transaction, and one
fault: an errno, a kill, an edit by another program, CPUs that go, a suspend, a firmware limit, a full disk. Afterwards
the same is tried again without the fault. A case is lost when a file then differs from how it was found, other than by
what somebody else has done, or when it differed before without anybody being told. With `--without-restore` nothing is
put back, which shows that the campaign would notice. The same seed gives the same cases.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from unittest.mock import patch

ROOT = Path(__file__).resolve().parents[1]
for folder in (ROOT / "benchmarks", ROOT / "tests" / "system"):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))  # the fake kernel lives with the tests

from campaign.case import Case, play  # noqa: E402
from campaign.faults import KINDS  # noqa: E402
from fake.machines import MACHINES  # noqa: E402

from hwtune.knobs.restore import RestoreReport  # noqa: E402


@contextmanager
def emptied() -> Iterator[None]:
    """Putting back is an empty function."""
    with (
        patch("hwtune.knobs.restore.put_back", lambda *_args, **_more: RestoreReport()),
        patch("hwtune.knobs.transaction.put_back", lambda *_args, **_more: RestoreReport()),
    ):
        yield


def campaign(n: int, seed: int, machines: Sequence[str], *, without_restore: bool = False) -> list[Case]:
    """The first `n` cases of a seed in which the fault happens."""
    cases: list[Case] = []
    number = 0
    while len(cases) < n:
        case = play(seed, number, machines, emptied if without_restore else nullcontext)
        number += 1
        if case is not None:
            cases.append(case)
        if number > (4 * n + 100 if cases else 300):
            raise SystemExit(f"error: {number} cases, and only {len(cases)} faults happened\nhint: another --machine?")
    return cases


def summary(cases: Sequence[Case]) -> dict[str, object]:
    """Counts of all cases and of each kind of fault."""
    counted: dict[str, Counter[str]] = {kind: Counter() for kind in KINDS}
    for case in cases:
        counted[case.kind] += Counter(injected=1, lost=bool(case.lost), yielded=case.yielded)
    return {
        "injected": len(cases),
        "lost": sum(bool(case.lost) for case in cases),
        "yielded": sum(case.yielded for case in cases),
        "restore_s_max": round(max((case.restore_s for case in cases), default=0.0), 4),
        "by_fault": {
            kind: {what: count[what] for what in ("injected", "lost", "yielded")}
            for kind, count in counted.items()
            if count["injected"]
        },
    }


def main() -> None:
    """Run it and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--n", type=int, default=1000, help="faults to inject")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--machine", action="append", choices=sorted(MACHINES), help="only this one; may be repeated")
    parser.add_argument("--without-restore", action="store_true", help="put nothing back: the campaign must notice")
    parser.add_argument("--show", action="store_true", help="what was lost, case by case")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    machines = options.machine or sorted(MACHINES)
    cases = campaign(options.n, options.seed, machines, without_restore=options.without_restore)
    found = summary(cases)
    if options.show:
        for case in cases:
            for reason in case.lost:
                print(f"case {case.number} on {case.machine}, {case.kind}: {reason}", file=sys.stderr)
    print(json.dumps(found) if options.json else table(found))
    sys.exit(0 if (found["lost"] == 0) is not options.without_restore else 1)


def table(found: Mapping[str, object]) -> str:
    """The counts for people."""
    rows = [("fault", "injected", "lost", "yielded")]
    by_fault = found["by_fault"]
    assert isinstance(by_fault, dict)
    rows += [(kind, *map(str, counts.values())) for kind, counts in by_fault.items()]
    rows.append(("all", *(str(found[what]) for what in ("injected", "lost", "yielded"))))
    lines = [f"{kind:36}{injected:>10}{lost:>8}{yielded:>10}" for kind, injected, lost, yielded in rows]
    return "\n".join([*lines, f"putting back took at most {found['restore_s_max']} s, waiting for the kernel included"])


if __name__ == "__main__":
    main()
