"""Hardware defaults, without any record of what was there.

Which governor a distribution starts with cannot be read from the machine. `powersave` is what the active p-state
drivers start with (there it is the hardware's own governor); elsewhere schedutil, the kernel's general recommendation,
or ondemand before it. Limits open to the hardware's, boost on, EPP at the driver's `default` where it has one.
Tunables are left: they belong to their governor and begin anew with it. Of what is off by default, what was asked for
goes to what the kernel names as the default (an uncore's initial limits, an idle state's default status, no latency
constraint, 100 %); a power limit, whose default it does not name, to what was found before anything was changed.

What could not be reset is still as hwtune has set it, and only the journal knows what was there before: that much of it
stays.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from hwtune.domain.knob import ChoiceKnob, Setting, Value
from hwtune.host.fs import HostFS
from hwtune.knobs import journal as journals
from hwtune.knobs.changes import offline
from hwtune.knobs.claims import handed_over
from hwtune.knobs.cpufreq import CpufreqBackend
from hwtune.knobs.drivers import driver_named
from hwtune.knobs.extra import source_of
from hwtune.knobs.journal import Journal
from hwtune.knobs.outcome import Outcome, read_one, write_one
from hwtune.knobs.policies import Policy, read_text
from hwtune.knobs.policy_knobs import PolicyTarget
from hwtune.knobs.target import FileTarget, Target


def reset(files: HostFS, found: Mapping[str, str] | None = None, wanted: Sequence[str] = ()) -> tuple[Outcome, ...]:
    """Bring every knob to its hardware default; one outcome for each file that was written.

    The caller holds the lock, and then lets `forget` see to the journal.

    Args:
        files: the machine.
        found: path → text of what was there before anything was changed, as far as that is known.
        wanted: knobs that are off by default and are reset too (`CpufreqBackend`).

    Raises:
        Unsupported: no cpufreq here.
        PermissionDenied: no right to write.
    """
    outcomes: list[Outcome] = []
    done = -1
    while True:
        # Read anew for each stage: the limits of the hardware depend on boost.
        backend = CpufreqBackend(files, {p: t for p, t in (found or {}).items() if source_of(p)}, wanted=wanted)
        planned = [write for write in backend.plan(defaults(backend)) if write.stage > done]
        if not planned:
            return tuple(outcomes)
        done = planned[0].stage
        writes = [write for write in planned if write.stage == done]
        rejections = [write_one(backend, write) for write in writes]
        backend.settle(writes)
        outcomes += [no or read_one(backend, write) for write, no in zip(writes, rejections, strict=True)]


def forget(files: HostFS, run_dir: Path, journal: Journal | None, outcomes: Iterable[Outcome]) -> tuple[str, ...]:
    """Drop the journal, but for what of ours is still set: its paths are returned.

    That is what the kernel has refused to reset, and what is away with the CPUs of its policy. All else is as whoever
    asked for the reset wants it.

    Args:
        files: the machine.
        run_dir: where the journal is.
        journal: as it was before the reset, None where there is none, or none that can be read.
        outcomes: of the reset.

    Raises:
        JournalError: the journal cannot be written or removed.
    """
    refused = {outcome.path for outcome in outcomes if outcome.result == "rejected"}
    ours = () if journal is None else journal.ours
    backend = CpufreqBackend(files)
    still = tuple(path for path in ours if path in refused or offline(backend, path))
    if journal is None or not still:
        journals.remove(run_dir)
        return ()
    texts = {path: read_text(files, path) for path in journal.original if path not in still}
    theirs = {path: text for path, text in texts.items() if text is not None}
    journals.save(run_dir, handed_over(journal, theirs))
    return still


def defaults(backend: CpufreqBackend) -> Setting:
    """The setting that stands for hardware defaults."""
    values: dict[str, Value] = {}
    for name in backend.space.names:
        target = backend.target(name)
        value = _default(target)
        if value is not None:
            values[name] = value
    return Setting(values)


def _default(target: Target) -> Value | None:
    if isinstance(target, FileTarget):
        return target.knob.default if target.reset is None else target.reset
    if not isinstance(target, PolicyTarget):
        return None
    match target.key:
        case "governor" if isinstance(target.knob, ChoiceKnob):
            return _governor(target.policies[0], target.knob.choices)
        case "max":
            return max((p.cpuinfo_max_khz for p in target.policies if p.cpuinfo_max_khz is not None), default=None)
        case "min":
            return min((p.cpuinfo_min_khz for p in target.policies if p.cpuinfo_min_khz is not None), default=None)
        case "epp":
            choices = target.policies[0].epp_choices
            return next((word for word in ("default", "balance_performance") if word in choices), None)
        case "boost":
            return "1"
        case _:
            return None


def _governor(policy: Policy, choices: tuple[str, ...]) -> str:
    preferred = (driver_named(policy.driver).reset_governor, "schedutil", "ondemand")
    return next((word for word in preferred if word in choices), choices[0])
