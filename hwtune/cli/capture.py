"""`hwtune capture`: a machine's files in an archive that names neither the machine nor its people."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hwtune.cli.options import Json, Root, Simulate

if TYPE_CHECKING:
    from hwtune.host.manifest import Manifest


def capture(
    out: Annotated[
        Path, typer.Argument(metavar="OUT.tar.gz", help="The archive to write, - for standard output.")
    ] = Path("hwtune-capture.tar.gz"),
    force: Annotated[bool, typer.Option("--force", help="Replace the archive when it is there.")] = False,
    root: Root = None,
    simulate: Simulate = None,
    as_json: Json = False,
) -> None:
    """Write what this machine says of its CPUs, power and temperature into an archive, redacted; reads only.

    Serial numbers, host and user names, addresses and identifiers are replaced. Any verb looks at it with --root.
    """
    import json
    import os
    import sys

    from hwtune import __version__
    from hwtune.cli.capture_file import check_free, write_aside
    from hwtune.cli.host import open_host
    from hwtune.domain.errors import UsageError
    from hwtune.host.archive import write_archive
    from hwtune.host.capture import capture as capture_machine

    to_stdout = str(out) == "-"
    if to_stdout and (as_json or sys.stdout.isatty()):
        raise UsageError("standard output cannot take the archive", hint="name a file: `hwtune capture OUT.tar.gz`")
    if not to_stdout:
        check_free(out, force=force)
    with open_host(root=root, simulate=simulate) as opened:
        found = capture_machine(
            opened.host.files,
            version=__version__,
            superuser=os.geteuid() == 0,
            names=_names() if opened.live else (),
        )
    if to_stdout:
        write_archive(sys.stdout.buffer, found.members)
        sys.stdout.buffer.flush()
        return
    size = write_aside(out, lambda stream: write_archive(stream, found.members), force=force)
    if as_json:
        print(json.dumps({"schema_version": 1, "archive": str(out), "bytes": size, **_summary(found.manifest)}))
    else:
        print("\n".join(_lines(out, size, found.manifest)))


def _names() -> tuple[str, ...]:
    """What this host and whoever calls us are called, beside what the machine's files tell."""
    import os
    import platform

    callers = (os.environ.get(name, "") for name in ("SUDO_USER", "USER", "LOGNAME"))
    return tuple(name for name in (platform.node(), *callers) if name)


def _summary(manifest: Manifest) -> dict[str, object]:
    return {
        "files": manifest.files,
        "links": manifest.links,
        "refused": len(manifest.refused),
        "left_out": len(manifest.left_out),
        "redactions": manifest.redactions,
    }


def _lines(out: Path, size: int, manifest: Manifest) -> list[str]:
    redacted = ", ".join(f"{count} {kind}" for kind, count in manifest.redactions.items()) or "nothing to redact"
    lines = [
        f"wrote {out}: {manifest.files} files, {manifest.links} links, {size / 1024:.0f} KiB",
        f"redacted: {redacted}",
    ]
    if manifest.refused or manifest.left_out:
        lines.append(f"not in it: {len(manifest.refused)} the kernel refused, {len(manifest.left_out)} left out")
    if not manifest.superuser and manifest.refused:
        lines.append("some files are for root only: `sudo hwtune capture` sees more")
    return [*lines, f"look before you share it: tar xzOf {out} | less; hwtune-capture.json in it lists what is not"]
