"""Choosing the machine: this one, a tree, an imaginary one, any of them with writes kept in memory.

Only here is it known which; everything below takes a `Host`.
"""

from __future__ import annotations

import platform
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Literal

from hwtune.domain.errors import PermissionDenied, RestoreError, UsageError

if TYPE_CHECKING:
    from hwtune.config import Config
    from hwtune.host.machine import Host
    from hwtune.knobs.cpufreq import CpufreqBackend
    from hwtune.knobs.transaction import Transaction
    from hwtune.sim.machine import SimulatedMachine


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenHost:
    """The chosen machine.

    Args:
        host: what every room below works on.
        config: the configuration of that machine.
        simulated: the imaginary machine behind the host, for its noise-free truth, or None.
        workload: what the imaginary machine runs, or None.
        dry: whether writes stay in memory.
        live: whether this is the running machine itself.
    """

    host: Host
    config: Config
    simulated: SimulatedMachine | None = None
    workload: str | None = None
    dry: bool = False
    live: bool = False

    @property
    def state_dir(self) -> Path:
        """Where it is remembered which knobs may not be turned; beside the journal unless that is the real one."""
        return self.config.paths.state_dir if self.live and not self.dry else self.host.run_dir / "state"


@contextmanager
def open_host(
    *,
    root: Path | None = None,
    dry_run: bool = False,
    simulate: str | None = None,
    workload: str | None = None,
    seed: int = 0,
    flags: Mapping[str, object] | None = None,
) -> Iterator[OpenHost]:
    """Open the machine that the common options ask for; `flags` are laid over its configuration.

    Raises:
        ConfigError: a bad configuration or flag.
        UsageError: options that contradict each other, or an unknown machine or workload.
        HostError: a root that cannot be read.
    """
    if simulate is not None and root is not None:
        raise UsageError("--simulate and --root are two different machines", hint="give one of them")
    if workload is not None and simulate is None:
        raise UsageError("--workload names a simulated workload", hint="add --simulate, or give a command after --")
    from hwtune.config import load_config

    config = load_config(root=root if root is not None and root.is_dir() else "/", flags=flags)
    with ExitStack() as stack:
        # Where a journal must not be left behind, it goes into a directory that is thrown away.
        nowhere = simulate is not None or dry_run or (root is not None and not root.is_dir())
        scratch = Path(stack.enter_context(TemporaryDirectory(prefix="hwtune-"))) if nowhere else None
        if simulate is not None and scratch is not None:
            opened = _simulated(simulate, workload, seed, config, scratch)
        else:
            opened = _real(root, config, scratch)
        if dry_run:
            opened = _in_memory(opened)
            if opened.live:
                _copy_quarantine(config.paths.state_dir, opened.state_dir)
        try:
            yield opened
        except PermissionDenied as error:
            if opened.live and error.path.startswith("/sys/"):
                _explain(error)
            raise
        except RestoreError as error:
            if opened.live and (denied := _denied_behind(opened.host)) is not None:
                raise denied from error
            raise


def _denied_behind(host: Host) -> PermissionDenied | None:
    """The missing right, if there is one, because of which something of ours could not be put back."""
    from hwtune.host.denial import DENIED, refused
    from hwtune.knobs import journal as journals
    from hwtune.knobs.policies import read_text

    journal = journals.load(host.run_dir, host.files)
    original = {} if journal is None else {path: journal.original.get(path) for path in journal.ours}
    for path, text in original.items():
        changed = read_text(host.files, path) not in (None, text)
        if changed and (code := refused(path)) in DENIED:
            denied = PermissionDenied(path, "put back", errno=code)
            _explain(denied)
            denied.hint = f"{denied.hint}; then `hwtune restore`"
            return denied
    return None


def _copy_quarantine(state_dir: Path, into: Path) -> None:
    """A dry run leaves alone what this machine has in quarantine, and adds nothing to it."""
    from hwtune.knobs.quarantine import FILES

    into.mkdir()
    for name in FILES:
        with suppress(OSError):
            shutil.copyfile(state_dir / name, into / name)


def _explain(error: PermissionDenied) -> None:
    """Say which of the many reasons it is that the kernel refuses us a file of this machine."""
    from hwtune.host.denial import why_denied

    denial = why_denied(error.path, write=error.operation != "read", errno=error.errno)
    error.hint = f"{denial.why}; {denial.hint}"


def open_knobs(opened: OpenHost, named: Sequence[str] = ()) -> CpufreqBackend:
    """The machine's knobs, their defaults being what was there before this boot's first change.

    Of those that are off by default, the ones that the configuration asks for.

    Args:
        opened: the machine.
        named: names that the command line has, which may be of knobs that are off by default.

    Raises:
        Unsupported: no cpufreq.
    """
    from hwtune.knobs import extra
    from hwtune.knobs.cpufreq import CpufreqBackend
    from hwtune.knobs.journal import baseline

    host, tune = opened.host, opened.config.tune
    wanted = (*tune.extra, *extra.named((*(tune.knobs or ()), *named)))
    return CpufreqBackend(host.files, baseline(host.run_dir, host.files), host.clock.sleep, wanted)


def open_transaction(
    opened: OpenHost, backend: CpufreqBackend, *, verb: str, on_foreign: Literal["stop", "yield"] = "yield"
) -> Transaction:
    """A transaction on the machine's knobs, yet to be entered; its journal and quarantine are the machine's."""
    from hwtune.knobs.transaction import Transaction

    host = opened.host
    return Transaction(
        backend,
        run_dir=host.run_dir,
        verb=verb,
        files=host.files,
        state_dir=opened.state_dir,
        on_foreign=on_foreign,
    )


def _simulated(simulate: str, workload: str | None, seed: int, config: Config, scratch: Path) -> OpenHost:
    from hwtune.sim.machine import SimulatedMachine

    workload = workload or "mixed"
    machine = SimulatedMachine(simulate, workload=workload, seed=seed, run_dir=scratch)
    return OpenHost(host=machine.host, config=config, simulated=machine, workload=workload)


def _real(root: Path | None, config: Config, scratch: Path | None) -> OpenHost:
    from hwtune.host.clock import LinuxClock
    from hwtune.host.fs import open_root
    from hwtune.host.machine import Host
    from hwtune.host.perf_system import LinuxCounters, NoCounters
    from hwtune.host.runner import LinuxRunner

    tree = root if root is not None and root.resolve() != Path("/") else None
    host = Host(
        name=platform.node() if tree is None else str(tree),
        files=open_root(tree or "/"),
        clock=LinuxClock(),
        counters=LinuxCounters() if tree is None else NoCounters(),
        runner=LinuxRunner(),
        # The journal of a tree belongs to the tree.
        run_dir=scratch or (config.paths.run_dir if tree is None else tree / "run/hwtune"),
    )
    return OpenHost(host=host, config=config, live=tree is None)


def _in_memory(opened: OpenHost) -> OpenHost:
    """The same machine with writes kept in memory."""
    from hwtune.host.fs import DryRunFS

    return replace(opened, host=replace(opened.host, files=DryRunFS(opened.host.files)), dry=True)
