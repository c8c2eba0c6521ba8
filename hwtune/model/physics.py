"""The physics the model starts from: log time and log power of one run, as functions of the knobs.

    time  = A(n) (Σ_d t_d^b)^(1/b) + w_m e^(β p) / f_m^ε,  t_d = w_d / f_d      leading loads; A(n): Amdahl and USL
    power = static + Σ_d c_d f_d V(f_d)² busy (t_d / compute)^ω + leakage V + memory f_m + uncore e^(κ p)
    log V = slope (softplus(log f - knee) - softplus(-knee)) + top (e^(log f) - 1)   monotone; flat below the knee
    busy  = (compute + stall · memory) / time

where b is 1 when domains work one after the other, and large when all wait for the slowest, asleep (ω = 1) or spinning
(0); f_d are the effective clocks (`clocks.py`), n the active CPUs, p the energy-performance preference, which slows the
uncore and saves its power beside what it does to the clock. Shapes: a row of knobs is `(…, width)`, the constants `(…,
p)` (they broadcast), the answer `(…, 2)`: log time, log power, each up to a constant of the machine. Constants are
unconstrained numbers with a prior (`prior.py`). A knob whose physics is not known leaves both flat.

Sources: leading loads (Keramidas et al. 2010; Spiliopoulos et al., Green Governors, IGCC 2011); universal scalability
law (Gunther 2007); CMOS power a f V² + leakage (Bellosa 2000; Su et al., PPEP, MICRO 2014).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid, softplus

from hwtune.domain.knob import Knob, RangeKnob, Role
from hwtune.model.clocks import Constants, domains
from hwtune.model.encoding import Encoding, tensor
from hwtune.model.prior import CONSTANTS, prior_of

_KNEE = 0.15  # width of the voltage's knee, in log f
_TOP = 0.15  # width of the steep end below the top, in log f
_MODELLED: frozenset[Role] = frozenset(
    {"frequency", "frequency_floor", "memory_frequency", "active_cpus", "governor", "epp", "boost"}
)


class Physics:
    """The mean of log time and log power in one space.

    Attributes:
        domains: the frequency domains.
        names: of the constants, in order.
        mean: prior means of the constants (`p`).
        sd: prior deviations of the constants (`p`).
    """

    def __init__(self, encoding: Encoding) -> None:
        self.domains = domains(encoding)
        self._encoding = encoding
        knobs = [knob for knob in encoding.space.knobs if isinstance(knob, RangeKnob)]
        self._memory = [encoding.columns[knob.name] for knob in knobs if knob.role == "memory_frequency"]
        self._cpus = [knob for knob in knobs if knob.role == "active_cpus"]
        names = ["time.memory", "power.static", "power.leakage", "power.stall"]
        for kind in ("voltage.slope", "voltage.knee", "voltage.top", "time.domain", "power.domain"):
            names += [f"{kind}.{index}" for index in range(len(self.domains))]
        names += ["time.barrier", "power.wait"] if len(self.domains) > 1 else []
        if self._memory:
            names += ["time.memory_elasticity", "power.memory"]
        if self._cpus:
            names += ["cpus.serial", "cpus.contention", "cpus.spin"]
        if any(domain.epp for domain in self.domains):
            names += ["epp.memory", "power.uncore", "epp.uncore"]
        names += [name for domain in self.domains for name in domain.names()]
        self.names = tuple(dict.fromkeys(names))
        priors = [prior_of(name, CONSTANTS) for name in self.names]
        self.mean = tensor([prior.mean for prior in priors])
        self.sd = tensor([prior.sd for prior in priors])

    def modelled(self, knob: Knob) -> bool:
        """Whether the mean says anything about this knob."""
        return knob.role in _MODELLED

    def log_frequencies(self, x: Tensor, theta: Tensor) -> Tensor:
        """Effective log frequency of each domain `(…, domains)`."""
        return self._clocks(x, self._named(theta))

    def __call__(self, x: Tensor, theta: Tensor) -> Tensor:
        """Log time and log power `(…, 2)`."""
        c = self._named(theta)
        log_f = self._clocks(x, c)
        log_own = self._own_times(log_f, x, c)
        log_compute, waiting = log_own.squeeze(-1), torch.zeros_like(log_f)
        if len(self.domains) > 1:
            barrier = c["time.barrier"].exp()
            log_compute = (barrier.unsqueeze(-1) * log_own).logsumexp(-1) / barrier
            waiting = torch.sigmoid(-c["power.wait"]).unsqueeze(-1) * (log_own - log_compute.unsqueeze(-1))
        log_memory, preference = c["time.memory"], self._preference(x)
        rest = [c["power.static"]]
        if preference is not None:
            log_memory = log_memory + c["epp.memory"] * preference
            rest.append(c["power.uncore"] + c["epp.uncore"] * preference)
        for columns in self._memory:
            above = (x[..., columns] - self._encoding.default[columns]).squeeze(-1)
            log_memory = log_memory - torch.sigmoid(c["time.memory_elasticity"]) * above
            rest.append(c["power.memory"] + above)
        log_v = self._log_voltage(log_f, c)
        log_dynamic = (self._each("power.domain", c).log_softmax(-1) + log_f + 2.0 * log_v + waiting).logsumexp(-1)
        for knob in self._cpus:
            log_scaling, log_burning = self._cpu_scaling(knob, x, c)
            log_compute, log_dynamic = log_compute + log_scaling, log_dynamic + log_burning
        log_time = torch.logaddexp(log_compute, log_memory)
        log_busy = torch.logaddexp(log_compute, log_memory + logsigmoid(c["power.stall"])) - log_time
        rest += [log_dynamic + log_busy, c["power.leakage"] + log_v.mean(-1)]
        log_power = torch.stack([part + torch.zeros_like(log_time) for part in rest], -1).logsumexp(-1)
        return torch.stack([log_time, log_power], dim=-1)

    def _named(self, theta: Tensor) -> Constants:
        """Constants by name; one unbind is far cheaper to differentiate than an index for each."""
        return dict(zip(self.names, theta.unbind(-1), strict=True))

    def _clocks(self, x: Tensor, c: Constants) -> Tensor:
        return torch.stack([domain.log_frequency(x, c) for domain in self.domains], dim=-1)

    def _own_times(self, log_f: Tensor, x: Tensor, c: Constants) -> Tensor:
        """Log compute time of each domain's own part `(…, domains)`: its share of work, at its clock, with its lag."""
        late = torch.stack([domain.lag(x, c) + torch.zeros_like(log_f[..., 0]) for domain in self.domains], dim=-1)
        return self._each("time.domain", c).log_softmax(-1) + late - log_f

    def _log_voltage(self, log_f: Tensor, c: Constants) -> Tensor:
        """Log voltage of each domain, 0 at the top: it never falls with the clock, and is flat below the knee."""
        knee, slope = self._each("voltage.knee", c), self._each("voltage.slope", c).exp()
        bend = _KNEE * (softplus((log_f - knee) / _KNEE) - softplus(-knee / _KNEE))
        return slope * bend + self._each("voltage.top", c).exp() * _TOP * torch.expm1(log_f / _TOP)

    def _each(self, kind: str, c: Constants) -> Tensor:
        """One constant of every domain `(…, domains)`."""
        return torch.stack([c[f"{kind}.{index}"] for index in range(len(self.domains))], dim=-1)

    def _preference(self, x: Tensor) -> Tensor | None:
        """The mean preference of the domains that have one `(…)`."""
        shares = [domain.preference(x) for domain in self.domains if domain.epp]
        return torch.stack(shares, -1).mean(-1) if shares else None

    def _cpu_scaling(self, knob: RangeKnob, x: Tensor, c: Constants) -> tuple[Tensor, Tensor]:
        """Log compute time relative to one CPU, and log of how many CPUs burn on average."""
        log_n = x[..., self._encoding.columns[knob.name]].squeeze(-1)
        n = log_n.exp() if knob.low > 0 else log_n.clamp_min(1.0)
        serial, spin = torch.sigmoid(c["cpus.serial"]), torch.sigmoid(c["cpus.spin"])
        scaling = (serial + (1.0 - serial) / n + c["cpus.contention"].exp() * (n - 1.0)).log()
        return scaling, (1.0 - spin) * -scaling + spin * n.log()
