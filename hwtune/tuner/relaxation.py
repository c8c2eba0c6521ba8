"""Gradient steps over discrete and continuous knobs together: probabilistic reparameterisation.

Choices, and ranges of few levels, are drawn from independent distributions with probabilities θ = softmax(φ / τ); the
other ranges are continuous numbers u. Instead of the acquisition a, its expectation over the choices z is maximised,

    max over θ, u   log Σ_z p_θ(z) exp a(u, z),

which has the same maximiser as a (Daulton et al., NeurIPS 2022) and exact gradients; the logarithm, taken because a is
itself a logarithm, keeps them from vanishing. Up to `EXACT_CELLS` combinations the sum is exact; beyond, the same
gradient comes from samples: each sample's share of the sum, less the mean share as a baseline, times the score ∇ log
p_θ(z).

Several starts at once, the rate falling, the temperature annealed. The relaxed optimum is never an answer: it is
decoded to values the kernel takes, and the legal settings around it are scored in turn.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import accumulate, count, pairwise

import torch
from torch import Tensor

from hwtune.domain.knob import ChoiceKnob, Knob, Setting, Value
from hwtune.model.encoding import Encoding, part, tensor
from hwtune.model.fit import adam

Acquisition = Callable[[Tensor], Tensor]
"""Values (`b`) of rows `(b, width)`, differentiable, to be maximised."""

EXACT_CELLS = 512
_FEW_LEVELS = 4
_SAMPLES = 64
_ROWS = 512  # of one evaluation at most: many cells, few starts
_STARTS = 8
_STEPS = 20
_RATE = 0.2
_HOT, _COLD = 1.0, 0.15


class Relaxation:
    """The relaxed form of one space.

    Attributes:
        cells: how many combinations of discrete values there are.
    """

    def __init__(self, encoding: Encoding) -> None:
        self.encoding = encoding
        space = encoding.space
        discrete = [(knob, values) for knob in space.knobs if (values := few_values(knob))]
        names = {knob.name for knob, _ in discrete}
        self._continuous = [encoding.columns[knob.name].start for knob in space.knobs if knob.name not in names]
        self._columns = [encoding.columns[knob.name] for knob, _ in discrete]
        self._parts = [tensor([part(knob, value) for value in values]) for knob, values in discrete]
        self._sizes = [len(values) for _, values in discrete]
        self.cells = math.prod(self._sizes)

    def maximise(self, acquisition: Acquisition, near: Sequence[Setting], generator: torch.Generator) -> list[Setting]:
        """Decoded ends of the gradient paths, one per start; legality across knobs is the caller's to restore.

        Args:
            acquisition: what to maximise.
            near: settings to start some paths at; the others start anywhere.
            generator: of the starts, and of the samples where there are too many cells.
        """
        draws = None if self.cells <= EXACT_CELLS else generator
        schedule = (_HOT * (_COLD / _HOT) ** (step / _STEPS) for step in count())
        width = len(self._continuous)

        def loss(at: Tensor) -> Tensor:
            return -self.expectation(acquisition, at, next(schedule), draws).sum()

        def project(at: Tensor) -> Tensor:
            return torch.cat([at[:, :width].clamp(0.0, 1.0), at[:, width:]], dim=1)

        ends = adam(self.starts(near, generator), loss, steps=_STEPS, rate=_RATE, project=project)
        u, log_theta = self._split(ends, _COLD)
        modes = torch.stack([log.argmax(1) for log in log_theta], -1) if log_theta else torch.zeros(len(ends), 0).long()
        rows = self._rows(u, modes.unsqueeze(1)).squeeze(1)
        return [self.encoding.decode(row) for row in rows]

    def expectation(
        self, acquisition: Acquisition, at: Tensor, temperature: float, generator: torch.Generator | None
    ) -> Tensor:
        """Log of the expected exponential of the acquisition at each point `(starts)`.

        Args:
            acquisition: whose expectation it is.
            at: points in the relaxed space `(starts, continuous + Σ sizes)`.
            temperature: τ of the probabilities.
            generator: None for the exact sum; else samples are drawn from it, and only the gradient means anything.
        """
        u, log_theta = self._split(at, temperature)
        cells = self._every(len(at)) if generator is None else self._sample(log_theta, generator)
        values = acquisition(self._rows(u, cells).flatten(0, 1)).reshape(cells.shape[:2])
        log_p = torch.zeros_like(values)
        for k, log in enumerate(log_theta):
            log_p = log_p + log.gather(1, cells[..., k])
        if generator is None:
            return (log_p + values).logsumexp(1)
        shares = values.detach().softmax(1)
        return (shares * values + (shares - 1.0 / cells.shape[1]) * log_p).sum(1)

    def starts(self, near: Sequence[Setting], generator: torch.Generator) -> Tensor:
        """Points to start at `(starts, continuous + Σ sizes)`: the given settings, softly, and random ones."""
        total = max(len(near) + 2, min(_STARTS, _ROWS // max(min(self.cells, EXACT_CELLS), 1)))
        u = torch.rand(total, len(self._continuous), dtype=torch.float64, generator=generator)
        phi = torch.randn(total, sum(self._sizes), dtype=torch.float64, generator=generator)
        x = self.encoding.encode(near)
        u[: len(near)] = ((x - self.encoding.low) / self.encoding.span)[:, self._continuous].clamp(0.02, 0.98)
        begin = 0
        for columns, rows in zip(self._columns, self._parts, strict=True):
            chosen = (x[:, columns].unsqueeze(1) - rows).abs().sum(-1).argmin(1)
            phi[: len(near), begin : begin + len(rows)] = 2.0 * torch.nn.functional.one_hot(chosen, len(rows))
            begin += len(rows)
        return torch.cat([u, phi], dim=1)

    def _every(self, starts: int) -> Tensor:
        """All cells, for each start `(starts, cells, discrete knobs)`."""
        ranges = [torch.arange(size) for size in self._sizes]
        cells = torch.cartesian_prod(*ranges) if ranges else torch.zeros(1, 0).long()
        return cells.reshape(self.cells, -1).expand(starts, -1, -1)

    def _split(self, at: Tensor, temperature: float) -> tuple[Tensor, list[Tensor]]:
        """Continuous numbers, and log probabilities of each discrete knob."""
        width = len(self._continuous)
        ends = list(accumulate(self._sizes, initial=width))
        blocks = [at[:, start:end] for start, end in pairwise(ends)]
        return at[:, :width], [(block / temperature).log_softmax(1) for block in blocks]

    def _sample(self, log_theta: list[Tensor], generator: torch.Generator) -> Tensor:
        """Cells drawn from the probabilities `(starts, samples, discrete knobs)`."""
        draws = [
            torch.multinomial(log.detach().exp(), _SAMPLES, replacement=True, generator=generator) for log in log_theta
        ]
        return torch.stack(draws, dim=-1)

    def _rows(self, u: Tensor, cells: Tensor) -> Tensor:
        """Settled rows `(starts, cells, width)` of continuous numbers and chosen values."""
        encoding = self.encoding
        shape = cells.shape[:2]
        columns: list[Tensor] = [torch.empty(0)] * encoding.width
        for index, place in enumerate(self._continuous):
            columns[place] = (encoding.low[place] + encoding.span[place] * u[:, index, None]).expand(shape)
        for index, (where, rows) in enumerate(zip(self._columns, self._parts, strict=True)):
            chosen = rows[cells[..., index]]
            for offset, place in enumerate(range(where.start, where.stop)):
                columns[place] = chosen[..., offset]
        return encoding.settle(torch.stack(columns, dim=-1))


def few_values(knob: Knob) -> tuple[Value, ...]:
    """The values of a knob that is drawn from, empty for one that is a number on a scale."""
    if isinstance(knob, ChoiceKnob):
        return knob.choices
    levels = knob.levels or range(knob.low, knob.high + 1, knob.step)
    return tuple(levels) if len(levels) <= _FEW_LEVELS else ()
