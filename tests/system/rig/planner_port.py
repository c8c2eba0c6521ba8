"""The planner on the host, for a guest where importing torch takes half a minute.

Joins the virtio-serial port `hwtune.planner` to the standard input and output of a command on the host. Both speak JSON
lines; apart from the relay's greeting (guest/relay.py) the bridge passes lines on as they are. The command is started
when the first line comes and serves the whole boot, because it keeps nothing between requests. It is replaced when a
new client comes while an old one's answers are still due: the new one could take them for its own.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO


class PlannerPort:
    """One port and at most one running command."""

    def __init__(
        self, sock: socket.socket, command: Sequence[str], *, cwd: Path, env: Mapping[str, str], stderr: IO[bytes]
    ) -> None:
        self._sock = sock
        self._command = list(command)
        self._cwd = cwd
        self._env = {**os.environ, **env}
        self._stderr = stderr
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._due = 0
        self.starts = 0
        """How often the command was started."""
        threading.Thread(target=self._from_guest, name="rig-planner", daemon=True).start()

    def close(self) -> None:
        """Ends the command: the end of its input first, then by force."""
        with self._lock:
            process, self._process = self._process, None
        if process is not None:
            _end(process)

    def _from_guest(self) -> None:
        with self._sock.makefile("rb") as lines:
            try:
                for line in lines:
                    self._on_guest_line(line)
            except OSError:
                pass  # QEMU ended

    def _on_guest_line(self, line: bytes) -> None:
        try:
            message = json.loads(line)
        except ValueError:
            return  # empty, or half a line of a relay that was killed
        if isinstance(message, dict) and message.get("rig") == "hello":
            with self._lock:
                stale, self._process = (self._process, None) if self._due else (None, self._process)
                self._due = 0
            if stale is not None:
                _end(stale)
            self._sock.sendall(line)
            return
        process = self._running()
        with self._lock:
            self._due += 1
        try:
            assert process.stdin is not None
            process.stdin.write(line)
            process.stdin.flush()
        except OSError:
            pass  # it has ended; its reader tells the guest

    def _running(self) -> subprocess.Popen[bytes]:
        with self._lock:
            if self._process is None:
                self._process = subprocess.Popen(
                    self._command,
                    cwd=self._cwd,
                    env=self._env,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=self._stderr,
                    start_new_session=True,
                )
                self._due = 0
                self.starts += 1
                threading.Thread(
                    target=self._from_planner, args=(self._process,), name="rig-planner", daemon=True
                ).start()
            return self._process

    def _from_planner(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        with process.stdout as lines:
            for line in lines:
                with self._lock:
                    if process is not self._process:
                        break
                    self._due -= 1
                self._to_guest(line)
        with self._lock:
            unexpected = process is self._process
            if unexpected:
                self._process = None
        if unexpected:
            process.wait()
            self._to_guest(b'{"rig": "closed"}\n')

    def _to_guest(self, line: bytes) -> None:
        with suppress(OSError):  # QEMU ended
            self._sock.sendall(line)


def _end(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None
    with suppress(OSError):  # it has ended with unread input
        process.stdin.close()
    try:
        process.wait(timeout=2)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
