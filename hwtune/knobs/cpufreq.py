"""The kernel's files behind the transaction: from settings to writes, from files to settings.

cpufreq always, and what else is wanted (`extra.py`). Kernel documentation: admin-guide/pm/cpufreq.rst,
admin-guide/pm/intel_pstate.rst, admin-guide/pm/amd-pstate.rst.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Mapping, Sequence

from hwtune.domain.errors import HostError, PermissionDenied, Rejected, Unsupported, UsageError
from hwtune.domain.knob import KnobSpace, Setting, Value
from hwtune.host.fs import DryRunFS, HostFS
from hwtune.knobs import extra, ownership
from hwtune.knobs.attributes import (
    BIOS_LIMIT,
    BOOST,
    CPUFREQ,
    EPP,
    GLOBAL_BOOST,
    GOVERNOR,
    MAX,
    MIN,
    NO_TURBO,
    PERF_PCT,
    SETSPEED,
    Stage,
    Write,
    directory_of,
    inverted,
    knob_of,
    name_of,
    stage_of,
)
from hwtune.knobs.policies import Policy, online_directories, read_policies, read_text
from hwtune.knobs.policy_knobs import PolicyTarget
from hwtune.knobs.space import Layout
from hwtune.knobs.target import Target
from hwtune.knobs.tunables import per_policy

_RETRIES = 3
_POLL_S = 0.01
_EXPLAINED_S = 0.5
_UNEXPLAINED_S = 0.9  # restoring waits twice at most, and is to take no 2 s


class CpufreqBackend:
    """A `KnobBackend` on the kernel's files.

    Args:
        files: the machine.
        baseline: path → text of what was found before anything was changed (`journal.baseline`): the defaults of the
            knobs are taken from it. Without one the present texts are the defaults.
        sleep: lets time pass on that machine; that of this one if None.
        wanted: knobs that are off by default: words of `extra.WORDS`, or names.
    """

    def __init__(
        self,
        files: HostFS,
        baseline: Mapping[str, str] | None = None,
        sleep: Callable[[float], None] | None = None,
        wanted: Sequence[str] = (),
    ) -> None:
        self._files = files
        self._sleep = sleep or time.sleep
        as_found = DryRunFS(files)
        as_found.written.update(baseline or {})
        self._layout = Layout(as_found, read_policies(as_found), wanted)
        self._space = self._layout.space
        # What somebody of ours has changed before is watched as well, wanted now or not.
        self._watched = extra.watched(files, (*self._layout.extra_paths(wanted), *(baseline or {})))
        self._online = online_directories(files)

    @property
    def policies(self) -> tuple[Policy, ...]:
        """The machine's policies, as they were found."""
        return self._layout.policies

    @property
    def space(self) -> KnobSpace:
        """All knobs of the machine.

        Raises:
            Unsupported: where there is no cpufreq.
        """
        if not self._layout.policies:
            raise Unsupported(
                "this machine has no cpufreq policies",
                hint="virtual machines have none, and a BIOS may hide them; `hwtune probe` tells what there is",
            )
        return self._space

    @property
    def targets(self) -> tuple[Target, ...]:
        """Where the knobs of the space go."""
        return tuple(self._layout.targets)

    def off_by_default(self, words: Sequence[str]) -> tuple[Target, ...]:
        """What there is of these interfaces (`extra.WORDS`), wanted or not."""
        return tuple(extra.find_targets(self._files, words))

    def target(self, name: str) -> Target:
        """Where a knob of the space goes, or one policy's own (`policy3.max`).

        Raises:
            UsageError: no such knob.
        """
        try:
            return self._layout[name]
        except KeyError:
            raise UsageError(f"unknown knob {name!r}", hint=knobs_there(self._space)) from None

    def paths(self, target: Target) -> tuple[str, ...]:
        """The files that hold a knob now."""
        return target.paths(self._files)

    def value(self, target: Target) -> Value | None:
        """What the kernel reports for it now; None when the file is not there or its policies are offline."""
        return target.value(self._files)

    def effective(self) -> Setting:
        """What the kernel reports now, for every knob that is there."""
        self._look()
        values = {target.knob.name: self.value(target) for target in self._layout.targets}
        return Setting({name: value for name, value in values.items() if value is not None})

    def active(self, target: Target, setting: Mapping[str, Value]) -> bool:
        """Whether it does anything under the setting, or where that does not say, under what is set now."""
        return all(
            any(now in when.values for now in self.under(target, when.knob, setting))
            for when in target.knob.active_when
        )

    def under(self, target: Target, name: str, setting: Mapping[str, Value]) -> tuple[Value | None, ...]:
        """What the knob that a target depends on is under the setting, or where that does not say, now.

        A tunable is there while any of the policies that share it runs its governor: their governors are returned, be
        they set for one policy alone, for its cluster, or not at all.
        """
        if isinstance(target, PolicyTarget) and "." in target.key:
            sharing = target.policies if per_policy(self._files, target.policies) else self._layout.policies
            return tuple(self._governor(policy, setting) for policy in sharing if policy.online)
        return (setting[name] if name in setting else self.value(self.target(name)),)

    def _governor(self, policy: Policy, setting: Mapping[str, Value]) -> Value | None:
        """The governor of a policy under the setting: its own, its cluster's, or the one it has now."""
        names = [f"policy{policy.number}.governor"]
        for target in self._layout.targets:
            if isinstance(target, PolicyTarget) and target.key == "governor":
                names += [target.knob.name for each in target.policies if each.number == policy.number]
        given = next((setting[name] for name in names if name in setting), None)
        return read_text(self._files, policy.path(GOVERNOR)) if given is None else given

    def plan(self, setting: Setting) -> tuple[Write, ...]:
        """The writes that bring the machine to the setting, in order; knobs that are not active are left alone.

        Both limits of a policy are written when either differs: the kernel remembers requests that it clamped.

        Raises:
            UsageError: a knob that this machine does not have.
        """
        self._look()
        wanted: dict[str, Write] = {}
        # One policy's own value goes over its cluster's.
        for name in sorted(setting, key=lambda name: name not in self._space.names):
            target = self.target(name)
            if self.active(target, setting):
                for path in target.paths(self._files):
                    text = target.text(path, setting[name])
                    wanted[path] = Write(
                        knob=name, path=path, value=text, stage=stage_of(path), inverted=inverted(path)
                    )
        differing = {path for path, write in wanted.items() if not self._reads(write)}
        apart = {directory_of(path) for path in differing if stage_of(path) is Stage.LIMIT}
        chosen = [
            write
            for path, write in wanted.items()
            if path in differing or (write.stage is Stage.LIMIT and directory_of(path) in apart)
        ]
        return self._ordered(chosen)

    def restore_plan(self, snapshot: Mapping[str, str]) -> tuple[Write, ...]:
        """The writes that bring every attribute back to a snapshot, in order, whether it differs or not."""
        writes = [
            Write(knob=knob_of(path), path=path, value=self._request(path, snapshot), stage=stage_of(path))
            for path in snapshot
            if name_of(path) != BIOS_LIMIT
        ]
        return self._ordered(writes)

    def snapshot(self) -> dict[str, str]:
        """Path → text of everything that a write here may change, directly or by the kernel's coupling."""
        self._look()
        paths = [GLOBAL_BOOST, NO_TURBO, *PERF_PCT, *self._watched]
        governors = set()
        for policy in self._layout.policies:
            paths += [policy.path(name) for name in (GOVERNOR, EPP, BOOST, MIN, MAX, BIOS_LIMIT)]
            governor = read_text(self._files, policy.path(GOVERNOR))
            if governor == "userspace":
                paths.append(policy.path(SETSPEED))
            elif governor is not None:
                governors.add(governor)
                paths += self._tunables(f"{policy.directory}/{governor}")
        for governor in sorted(governors):
            paths += self._tunables(f"{CPUFREQ}/{governor}")
        texts = {path: read_text(self._files, path) for path in paths}
        return {path: text for path, text in texts.items() if text is not None}

    def read(self, path: str) -> str | None:
        """See `HostFS.read`."""
        return self._files.read(path)

    def write(self, path: str, value: str) -> None:
        """Put one value into an attribute.

        Raises:
            Rejected: the kernel refused the value (EINVAL, EBUSY, EPERM where firmware forbids it …).
            PermissionDenied: no right to write there.
        """
        for left in reversed(range(_RETRIES)):
            try:
                self._files.write(path, value)
            except HostError as error:
                # EPERM is the driver's answer (turbo disabled by firmware); EACCES and EROFS are about our rights.
                if isinstance(error, PermissionDenied) and error.errno != errno.EPERM:
                    raise
                if error.errno in (errno.EAGAIN, errno.EINTR) and left:
                    continue
                raise Rejected(knob=knob_of(path), wanted=value, errno=error.errno) from error
            return

    def settle(self, writes: Sequence[Write]) -> None:
        """Wait until written limits read as they will.

        A limit is a request that the kernel notes at once and takes over in a work item of its own
        (drivers/cpufreq/cpufreq.c: `cpufreq_notifier_max` schedules `policy->update`), so that an immediate read may
        still give the old value. What keeps differing has met another limit, and is waited for in vain.
        """
        limits = {write.path: write.value for write in writes if write.stage is Stage.LIMIT}
        waited_s = 0.0
        while True:
            texts = {path: read_text(self._files, path) for path in limits}
            differing = {p: t for p, t in texts.items() if t is not None and not ownership.same(p, limits[p], t)}
            explained = all(self.accepts(path, limits[path], text) for path, text in differing.items())
            if not differing or waited_s >= (_EXPLAINED_S if explained else _UNEXPLAINED_S):
                return
            self._sleep(_POLL_S)
            waited_s += _POLL_S

    def accepts(self, path: str, wanted: str, text: str) -> bool:
        """Whether the kernel may answer so right after the write; see `ownership.accepts`."""
        return ownership.accepts(self._files, path, wanted, text)

    def explains(self, path: str, text: str, *, ours: ownership.Ours, original: Mapping[str, str]) -> bool:
        """Whether what is ours explains the value found now; see `ownership.explains`."""
        return ownership.explains(self._files, path, text, ours=ours, original=original)

    def _look(self) -> None:
        """Follow hotplug: which policies are there is read anew once their CPUs have changed."""
        online = online_directories(self._files)
        if online != self._online:
            self._online = online
            self._layout.admit(read_policies(self._files))

    def _tunables(self, directory: str) -> tuple[str, ...]:
        return tuple(path for path in self._files.glob(f"{directory}/*") if self._files.writable(path))

    def _reads(self, write: Write) -> bool:
        text = read_text(self._files, write.path)
        return text is not None and ownership.same(write.path, write.value, text)

    def _ordered(self, writes: list[Write]) -> tuple[Write, ...]:
        """By stage; of two limits the one that makes room first, so that no minimum is ever above its maximum."""
        values = {write.path: write.value for write in writes}

        def rank(write: Write) -> tuple[int, str, bool]:
            directory, name = directory_of(write.path), name_of(write.path)
            for low, high in _PAIRS:
                if name in (low, high):
                    upper = f"{directory}/{high}"
                    rising = _number(values.get(upper)) >= _number(read_text(self._files, upper))
                    return write.stage, directory, (name == low) is rising
            return write.stage, directory, False

        return tuple(sorted(writes, key=rank))

    def _request(self, path: str, snapshot: Mapping[str, str]) -> str:
        """What to write so that the attribute reads as it did.

        A maximum that stood at a firmware limit was a request above it, which the kernel would have brought back when
        the limit went.
        """
        directory = directory_of(path)
        if name_of(path) == MAX and snapshot.get(f"{directory}/{BIOS_LIMIT}") == snapshot[path]:
            hardware = read_text(self._files, f"{directory}/cpuinfo_max_freq")
            if _number(hardware) > _number(snapshot[path]):
                return hardware or snapshot[path]
        return snapshot[path]


def knobs_there(space: KnobSpace) -> str:
    """What there is to choose from, for a hint."""
    if not space.names:
        return "this machine has no knob: neither governors nor limits can be read; `hwtune probe` shows what can"
    return f"this machine has: {', '.join(space.names)}"


_PAIRS = (
    (MIN, MAX),
    ("min_perf_pct", "max_perf_pct"),
    ("down_threshold", "up_threshold"),
    ("min_freq_khz", "max_freq_khz"),
    ("constraint_0_power_limit_uw", "constraint_1_power_limit_uw"),  # long_term, short_term
)


def _number(text: str | None) -> int:
    return int(text) if text is not None and text.isdecimal() else -1
