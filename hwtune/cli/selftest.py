"""`hwtune selftest`: every knob of this machine through its legal values and back, with a receipt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from hwtune.cli.options import Competing, DryRun, Json, Root, Simulate

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hwtune.cli.host import OpenHost
    from hwtune.cli.selftest_document import KnobReceipt, Receipt
    from hwtune.domain.knob import Knob
    from hwtune.knobs.cpufreq import CpufreqBackend


def selftest(
    hardware: Annotated[
        bool, typer.Option("--hardware", help="Turn the knobs of this machine. Without it nothing is written.")
    ] = False,
    knob: Annotated[
        list[str] | None, typer.Option("--knob", metavar="NAME", help="Only this knob; may be given more than once.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask first.")] = False,
    competing: Competing = None,
    dry_run: DryRun = False,
    simulate: Simulate = None,
    root: Root = None,
    as_json: Json = False,
) -> None:
    """Turn every knob through its legal values and back, read each back, and compare everything with the start.

    Without --hardware it says what it would do. Exit status 6 when something read back unexplained or was not put back.
    """
    from hwtune.cli.host import open_host, open_knobs
    from hwtune.cli.selftest_document import Receipt
    from hwtune.cli.selftest_text import closing_lines, knob_lines, plan_lines
    from hwtune.domain.errors import UsageError

    if hardware and simulate is not None:
        raise UsageError("--hardware is this machine, --simulate an imaginary one", hint="give one of them")
    flags = {"tune.competing": competing}
    with open_host(root=root, dry_run=dry_run, simulate=simulate, flags=flags) as opened:
        backend = open_knobs(opened, knob or ())
        knobs = _chosen(backend, knob or ())
        left = _left_alone(opened, backend, knobs, named=bool(knob)) if hardware or opened.dry else {}
        knobs = [each for each in knobs if each.name not in left]
        turning = opened.dry or opened.host.simulated or (hardware and (yes or _agreed(opened, len(knobs))))
        receipt = Receipt.begun(opened, backend, knobs, left=left, turning=turning)
        ending = None
        if turning:
            if not as_json and opened.host.simulated:
                print(f"simulated: {opened.host.name}")
            receipt, ending = _turn(opened, backend, knobs, receipt, talk=None if as_json else knob_lines)
    if as_json:
        print(receipt.model_dump_json())
    else:
        print("\n".join(closing_lines(receipt) if turning else plan_lines(receipt)))
    if ending is not None:
        raise ending
    _judge(receipt)


def _chosen(backend: CpufreqBackend, names: Sequence[str]) -> list[Knob]:
    """The knobs of the machine, or those of them that were named, by name or by the word of an interface.

    Raises:
        UsageError: there is none of that name.
        Unsupported: there are none at all.
    """
    from hwtune.domain.errors import UsageError
    from hwtune.knobs.extra import word_of

    space = backend.space
    for name in names:
        if not any(name in (knob, word_of(knob)) for knob in space.names):
            raise UsageError(f"unknown knob {name!r}", hint=f"this machine has: {', '.join(space.names)}")
    return [knob for knob in space.knobs if not names or {knob.name, word_of(knob.name)} & set(names)]


def _left_alone(opened: OpenHost, backend: CpufreqBackend, knobs: list[Knob], *, named: bool) -> dict[str, str]:
    """Knob → why it is not turned: another tuner keeps it, or we have no right to; or it needs one of these.

    Raises:
        Locked: another tuner is at work, and refused.
        PermissionDenied: no right to write any of them, or one that was named.
    """
    from hwtune.cli.competing import make_way
    from hwtune.cli.ours import check_writable
    from hwtune.domain.errors import PermissionDenied

    left = dict.fromkeys(make_way(opened, [knob.name for knob in knobs], measuring=False), "another tuner keeps it")
    asked = [knob for knob in knobs if knob.name not in left]
    denied: dict[str, PermissionDenied] = {}
    for knob in asked:
        try:
            check_writable(opened, backend, [knob.name, *(when.knob for when in knob.active_when)])
        except PermissionDenied as error:
            denied[knob.name] = error
    if denied and (named or len(denied) == len(asked)):
        raise next(iter(denied.values()))
    needing = {knob.name: f"it needs {when.knob}" for knob in knobs for when in knob.active_when if when.knob in left}
    return {**needing, **left, **{name: str(error) for name, error in denied.items()}}


def _agreed(opened: OpenHost, knobs: int) -> bool:
    """Ask whoever sits there.

    Raises:
        UsageError: nobody does.
    """
    import sys

    from hwtune.domain.errors import UsageError

    if not sys.stdin.isatty():
        raise UsageError("nobody is there to ask whether the knobs may be turned", hint="add --yes")
    where = "this machine" if opened.live else opened.host.name
    print(f"Turn {knobs} knobs of {where} through their values and back? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().casefold() in {"y", "yes"}


def _turn(
    opened: OpenHost,
    backend: CpufreqBackend,
    knobs: list[Knob],
    receipt: Receipt,
    *,
    talk: Callable[[KnobReceipt], list[str]] | None,
) -> tuple[Receipt, BaseException | None]:
    """Turn the knobs; the receipt of what was done, and the signal that ended it, if one did."""
    import logging

    from hwtune.cli.host import open_transaction
    from hwtune.cli.selftest_document import receipt_of
    from hwtune.cli.signals import Terminated
    from hwtune.knobs.rotation import Rotation, differing

    if not logging.getLogger().handlers:  # without --debug: the receipt says all that a log line would
        logging.getLogger("hwtune.knobs").setLevel(logging.ERROR)
    host = opened.host
    rotation = Rotation(
        space=backend.space,
        transaction=lambda: open_transaction(opened, backend, verb="selftest"),
        snapshot=backend.snapshot,
        now_s=lambda: host.clock.monotonic_ns() / 1e9,
    )
    start_s, before = rotation.now_s(), backend.snapshot()
    done: list[KnobReceipt] = []
    ending: BaseException | None = None
    try:
        for knob, turned in zip(knobs, rotation.run([knob.name for knob in knobs]), strict=False):
            done.append(receipt_of(knob, turned))
            if talk is not None:
                print("\n".join(talk(done[-1])), flush=True)
    except (KeyboardInterrupt, Terminated) as signal:
        ending = signal
    left = differing(before, backend.snapshot())
    time_s = rotation.now_s() - start_s
    return receipt.ended(done, left, interrupted=ending is not None, time_s=time_s), ending


def _judge(receipt: Receipt) -> None:
    """End as the receipt says.

    Raises:
        RestoreError: something is not as it was found.
        VerifyError: something read back that nothing explains.
    """
    from hwtune.domain.errors import RestoreError, VerifyError

    for knob in receipt.knobs:
        if not knob.restored:
            what = knob.failure or ", ".join(f"{each.path} reads {each.after}" for each in knob.differing)
            hint = "`hwtune restore` tries again; please report it with `hwtune selftest --hardware --json`"
            raise RestoreError(f"{knob.knob} is not as it was found: {what}", knob=knob.knob, hint=hint)
    if receipt.restored is False:
        left = receipt.differing[0]
        message = f"{left.path} read {left.before} before and reads {left.after} now"
        raise RestoreError(
            message, knob=left.path, hint="somebody else has set it between two knobs; see `hwtune probe`"
        )
    for knob in receipt.knobs:
        for turn in knob.values:
            if turn.result == "unexplained":
                hint = "everything was put back; please report it with `hwtune selftest --hardware --json`"
                raise VerifyError(knob=knob.knob, wanted=str(turn.wanted), effective=turn.effective, hint=hint)
