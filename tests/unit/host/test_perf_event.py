"""The system call on the kernel that runs here, and the bytes that go in and come out."""

from __future__ import annotations

import contextlib
import os
import re
import struct
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwtune.host.events import HARDWARE, MSR, SOFTWARE, TASK_CLOCK
from hwtune.host.perf_event import (
    DISABLED,
    ENABLE_ON_EXEC,
    EXCLUDE_HV,
    EXCLUDE_KERNEL,
    EXCLUDE_USER,
    INHERIT,
    group_size,
    pack_attr,
    parse_group,
    parse_single,
)
from hwtune.host.perf_system import LinuxCounters

HEADER = Path("/usr/include/linux/perf_event.h")
EVENTS = [TASK_CLOCK, *SOFTWARE.events, *(event for group in HARDWARE for event in group.events)]
NUMBERED = [event for event in EVENTS if not event.named_by_sysfs]
with_header = pytest.mark.skipif(not HEADER.exists(), reason="linux/perf_event.h is not installed")


def open_fds():
    return len(os.listdir("/proc/self/fd"))


@pytest.fixture
def counters():
    source = LinuxCounters()
    if not source.read():
        pytest.skip(f"no perf events here: {source.why}")
    yield source
    source.close()


@with_header
@pytest.mark.parametrize("event", NUMBERED, ids=lambda event: event.name)
def test_event_numbers_are_those_of_the_kernel_header(event):
    text = HEADER.read_text()
    assert re.search(rf"\b{event.constant}\s*=\s*{event.config},", text)
    assert re.search(rf"PERF_TYPE_{'SOFTWARE' if '_SW_' in event.constant else 'HARDWARE'}\s*=\s*{event.type},", text)


@with_header
def test_bits_are_those_of_the_kernel_header():
    """A bit field's place is the sum of the widths before it."""
    fields = re.search(r"__u64\s+disabled\s*:.*?__reserved_1\s*:\s*\d+;", HEADER.read_text(), re.DOTALL)[0]
    places, place = {}, 0
    for name, width in re.findall(r"(\w+)\s*:\s*(\d+)[,;]", fields):
        places[name] = place
        place += int(width)
    assert place == 64
    ours = (DISABLED, INHERIT, EXCLUDE_USER, EXCLUDE_KERNEL, EXCLUDE_HV, ENABLE_ON_EXEC)
    names = ("disabled", "inherit", "exclude_user", "exclude_kernel", "exclude_hv", "enable_on_exec")
    assert ours == tuple(places[name] for name in names)


def test_every_event_is_there_once_and_has_perfs_name():
    names = [event.name for event in (*EVENTS, *MSR.events)]
    assert len(names) == len(set(names))
    assert {"cycles", "cycles:u", "cycles:k", "topdown-be-bound", "msr/aperf/"} < set(names)


def test_an_attr_is_what_the_kernel_reads():
    fields = struct.unpack("=IIQQQQQIIQ", pack_attr(0, 9 | 4 << 32, frozenset({EXCLUDE_USER, INHERIT}), grouped=True))
    kind, size, config, period, sample, read_format, flags, *rest = fields
    assert (kind, size, config, period, sample, read_format) == (0, 64, 9 | 4 << 32, 0, 0, 1 | 2 | 8)
    assert flags == 1 << 4 | 1 << 1
    assert rest == [0, 0, 0]
    assert struct.unpack("=IIQQQQQIIQ", pack_attr(1, 1, grouped=False))[5] == 1 | 2


@given(st.integers(0, 5), st.binary(max_size=80))
def test_a_reading_of_another_size_or_number_is_none(events, data):
    found = parse_group(data, events)
    right = len(data) == group_size(events) and struct.unpack_from("=Q", data)[0] == events
    assert (found is not None) is right
    assert found is None or len(found) == 2 + events
    assert (parse_single(data) is not None) is (len(data) == 24)


def test_readings_have_their_times_first():
    assert parse_group(struct.pack("=5Q", 2, 100, 90, 7, 8), 2) == (100, 90, 7, 8)
    assert parse_single(struct.pack("=3Q", 7, 100, 90)) == (100, 90, 7)


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
    totals = counters.read()
    assert open_fds() > before
    counters.close()
    assert open_fds() == before
    again = counters.read()
    assert all(again[name] >= totals[name] for name in totals)


def test_a_count_is_not_handed_on_to_what_is_started(counters):
    """The descriptors close on exec: a command has none of ours."""
    held = [int(fd) for fd in os.listdir("/proc/self/fd")]
    events = []
    for fd in held:
        with contextlib.suppress(OSError):
            if os.readlink(f"/proc/self/fd/{fd}") == "anon_inode:[perf_event]":
                events.append(fd)
    assert events
    assert not any(os.get_inheritable(fd) for fd in events)
