"""`hwtune apply`, `restore`, `reset`, `status`: the knobs by hand, through the same transaction as everything else."""

from __future__ import annotations

import errno
import os
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hwtune.cli.options import Competing, DryRun, Json, Root, Simulate

if TYPE_CHECKING:
    from hwtune.cli.host import OpenHost
    from hwtune.host.fs import HostFS
    from hwtune.knobs.journal import Journal
    from hwtune.knobs.outcome import Outcome


def apply(
    assignments: Annotated[
        list[str],
        typer.Argument(
            metavar="KEY=VALUE...",
            help="governor, min, max, epp, boost or GOVERNOR.TUNABLE, or one policy's: policy4.max=2.4GHz; also "
            "what is off by default: powercap.long_term=15W, cpuidle.C6=0.",
            show_default=False,
        ),
    ],
    competing: Competing = None,
    dry_run: DryRun = False,
    simulate: Simulate = None,
    root: Root = None,
    as_json: Json = False,
) -> None:
    """Set knobs by hand and leave them set; `hwtune restore` puts back what was there.

    All of it or nothing: when the kernel rejects a value, the rest is put back.
    """
    from hwtune.cli.competing import make_way
    from hwtune.cli.host import open_host, open_knobs, open_transaction
    from hwtune.cli.knobs_text import left_out_lines, outcome_lines
    from hwtune.cli.ours import check_writable
    from hwtune.domain.errors import KnobError, Rejected
    from hwtune.knobs.keys import parse_assignments
    from hwtune.knobs.policies import left_out

    flags = {"tune.competing": competing}
    with open_host(root=root, dry_run=dry_run, simulate=simulate, flags=flags) as opened:
        backend = open_knobs(opened, [text.partition("=")[0] for text in assignments])
        setting = parse_assignments(assignments, backend)
        left = make_way(opened, setting, measuring=False)
        setting = setting.only({name for name in setting if name not in left})
        check_writable(opened, backend, dict.fromkeys(write.knob for write in backend.plan(setting)))
        before = backend.snapshot()
        with open_transaction(opened, backend, verb="apply") as transaction:
            applied = transaction.apply(setting)
            refused = next((each for each in applied.outcomes if each.result in {"rejected", "quarantined"}), None)
            if refused is None:
                transaction.keep()
                effective = applied.effective
        if refused is not None and refused.result == "quarantined":
            raise KnobError(
                str(refused),
                knob=refused.knob,
                hint=f"everything is as it was; `hwtune quarantine clear {refused.knob}` allows it again",
            )
        if refused is not None:
            raise Rejected(
                knob=refused.knob,
                wanted=refused.wanted,
                errno=refused.errno,
                hint="everything is as it was; `hwtune probe` shows what this machine takes",
            )
        document = {
            **_head(opened),
            "outcomes": [_outcome(outcome) for outcome in applied.outcomes],
            "effective": dict(effective),
            "would_write": _would_write(opened, before),
            "kept": not (opened.dry or opened.host.simulated),
            "left_out_cpus": list(left_out(opened.host.files, backend.policies)),
        }
        lines = outcome_lines(backend.space, applied.outcomes, document["would_write"])
        _print(document, as_json, [*lines, *left_out_lines(document["left_out_cpus"])])


def restore(root: Root = None, as_json: Json = False) -> None:
    """Put back what `apply`, `tune --keep` or a crashed run has changed, as far as it is still theirs."""
    from hwtune.cli.host import open_host, open_knobs
    from hwtune.cli.knobs_text import restore_lines
    from hwtune.knobs.restore import restore_machine

    with open_host(root=root) as opened:
        host = opened.host
        report = restore_machine(open_knobs(opened), run_dir=host.run_dir, files=host.files)
        if report is None and opened.live:
            _check_roots_journal(host.run_dir)
        document = {
            **_head(opened),
            "restored": [] if report is None else list(report.restored),
            "foreign": {} if report is None else dict(report.foreign),
            "offline": [] if report is None else list(report.offline),
        }
        _print(document, as_json, restore_lines(host.files, report))


def _check_roots_journal(run_dir: Path) -> None:
    """Nothing of ours is to be put back; what root has changed is not nothing.

    Raises:
        PermissionDenied: when there is such a thing.
    """
    from hwtune.domain.errors import PermissionDenied

    journal = Path("/run/hwtune/journal.json")
    if os.geteuid() != 0 and run_dir != journal.parent and journal.exists():
        raise PermissionDenied(
            str(journal), "put back what is in", errno=errno.EACCES, hint="root has changed it: `sudo hwtune restore`"
        )


def reset(dry_run: DryRun = False, simulate: Simulate = None, root: Root = None, as_json: Json = False) -> None:
    """Go to hardware defaults, whatever was there, and forget what there is to restore unless it cannot be reset."""
    from hwtune.cli.host import open_host
    from hwtune.cli.knobs_text import outcome_lines, still_lines
    from hwtune.knobs.cpufreq import CpufreqBackend
    from hwtune.knobs.lock import Lock
    from hwtune.knobs.outcome import worst_of
    from hwtune.knobs.reset import forget
    from hwtune.knobs.reset import reset as reset_machine

    with open_host(root=root, dry_run=dry_run, simulate=simulate) as opened:
        host = opened.host
        journal = _record(opened)
        found = {} if journal is None else journal.original
        wanted = (*opened.config.tune.extra, *_touched(journal))
        backend = CpufreqBackend(host.files, wanted=wanted)
        space, before = backend.space, backend.snapshot()
        lock = Lock(host.run_dir, verb="reset")
        lock.acquire()
        try:
            written = reset_machine(host.files, found, wanted)
            still = forget(host.files, host.run_dir, journal, written)
        finally:
            lock.release()
        outcomes = worst_of(written)
        document = {
            **_head(opened),
            "outcomes": [_outcome(outcome) for outcome in outcomes],
            "effective": dict(CpufreqBackend(host.files, wanted=wanted).effective()),
            "would_write": _would_write(opened, before),
            "still_ours": list(still),
        }
        lines = outcome_lines(space, outcomes, document["would_write"])
        _print(document, as_json, [*lines, *still_lines(still)])
        _check_reset(outcomes, still)


def _check_reset(outcomes: Iterable[Outcome], still: Collection[str]) -> None:
    """End as the reset did.

    Raises:
        Rejected: the kernel has refused some of it.
    """
    from hwtune.domain.errors import Rejected

    refused = [outcome for outcome in outcomes if outcome.result == "rejected"]
    if refused:
        first, *others = refused
        hints = [f"so were {', '.join(outcome.knob for outcome in others)}"] if others else []
        hints.append("the other knobs are at their hardware defaults")
        hints += ["`hwtune restore` knows what was there before hwtune"] if still else []
        raise Rejected(knob=first.knob, wanted=first.wanted, errno=first.errno, hint="; ".join(hints))


def _record(opened: OpenHost) -> Journal | None:
    """The journal, None where there is none, or none that can be read: reset is the way out of that."""
    from hwtune.domain.errors import JournalError
    from hwtune.knobs import journal as journals

    try:
        return journals.load(opened.host.run_dir, opened.host.files)
    except JournalError:
        return None


def _touched(journal: Journal | None) -> tuple[str, ...]:
    """Of what is off by default, the words of what is ours."""
    from hwtune.knobs import extra

    sources = (extra.source_of(path) for path in (() if journal is None else journal.ours))
    return tuple(dict.fromkeys(source.WORD for source in sources if source is not None))


def status(simulate: Simulate = None, root: Root = None, as_json: Json = False) -> None:
    """Show what is set now, and what hwtune has changed and would put back."""
    from hwtune.cli.host import open_host, open_knobs
    from hwtune.cli.knobs_text import journal_lines, knob_line
    from hwtune.knobs import journal as journals

    with open_host(root=root, simulate=simulate) as opened:
        backend = open_knobs(opened, _touched(_record(opened)))
        space, effective = backend.space, backend.effective()
        journal = journals.load(opened.host.run_dir, opened.host.files)
        alive = journal is not None and journals.process(journal.owner.pid) == journal.owner
        changed = [] if journal is None else _changed(opened.host.files, journal)
        document = {
            **_head(opened),
            "settings": dict(effective),
            "default": dict(space.default),
            "journal": None
            if journal is None
            else {"state": journal.state, "verb": journal.verb, "pid": journal.owner.pid, "owner_alive": alive},
            "changed": changed,
        }
        lines = [knob_line(space, name, value) for name, value in effective.items()]
        _print(document, as_json, [*lines, *journal_lines(journal, alive, changed)])


def _head(opened: OpenHost) -> dict[str, Any]:
    host = opened.host
    return {"schema_version": 1, "machine": host.name, "simulated": host.simulated, "dry_run": opened.dry}


def _print(document: Mapping[str, Any], as_json: bool, lines: Iterable[str]) -> None:
    import json

    if as_json:
        print(json.dumps(document))
        return
    if document["simulated"]:
        print(f"simulated: {document['machine']}")
    for line in lines:
        print(line)


def _outcome(outcome: Outcome) -> dict[str, Any]:
    return {
        "knob": outcome.knob,
        "result": outcome.result,
        "wanted": outcome.wanted,
        "effective": outcome.effective,
        "errno": outcome.errno,
    }


def _would_write(opened: OpenHost, before: Mapping[str, str]) -> dict[str, dict[str, str | None]] | None:
    """What a dry run has written in memory: path → text now and text wanted."""
    from hwtune.host.fs import DryRunFS

    files = opened.host.files
    if not isinstance(files, DryRunFS):
        return None
    return {path: {"now": before.get(path), "wanted": text} for path, text in files.written.items()}


def _changed(files: HostFS, journal: Journal) -> list[dict[str, str | None]]:
    """What is ours and reads otherwise than it was found."""
    from hwtune.knobs.attributes import knob_of
    from hwtune.knobs.policies import read_text

    return [
        {"attribute": knob_of(path), "path": path, "original": journal.original.get(path), "now": now}
        for path in journal.ours
        if (now := read_text(files, path)) != journal.original.get(path)
    ]
