"""`hwtune config`: the configuration as it stands, where each value came from, and whether a file is right."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated

import typer

from hwtune.cli.options import Json, Root

app = typer.Typer(help="Show the configuration and where it comes from, or check a file.", no_args_is_help=True)


@app.command()
def show(
    origin: Annotated[bool, typer.Option("--origin", help="Say behind each value where it came from.")] = False,
    root: Root = None,
    as_json: Json = False,
) -> None:
    """Show every key with the value that counts, in the form of a configuration file."""
    import json

    from hwtune.config import load_layers

    layered = load_layers(root or "/")
    values = layered.config.model_dump(mode="json")
    if as_json:
        print(json.dumps({"schema_version": 1, "config": values, "origin": dict(layered.origins)}))
        return
    for line in _toml_lines(values, layered.origins if origin else {}):
        print(line)


@app.command()
def check(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A configuration file.", show_default=False)],
) -> None:
    """Check one file by itself, before it is put where hwtune reads it."""
    from hwtune.config import check_file

    keys = check_file(file)
    print(f"{file}: ok, sets {', '.join(keys) if keys else 'nothing'}")


def _toml_lines(values: Mapping[str, Mapping[str, object]], origins: Mapping[str, str]) -> Iterator[str]:
    """A configuration file that says the same; what is not set stands in a comment, TOML having no null."""
    import json

    for number, (section, table) in enumerate(values.items()):
        yield from ("",) if number else ()
        yield f"[{section}]"
        for name, value in table.items():
            # A JSON scalar or list of strings is a TOML one too, but for escaped surrogate pairs.
            text = f"# {name} is not set" if value is None else f"{name} = {json.dumps(value, ensure_ascii=False)}"
            key = f"{section}.{name}"
            yield f"{text}  # {origins[key]}" if key in origins else text
