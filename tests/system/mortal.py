"""Runs hwtune in children that may be killed: one interpreter with everything loaded, a real process for each visit.

    python mortal.py        one JSON document a line in, one a line out

    → ["apply", "max=2GHz"]               a verb of the command line
    → [["max=2GHz"], ["governor=powersave", "max=1GHz"]]   settings one after the other, in one transaction
    ← {"status": 0, "signal": null, "s": 0.07, "cpu_s": 0.05, "said": "…"}

`s` is how long the child lived, from the fork to its end, `cpu_s` how long it computed.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import TextIO

# Loaded once, before any child is made; the verbs load the rest of it when they run.
import hwtune.knobs.restore  # noqa: F401
from hwtune.cli import main as command_line
from hwtune.cli.host import open_host, open_knobs
from hwtune.knobs.keys import parse_assignments
from hwtune.knobs.transaction import Transaction


def visit(settings: Sequence[Sequence[str]]) -> int:
    """Apply each setting, then leave, which puts everything back."""
    with open_host() as opened:
        backend, host = open_knobs(opened), opened.host
        with Transaction(backend, run_dir=host.run_dir, verb="tune", files=host.files) as transaction:
            for words in settings:
                transaction.apply(parse_assignments(words, backend))
    return 0


def in_a_child(request: Sequence[str] | Sequence[Sequence[str]], said: TextIO) -> tuple[int, float, float]:
    """How a child that does it ended, as `wait` has it, how long it lived, and how long it computed."""
    began = time.perf_counter()
    pid = os.fork()
    if pid == 0:
        status = 70
        try:
            os.dup2(said.fileno(), 1)
            os.dup2(said.fileno(), 2)
            words = [word for word in request if isinstance(word, str)]
            status = command_line._run(words) if words else visit([list(each) for each in request])
            sys.stdout.flush()
        finally:
            os._exit(status)
    _, ended, used = os.wait4(pid, 0)
    return ended, time.perf_counter() - began, used.ru_utime + used.ru_stime


def main() -> None:
    """Answer until the end of the input."""
    for line in sys.stdin:
        with tempfile.TemporaryFile("w+") as said:
            ended, lived_s, computed_s = in_a_child(json.loads(line), said)
            said.seek(0)
            answer = {
                "status": os.WEXITSTATUS(ended) if os.WIFEXITED(ended) else None,
                "signal": os.WTERMSIG(ended) if os.WIFSIGNALED(ended) else None,
                "s": lived_s,
                "cpu_s": computed_s,
                "said": said.read(),
            }
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
