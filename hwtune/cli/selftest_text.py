"""The receipt of `hwtune selftest` for people: a line for each knob, and what it comes to."""

from __future__ import annotations

from errno import errorcode

from hwtune.cli.selftest_document import KnobReceipt, Receipt, TurnEntry

# What needs no word: the kernel took the value.
_FINE = {"applied", "already"}


def plan_lines(receipt: Receipt) -> list[str]:
    """What would be done, of a receipt of nothing."""
    values = sum(len(plan.values) for plan in receipt.plan)
    head = f"nothing was written. With --hardware, {len(receipt.plan)} knobs go through {values} values, and back:"
    return [head, *(f"  {plan.knob}: {' → '.join(map(str, plan.values))}" for plan in receipt.plan)]


def knob_lines(knob: KnobReceipt) -> list[str]:
    """One knob: how many values the kernel took, every other one, and what is not as it was."""
    taken = sum(turn.result in _FINE for turn in knob.values)
    back = "put back" if knob.restored else "NOT PUT BACK"
    lines = [f"{knob.knob}: {taken} of {len(knob.values)} values set as asked, {back} ({knob.time_s:.2f} s)"]
    lines += [f"  {turn.wanted}: {_said(turn)}" for turn in knob.values if turn.result not in _FINE]
    lines += [f"  {path} was set to {text} by somebody else meanwhile" for path, text in knob.foreign.items()]
    lines += [
        f"  {each.path}: {each.before} before, {each.after} after"
        for each in knob.differing
        if each.path not in knob.foreign
    ]
    return lines + ([f"  {knob.failure}"] if knob.failure else [])


def _said(turn: TurnEntry) -> str:
    match turn.result:
        case "clamped":
            return f"the kernel made it {turn.effective}"
        case "rejected":
            code = "refused" if turn.errno is None else errorcode.get(turn.errno, str(turn.errno))
            return f"rejected by the kernel ({code})"
        case "unexplained":
            return f"UNEXPLAINED, reads {turn.effective}"
        case _:
            return turn.result


def closing_lines(receipt: Receipt) -> list[str]:
    """What all of it comes to."""
    counts = ", ".join(f"{count} {result}" for result, count in receipt.results.items()) or "nothing turned"
    done = "interrupted" if receipt.interrupted else f"{len(receipt.knobs)} knobs"
    same = "everything is as it was found" if receipt.restored else "NOT everything is as it was found"
    where = " (in memory only)" if receipt.machine.dry_run else ""
    left = [f"{knob}: left alone: {why}" for knob, why in receipt.left_alone.items()]
    return [*left, f"{done}{where}: {counts}; {same} ({receipt.time_s:.2f} s)"]
