"""How long `hwtune --help` takes against a bare typer app with 20 empty verbs, interleaved.

    python benchmarks/help_start.py [--runs 20] [--json]

Prints the ratio pair by pair (median, quartiles): the machine's own speed drops out of it.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import quantiles

BARE = "import typer\napp = typer.Typer()\n" + "".join(
    f'@app.command()\ndef verb{n}() -> None:\n    """Verb {n}."""\n' for n in range(20)
)


def seconds(command: list[str]) -> float:
    """Wall time of a command that succeeds."""
    start = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - start


def main() -> None:
    """Time both in turn."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        bare = Path(folder) / "bare.py"
        bare.write_text(BARE + "app()\n")
        ours, theirs = [sys.executable, "-m", "hwtune", "--help"], [sys.executable, str(bare), "--help"]
        seconds(ours), seconds(theirs)
        pairs = [(seconds(ours), seconds(theirs)) for _ in range(options.runs)]
    low, middle, high = quantiles([ours / theirs for ours, theirs in pairs], n=4)
    if options.json:
        print(json.dumps({"ratio": middle, "ratio_quartiles": [low, high], "runs": options.runs}))
    else:
        print(f"hwtune --help / bare typer: {middle:.2f} (quartiles {low:.2f} … {high:.2f}, {options.runs} pairs)")


if __name__ == "__main__":
    main()
