"""System-wide counts on a fake kernel: what is added up, what is scaled, what is discarded, and who comes and goes."""

from __future__ import annotations

import errno
import os
from itertools import pairwise

import pytest
from counting_kernel import HARDWARE, FakePerf, no_hardware
from hypothesis import given
from hypothesis import strategies as st

from hwtune.host.perf_scaling import believed, growth
from hwtune.host.perf_system import LinuxCounters, NoCounters

S = 1_000_000_000


def counters(perf: FakePerf) -> LinuxCounters:
    return LinuxCounters(perf, perf.files)


def open_names(perf: FakePerf, cpu: int = 0) -> set[str]:
    return {event.name for event in perf.events.values() if event.cpu == cpu}


def hybrid(perf: FakePerf, core: str = "0", atom: str = "1") -> None:
    for name, number, cpus in (("cpu_core", 4, core), ("cpu_atom", 10, atom)):
        perf.put(f"/sys/bus/event_source/devices/{name}/type", f"{number}")
        perf.put(f"/sys/bus/event_source/devices/{name}/cpus", cpus)


def test_totals_are_sums_over_the_cpus_since_the_first_read(tmp_path):
    perf = FakePerf(tmp_path, online="0-2")
    source = counters(perf)
    assert set(source.read().values()) == {0}
    rates = {"cycles": 3_000, "instructions": 6_000, "context-switches": 7, "page-faults": 11, "cycles:u": 2_000}
    perf.run(2.0, rates)
    counted = source.read()
    assert counted["cycles"] == 3 * 2 * 3_000
    assert counted["instructions"] == 3 * 2 * 6_000
    assert counted["cycles:u"] == 3 * 2 * 2_000
    assert counted["cycles:k"] == 0
    assert counted["context-switches"] == 3 * 2 * 7
    assert counted["task-clock"] == 3 * 2 * S, "the time the CPUs were watched"
    assert source.gaps == {}
    assert source.why is None and source.hint is None


def test_one_read_for_each_group_of_each_cpu(tmp_path):
    """And the number of system calls grows with the CPUs as they do."""
    reads = []
    for online in ("0", "0-3"):
        perf = FakePerf(tmp_path / online, online=online)
        source = counters(perf)
        source.read()
        perf.run(1.0, {})
        before = perf.reads
        source.read()
        reads.append(perf.reads - before)
    assert reads[1] == 4 * reads[0]
    assert reads[0] == 8, (
        "software, cycles, cache, ref, branches, user, kernel, stalls; neither topdown nor msr is here"
    )


def test_events_are_opened_as_the_header_has_them(tmp_path):
    perf = FakePerf(tmp_path, online="0")
    counters(perf).read()
    numbered = {event.config: event.name for event in perf.events.values() if event.type == 0 and not event.flags}
    assert numbered == HARDWARE
    assert all(event.pid == -1 and event.cpu == 0 for event in perf.events.values())
    flags = {event.name: event.flags for event in perf.events.values() if ":" in event.name}
    hypervisor = 1 << 6
    assert flags["cycles:u"] == 1 << 5 | hypervisor
    assert flags["instructions:k"] == 1 << 4 | hypervisor


@pytest.mark.parametrize(("share", "kept"), [(1.0, True), (0.8, True), (0.79, False), (0.0, False)])
def test_what_shared_the_pmu_is_scaled_or_discarded(tmp_path, share, kept):
    """0.8 of the time is enough, less is no number, and the sample says of which event."""
    perf = FakePerf(tmp_path, refuse=lambda event: errno.ENOENT if event.type == 0 and event.name != "cycles" else None)
    source = counters(perf)
    source.read()
    perf.run(1.0, {"cycles": 1_000_000}, share=lambda event: share if event.name == "cycles" else 1.0)
    counted = source.read()
    assert source.gaps == ({} if kept else {"cycles": 1})
    assert ("cycles" in (source.why or "")) is not kept or "does not count" in source.why
    assert counted["cycles"] == (2_000_000 if share else 0)
    perf.run(1.0, {"cycles": 1_000_000})
    assert source.read()["cycles"] == counted["cycles"] + 2_000_000
    assert source.gaps == ({} if kept else {"cycles": 1}), "later it was on the PMU all the time"


def test_one_cpu_whose_pmu_somebody_else_has_is_enough_to_discard(tmp_path):
    """Of 16 CPUs one is 6 %, and may be the one that had all the work."""
    perf = FakePerf(tmp_path, online="0-15")
    source = counters(perf)
    source.read()
    perf.run(1.0, {"cycles": 100}, share=lambda event: 0.0 if event.cpu == 7 and event.type == 0 else 1.0)
    source.read()
    assert source.gaps["cycles"] == 1
    assert "context-switches" not in source.gaps


def crowd(counters_there: int):
    """A PMU that takes turns: each group has its share of a few counters."""

    def share(event):
        leader = event.leader or event
        groups = {(e.leader or e) for e in share.perf.events.values() if e.type == 0 and e.cpu == event.cpu}
        wanted = sum(1 for e in share.perf.events.values() if e.type == 0 and e.cpu == event.cpu)
        return 1.0 if event.type != 0 or wanted <= counters_there or leader not in groups else counters_there / wanted

    return share


def test_where_counters_are_few_the_less_important_groups_go(tmp_path):
    perf = FakePerf(tmp_path)
    perf.put("/proc/sys/kernel/nmi_watchdog", "1\n")
    source = counters(perf)
    share = crowd(5)
    share.perf = perf
    for _ in range(4):
        source.read()
        perf.run(1.0, {"cycles": 1_000, "cache-misses": 10}, share)
    before, lost = source.read(), source.gaps
    assert open_names(perf) == {
        *("context-switches", "cpu-migrations", "page-faults", "major-faults"),
        *("cycles", "instructions", "cache-references", "cache-misses", "ref-cycles"),
    }
    assert set(before) == {*open_names(perf), "task-clock"}
    assert "branches" in source.why and "80%" in source.why
    assert "nmi_watchdog" in source.hint
    perf.run(1.0, {"cycles": 1_000}, share)
    assert source.read()["cycles"] == before["cycles"] + 2_000
    assert source.gaps == lost


def test_groups_that_were_given_up_are_tried_again(tmp_path):
    """Somebody ran perf for a minute; a daemon lives for months."""
    perf = FakePerf(tmp_path)
    source = counters(perf)
    source.read()
    for _ in range(3):
        perf.run(1.0, {"branches": 5}, share=lambda event: 0.5 if event.type == 0 else 1.0)
        source.read()
    perf.run(1.0, {})
    assert "branches" not in source.read()
    lost = source.gaps["branches"]
    for _ in range(600):
        perf.run(1.0, {"branches": 5})
        counted = source.read()
    assert source.why is None
    perf.run(1.0, {"branches": 5})
    later = source.read()
    assert later["branches"] == counted["branches"] + 10
    assert source.gaps["branches"] == lost, "what it missed was said when it was given up"


def test_kinds_of_cores_are_added_up(tmp_path):
    perf = FakePerf(tmp_path, online="0-2")
    hybrid(perf, core="0-1", atom="2")
    source = counters(perf)
    source.read()
    assert {(event.cpu, event.pmu) for event in perf.events.values() if event.name == "cycles"} == {
        (0, 4),
        (1, 4),
        (2, 10),
    }
    perf.run(1.0, {"cycles": 5_000}, only=lambda event: event.cpu < 2)
    perf.run(1.0, {"cycles": 2_000}, only=lambda event: event.cpu == 2)
    counted = source.read()
    assert counted["cycles"] == 2 * 5_000 + 2_000
    assert source.why is None


def test_what_one_kind_of_core_alone_counts_is_called_after_it(tmp_path):
    perf = FakePerf(tmp_path, online="0-1")
    hybrid(perf)
    for event, umask in (("slots", 4), *((f"topdown-{name}", 0x80 + n) for n, name in enumerate(TOPDOWN))):
        perf.put(f"/sys/bus/event_source/devices/cpu_core/events/{event}", f"event=0x00,umask={umask:#x}")
    perf.put("/sys/bus/event_source/devices/cpu_core/format/event", "config:0-7")
    perf.put("/sys/bus/event_source/devices/cpu_core/format/umask", "config:8-15")
    perf.refuse = lambda event: errno.ENOENT if event.cpu == 1 and event.name == "ref-cycles" else None
    source = counters(perf)
    names = set(source.read())
    assert "cpu_core/ref-cycles/" in names and "ref-cycles" not in names
    assert {"cpu_core/slots/", "cpu_core/topdown-be-bound/"} < names
    assert "cycles" in names
    slots = next(event for event in perf.events.values() if (event.type, event.config) == (4, 0x400))
    assert slots.leader is None and slots.cpu == 0
    assert [e.config for e in perf.events.values() if e.leader is slots] == [0x8000, 0x8100, 0x8200, 0x8300]


TOPDOWN = ("retiring", "bad-spec", "fe-bound", "be-bound")


def test_arm_before_linux_6_6_knows_no_kind_in_an_event(tmp_path):
    perf = FakePerf(tmp_path, online="0-1", refuse=lambda event: errno.EINVAL if event.pmu else None)
    hybrid(perf)
    source = counters(perf)
    source.read()
    perf.run(1.0, {"cycles": 100})
    assert source.read()["cycles"] == 200


def test_registers_of_the_msr_pmu_are_all_there_or_not_counted(tmp_path):
    perf = FakePerf(tmp_path, online="0")
    msr = "/sys/bus/event_source/devices/msr"
    perf.put(f"{msr}/type", "9")
    perf.put(f"{msr}/format/event", "config:0-63")
    perf.put(f"{msr}/events/tsc", "event=0x00")
    assert not any(name.startswith("msr") for name in counters(perf).read())
    perf.put(f"{msr}/events/aperf", "event=0x01")
    perf.put(f"{msr}/events/mperf", "event=0x02")
    source = counters(perf)
    source.read()
    perf.run(1.0, {"9/0x1": 3_000, "9/0x2": 2_000, "9/0x0": 2_100})
    counted = source.read()
    assert [counted[f"msr/{name}/"] for name in ("aperf", "mperf", "tsc")] == [3_000, 2_000, 2_100]


def test_a_cpu_that_goes_offline_leaves_its_counts_and_one_that_comes_is_counted(tmp_path):
    perf = FakePerf(tmp_path, online="0-1")
    source = counters(perf)
    rates = {"cycles": 1_000, "page-faults": 10}
    totals = [source.read()]
    perf.run(1.0, rates)
    totals.append(source.read())
    perf.run(0.25, rates)
    perf.offline(1)
    perf.online("0")
    perf.run(0.75, rates)
    totals.append(source.read())
    assert totals[-1]["cycles"] == totals[-2]["cycles"] + 1_000 + 250, "it counted until it went"
    assert source.gaps["cycles"] == 1, "what it did besides, in that second, is not known"
    assert {event.cpu for event in perf.events.values()} == {0}
    perf.run(1.0, rates)
    totals.append(source.read())
    assert totals[-1]["cycles"] == totals[-2]["cycles"] + 1_000
    assert source.gaps["cycles"] == 1
    perf.online("0-2")
    perf.run(1.0, rates)
    totals.append(source.read())
    assert source.gaps["cycles"] == 2
    perf.run(1.0, rates)
    totals.append(source.read())
    assert totals[-1]["cycles"] == totals[-2]["cycles"] + 3_000
    assert totals[-1]["task-clock"] == totals[-2]["task-clock"] + 3 * S
    assert source.gaps["cycles"] == 2
    assert all(b[name] >= a[name] for a, b in pairwise(totals) for name in a)


@pytest.mark.parametrize("alone", [False, True], ids=["groups", "single events"])
def test_a_cpu_that_went_and_came_back_between_two_reads_counts_on(tmp_path, alone):
    """As in a suspend: the list is the same, what is open is dead. A group of one looks as before, but time stands."""
    perf = FakePerf(tmp_path, online="0-1")
    if alone:
        perf.refuse = lambda event: None if event.name == "page-faults" else errno.ENOENT
    source = counters(perf)
    source.read()
    perf.run(1.0, {"page-faults": 1_000})
    before = source.read()["page-faults"]
    perf.offline(1)
    perf.run(1.0, {"page-faults": 1_000})
    assert source.read()["page-faults"] == before + 1_000
    assert source.gaps["page-faults"] == 1
    perf.run(1.0, {"page-faults": 1_000})
    assert source.read()["page-faults"] == before + 3_000
    assert source.gaps["page-faults"] == 1


def test_a_cpu_that_goes_while_it_is_opened_is_left_for_the_next_read(tmp_path):
    perf = FakePerf(tmp_path, online="0-1", refuse=lambda event: errno.ENODEV if event.cpu == 1 else None)
    source = counters(perf)
    assert source.read() == {}
    perf.online("0")
    perf.run(1.0, {})
    source.read()
    perf.run(1.0, {"cycles": 10})
    assert source.read()["cycles"] == 10


@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(["run", "off", "back", "read", "quiet", "crowd", "deny", "allow"]), st.integers(0, 2)
        ),
        max_size=30,
    )
)
def test_totals_never_go_back_whatever_happens(tmp_path_factory, steps):
    perf = FakePerf(tmp_path_factory.mktemp("machine"), online="0-2")
    source = counters(perf)
    online = {0, 1, 2}
    seen: dict[str, int] = {}
    for step, cpu in [*steps, ("read", 0)]:
        if step == "run":
            perf.run(0.5, {"cycles": 999, "page-faults": 7}, only=lambda event, on=online: event.cpu in on)
        elif step == "crowd":
            perf.run(0.5, {"cycles": 999}, share=lambda event, cpu=cpu: 0.3 * cpu if event.type == 0 else 1.0)
        elif step in ("off", "back"):
            online = online - {cpu} if step == "off" and len(online) > 1 else online | {cpu}
            if step == "off":
                perf.offline(cpu)
            perf.online(",".join(map(str, sorted(online))))
        elif step in ("deny", "allow"):
            perf.refuse = (lambda event: errno.EACCES) if step == "deny" else (lambda event: None)
        else:
            now = source.read()
            assert all(now[name] >= seen.get(name, 0) for name in now)
            seen |= now
    source.close()
    assert perf.events == {}


@pytest.mark.parametrize("code", [errno.EPERM, errno.EACCES, errno.ENOSYS, errno.ENOMEM])
@pytest.mark.parametrize("after", [0, 3, 9])
def test_refusal_has_a_reason_and_leaks_nothing(tmp_path, code, after):
    perf = FakePerf(tmp_path)
    perf.refuse = lambda event: code if len(perf.events) >= after else None
    perf.put("/proc/sys/kernel/perf_event_paranoid", "2")
    source = counters(perf)
    software = {"task-clock", "context-switches", "cpu-migrations", "page-faults", "major-faults"}
    assert set(source.read()) == (software if after == 9 else set()), "what was open already may stay"
    assert len(perf.events) == (8 if after == 9 else 0)
    assert source.why and source.hint
    assert os.strerror(code) in source.why or code in (errno.EPERM, errno.EACCES)
    source.close()
    assert perf.events == {}


def test_with_too_few_files_the_most_important_events_are_kept(tmp_path):
    """Half of the limit is left to the rest of us, and where even so there are none the kernel's EMFILE is no end."""
    perf = FakePerf(tmp_path, online="0-63", spare=512)
    source = counters(perf)
    assert set(source.read()) == {
        *("task-clock", "context-switches", "cpu-migrations", "page-faults", "major-faults"),
        *("cycles", "instructions", "cache-references", "cache-misses"),
    }
    assert len(perf.events) <= 512
    assert "branches" in source.why and "ulimit -n" in source.hint
    perf = FakePerf(tmp_path / "full", online="0-3", most_files=20)
    source = counters(perf)
    assert "context-switches" in source.read()
    assert "cycles" not in source.read()
    assert len(perf.events) == 16
    assert "Too many open files" in source.why and "ulimit -n" in source.hint


def test_an_event_that_one_cpu_lacks_is_left_out_everywhere(tmp_path):
    perf = FakePerf(
        tmp_path,
        online="0-3",
        refuse=lambda event: errno.ENOENT if (event.name, event.cpu) == ("cache-misses", 3) else None,
    )
    source = counters(perf)
    names = source.read()
    assert "cache-misses" not in names and "cache-references" in names
    assert all("cache-misses" not in open_names(perf, cpu) for cpu in range(4))
    assert source.why == "this PMU does not count: cache-misses"


def test_a_machine_without_a_pmu_has_software_events_and_says_so(tmp_path):
    perf = FakePerf(tmp_path, refuse=no_hardware)
    source = counters(perf)
    assert set(source.read()) == {"task-clock", "context-switches", "cpu-migrations", "page-faults", "major-faults"}
    assert "hypervisor" in source.why
    assert source.hint


def test_no_counters_of_a_tree():
    assert NoCounters().read() == {}
    assert NoCounters().why


@given(st.lists(st.integers(0, 2**63), min_size=4, max_size=6), st.lists(st.integers(0, 2**63), min_size=4, max_size=6))
def test_growth_is_never_negative_and_at_least_what_was_seen(before, now):
    size = min(len(before), len(now))
    before, now = before[:size], now[:size]
    grown = growth(before, now)
    assert all(each >= 0 for each in grown)
    if now[0] - before[0] >= now[1] - before[1] > 0:
        assert all(each >= (b - a) * (1 - 1e-9) for each, a, b in zip(grown, before[2:], now[2:], strict=True) if b > a)


def test_believed():
    assert believed(100, 80) and believed(0, 0)
    assert not believed(100, 79)
