"""A line to a fake kernel in another process: moments, faults, state and log as lines of JSON over a socket."""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fake.faults import Fault, Moment
from fake.kernel import FakeKernel

_CALLS = (
    "read", "write", "listdir", "mode", "paths", "state", "requests", "chmod",
    "hotplug", "suspend", "firmware_limit", "somebody", "reboot",
)  # fmt: skip
_SETTINGS = ("ignore_limits", "busy")


def to_json(fault: Fault) -> dict[str, Any]:
    """A fault for the line; an action must be a kill or a `Moment`."""
    action = fault.action
    if isinstance(action, Moment):
        action = {"name": action.name, "args": list(action.args)}
    elif callable(action):
        raise TypeError("only a Moment can go to another process")
    return {
        "pattern": fault.pattern, "operation": fault.operation, "skip": fault.skip, "times": fault.times,
        "errno": fault.errno, "text": fault.text, "action": action,
    }  # fmt: skip


def from_json(line: dict[str, Any]) -> Fault:
    """The fault that `to_json` has written."""
    action = line.get("action")
    if isinstance(action, dict):
        action = Moment(action["name"], tuple(action.get("args", ())))
    return Fault(**{**line, "action": action})


def answer(kernel: FakeKernel, request: dict[str, Any]) -> Any:
    """What one request gives; OSError is the kernel's own answer."""
    do, args = request["do"], request.get("args", [])
    if do in _CALLS:
        return getattr(kernel, do)(*args)
    if do in _SETTINGS:
        setattr(kernel, do, bool(args[0]))
        return None
    if do == "faults":
        kernel.faults = [from_json(line) for line in args[0]]
        return None
    if do == "met":
        return [fault.met for fault in kernel.faults]
    if do == "log":
        return [list(entry) for entry in kernel.log]
    if do == "forget":
        kernel.log.clear()
        return None
    raise ValueError(f"no such request: {do}")


class Server(threading.Thread):
    """Answers at a socket of its own until the process ends.

    Args:
        kernel: what it is about.
        path: of the socket.
        lock: held while the kernel is touched.
    """

    def __init__(self, kernel: FakeKernel, path: Path, lock: threading.Lock) -> None:
        super().__init__(daemon=True)
        self._kernel, self._lock = kernel, lock
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(str(path))
        self._socket.listen()

    def run(self) -> None:
        """One caller at a time."""
        while True:
            connection, _ = self._socket.accept()
            with connection, connection.makefile("rw", encoding="utf-8") as lines:
                for line in lines:
                    lines.write(json.dumps(self._one(line)) + "\n")
                    lines.flush()

    def _one(self, line: str) -> dict[str, Any]:
        try:
            with self._lock:
                return {"ok": answer(self._kernel, json.loads(line))}
        except OSError as error:
            return {"errno": error.errno}
        except Exception as error:
            return {"error": f"{type(error).__name__}: {error}"}


class Control:
    """The other end. Every call raises OSError where the kernel does.

    Args:
        path: of the server's socket.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def call(self, do: str, *args: Any) -> Any:
        """One request."""
        with socket.socket(socket.AF_UNIX) as line:
            line.connect(str(self._path))
            with line.makefile("rw", encoding="utf-8") as lines:
                lines.write(json.dumps({"do": do, "args": args}) + "\n")
                lines.flush()
                reply = json.loads(lines.readline())
        if "errno" in reply:
            raise OSError(reply["errno"], os.strerror(reply["errno"]))
        if "error" in reply:
            raise RuntimeError(reply["error"])
        return reply["ok"]

    def read(self, path: str) -> str:
        """See `FakeKernel.read`."""
        return str(self.call("read", path))

    def write(self, path: str, text: str) -> None:
        """See `FakeKernel.write`."""
        self.call("write", path, text)

    def listdir(self, path: str) -> list[str]:
        """See `FakeKernel.listdir`."""
        return list(self.call("listdir", path))

    def state(self) -> dict[str, str]:
        """See `FakeKernel.state`."""
        return dict(self.call("state"))

    def requests(self) -> dict[str, int]:
        """See `FakeKernel.requests`."""
        return dict(self.call("requests"))

    def log(self) -> list[tuple[str, str, str, int | None]]:
        """See `FakeKernel.log`."""
        return [(operation, path, text, code) for operation, path, text, code in self.call("log")]

    def writes(self) -> list[tuple[str, str]]:
        """Path and text of every write so far, refused ones too."""
        return [(path, text) for operation, path, text, _ in self.log() if operation == "write"]

    def hotplug(self, cpu: int, online: bool) -> None:
        """See `FakeKernel.hotplug`."""
        self.call("hotplug", cpu, online)

    def suspend(self) -> None:
        """See `FakeKernel.suspend`."""
        self.call("suspend")

    def firmware_limit(self, khz: int | None) -> None:
        """See `FakeKernel.firmware_limit`."""
        self.call("firmware_limit", khz)

    def somebody(self, path: str, text: str) -> None:
        """See `FakeKernel.somebody`."""
        self.call("somebody", path, text)

    def reboot(self) -> None:
        """See `FakeKernel.reboot`."""
        self.call("reboot")

    def faults(self, faults: Sequence[Fault]) -> None:
        """From now on these strike, and no others."""
        self.call("faults", [to_json(fault) for fault in faults])
