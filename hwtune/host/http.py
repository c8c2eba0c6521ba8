"""One question over HTTP, with an end to all patience: a total time, a total size, no redirect, no proxy."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from http.client import HTTPConnection, HTTPException, HTTPSConnection

MAX_BYTES = 1 << 20


class HttpError(Exception):
    """No answer, or not one that can be used; in words for people."""


def get(*, scheme: str, host: str, port: int, target: str, timeout_s: float) -> bytes:
    """The body of a 200 answer.

    Args:
        scheme: `http` or `https`.
        host: a name or an address.
        port: of the server.
        target: path and query, percent-encoded.
        timeout_s: for all of it together, a server that sends a byte now and then included.

    Raises:
        HttpError: anything else came, too much of it, too late, or nothing.
    """
    connection = (HTTPSConnection if scheme == "https" else HTTPConnection)(host, port, timeout=timeout_s)
    late = threading.Event()
    opened: list[socket.socket] = []

    def cut() -> None:
        late.set()
        for each in opened:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    watch = threading.Timer(timeout_s, cut)
    watch.daemon = True
    watch.start()
    try:
        connection.connect()
        opened.append(connection.sock)  # the connection forgets it once it reads the body
        connection.request("GET", target, headers={"Accept": "application/json", "Connection": "close"})
        answer = connection.getresponse()
        body = answer.read(MAX_BYTES + 1)
    except (OSError, HTTPException, ValueError) as error:
        raise HttpError(f"no answer within {timeout_s:g} s" if late.is_set() else _reason(error)) from error
    finally:
        watch.cancel()
        connection.close()
    if late.is_set():  # what was cut off in the middle may look whole
        raise HttpError(f"no answer within {timeout_s:g} s")
    if answer.length and len(body) <= MAX_BYTES:
        raise HttpError("the answer ends in the middle")
    if len(body) > MAX_BYTES:
        raise HttpError(f"the answer is longer than {MAX_BYTES >> 20} MiB")
    if answer.status != 200:
        said = body[:200].decode("utf-8", "replace").strip()
        more = f": {said}" if said and said.isprintable() else ""
        raise HttpError(f"status {answer.status} {answer.reason}{more}")
    return body


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
