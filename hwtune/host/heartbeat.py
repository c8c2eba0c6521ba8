"""A Unix socket that work reports its progress to, line by line.

Whoever may write to it may also write nonsense, megabytes without an end of line, or nothing for hours: a line has a
largest length, a connection a share of each look, and nothing is ever sent or waited for. What writes faster than we
read waits in its own `write`, and is told so in the documentation.
"""

from __future__ import annotations

import os
import pwd
import selectors
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Protocol

from hwtune.domain.errors import HostError

VARIABLE = "HWTUNE_HEARTBEAT"
MAX_LINE_BYTES = 4096
MAX_PEERS = 64
# Read in turns, not line by line: each wake-up takes CPU time from the work. What has just begun is looked at more
# often, so that the clock of a line is late by a hundredth of the time that has passed since, at most by the last.
_SOONEST_S, _LATE_SHARE, _LATEST_S = 0.002, 0.01, 0.05
_TURN_BYTES = 1 << 16
_FLUSH_S = 0.5

# Told the connection, counting from 1, the clock and a line without its end; None instead of one that was too long.
Heard = Callable[[int, int, bytes | None], None]


class Inbox(Protocol):
    """Where work reports to."""

    @property
    def environment(self) -> Mapping[str, str]:
        """What the command must find in its environment."""

    def open(self, heard: Heard) -> None:
        """From now on lines are heard, from a thread of the inbox's own or not.

        Raises:
            HostError: no socket can be made.
        """

    def flush(self) -> None:
        """Wait until what was sent before has been heard, unless there is no end of it."""

    def close(self) -> None:
        """Nothing is heard any more."""


class HeartbeatSocket:
    """An `Inbox` at a path of the file system.

    Args:
        path: of the socket, which is replaced if it is there; None for one in a directory of its own.
        user: who else may connect; None for nobody but ourselves and root.
        now_ns: the clock that lines are stamped with.
    """

    def __init__(
        self,
        *,
        path: Path | None = None,
        user: str | None = None,
        now_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._own = tempfile.mkdtemp(prefix="hwtune-heartbeat-") if path is None else None
        self.path = Path(self._own) / "socket" if self._own is not None else path or Path()
        self._user = user
        self._now_ns = now_ns
        self._server: socket.socket | None = None
        self._stop: socket.socket | None = None
        self._thread: threading.Thread | None = None
        self._quiet = threading.Event()

    @property
    def environment(self) -> Mapping[str, str]:
        """See `Inbox.environment`."""
        return {VARIABLE: str(self.path)}

    def __enter__(self) -> HeartbeatSocket:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def open(self, heard: Heard) -> None:
        """See `Inbox.open`; lines are heard from a thread."""
        server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        try:
            with suppress(FileNotFoundError):
                self.path.unlink()
            server.bind(str(self.path))
            self._admit()
            server.listen(MAX_PEERS)
            server.setblocking(False)
        except (OSError, LookupError) as error:
            server.close()
            self.close()
            raise HostError(
                str(self.path), "listen", errno=getattr(error, "errno", None), hint="is the directory writable?"
            ) from error
        self._server = server
        self._stop, stopped = socket.socketpair()
        listener = _Listener(server, stopped, heard, self._now_ns)
        self._quiet = listener.quiet
        self._thread = threading.Thread(target=listener.run, name="heartbeat", daemon=True)
        self._thread.start()

    def _admit(self) -> None:
        """Nobody but us may connect, or nobody but us and the user that the command runs as."""
        os.chmod(self.path, 0o600)
        if self._user is None or (account := pwd.getpwnam(self._user)).pw_uid == os.geteuid():
            return
        os.chown(self.path, account.pw_uid, account.pw_gid)
        if self._own is not None:
            os.chmod(self._own, 0o711)

    def flush(self) -> None:
        """See `Inbox.flush`."""
        if self._stop is not None:
            self._quiet.clear()
            self._stop.send(b"?")
            self._quiet.wait(_FLUSH_S)

    def close(self) -> None:
        """See `Inbox.close`; the socket is gone, and so is what was on its way."""
        if self._stop is not None and self._thread is not None and self._server is not None:
            self._stop.close()
            self._thread.join()
            self._server.close()
            with suppress(OSError):
                self.path.unlink()
        self._stop = self._thread = self._server = None
        if self._own is not None:
            shutil.rmtree(self._own, ignore_errors=True)


class _Listener:
    """What the thread does."""

    def __init__(self, server: socket.socket, stopped: socket.socket, heard: Heard, now_ns: Callable[[], int]) -> None:
        self._server, self._stopped = server, stopped
        self._heard, self._now_ns = heard, now_ns
        self._selector = selectors.DefaultSelector()
        self._peers = 0
        self._asked = False
        self._quiet_since_ns = now_ns()
        self.quiet = threading.Event()

    def run(self) -> None:
        """Until the other end of `stopped` is closed; after a byte from there `quiet` is set once there is no more."""
        self._selector.register(self._stopped, selectors.EVENT_READ)
        self._selector.register(self._server, selectors.EVENT_READ)
        try:
            while self._turn():
                time.sleep(0.0 if self._asked else self._pause_s())
        finally:
            self.quiet.set()
            for key in list(self._selector.get_map().values()):
                if key.data is not None:
                    key.data.socket.close()
            self._stopped.close()
            self._selector.close()

    def _turn(self) -> bool:
        """Wait for something, and take one share of each; whether to go on."""
        ready = self._selector.select(0.0 if self._asked else None)
        if self._asked and not ready:
            self._asked = False
            self._quiet_since_ns = self._now_ns()
            self.quiet.set()
        now_ns = self._now_ns()
        for key, _ in ready:
            if key.fileobj is self._stopped:
                self._asked = bool(self._stopped.recv(1))
                if not self._asked:
                    return False
            elif key.fileobj is self._server:
                self._accept()
            else:
                self._read(key.data, now_ns)
        return True

    def _pause_s(self) -> float:
        passed_s = (self._now_ns() - self._quiet_since_ns) / 1e9
        return min(max(_LATE_SHARE * passed_s, _SOONEST_S), _LATEST_S)

    def _accept(self) -> None:
        try:
            peer, _ = self._server.accept()
        except OSError:  # it has gone again, or there are no more descriptors
            return
        if len(self._selector.get_map()) >= MAX_PEERS + 2:
            peer.close()
            return
        peer.setblocking(False)
        self._peers += 1
        self._selector.register(peer, selectors.EVENT_READ, _Peer(self._peers, peer))

    def _read(self, peer: _Peer, now_ns: int) -> None:
        try:
            found = peer.socket.recv(_TURN_BYTES)
        except BlockingIOError:
            return
        except OSError:
            found = b""
        for text in peer.lines(found):
            self._heard(peer.number, now_ns, text)
        if not found:
            self._selector.unregister(peer.socket)
            peer.socket.close()


class _Peer:
    """One connection, and the line it is in the middle of."""

    def __init__(self, number: int, connection: socket.socket) -> None:
        self.number, self.socket = number, connection
        self._begun = b""
        self._skipping = False

    def lines(self, found: bytes) -> list[bytes | None]:
        """The lines that end in what was found; at its end (nothing was found) the last one, too."""
        if not found:
            last, self._begun = self._begun, b""
            return [last] if last else []
        *ended, begun = (self._begun + found).split(b"\n")
        texts: list[bytes | None] = []
        for text in ended:
            if not self._skipping and text:
                texts.append(text if len(text) <= MAX_LINE_BYTES else None)
            self._skipping = False
        if len(begun) > MAX_LINE_BYTES:
            if not self._skipping:
                texts.append(None)
            self._skipping, begun = True, b""
        self._begun = b"" if self._skipping else begun
        return texts
