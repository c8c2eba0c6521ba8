"""The receipt of `hwtune selftest`, as one document (docs/selftest.md). Fields are added to it, never renamed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict

from hwtune import __version__
from hwtune.cli.host import OpenHost
from hwtune.cli.probe_find import parse_cpu_model
from hwtune.domain.knob import Knob
from hwtune.knobs.cpufreq import CpufreqBackend
from hwtune.knobs.rotation import Turned, values_of
from hwtune.sensors.optional import optional_text


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class MachineEntry(_Part):
    """What was tested. No host name: receipts are made to be shown."""

    cpu: str | None
    kernel: str | None
    drivers: list[str]
    policies: int
    simulated: bool
    live: bool
    dry_run: bool


class TurnEntry(_Part):
    """One value: `result` as in an outcome of `hwtune apply`, or `unexplained`, or `inactive`."""

    wanted: int | str
    result: str
    effective: str | None
    errno: int | None
    needed: dict[str, int | str]
    time_s: float


class Difference(_Part):
    """An attribute that is not as it was found."""

    path: str
    before: str | None
    after: str | None


class KnobReceipt(_Part):
    """One knob: its values in the order they were set, and whether everything was back behind it."""

    knob: str
    default: int | str
    values: list[TurnEntry]
    restored: bool
    differing: list[Difference]
    foreign: dict[str, str]
    failure: str | None
    time_s: float


class KnobPlan(_Part):
    """What would be done to one knob."""

    knob: str
    values: list[int | str]


class Receipt(_Part):
    """The whole answer. Where nothing was turned `ran` is false, and `plan` is all there is.

    `left_alone` has the knobs that may not be turned, and why. `results` counts the values by result. `differing` is
    what is not as it was before the first knob was turned.
    """

    schema_version: Literal[1] = 1
    hwtune: str = __version__
    machine: MachineEntry
    ran: bool
    interrupted: bool = False
    restored: bool | None = None
    plan: list[KnobPlan]
    left_alone: dict[str, str]
    results: dict[str, int] = {}
    knobs: list[KnobReceipt] = []
    differing: list[Difference] = []
    time_s: float = 0.0

    @classmethod
    def begun(
        cls,
        opened: OpenHost,
        backend: CpufreqBackend,
        knobs: Sequence[Knob],
        *,
        left: Mapping[str, str],
        turning: bool,
    ) -> Receipt:
        """The receipt before anything was turned."""
        plan = [KnobPlan(knob=knob.name, values=list(values_of(knob))) for knob in knobs]
        return cls(machine=_machine(opened, backend), ran=turning, plan=plan, left_alone=dict(left))

    def ended(
        self,
        knobs: list[KnobReceipt],
        differing: Mapping[str, tuple[str | None, str | None]],
        *,
        interrupted: bool,
        time_s: float,
    ) -> Receipt:
        """The receipt behind the last knob."""
        foreign = {path for knob in knobs for path in knob.foreign}
        return self.model_copy(
            update={
                "interrupted": interrupted,
                "restored": all(knob.restored for knob in knobs) and not differing.keys() - foreign,
                "results": dict(sorted(Counter(turn.result for knob in knobs for turn in knob.values).items())),
                "knobs": knobs,
                "differing": _differences(differing),
                "time_s": round(time_s, 4),
            }
        )


def _machine(opened: OpenHost, backend: CpufreqBackend) -> MachineEntry:
    files = opened.host.files
    return MachineEntry(
        cpu=parse_cpu_model(optional_text(files, "/proc/cpuinfo") or ""),
        kernel=optional_text(files, "/proc/sys/kernel/osrelease"),
        drivers=sorted({policy.driver for policy in backend.policies if policy.driver}),
        policies=len(backend.policies),
        live=opened.live,
        simulated=opened.host.simulated,
        dry_run=opened.dry,
    )


def receipt_of(knob: Knob, turned: Turned) -> KnobReceipt:
    """The receipt of one knob."""
    values = [
        TurnEntry(
            wanted=turn.wanted,
            result=turn.result,
            effective=turn.effective,
            errno=turn.errno,
            needed=dict(turn.needed),
            time_s=round(turn.time_s, 4),
        )
        for turn in turned.turns
    ]
    return KnobReceipt(
        knob=turned.knob,
        default=knob.default,
        values=values,
        restored=turned.restored,
        differing=_differences(turned.differing),
        foreign=dict(turned.foreign),
        failure=turned.failure,
        time_s=round(turned.time_s, 4),
    )


def _differences(found: Mapping[str, tuple[str | None, str | None]]) -> list[Difference]:
    return [Difference(path=path, before=before, after=after) for path, (before, after) in found.items()]
