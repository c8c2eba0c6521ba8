"""QEMU's monitor, over a socket it was given at its start: https://www.qemu.org/docs/master/interop/qmp-spec.html."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Sequence
from typing import Any

_PORT_VALUE = re.compile(r"= 0x([0-9a-fA-F]+)")


class QemuGone(Exception):
    """QEMU ended or the guest went down: nothing more will come over this monitor."""


class Qmp:
    """One client of the monitor. Not for use from two threads.

    QEMU is started with -no-shutdown, so that a guest that powers off leaves the monitor open and no command can race
    with QEMU's exit (which hung it every other time); this client then asks it to quit.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._file = sock.makefile("rw", encoding="utf-8")
        self._file.readline()  # the greeting
        self.execute("qmp_capabilities")

    def execute(self, command: str, **arguments: Any) -> Any:
        """Runs one command and returns its "return" value.

        Raises:
            QemuGone: The guest shut down, or QEMU ended.
            RuntimeError: QEMU refused the command.
        """
        self._send((command, arguments))
        return self._answer()

    def read_ports(self, ports: Sequence[int]) -> list[int]:
        """One byte from each I/O port, as the guest would read it (the monitor's `i /b PORT`), in one exchange."""
        self._send(*(("human-monitor-command", {"command-line": f"i /b {port:#x}"}) for port in ports))
        return [_parse_port(self._answer()) for _ in ports]

    def _send(self, *commands: tuple[str, dict[str, Any]]) -> None:
        try:
            for name, arguments in commands:
                self._file.write(json.dumps({"execute": name, "arguments": arguments}) + "\n")
            self._file.flush()
        except OSError as error:
            raise QemuGone from error

    def _answer(self) -> Any:
        while True:
            try:
                line = self._file.readline()
            except OSError as error:
                raise QemuGone from error
            if not line:
                raise QemuGone
            message = json.loads(line)
            if message.get("event") == "SHUTDOWN":
                self._quit()
                raise QemuGone
            if "error" in message:
                raise RuntimeError(message["error"].get("desc", line))
            if "return" in message:
                return message["return"]

    def _quit(self) -> None:
        """Asks QEMU to end, and reads to the end: closing earlier can lose the command."""
        self._send(("quit", {}))
        try:
            while self._file.readline():
                pass
        except OSError:
            pass  # it was ending already


def _parse_port(text: str) -> int:
    """The value in the monitor's answer.

    >>> _parse_port("portb[0x0081] = 0x03\\r\\n")
    3
    """
    match = _PORT_VALUE.search(text)
    if match is None:
        raise RuntimeError(f"unexpected answer of the monitor: {text!r}")
    return int(match[1], 16)
