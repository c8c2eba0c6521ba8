import contextlib
import os
import re
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwtune.host import perf_event
from hwtune.host.perf_event import EVENTS, LinuxCounters, NoCounters, parse_cpu_list

HEADER = Path("/usr/include/linux/perf_event.h")
KERNEL_NAMES = {
    "task-clock": "PERF_COUNT_SW_TASK_CLOCK",
    "context-switches": "PERF_COUNT_SW_CONTEXT_SWITCHES",
    "cpu-migrations": "PERF_COUNT_SW_CPU_MIGRATIONS",
    "page-faults": "PERF_COUNT_SW_PAGE_FAULTS",
    "cycles": "PERF_COUNT_HW_CPU_CYCLES",
    "instructions": "PERF_COUNT_HW_INSTRUCTIONS",
    "cache-references": "PERF_COUNT_HW_CACHE_REFERENCES",
    "cache-misses": "PERF_COUNT_HW_CACHE_MISSES",
}


def open_fds():
    return len(os.listdir("/proc/self/fd"))


@pytest.fixture
def counters():
    source = LinuxCounters()
    if not source.read():
        pytest.skip(f"no perf events here: {source.why}")
    yield source
    source.close()


@pytest.mark.skipif(not HEADER.exists(), reason="linux/perf_event.h is not installed")
@pytest.mark.parametrize(("name", "kind", "config"), EVENTS)
def test_event_numbers_are_those_of_the_kernel_header(name, kind, config):
    text = HEADER.read_text()
    assert re.search(rf"{KERNEL_NAMES[name]}\s*=\s*{config},", text)
    assert re.search(rf"PERF_TYPE_{'SOFTWARE' if '_SW_' in KERNEL_NAMES[name] else 'HARDWARE'}\s*=\s*{kind},", text)


def test_counts_of_this_machine_grow(counters):
    before = counters.read()
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        time.sleep(0.001)  # a context switch each
        after = counters.read()
        if after["context-switches"] > before["context-switches"] + 5:
            break
    assert after["context-switches"] > before["context-switches"] + 5
    assert after["task-clock"] > before["task-clock"] > 0
    assert all(after[name] >= before[name] for name in before)


def test_close_gives_every_file_descriptor_back(counters):
    counters.close()
    before = open_fds()
    counters.read()
    assert open_fds() > before
    counters.close()
    assert open_fds() == before


def refuse(code, after=0):
    calls = []

    def open_event(number, attr, cpu, leader):
        calls.append(cpu)
        if len(calls) > after:
            raise OSError(code, os.strerror(code))
        return os.open("/dev/null", os.O_RDONLY)

    return open_event


@pytest.mark.parametrize("code", [1, 13, 24, 38])
@pytest.mark.parametrize("after", [0, 3])
def test_refusal_gives_no_counts_a_reason_and_no_leak(monkeypatch, code, after):
    monkeypatch.setattr(perf_event, "_perf_event_open", refuse(code, after))
    source = LinuxCounters()
    before = open_fds()
    assert source.read() == {}
    assert open_fds() == before
    assert os.strerror(code) in source.why
    assert source.hint
    source.close()


def test_an_event_that_one_cpu_lacks_is_left_out_everywhere(monkeypatch):
    cpus = parse_cpu_list(Path("/sys/devices/system/cpu/online").read_text())
    opened = []

    def open_event(number, attr, cpu, leader):
        kind, _, config = perf_event._ATTR.unpack(attr)[:3]
        if (kind, config) == (0, 3) and cpu == cpus[-1]:
            raise OSError(2, "no such event")
        fd = os.open("/dev/null", os.O_RDONLY)
        opened.append((cpu, kind, config))
        return fd

    monkeypatch.setattr(perf_event, "_perf_event_open", open_event)
    source = LinuxCounters()
    before = open_fds()
    source.read()
    for cpu in cpus:
        assert {name for group in source._groups for name in group.names} == {e[0] for e in EVENTS} - {"cache-misses"}
        assert (cpu, 0, 0) in opened
    assert "not counted here: cache-misses " in source.why
    source.close()
    assert open_fds() == before


def group_of(readings, names=("cycles", "instructions")):
    """A group whose file answers with these (enabled, running, counts…) one after the other."""
    group = perf_event._Group(names=names, fds=(-1,))
    answers = iter([perf_event.struct.pack(f"={1 + len(r)}Q", len(names), *r) for r in readings])
    return group, answers


def test_multiplexed_counts_are_scaled_by_the_time_since_the_last_read(monkeypatch):
    group, answers = group_of([(100, 100, 10, 20), (200, 150, 20, 40), (300, 150, 20, 40), (400, 250, 30, 60)])
    monkeypatch.setattr(perf_event.os, "read", lambda fd, size: next(answers))
    seen = []
    for _ in range(4):
        group.update()
        seen.append((*group.counts, group.starved))
    assert seen == [(10, 20, False), (30, 60, False), (30, 60, True), (40, 80, False)]


def test_a_cpu_that_went_offline_keeps_its_counts(monkeypatch):
    group, answers = group_of([(100, 100, 10, 20)])
    monkeypatch.setattr(perf_event.os, "read", lambda fd, size: next(answers, b""))
    group.update()
    group.update()
    assert group.counts == [10, 20]


def test_no_counters_of_a_tree():
    assert NoCounters().read() == {}
    assert NoCounters().why


@pytest.mark.parametrize(("text", "cpus"), [("0-3,8,10-11\n", (0, 1, 2, 3, 8, 10, 11)), ("5", (5,)), ("\n", ())])
def test_cpu_list(text, cpus):
    assert parse_cpu_list(text) == cpus


@given(st.text(alphabet="0123456789,- x\n", max_size=6))
def test_cpu_list_of_odd_text_is_numbers_or_a_value_error(text):
    with contextlib.suppress(ValueError):
        assert all(isinstance(cpu, int) for cpu in parse_cpu_list(text))
