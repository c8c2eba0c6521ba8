"""What `hwtune gradcheck` says: one JSON document, or a table for people."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import expm1, log

from pydantic import BaseModel

from hwtune.cli.gradcheck_open import Checked
from hwtune.cli.host import OpenHost
from hwtune.cli.outcome import Z95, restored_text, setting_text
from hwtune.domain.knob import KnobSpace, RangeKnob, Value
from hwtune.domain.objective import Objective
from hwtune.domain.slope import Contrast, Effects, Slope
from hwtune.gradients import Estimate, Measured

TOLERANCE = 1e-5


class Figures(BaseModel):
    """Changes of natural logarithms along the step."""

    time: float
    power: float
    objective: float


class Interval(BaseModel):
    """A change with its 95 % interval."""

    change: float
    interval_95: tuple[float, float]


class MeasuredStep(BaseModel):
    """A step on the machine: paired, interleaved runs."""

    time: Interval
    power: Interval | None
    objective: Interval
    runs: int


class Step(BaseModel):
    """One step of one knob, from its first value to its second; `model` is what is compared with the machine."""

    knob: str
    step: tuple[Value, Value]
    model: Figures
    autograd: Figures
    central: Figures
    relative_error: float
    expected: dict[str, Interval]
    truth: Figures | None
    measured: MeasuredStep | None
    excluded: list[str]


class GradientCheck(BaseModel):
    """The document of `hwtune gradcheck --json`; see docs/gradcheck.md."""

    schema_version: int = 1
    machine: str
    simulated: bool
    energy_source: str
    workload: str | None
    objective: str
    seed: int
    trials: int
    stopped: str | None
    why_stopped: str | None
    at: dict[str, Value]
    tolerance: float = TOLERANCE
    agrees: bool
    steps: list[Step]
    restored: bool


def document(opened: OpenHost, found: Checked) -> GradientCheck:
    """Everything that was found."""
    session, objective, space = found.session, found.problem.objective, found.problem.space
    truth = None if opened.simulated is None else opened.simulated.true
    measured = found.measured or [None] * len(found.steps)
    steps = [
        _step(space, objective, contrast, slope, truth, seen)
        for (contrast, slope), seen in zip(found.steps, measured, strict=True)
    ]
    return GradientCheck(
        machine=opened.host.name,
        simulated=opened.host.simulated,
        energy_source=found.energy,
        workload=found.label,
        objective=objective.value,
        seed=found.problem.seed,
        trials=0 if session is None else len(session.decisions),
        stopped=None if session is None else session.stopped,
        why_stopped=(session.why_stopped or None) if session is not None else None,
        at=dict(found.at),
        agrees=all(step.relative_error <= TOLERANCE for step in steps),
        steps=steps,
        restored=found.restored,
    )


def _step(
    space: KnobSpace,
    objective: Objective,
    contrast: Contrast,
    slope: Slope,
    truth: Callable[[Mapping[str, Value]], tuple[float, float]] | None,
    measured: Measured | None,
) -> Step:
    # Half way between two choices there is no setting: of them the model claims the change, of levels the slope.
    is_range = isinstance(space[contrast.knob], RangeKnob)
    claimed = _figures(objective, slope.autograd if is_range else slope.change)
    return Step(
        knob=contrast.knob,
        step=(contrast.first[contrast.knob], contrast.second[contrast.knob]),
        model=claimed,
        autograd=_figures(objective, slope.autograd),
        central=_figures(objective, slope.central),
        relative_error=slope.relative_error,
        expected={
            "time": _expected(slope.change.time, slope.change_sd.time),
            "power": _expected(slope.change.power, slope.change_sd.power),
        },
        truth=None if truth is None else _true(objective, truth(contrast.first), truth(contrast.second)),
        measured=None if measured is None else MeasuredStep.model_validate(measured, from_attributes=True),
        excluded=[] if measured is None else _excluded(claimed, measured),
    )


def _figures(objective: Objective, effects: Effects) -> Figures:
    total = objective.time_exponent * effects.time + objective.power_exponent * effects.power
    return Figures(time=effects.time, power=effects.power, objective=total)


def _true(objective: Objective, first: tuple[float, float], second: tuple[float, float]) -> Figures:
    time, energy = log(second[0] / first[0]), log(second[1] / first[1])
    return _figures(objective, Effects(time=time, power=energy - time))


def _expected(change: float, sd: float) -> Interval:
    return Interval(change=change, interval_95=(change - Z95 * sd, change + Z95 * sd))


def _excluded(claimed: Figures, measured: Measured) -> list[str]:
    """The figures whose measured interval does not hold what the model claims."""
    estimates: dict[str, tuple[float, Estimate | None]] = {
        "time": (claimed.time, measured.time),
        "power": (claimed.power, measured.power),
        "objective": (claimed.objective, measured.objective),
    }
    return [name for name, (value, seen) in estimates.items() if seen is not None and not seen.holds(value)]


def print_result(space: KnobSpace, told: GradientCheck) -> None:
    """The check for people, on standard output."""
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    nature = "simulated" if told.simulated else "measured" if told.workload else "nothing measured"
    table = Table(
        title=f"{told.machine}: {told.workload or 'the prior'} ({nature})",
        title_justify="left",
        box=SIMPLE,
        collapse_padding=True,
        pad_edge=False,
    )
    was_measured = any(step.measured for step in told.steps)
    for heading in ("step", ""):
        table.add_column(heading, no_wrap=True)
    headings = ["model", *(["truth"] if told.simulated else []), *(["measured, 95 %"] if was_measured else []), ""]
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    for step in told.steps:
        first, second = (space[step.knob].text(value) for value in step.step)
        for name, words in (("time", f"{step.knob} {first}"), ("power", f"  → {second}")):
            table.add_row(
                words,
                name,
                _percent(getattr(step.model, name)),
                *([_percent(getattr(step.truth, name))] if told.simulated else []),
                *([_measured_text(step, name)] if was_measured else []),
                "!" if name in step.excluded else "",
            )
    console.print(table)
    for line in _lines(told):
        console.print(line, markup=False, soft_wrap=True)


def _percent(change: float) -> str:
    return f"{expm1(change):+.1%}"


def _measured_text(step: Step, name: str) -> str:
    seen: Interval | None = None if step.measured is None else getattr(step.measured, name)
    if seen is None:
        return "no step there" if step.measured is None else ""
    low, high = (expm1(end) for end in seen.interval_95)
    return f"{_percent(seen.change)} ({100 * low:+.1f} … {100 * high:+.1f})"


def _lines(told: GradientCheck) -> list[str]:
    worst = max(told.steps, key=lambda step: step.relative_error)
    lines = [
        f"at {setting_text(told.at)}",
        f"learned from {told.trials} settings" if told.trials else "the prior alone: nothing was run, nothing written",
    ]
    if told.why_stopped:
        lines.append(f"the session stopped: {told.why_stopped}")
    if told.agrees:
        lines.append(
            f"autograd and central differences of the surrogate agree: {worst.relative_error:.0e} relative at most"
        )
    else:
        lines.append(
            f"autograd and central differences of the surrogate DISAGREE: {worst.relative_error:.0e} relative at "
            f"{worst.knob} {worst.step[0]} → {worst.step[1]}, {told.tolerance:.0e} allowed"
        )
    excluded = [f"{step.knob} → {step.step[1]}" for step in told.steps if step.excluded]
    if excluded:
        lines.append(f"! the measured interval excludes what the model says: {', '.join(excluded)}")
    if told.workload or not told.restored:
        lines.append(restored_text(told.restored))
    return lines
