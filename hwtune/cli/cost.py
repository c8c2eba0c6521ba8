"""What a session has cost, when that is paid back, and how much hwtune itself has disturbed what it measured."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from pydantic import BaseModel

from hwtune.workload.payback import Payback, Paybacks, paybacks

if TYPE_CHECKING:
    from hwtune.domain.trial import Run, Trial
    from hwtune.sensors.own import Cost
    from hwtune.session import Session

# From this share of a run's CPU time on, what hwtune does itself shows in the figures.
_DISTURBING = 0.01


class CostEntry(BaseModel):
    """Of the whole session. CPU time is real, and so no figure of a simulated machine."""

    time_s: float
    energy_j: float | None
    own_cpu_s: float | None
    planner_cpu_s: float | None
    own_share: float | None
    attributed_energy_j: float | None


class PaybackEntry(BaseModel):
    """After how much work a cost is made good; null at the end of the interval: perhaps never."""

    after: float
    after_95: tuple[float, float | None]


class PaybacksEntry(BaseModel):
    """In energy and in time; null: never, or not known."""

    unit: str
    energy: PaybackEntry | None
    time: PaybackEntry | None


def cost_entry(cost: Cost) -> CostEntry:
    """The cost in its printed form."""
    return CostEntry(
        time_s=cost.time_s,
        energy_j=cost.energy_j,
        own_cpu_s=cost.own_cpu_s + cost.helpers_cpu_s if cost.same_machine else None,
        planner_cpu_s=cost.helpers_cpu_s if cost.same_machine else None,
        own_share=cost.share,
        attributed_energy_j=cost.attributed_j,
    )


def paybacks_entry(session: Session, cost: Cost) -> PaybacksEntry | None:
    """The payback in its printed form; None when no gain is proven."""
    found = _paybacks(session, cost)
    return None if found is None else PaybacksEntry.model_validate(found, from_attributes=True)


def _paybacks(session: Session, cost: Cost) -> Paybacks | None:
    if session.receipt is None or not session.proven:
        return None
    receipt = session.receipt
    return paybacks(receipt.verdict, receipt.default_runs, energy_j=cost.energy_j, time_s=cost.time_s)


def own_entry(trial: Trial) -> dict[str, float]:
    """What an evaluation says besides where hwtune's share of its runs' CPU time is known."""
    known = [run for run in trial.runs if run.own_share is not None]
    own_s = sum(run.own_cpu_s or 0.0 for run in known)
    whole_s = own_s + sum(run.cpu_time_s or 0.0 for run in known)
    return {"own_cpu_share": own_s / whole_s} if whole_s > 0.0 else {}


def disturbances(runs: Iterable[Run]) -> list[str]:
    """A warning when hwtune itself has used more than a hundredth of a measured run's CPU time."""
    shares = [share for run in runs if (share := run.own_share) is not None]
    disturbed = [share for share in shares if share > _DISTURBING]
    if not disturbed:
        return []
    return [
        f"{len(disturbed)} of {len(shares)} measured runs: more than {_DISTURBING:.0%} of the CPU time is hwtune's own "
        f"(up to {max(disturbed):.1%}): tune for a longer command"
    ]


def measured_runs(session: Session) -> Iterable[Run]:
    """All runs of the search and of the receipt."""
    for decision in session.decisions:
        yield from decision.trial.runs
    if session.receipt is not None:
        yield from session.receipt.default_runs
        yield from session.receipt.chosen_runs


def cost_lines(session: Session, cost: Cost, *, nature: str) -> list[str]:
    """What the session has cost and when that is paid back, for people.

    Args:
        session: at its end.
        cost: of all of it.
        nature: `measured` or `simulated` or whatever else the figures of the machine are.
    """
    spent = duration_text(cost.time_s) + ("" if cost.energy_j is None else f" and {energy_text(cost.energy_j)}")
    cpu_s = cost.own_cpu_s + cost.helpers_cpu_s
    own = f"hwtune itself used {cpu_s:.3g} s of CPU time ({cost.helpers_cpu_s:.3g} s to plan)"
    if not cost.same_machine:
        own += " of the machine that it runs on, which is no part of these figures"
    elif cost.share is not None:
        own += f": {cost.share:.1%} of all CPU time"
        if cost.attributed_j is not None:
            own += f", to which {energy_text(cost.attributed_j)} are attributed (not measured)"
    return [f"Search and receipt took {spent} ({nature}); {own}.", _payback_text(session, cost, nature)]


def _payback_text(session: Session, cost: Cost, nature: str) -> str:
    if not session.proven:
        return "It never pays back: no gain is proven."
    found = _paybacks(session, cost)
    if found is None:
        return "When it pays back is not known: the work's measure is no time."
    parts = [
        f"in {name} after {_after_text(each)} {found.unit}s"
        for name, each in (("energy", found.energy), ("time", found.time))
        if each is not None
    ]
    return f"It pays back {', '.join(parts)} ({nature})." if parts else "It never pays back in energy or in time."


def _after_text(payback: Payback) -> str:
    earliest, latest = payback.after_95
    end = "perhaps never" if latest is None else _count_text(latest)
    return f"{_count_text(payback.after)} ({_count_text(earliest)} … {end})"


def _count_text(work: float) -> str:
    """To three digits: the interval is wider than that."""
    return f"{float(f'{max(work, 1.0):.3g}'):,.0f}"


def duration_text(time_s: float) -> str:
    """`90 s`, `14 min`, `2.1 h`."""
    if time_s < 120.0:
        return f"{time_s:.3g} s"
    return f"{time_s / 60:.3g} min" if time_s < 7200.0 else f"{time_s / 3600:.3g} h"


def energy_text(energy_j: float) -> str:
    """`160 J`, `14.1 kJ`, `3.2 MJ`."""
    for size, unit in ((1e6, "MJ"), (1e3, "kJ")):
        if energy_j >= size:
            return f"{energy_j / size:.3g} {unit}"
    return f"{energy_j:.3g} J"
