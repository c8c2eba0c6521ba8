"""What listening to a program's heartbeat costs, by how often it speaks.

    python benchmarks/heartbeat.py [--seconds 5] [--repeats 3] [--json]

A program writes so many lines a second to the socket; counted is the CPU time of the process that listens, as a share
of one core, and whether all of the progress was heard.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from typing import Any

from hwtune.host.heartbeat import HeartbeatSocket
from hwtune.workload.heartbeat import Heartbeat

RATES = (1, 10, 100, 1000, 10_000)
SPEAKER = """
import os, socket, sys, time
rate, seconds = float(sys.argv[1]), float(sys.argv[2])
peer = socket.socket(socket.AF_UNIX)
peer.connect(os.environ["HWTUNE_HEARTBEAT"])
begun, said = time.monotonic(), 0
while (passed := time.monotonic() - begun) < seconds:
    due = int(passed * rate) + 1
    peer.sendall(b"".join(b'{"done": %d}\\n' % done for done in range(said, due)))
    said = due
    time.sleep(1.0 / min(rate, 1000.0))
print(said - 1)
"""


def listened(rate: float, seconds: float) -> dict[str, Any]:
    """One program's time."""
    with HeartbeatSocket() as inbox:
        heartbeat = Heartbeat(inbox)
        before = time.process_time()
        speaker = [sys.executable, "-c", SPEAKER, str(rate), str(seconds)]
        spoken = subprocess.run(
            speaker, env={**os.environ, **inbox.environment}, stdout=subprocess.PIPE, text=True, check=True
        )
        heartbeat.flush()
        used_s = time.process_time() - before
        heard = heartbeat.progress[-1][1]
    return {"share": used_s / seconds, "heard": heard == float(spoken.stdout)}


def main() -> None:
    """Run and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = []
    for rate in RATES:
        runs = [listened(rate, options.seconds) for _ in range(options.repeats)]
        shares = sorted(run["share"] for run in runs)
        rows.append({"lines_per_s": rate, "cpu_share": shares, "all_heard": all(run["heard"] for run in runs)})
    if options.json:
        print(json.dumps({"seconds": options.seconds, "rows": rows}))
        return
    print(f"{'lines/s':>8}  CPU of one core (least … most of {options.repeats})  all heard")
    for row in rows:
        low, high = row["cpu_share"][0], row["cpu_share"][-1]
        print(f"{row['lines_per_s']:>8}  {low:>8.2%} … {high:<30.2%}  {'yes' if row['all_heard'] else 'NO'}")


if __name__ == "__main__":
    main()
