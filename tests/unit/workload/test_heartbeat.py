"""Progress out of lines: what counts, what is passed over, and the rates that come of it."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwtune.domain.errors import WorkloadError
from hwtune.host.heartbeat import Heard
from hwtune.workload.heartbeat import Beat, Heartbeat, HeartbeatRate, WindowRate, parse_beat

S = 1_000_000_000


class Inbox:
    environment: Mapping[str, str] = {"HWTUNE_HEARTBEAT": "/nowhere"}

    def __init__(self) -> None:
        self.heard: Heard | None = None
        self.flushes = 0

    def open(self, heard: Heard) -> None:
        self.heard = heard

    def flush(self) -> None:
        self.flushes += 1

    def close(self) -> None:
        self.heard = None

    def say(self, at_s: float, peer: int = 1, **words: Any) -> None:
        assert self.heard is not None
        self.heard(peer, round(at_s * S), json.dumps(words).encode())

    def mumble(self, line: bytes | None) -> None:
        assert self.heard is not None
        self.heard(1, S, line)


@pytest.fixture
def inbox() -> Inbox:
    return Inbox()


@pytest.fixture
def heartbeat(inbox: Inbox) -> Heartbeat:
    return Heartbeat(inbox)


@pytest.mark.parametrize(
    ("line", "beat"),
    [
        (b'{"done": 12}', Beat(done=12.0)),
        (b' {"n":0.5,"latency_s":0.012,"phase":"load"} ', Beat(n=0.5, latency_s=0.012)),
        (b'{"latency_s": 1e-4}', Beat(latency_s=1e-4)),
        (b'{"done": 0}', Beat(done=0.0)),
    ],
)
def test_lines_that_say_something(line: bytes, beat: Beat) -> None:
    assert parse_beat(line) == beat


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{}",
        b"12",
        b"[1]",
        b'{"phase": "load"}',
        b'{"done": null}',
        b'{"done": "12"}',
        b'{"done": true}',
        b'{"done": -1}',
        b'{"done": 1e300}',
        b'{"done": NaN}',
        b'{"n": Infinity}',
        b'{"latency_s": 0}',
        b'{"done": 1',
        b'\xff\xfe{"done": 1}',
        b"[" * 4000,
        b'{"done": ' + b"9" * 4000 + b"}",
    ],
)
def test_lines_that_say_nothing(line: bytes, inbox: Inbox, heartbeat: Heartbeat) -> None:
    assert parse_beat(line) is None
    inbox.mumble(line)
    inbox.mumble(None)
    assert (heartbeat.garbage, heartbeat.progress) == (2, ())


@settings(max_examples=300)
@given(st.binary(max_size=80) | st.text(max_size=40).map(str.encode))
def test_any_line_is_a_beat_or_garbage(line: bytes) -> None:
    beat = parse_beat(line)
    assert beat is None or beat != Beat()


def test_a_rate_is_from_the_first_word_to_the_last(inbox: Inbox, heartbeat: Heartbeat) -> None:
    """Ten seconds of starting up and what was done before the first word do not count."""
    heartbeat.begin()
    for second, done in ((10, 1000), (11, 1005), (14, 1020)):
        inbox.say(second, done=done)
    assert HeartbeatRate(heartbeat).end("", "") == 5.0


def test_one_by_one_is_as_good(inbox: Inbox, heartbeat: Heartbeat) -> None:
    heartbeat.begin()
    for second in range(5):
        inbox.say(second, n=1)
    assert HeartbeatRate(heartbeat).end("", "") == 1.0


def test_a_latency_alone_is_one_that_is_done_and_is_kept(inbox: Inbox, heartbeat: Heartbeat) -> None:
    heartbeat.begin()
    for second in range(11):
        inbox.say(second, latency_s=0.02)
    assert HeartbeatRate(heartbeat).end("", "") == 1.0
    assert heartbeat.latencies.percentiles(["p90"])["p90"] == pytest.approx(0.02, rel=0.011)
    inbox.say(12, n=0, latency_s=0.02)
    assert heartbeat.progress[-1][1] == 11.0
    heartbeat.begin()
    assert heartbeat.latencies.count == 0


def test_connections_add_up_and_one_that_begins_anew_goes_on(inbox: Inbox, heartbeat: Heartbeat) -> None:
    heartbeat.begin()
    inbox.say(0, done=100)
    inbox.say(0, peer=2, done=7)
    inbox.say(1, done=110)
    inbox.say(1, peer=2, done=12)
    inbox.say(2, done=3)
    inbox.say(3, done=8)
    assert [done for _, done in heartbeat.progress] == [0.0, 15.0, 15.0, 20.0]


def test_a_connection_that_stays_is_counted_from_where_it_was(inbox: Inbox, heartbeat: Heartbeat) -> None:
    """The running machine: the first word of the next window tells what was done since the last one of this."""
    now = [0]
    rate = WindowRate(heartbeat, lambda: now[0])
    for window in range(2):
        now[0] = 10 * window * S
        heartbeat.begin()
        rate.begin()
        for step in range(1, 11):
            inbox.say(10 * window + step - 0.5, done=40 * window + 4 * step)
        now[0] += 10 * S
        assert rate.end("", "") == (3.6 if window == 0 else 4.0), "nothing is known of before the first word"


def test_too_few_words_tell_no_rate(inbox: Inbox, heartbeat: Heartbeat) -> None:
    heartbeat.begin()
    inbox.mumble(b"hello")
    inbox.say(1, done=1)
    with pytest.raises(WorkloadError, match="two words of progress are needed, and 1 came") as caught:
        HeartbeatRate(heartbeat).end("", "")
    assert caught.value.hint is not None and "HWTUNE_HEARTBEAT" in caught.value.hint
    inbox.say(2, done=2)
    with pytest.raises(WorkloadError, match="a window with 2 words"):
        WindowRate(heartbeat, lambda: 3 * S).end("", "")


def test_a_flood_is_thinned_and_keeps_its_ends(inbox: Inbox, heartbeat: Heartbeat) -> None:
    heartbeat.begin()
    for step in range(50_001):
        inbox.say(step / 1000, done=step)
    points = heartbeat.progress
    assert len(points) <= 4096
    assert (points[0], points[-1]) == ((0, 0.0), (50 * S, 50_000.0))
    assert list(points) == sorted(points)
    assert HeartbeatRate(heartbeat).end("", "") == 1000.0


def test_begin_and_reading_wait_for_what_is_on_its_way(inbox: Inbox, heartbeat: Heartbeat) -> None:
    heartbeat.begin()
    heartbeat.flush()
    assert inbox.flushes == 2
    heartbeat.close()
    assert inbox.heard is None


@settings(max_examples=60)
@given(
    st.lists(
        st.tuples(st.integers(1, 3), st.floats(0, 5), st.none() | st.floats(0, 1e6), st.none() | st.floats(0, 100)),
        max_size=40,
    )
)
def test_progress_never_goes_back(words: list[tuple[int, float, float | None, float | None]]) -> None:
    inbox = Inbox()
    heartbeat = Heartbeat(inbox)
    at_s = 0.0
    for peer, pause_s, done, n in words:
        at_s += pause_s
        inbox.say(at_s, peer, done=done, n=n)
    points = heartbeat.progress
    assert all(a[0] < b[0] and a[1] <= b[1] for a, b in pairwise(points))


def test_it_may_be_read_while_it_is_written(inbox: Inbox, heartbeat: Heartbeat) -> None:
    stop = threading.Event()

    def talk() -> None:
        step = 0
        while not stop.is_set():
            step += 1
            inbox.say(step / 1000, done=step)

    talker = threading.Thread(target=talk)
    talker.start()
    try:
        for _ in range(200):
            points = heartbeat.progress
            assert list(points) == sorted(points)
    finally:
        stop.set()
        talker.join()
