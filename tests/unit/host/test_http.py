"""One question over HTTP: every way in which a server can be slow, large or wrong."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwtune.host.http import MAX_BYTES, HttpError, get


@contextmanager
def server(answer: Callable[[socket.socket], None]) -> Iterator[int]:
    """Reads a request, then does as it is told."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            with suppress(OSError):
                connection, _ = listening.accept()
                with connection:
                    while b"\r\n\r\n" not in connection.recv(65536):
                        pass
                    answer(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listening.getsockname()[1]
        finally:
            thread.join()


def asked(port: int, timeout_s: float = 5.0) -> bytes:
    return get(scheme="http", host="127.0.0.1", port=port, target="/api?query=up", timeout_s=timeout_s)


def saying(raw: bytes) -> Callable[[socket.socket], None]:
    return lambda connection: connection.sendall(raw)


def test_a_plain_answer() -> None:
    with server(saying(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")) as port:
        assert asked(port) == b"{}"


def test_without_a_length_the_end_is_the_end() -> None:
    with server(saying(b"HTTP/1.0 200 OK\r\n\r\nwhole")) as port:
        assert asked(port) == b"whole"


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"HTTP/1.1 503 Unavailable\r\nContent-Length: 5\r\n\r\nsorry", "status 503 Unavailable: sorry"),
        (b"HTTP/1.1 302 Found\r\nLocation: http://example.com/\r\nContent-Length: 0\r\n\r\n", "status 302"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", "ends in the middle"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "SSH"),
        (b"", "closed connection"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n", "headers"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000, "header line"),
        (b"HTTP/1.1 200 OK\r\n\r\n" + b" " * (MAX_BYTES + 1), "longer than 1 MiB"),
    ],
)
def test_what_is_no_answer_is_told(raw: bytes, words: str) -> None:
    def answer(connection: socket.socket) -> None:
        with suppress(OSError):
            connection.sendall(raw)

    with server(answer) as port, pytest.raises(HttpError, match=words):
        asked(port)


@pytest.mark.parametrize("before", [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n"])
def test_a_server_that_drips_is_not_waited_for(before: bytes) -> None:
    """A byte now and then keeps every single read within its time, but not all of them."""

    def drip(connection: socket.socket) -> None:
        with suppress(OSError):
            connection.sendall(before)
            while True:
                connection.sendall(b"x")
                threading.Event().wait(0.02)

    with server(drip) as port, pytest.raises(HttpError, match=r"no answer within 0\.2 s"):
        asked(port, timeout_s=0.2)


def test_a_server_that_says_nothing_and_one_that_is_not_there() -> None:
    hold = threading.Event()
    with server(lambda _: hold.wait(30) and None) as port:
        with pytest.raises(HttpError, match="no answer"):
            asked(port, timeout_s=0.1)
        hold.set()
    with pytest.raises(HttpError, match="refused"):
        asked(port)


@settings(max_examples=80, deadline=None)
@given(st.binary(max_size=200) | st.binary(max_size=120).map(lambda rest: b"HTTP/1.1 200 OK\r\n" + rest))
def test_any_bytes_are_a_body_or_an_error_of_ours(raw: bytes) -> None:
    def answer(connection: socket.socket) -> None:
        with suppress(OSError):
            connection.sendall(raw)

    with server(answer) as port:
        try:
            assert isinstance(asked(port), bytes)
        except HttpError as error:
            assert str(error)
