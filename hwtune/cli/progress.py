"""What a person sees while a session runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hwtune.cli.bar import Bar

if TYPE_CHECKING:
    from hwtune.domain.trial import Proposal
    from hwtune.session import Decision


class SessionProgress(Bar):
    """A watcher for people: one line per measured setting.

    Args:
        evaluations: the budget, for the bar.
        spoken: whether to say anything.
    """

    def __init__(self, *, evaluations: int, spoken: bool) -> None:
        super().__init__(spoken=spoken)
        self._evaluations = evaluations

    def __enter__(self) -> SessionProgress:
        super().__enter__()
        self.draw("measuring the default", self._evaluations)
        return self

    def proposed(self, number: int, proposal: Proposal) -> None:
        """The bar says what is being measured."""
        self.move(f"measuring {proposal.reason}", number - 1, self._evaluations)

    def decided(self, number: int, decision: Decision) -> None:
        """One line per setting: what it was, and time and energy as measured, or when it was stopped, or what it broke.

        None in a dry run.
        """
        from hwtune.cli.outcome import setting_text
        from hwtune.domain.measure import energy_unit

        trial = decision.trial
        unit, form = trial.runs[0].unit, "9.3f" if trial.runs[0].unit == "s" else "9.4g"
        figures = f"{trial.time_s:{form}} {unit}"
        if trial.energy_j is not None:
            figures += f"  {trial.energy_j:{form}} {energy_unit(unit)}"
        if trial.status == "infeasible":
            figures += "  out of bounds"
        if trial.stopped_after_s is not None:
            figures = f"stopped after {trial.stopped_after_s:.3g} s".rjust(len(figures))
        if trial.status != "predicted":
            self.say(f"{number:3d} {trial.reason:<8} {figures}  {setting_text(trial.setting)}")
        self.move("learning", number, self._evaluations)

    def verifying(self, done: int, total: int) -> None:
        """The bar counts the interleaved runs; elsewhere one line announces them."""
        self.move("verifying against the default", done, total)
        if done == 0 and not self.drawn:
            self.say(f"verifying against the default: at most {total} interleaved runs")
