"""What is believed of a machine before it was measured: plain data, one Gaussian per constant of the physics.

Every constant is dimensionless and unconstrained (a logarithm, mostly), so that a Gaussian fits it; `sd` says how far
machines and workloads may differ. Set by hand: the voltage curve and the residual of power after fits to freqbench's
phone CPU clusters, the rest by judgement, some of it widened while watching the simulated machines (docs/method.md, 8).
A constant is looked up by its full name (`governor.ondemand`), then by its family (`governor`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

VERSION: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Gaussian:
    """Mean and deviation of one constant."""

    mean: float
    sd: float


CONSTANTS: Final[Mapping[str, Gaussian]] = MappingProxyType(
    {
        # Time of one run, as shares of compute time at full speed.
        "time.memory": Gaussian(mean=-1.0, sd=1.2),  # log of time that does not scale with the core clock
        "time.domain": Gaussian(mean=0.0, sd=0.8),  # log weight of one frequency domain among several
        "time.barrier": Gaussian(mean=0.8, sd=1.0),  # log of how strictly domains wait for each other: 0 not at all
        "time.memory_elasticity": Gaussian(mean=0.5, sd=1.2),  # logit of how memory time follows its own clock
        "cpus.serial": Gaussian(mean=-3.0, sd=1.5),  # logit of the serial share (Amdahl)
        "cpus.contention": Gaussian(mean=-6.0, sd=1.5),  # log contention per added CPU (universal scalability law)
        "cpus.spin": Gaussian(mean=0.0, sd=1.2),  # logit: do waiting CPUs burn (1) or sleep (0)
        # Mean power of one run, in units of dynamic power at full speed.
        "power.static": Gaussian(mean=-1.0, sd=1.0),  # log of what is drawn whatever the clock
        "power.leakage": Gaussian(mean=-2.3, sd=1.0),  # log of what follows the voltage alone
        "power.domain": Gaussian(mean=0.0, sd=0.8),  # log weight of one frequency domain among several
        "power.wait": Gaussian(mean=0.0, sd=1.5),  # logit: do domains burn (1) or sleep (0) while they wait for others
        "power.memory": Gaussian(mean=-1.5, sd=0.8),  # log of what follows the memory clock
        "power.uncore": Gaussian(mean=-1.7, sd=0.9),  # log of what follows the preference, whatever the clock
        "power.stall": Gaussian(mean=-0.4, sd=0.8),  # logit of the activity while stalled on memory
        "voltage.slope": Gaussian(mean=-0.5, sd=0.55),  # log of d log V / d log f above the knee
        "voltage.knee": Gaussian(mean=-0.75, sd=0.45),  # log f / f_high below which the voltage is flat
        "voltage.top": Gaussian(mean=-1.0, sd=1.1),  # log of what the last steps below the top add to the slope
        # Effective frequency, as reductions of log f below the highest frequency on offer.
        "boost.on": Gaussian(mean=-0.03, sd=0.08),  # ceiling with boost; negative: above what can be asked for
        "boost.off": Gaussian(mean=-1.3, sd=0.7),  # log of the reduction without boost
        "boost.jump": Gaussian(mean=-1.8, sd=0.6),  # log of what the level that stands for boost adds
        "epp.depth": Gaussian(mean=-1.2, sd=0.8),  # log of the reduction under the most saving preference
        "epp.bend": Gaussian(mean=0.0, sd=0.8),  # atanh of the curvature in between
        "epp.memory": Gaussian(mean=0.05, sd=0.1),  # log growth of memory time under the most saving preference
        "epp.uncore": Gaussian(mean=-0.7, sd=0.6),  # log change of the uncore's power under it
        "governor": Gaussian(mean=-3.0, sd=0.9),  # log of the reduction under a governor that follows the load
        "governor.powersave": Gaussian(mean=-1.2, sd=1.0),  # where the hardware chooses; else it is the floor
        "lag": Gaussian(mean=0.02, sd=0.03),  # log of the time a governor loses by following the load late
        "governor.userspace": Gaussian(mean=-1.0, sd=1.2),
    }
)

HYPERPARAMETERS: Final[Mapping[str, Gaussian]] = MappingProxyType(
    {
        # Logarithms of deviations in log units (0.015 = 1.5 %) and of length scales.
        "rough": Gaussian(mean=-5.5, sd=1.6),  # special to one setting: 0.1 % to 4 %
        "residual.time": Gaussian(mean=-3.3, sd=0.6),
        "residual.power": Gaussian(mean=-2.8, sd=0.5),
        "residual.unmodelled": Gaussian(mean=-1.6, sd=0.7),  # amplitude where a knob's physics is not known
        "length.domain": Gaussian(mean=-0.7, sd=0.5),  # in effective log f of a frequency domain
        "length": Gaussian(mean=1.5, sd=0.7),  # of a knob, in units of its whole range, beyond its effect on log f
        "length.governor": Gaussian(mean=0.5, sd=0.5),
        "length.epp": Gaussian(mean=0.5, sd=0.5),
        "length.boost": Gaussian(mean=1.0, sd=0.5),
        "length.memory_frequency": Gaussian(mean=0.0, sd=0.6),
        "length.active_cpus": Gaussian(mean=0.0, sd=0.6),
        "length.power_cap": Gaussian(mean=-0.2, sd=0.6),
        "length.other": Gaussian(mean=-0.2, sd=0.6),
    }
)

NOISE_SD: Final = 0.01  # of one run, before any was repeated
NOISE_RUNS: Final = 0.1  # degrees of freedom that this belief is worth
NOISE_FLOOR: Final = 0.0005  # two trials of the same setting differ by drift, whatever their repeats say
INTERCEPT_SD: Final = 0.5  # log level of the default itself, around its first figure


def prior_of(name: str, table: Mapping[str, Gaussian]) -> Gaussian:
    """The prior of one name in `CONSTANTS` or `HYPERPARAMETERS`, by the name itself or the family it belongs to.

    Raises:
        KeyError: when neither is known.
    """
    while name not in table and "." in name:
        name = name.rpartition(".")[0]
    return table[name]
