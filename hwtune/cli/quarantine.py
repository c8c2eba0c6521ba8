"""`hwtune quarantine`: the knobs whose first change ended in a crash, and letting them go."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from hwtune.cli.options import Json, Root

if TYPE_CHECKING:
    from hwtune.knobs.quarantine import Attempt

app = typer.Typer(
    help="Knobs whose first change took the machine down: they are left alone until they are cleared.",
    no_args_is_help=True,
)


@app.command("list")
def list_(root: Root = None, as_json: Json = False) -> None:
    """Show the knobs that are not turned on this machine."""
    from hwtune.cli.host import open_host
    from hwtune.knobs.quarantine import Quarantine

    with open_host(root=root) as opened:
        entries = Quarantine(opened.state_dir, opened.host.files).entries()
    if as_json:
        _document("quarantine", entries)
        return
    for line in map(str, entries):
        print(line)
    print("`hwtune quarantine clear KNOB` allows it again" if entries else "no knob is in quarantine")


@app.command()
def clear(
    knob: Annotated[str | None, typer.Argument(help="The knob.  [default: all]", show_default=False)] = None,
    root: Root = None,
    as_json: Json = False,
) -> None:
    """Allow a knob again, or all of them; its next change counts as the first."""
    from hwtune.cli.host import open_host
    from hwtune.domain.errors import UsageError
    from hwtune.knobs.lock import Lock
    from hwtune.knobs.quarantine import Quarantine

    with open_host(root=root) as opened:
        quarantine = Quarantine(opened.state_dir, opened.host.files)
        lock = Lock(opened.host.run_dir, verb="quarantine")
        lock.acquire()
        try:
            cleared = quarantine.clear(knob)
        finally:
            lock.release()
    if knob is not None and not cleared:
        raise UsageError(f"{knob} is not in quarantine", hint="`hwtune quarantine list` shows what is")
    if as_json:
        _document("cleared", cleared)
        return
    for entry in cleared:
        print(f"{entry.knob} may be turned again")
    if not cleared:
        print("no knob was in quarantine")


def _document(name: str, entries: tuple[Attempt, ...]) -> None:
    import json

    document: dict[str, Any] = {"schema_version": 1, name: [entry.model_dump() for entry in entries]}
    print(json.dumps(document))
