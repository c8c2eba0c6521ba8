"""`hwtune report`: a session as one HTML page, or the list of sessions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from pathlib import Path


def report(
    session: Annotated[
        int | None, typer.Argument(metavar="[SESSION]", help="Number of the session.  [default: the last]")
    ] = None,
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="FILE", help="The page; - for standard output.")
    ] = "hwtune-report.html",
    list_them: Annotated[bool, typer.Option("--list", help="List the sessions that are stored.")] = False,
) -> None:
    """Write a session as one self-contained HTML page: what was tried, the time-energy front, the verdict."""
    from hwtune.cli.record import store_path
    from hwtune.config import load_config

    path = store_path(load_config())
    if list_them:
        _print_list(path)
        return
    from hwtune.report.html import page
    from hwtune.report.stored import load_session
    from hwtune.report.view import view_of

    document = page(view_of(load_session(path, session)))
    if output == "-":
        print(document, end="")
        return
    _write(output, document)
    print(output)


def _print_list(path: Path) -> None:
    from hwtune.domain.errors import StoreError
    from hwtune.report.view import moment_text
    from hwtune.store.database import Store

    with Store(path, create=False) as store:
        sessions = store.sessions()
    if not sessions:
        raise StoreError(f"{path} holds no session yet", hint="`hwtune tune -- CMD` makes the first one")
    for record in sessions:
        kind = "simulated" if record.machine.simulated else "measured"
        ending = record.outcome or "not finished"
        print(
            f"{record.number:4d}  {moment_text(record.started_s)}  {record.verb} {record.problem.objective}  {kind}  "
            f"{record.machine.name}: {record.workload}  ({ending})"
        )


def _write(output: str, document: str) -> None:
    from pathlib import Path

    from hwtune.domain.errors import UsageError

    try:
        Path(output).write_text(document, encoding="utf-8")
    except OSError as error:
        raise UsageError(
            f"cannot write {output}: {error.strerror}", hint="choose another file with --output, or - for the terminal"
        ) from error
