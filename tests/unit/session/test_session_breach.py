"""A setting whose runs break a bound that only a measurement shows: told, and not kept though its receipt is good."""

from __future__ import annotations

from dataclasses import replace

from test_session import Machine, Script, session

from hwtune.domain.objective import Bound
from hwtune.domain.trial import Run, TrialStatus


class Serving(Machine):
    """The slower the clock, the longer the tail of the latencies."""

    def measure(self, repeats: int, give_up_s: float | None = None) -> tuple[Run, ...]:
        runs = super().measure(repeats, give_up_s)
        return tuple(replace(run, latency_s={"p99": 0.08 / self.max}) for run in runs)


def test_the_trial_says_it_and_the_receipt_proves_nothing() -> None:
    for limit, proven in ((0.021, True), (0.019, False)):
        it = session(Serving(), Script(4), evaluations=2)
        it.problem = replace(it.problem, bound=Bound(max_latency_s={"p99": limit}))
        it.explore()
        status = TrialStatus.OK if proven else TrialStatus.INFEASIBLE
        assert [decision.trial.status for decision in it.decisions] == [TrialStatus.OK, status]
        it.verify()
        assert it.receipt is not None and it.receipt.verdict.significant
        assert it.proven is proven
        assert it.kept == (it.chosen if proven else it.default)
