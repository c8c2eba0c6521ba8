"""The socket that work reports to: whole lines, whoever writes, whatever is written."""

from __future__ import annotations

import json
import os
import pwd
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwtune.domain.errors import HostError
from hwtune.host.heartbeat import MAX_LINE_BYTES, MAX_PEERS, VARIABLE, HeartbeatSocket, _Peer


class Ears:
    def __init__(self) -> None:
        self.lines: list[tuple[int, bytes | None]] = []

    def __call__(self, peer: int, now_ns: int, line: bytes | None) -> None:
        assert now_ns > 0
        self.lines.append((peer, line))


@pytest.fixture
def ears() -> Ears:
    return Ears()


@pytest.fixture
def inbox(ears: Ears) -> Iterator[HeartbeatSocket]:
    with HeartbeatSocket() as opened:
        opened.open(ears)
        yield opened


def peer_of(inbox: HeartbeatSocket) -> socket.socket:
    peer = socket.socket(socket.AF_UNIX)
    peer.connect(str(inbox.path))
    return peer


def test_lines_of_several_peers_are_told_apart(inbox: HeartbeatSocket, ears: Ears) -> None:
    with peer_of(inbox) as one, peer_of(inbox) as other:
        one.sendall(b"a\n")
        inbox.flush()
        other.sendall(b"b\nc")
        inbox.flush()
        one.sendall(b"d\n\n")
        other.sendall(b"c\n")
        inbox.flush()
    assert sorted(ears.lines) == [(1, b"a"), (1, b"d"), (2, b"b"), (2, b"cc")]


def test_what_a_peer_was_saying_when_it_ended_is_heard(inbox: HeartbeatSocket, ears: Ears) -> None:
    with peer_of(inbox) as peer:
        peer.sendall(b'{"done": 1}\n{"done": 2}')
    inbox.flush()
    assert ears.lines == [(1, b'{"done": 1}'), (1, b'{"done": 2}')]


def test_ten_megabytes_without_an_end_of_line_are_one_bad_line(inbox: HeartbeatSocket, ears: Ears) -> None:
    with peer_of(inbox) as peer:
        writer = threading.Thread(target=peer.sendall, args=(b"x" * (10 << 20) + b"\nafter\n",))
        writer.start()
        writer.join()
        inbox.flush()
    assert ears.lines == [(1, None), (1, b"after")]


def test_a_silent_peer_holds_nobody_up(inbox: HeartbeatSocket, ears: Ears) -> None:
    with peer_of(inbox) as silent, peer_of(inbox) as peer:
        silent.sendall(b"half")
        peer.sendall(b"whole\n")
        inbox.flush()
        assert ears.lines == [(2, b"whole")]


def test_too_many_peers_are_turned_away_and_later_ones_served(inbox: HeartbeatSocket, ears: Ears) -> None:
    peers = []
    for _ in range(MAX_PEERS):
        peers.append(peer_of(inbox))
        inbox.flush()
    with peer_of(inbox) as surplus:
        inbox.flush()
        assert surplus.recv(1) == b"", "it is hung up on"
    for peer in peers:
        peer.close()
    inbox.flush()
    with peer_of(inbox) as late:
        late.sendall(b"late\n")
        inbox.flush()
    assert ears.lines == [(MAX_PEERS + 1, b"late")]


def test_a_program_finds_the_socket_by_its_environment(inbox: HeartbeatSocket, ears: Ears) -> None:
    program = (
        "import json, os, socket\n"
        "peer = socket.socket(socket.AF_UNIX); peer.connect(os.environ['HWTUNE_HEARTBEAT'])\n"
        "for done in range(3): peer.sendall(json.dumps({'done': done}).encode() + b'\\n')\n"
    )
    subprocess.run([sys.executable, "-c", program], env={**os.environ, **inbox.environment}, check=True, timeout=60)
    inbox.flush()
    assert [json.loads(line or b"") for _, line in ears.lines] == [{"done": 0}, {"done": 1}, {"done": 2}]


def test_nobody_else_may_connect_and_nothing_is_left_behind() -> None:
    with HeartbeatSocket() as inbox:
        inbox.open(Ears())
        assert list(inbox.environment) == [VARIABLE]
        assert inbox.path.stat().st_mode & 0o777 == 0o600
        assert inbox.path.parent.stat().st_mode & 0o777 == 0o700
    assert not inbox.path.parent.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs commands as somebody else")
def test_the_commands_user_may_connect() -> None:
    with HeartbeatSocket(user="nobody") as inbox:
        ears = Ears()
        inbox.open(ears)
        child = os.fork()
        if child == 0:
            try:
                os.setuid(pwd.getpwnam("nobody").pw_uid)
                with peer_of(inbox) as peer:
                    peer.sendall(b"hello")
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        inbox.flush()
    assert ears.lines == [(1, b"hello")]


def test_a_socket_of_before_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    path.write_text("not even a socket")
    with HeartbeatSocket(path=path) as inbox:
        inbox.open(Ears())
        with peer_of(inbox) as peer:
            peer.sendall(b"x\n")
    assert not path.exists()


def test_where_no_socket_can_be_made_the_error_says_so(tmp_path: Path) -> None:
    inbox = HeartbeatSocket(path=tmp_path / "nowhere" / "socket")
    with pytest.raises(HostError, match="nowhere") as caught:
        inbox.open(Ears())
    assert caught.value.hint
    inbox.close()


@settings(max_examples=200)
@given(st.lists(st.one_of(st.binary(max_size=40), st.just(b"\n"), st.just(b"y" * 3000)), max_size=12))
def test_however_bytes_arrive_the_lines_are_the_same(chunks: list[bytes]) -> None:
    """Cut into pieces anywhere, what is heard is what a splitter of the whole would find."""
    connection, far = socket.socketpair()
    with connection, far:
        peer = _Peer(1, connection)
        heard = [line for chunk in chunks if chunk for line in peer.lines(chunk)] + peer.lines(b"")
    whole = b"".join(chunks)
    *ended, last = whole.split(b"\n")
    expected = [line if len(line) <= MAX_LINE_BYTES else None for line in ended if line]
    if last:
        expected.append(last if len(last) <= MAX_LINE_BYTES else None)
    assert heard == expected
