"""What people, programs and firmware do to a machine, drawn at random: settings, edits, moments."""

from __future__ import annotations

import posixpath
from collections.abc import Callable
from random import Random

from fake.kernel import CPUFREQ, FakeKernel

from campaign.world import Edit
from hwtune.domain.knob import KnobSpace, RangeKnob, Setting, Value
from hwtune.knobs.cpufreq import CpufreqBackend

Moment = Callable[[FakeKernel], None]


def edits(rng: Random, kernel: FakeKernel, most: int) -> tuple[Edit, ...]:
    """Writes that a person or another program may make now.

    Minima are of the lower half and maxima of the upper one: a request that the kernel had to clamp cannot be read
    from anywhere, so nobody could bring it back.
    """
    texts = kernel.state()
    paths = [path for path in sorted(texts) if path.startswith((f"{CPUFREQ}/", _intel(path))) or "/cpufreq/" in path]
    chosen = rng.sample(paths, min(len(paths), rng.randint(0, most)))
    return tuple((path, text) for path in chosen if (text := _plausible(rng, kernel, path)) is not None)


def _intel(path: str) -> str:
    return path if path.endswith("/intel_pstate/no_turbo") else "//"


def _plausible(rng: Random, kernel: FakeKernel, path: str) -> str | None:
    directory, name = posixpath.split(path)
    match name:
        case "scaling_governor":
            return rng.choice(kernel.read(f"{directory}/scaling_available_governors").split())
        case "scaling_min_freq" | "scaling_max_freq":
            low, high = (int(kernel.read(f"{directory}/cpuinfo_{end}_freq")) for end in ("min", "max"))
            middle = (low + high) // 2
            part = (low, middle) if name == "scaling_min_freq" else (middle, high)
            return str(_step(rng, kernel, directory, *part))
        case "energy_performance_preference":
            words = kernel.read(f"{directory}/energy_performance_available_preferences").split()
            return rng.choice(words)
        case "boost" | "no_turbo":
            return rng.choice("01")
        case "scaling_setspeed":
            return None
    return _tunable(rng, name)


def _step(rng: Random, kernel: FakeKernel, directory: str, low: int, high: int) -> int:
    table = f"{directory}/scaling_available_frequencies"
    if kernel.mode(table):
        inside = [int(word) for word in kernel.read(table).split() if low <= int(word) <= high]
        if inside:
            return rng.choice(inside)
    return rng.randint(low // 1000, high // 1000) * 1000


def _tunable(rng: Random, name: str) -> str | None:
    ranges = {
        "up_threshold": (50, 99),
        "down_threshold": (10, 40),
        "sampling_rate": (10_000, 50_000),
        "sampling_down_factor": (1, 10),
        "powersave_bias": (0, 1000),
        "freq_step": (1, 50),
        "ignore_nice_load": (0, 1),
        "io_is_busy": (0, 1),
        "rate_limit_us": (500, 20_000),
    }
    return str(rng.randint(*ranges[name])) if name in ranges else None


def setting(rng: Random, space: KnobSpace) -> Setting:
    """Any knobs of a space at any legal values, minima below their maxima."""
    knobs = rng.sample(space.knobs, rng.randint(1, min(6, len(space.knobs))))
    chosen: dict[str, Value] = {}
    for knob in knobs:
        if isinstance(knob, RangeKnob):
            chosen[knob.name] = knob.nearest(rng.uniform(knob.low, knob.high))
        else:
            chosen[knob.name] = rng.choice(knob.choices)
    for low, high in space.ordered_pairs:
        if low in chosen and high in chosen and chosen[low] > chosen[high]:  # type: ignore[operator]
            chosen[low], chosen[high] = chosen[high], chosen[low]
    return Setting(chosen)


def settings(rng: Random, backend: CpufreqBackend) -> tuple[Setting, ...]:
    """One to four settings of a run; the last one may be the default, as a session's often is."""
    space = backend.space
    drawn = [setting(rng, space) for _ in range(rng.randint(1, 4))]
    if rng.random() < 0.2:
        drawn.append(space.default)
    return tuple(drawn)


def unplug(rng: Random, kernel: FakeKernel) -> tuple[Moment, Moment]:
    """Some CPUs that go, often all of one policy; and how they come back."""
    first = min(kernel.online)
    policy = rng.choice(kernel.policies)
    cpus = [cpu for cpu in policy.cpus if cpu != first]
    if not cpus or rng.random() < 0.2:
        others = [cpu for cpu in sorted(kernel.online) if cpu != first]
        cpus = rng.sample(others, min(len(others), 2))

    def plug(online: bool) -> Moment:
        def do(kernel: FakeKernel) -> None:
            for cpu in cpus:
                kernel.hotplug(cpu, online)

        return do

    return plug(False), plug(True)


def firmware_khz(rng: Random, kernel: FakeKernel) -> int:
    """A limit between the hardware's, one that the table has where there is one.

    It is none that is set already: of a maximum that stands at the firmware's limit nobody knows what was asked for.
    """
    policy = rng.choice(kernel.policies)
    taken = {other.max_request for other in kernel.policies}
    inside = [khz for khz in policy.table if policy.low < khz < policy.top and khz not in taken]
    return rng.choice(inside) if inside else rng.randint(policy.low // 1000 + 1, policy.top // 1000 - 1) * 1000 + 500
