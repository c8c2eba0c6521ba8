"""What the store gives back: sessions, decisions, trials, each with the machine it belongs to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hwtune.domain.problem import Problem
from hwtune.domain.trial import Proposal, Trial


@dataclass(frozen=True, slots=True, kw_only=True)
class Fingerprint:
    """A machine, as far as it decides whether what was measured on it still holds.

    Args:
        name: what its figures are labelled with.
        simulated: whether it is imaginary; such figures are never mixed with measured ones.
        hwtune_version: what measured it.
        cpu_model: as the kernel names it.
        microcode: revision, as the kernel writes it.
        driver: cpufreq driver.
        kernel: release.
        energy_source: what energies are read from, None where there is nothing; `emulated meter …` is no real power.
    """

    name: str
    simulated: bool
    hwtune_version: str
    cpu_model: str | None = None
    microcode: str | None = None
    driver: str | None = None
    kernel: str | None = None
    energy_source: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRecord:
    """One session.

    Args:
        number: counts from 1 over the whole store.
        machine: where it ran.
        verb: `tune`, ….
        workload: what ran, as one would type it.
        argv: the command in words, empty for simulated work.
        problem: space, objective, bound and seed, without donors.
        started_s: Unix time.
        ended_s: Unix time, None while it runs and for ever if it was killed.
        outcome: how it ended, in one word or line; None as long as `ended_s` is.
        verdict: the receipt's figures, or None where there is no receipt.
    """

    number: int
    machine: Fingerprint
    verb: str
    workload: str
    argv: tuple[str, ...]
    problem: Problem
    started_s: float
    ended_s: float | None
    outcome: str | None
    verdict: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionRecord:
    """One turn of the loop.

    Args:
        number: counts from 1 within the session.
        known_trials: trials of the session that the prediction was made from.
        proposal: what was to be tried, with what was predicted of it before.
        trial: what came of it, or None when it came to nothing.
        recommended: what would have been kept after it, or None.
    """

    number: int
    known_trials: int
    proposal: Proposal
    trial: Trial | None
    recommended: Proposal | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialRecord:
    """One trial with what is needed to learn from it in another session."""

    session: int
    machine: Fingerprint
    workload: str
    trial: Trial
