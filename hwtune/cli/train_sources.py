"""What `hwtune train` learns from: measured tables and the store's sessions, as histories of workloads."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from hwtune.domain.errors import UsageError
from hwtune.domain.knob import KnobSpace
from hwtune.domain.trial import Trial, TrialStatus
from hwtune.planner.prior_file import SourceEntry
from hwtune.planner.protocol import HistoryMessage, trial_message
from hwtune.sim.table import read_table
from hwtune.sim.table_sidecar import read_sidecar
from hwtune.store.database import Store
from hwtune.store.records import Fingerprint

_LONGEST = 500  # of a word in a prior file
_WHOLE = (TrialStatus.OK, TrialStatus.INFEASIBLE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A table, or a machine of the store.

    Args:
        name: of the table or the machine; the kind of its histories.
        machine: what was measured.
        source: where the figures come from.
        licence: of the figures.
        histories: of its workloads.
        machines: of each history the machine it was measured on.
    """

    name: str
    machine: str
    source: str
    licence: str
    histories: tuple[HistoryMessage, ...]
    machines: tuple[str, ...]

    def entry(self, unused: frozenset[int]) -> SourceEntry:
        """What a prior file says of it, without the histories that taught nothing."""
        used = [history for index, history in enumerate(self.histories) if index not in unused]
        return SourceEntry(
            name=self.name[:_LONGEST],
            machine=self.machine[:_LONGEST],
            workloads=len(used),
            settings=sum(len(history.trials) for history in used),
            source=self.source[:_LONGEST],
            licence=self.licence[:_LONGEST],
        )


def table_sources(paths: Sequence[Path]) -> list[Source]:
    """Tables, given as files or as directories of them.

    Raises:
        UsageError: a table that cannot be read, a directory without one, two tables of one name.
    """
    sources = [_table(path) for path in _files(paths)]
    names = [source.name for source in sources]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"two tables are named {name}", hint="a table's name says what machine it is of")
    return sources


def _files(paths: Sequence[Path]) -> Iterator[Path]:
    for path in paths:
        if not path.is_dir():
            yield path
            continue
        found = sorted(file for file in path.glob("*.csv") if file.with_suffix(".toml").exists())
        if not found:
            raise UsageError(f"{path} has no table", hint="a table is NAME.csv with NAME.toml beside it")
        yield from found


def _table(path: Path) -> Source:
    table, columns = read_table(path), read_sidecar(path.with_suffix(".toml")).table
    names = [workload.name for workload in table.workloads]
    groups, machines = groups_of(names), machines_of(names)
    return Source(
        name=table.name,
        machine=columns.machine or columns.about or table.name,
        source=columns.source,
        licence=columns.licence or columns.license,
        histories=tuple(
            _history(workload.name, table.name, group, workload.space, workload.donor().trials)
            for workload, group in zip(table.workloads, groups, strict=True)
        ),
        machines=machines or (table.name,) * len(names),
    )


def groups_of(workloads: Sequence[str]) -> tuple[str, ...]:
    """Which workloads are like each other: one benchmark with several inputs, or on clusters of one chip.

    >>> groups_of(["canneal/in1@canneal_4", "canneal/in2@canneal_4", "vips/in1@vips_4"])
    ('canneal', 'canneal', 'vips')
    """
    return machines_of(workloads) or tuple(re.split("[/@]", name)[0] or name for name in workloads)


def machines_of(workloads: Sequence[str]) -> tuple[str, ...]:
    """Of `BENCHMARK@MACHINE.PART` the machine, where one benchmark was run on several; else nothing.

    >>> machines_of(["coremark@sdm845.big", "coremark@sdm845.little", "coremark@gs101.big"])
    ('sdm845', 'sdm845', 'gs101')
    """
    parts = [re.fullmatch(r"([^/@]+)@([^.]+)(\..*)?", name) for name in workloads]
    found = [part for part in parts if part is not None]
    several = len({part[2] for part in found}) > 1 and len({part[1] for part in found}) == 1
    return tuple(part[2] for part in found) if several and len(found) == len(parts) else ()


def store_sources(path: Path, *, simulated: bool) -> list[Source]:
    """The machines of a store with their sessions, measured ones or simulated ones; nothing where there is no store.

    What an emulated meter counted is left out: it is no energy.

    Raises:
        StoreError: it cannot be read.
    """
    if not path.exists():
        return []
    with Store(path, create=False) as store:
        sessions = {record.number: record for record in store.sessions()}
        trials: dict[int, list[Trial]] = defaultdict(list)
        for record in store.trials(simulated=simulated):
            trials[record.session].append(record.trial)
    machines: dict[Fingerprint, list[HistoryMessage]] = defaultdict(list)
    for number, own in trials.items():
        machine, workload, space = sessions[number].machine, sessions[number].workload, sessions[number].problem.space
        if not (machine.energy_source or "").startswith("emulated"):
            kind = f"{machine.name} ({machine.cpu_model})" if machine.cpu_model else machine.name
            ended = [trial for trial in own if trial.status in _WHOLE]  # a lower bound is no figure
            whole = [trial for trial in ended if trial.setting.keys() == set(space.names)]
            machines[machine].append(_history(workload, kind, workload, space, whole))
    by_kind: dict[str, list[HistoryMessage]] = defaultdict(list)
    for histories in machines.values():
        by_kind[histories[0].kind] += histories
    return [
        Source(
            name=kind,
            machine=kind,
            source="the local store" + (", simulated" if simulated else ""),
            licence="",
            histories=tuple(histories),
            machines=(kind,) * len(histories),
        )
        for kind, histories in by_kind.items()
    ]


def _history(label: str, kind: str, group: str, space: KnobSpace, trials: Sequence[Trial]) -> HistoryMessage:
    """Without what teaches nothing: the list of what is on offer, what was sensed elsewhere than at the default."""
    return HistoryMessage(
        label=label,
        kind=kind,
        group=group,
        space=replace(space, allowed=None),
        trials=tuple(
            trial_message(
                replace(
                    trial,
                    context=trial.context if trial.setting == space.default else {},
                    runs=tuple(replace(run, features={}) for run in trial.runs),
                )
            )
            for trial in trials
        ),
    )
