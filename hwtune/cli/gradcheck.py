"""`hwtune gradcheck [-- CMD]`: the model's gradients against differences of itself, of the plant, of the machine."""

from __future__ import annotations

from typing import Annotated

import typer

from hwtune.cli.options import (
    Competing,
    Cwd,
    Json,
    ObjectiveName,
    Prepare,
    Root,
    Seed,
    Simulate,
    User,
    Workload,
    listed,
)


def gradcheck(
    command: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[-- CMD [ARG]...]", help="The work to learn from and to measure with.", show_default=False
        ),
    ] = None,
    at: Annotated[
        str | None,
        typer.Option(
            "--at",
            metavar="LIST",
            help="Where: KEY=VALUE, separated by commas, the rest as found.  [default: what the session recommends]",
        ),
    ] = None,
    knob_names: Annotated[
        str | None,
        typer.Option(
            "--knobs", metavar="LIST", help="Knobs to check, separated by commas.  [default: all but tunables]"
        ),
    ] = None,
    objective: Annotated[
        ObjectiveName | None, typer.Option("--objective", help="What the session minimises.  [default: edp]")
    ] = None,
    budget: Annotated[int, typer.Option("--budget", min=1, help="Settings to learn from, the default included.")] = 8,
    runs: Annotated[int | None, typer.Option("--runs", min=1, help="Runs of each of them.  [default: 3]")] = None,
    blocks: Annotated[
        int, typer.Option("--blocks", min=0, help="ABBA blocks (four runs) of each step; 0 measures no step.")
    ] = 4,
    competing: Competing = None,
    prepare: Prepare = None,
    cwd: Cwd = None,
    user: User = None,
    simulate: Simulate = None,
    workload: Workload = None,
    root: Root = None,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Check the gradients the tuner follows, knob by knob, and put the machine back.

    A short session teaches the model; then each knob takes a step: of a range, between the two neighbouring levels, of
    a choice, from the default to another. The model's gradient is held against central differences of the model, on
    a simulated machine against its noise-free truth, and against interleaved runs. Without a command the prior is
    checked and nothing is written. Exit status 1 when the model's two gradients disagree.
    """
    from hwtune.cli.command import Command, check_simulated
    from hwtune.cli.gradcheck_open import Wish, check_gradients
    from hwtune.cli.gradcheck_result import document, print_result
    from hwtune.cli.host import open_host
    from hwtune.domain.errors import UsageError

    words = tuple(command or ())
    check_simulated(words, simulate)
    if root is not None and words:
        raise UsageError(
            "a machine under --root cannot be measured from here", hint="leave the command out to check the prior"
        )
    wish = Wish(
        command=Command(words=words, prepare=prepare, cwd=cwd, user=user),
        at=listed(at),
        budget=budget,
        blocks=blocks,
        seed=seed,
        spoken=not as_json,
    )
    flags = {
        "tune.objective": None if objective is None else objective.value,
        "tune.runs": runs,
        "tune.knobs": knob_names,
        "tune.competing": competing,
    }
    with open_host(root=root, simulate=simulate, workload=workload, seed=seed, flags=flags) as opened:
        found = check_gradients(opened, wish)
    told = document(opened, found)
    if as_json:
        print(told.model_dump_json())
    else:
        print_result(found.problem.space, told)
    if not told.agrees:
        raise typer.Exit(1)
