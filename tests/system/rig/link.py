"""Host end of the line to guest/agent.py: requests out, answers and output in, each to the job it belongs to."""

from __future__ import annotations

import base64
import json
import queue
import signal as signals
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from rig.errors import RigError, RigHung, RigTimeout

Stream = Literal["stdout", "stderr"]
OnOutput = Callable[[Stream, bytes], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """How a guest command ended. `returncode` as in `subprocess`: negative for a signal. Times are the host's."""

    returncode: int
    stdout: str
    stderr: str
    seconds: float

    def check(self) -> Result:
        """Itself, or an AssertionError that shows what the command said."""
        assert self.returncode == 0, f"status {self.returncode}\n--- stdout\n{self.stdout}\n--- stderr\n{self.stderr}"
        return self


class Link:
    """One connection to the guest's agent; a thread of its own sorts what comes.

    Attributes:
        lost: Why nothing more is asked of this guest, once it was found hung or gone; the caller of that moment and
            every later one gets it at once.
    """

    def __init__(self, sock: socket.socket, examine: Callable[[str], RigHung]) -> None:
        """Takes over the line.

        Args:
            sock: This end of it.
            examine: Makes the error for an agent that does not answer, from a line that says so.
        """
        self.lost: RigError | None = None
        self._examine = examine
        self._sock = sock
        self._lock = threading.Lock()
        self._next_id = 1
        self._inboxes: dict[int, queue.SimpleQueue[dict[str, Any] | None]] = {0: queue.SimpleQueue()}
        self._closed = False
        threading.Thread(target=self._receive, name="rig-link", daemon=True).start()

    def wait_ready(self, timeout_s: float) -> float | None:
        """Waits for the agent; its uptime in seconds, or None when it did not come or the machine went down."""
        try:
            message = self._inboxes[0].get(timeout=timeout_s)
        except queue.Empty:
            return None
        return None if message is None else float(message["ready"])

    def call(self, op: str, *, timeout_s: float = 60.0, **arguments: Any) -> Any:
        """One request with one answer.

        Raises:
            OSError: The guest's kernel refused it, with the guest's errno.
            RigHung: No answer in time.
            RigError: The guest went down.
        """
        inbox, request_id = self.send(op, **arguments)
        try:
            return self.answer(inbox, timeout_s)
        finally:
            self.forget(request_id)

    def answer(self, inbox: queue.SimpleQueue[dict[str, Any] | None], timeout_s: float) -> Any:
        """The value of the next answer; see `call` for what it raises."""
        try:
            message = inbox.get(timeout=timeout_s)
        except queue.Empty:
            self.lost = self._examine(f"the guest's agent did not answer in {timeout_s:g} s")
            raise self.lost from None
        if message is None:
            raise self.gone("the guest went down")
        if "errno" in message:
            raise OSError(message["errno"], f"{message['text']} (in the guest)")
        return message["started"] if "started" in message else message["value"]

    def gone(self, message: str) -> RigError:
        """The error for the end of the line, which is remembered."""
        self.lost = RigError(message)
        return self.lost

    def send(self, op: str, **arguments: Any) -> tuple[queue.SimpleQueue[dict[str, Any] | None], int]:
        """Sends a request; its answers will come to the returned queue, None at the end of the line."""
        inbox: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        if isinstance(self.lost, RigHung):
            raise self.lost
        with self._lock:
            if self._closed:
                raise self.gone("the guest is gone")
            request_id, self._next_id = self._next_id, self._next_id + 1
            self._inboxes[request_id] = inbox
            try:
                self._sock.sendall(json.dumps({"id": request_id, "op": op, **arguments}).encode() + b"\n")
            except OSError as error:
                raise self.gone("the guest is gone") from error
        return inbox, request_id

    def forget(self, request_id: int) -> None:
        """No more answers are wanted."""
        with self._lock:
            self._inboxes.pop(request_id, None)

    def _receive(self) -> None:
        with self._sock.makefile("rb") as lines:
            try:
                for line in lines:
                    message = json.loads(line)
                    with self._lock:
                        inbox = self._inboxes.get(message["id"])
                    if inbox is not None:
                        inbox.put(message)
            except (OSError, ValueError):
                pass  # the line broke off: the same as its end
        with self._lock:
            self._closed = True
            inboxes = list(self._inboxes.values())
        for inbox in inboxes:
            inbox.put(None)


class Job:
    """One command in the guest, running or ended."""

    def __init__(
        self,
        link: Link,
        argv: Sequence[str],
        *,
        cwd: str,
        env: Mapping[str, str],
        stdin: str | None = None,
        on_output: OnOutput | None = None,
    ) -> None:
        """Starts it, in a session of its own.

        Args:
            link: The agent's line.
            argv: The command; its program is looked up on the PATH of `env`.
            cwd: Working folder in the guest.
            env: Its whole environment.
            stdin: What it reads, or None for an empty standard input.
            on_output: Called with each piece of output while `wait` waits.

        Raises:
            OSError: It cannot be started (ENOENT: no such program or folder).
        """
        data = None if stdin is None else base64.b64encode(stdin.encode()).decode()
        self._link = link
        self._on_output = on_output
        self._output: dict[Stream, bytearray] = {"stdout": bytearray(), "stderr": bytearray()}
        self._started = time.monotonic()
        self._result: Result | None = None
        self._inbox, self._id = link.send("start", argv=list(argv), cwd=cwd, env=dict(env), stdin=data)
        self.argv = list(argv)
        self.pid: int = link.answer(self._inbox, 60.0)

    @property
    def stdout(self) -> str:
        """What has come so far."""
        self._drain(0.0)
        return self._output["stdout"].decode(errors="replace")

    @property
    def stderr(self) -> str:
        """What has come so far."""
        self._drain(0.0)
        return self._output["stderr"].decode(errors="replace")

    def poll(self) -> Result | None:
        """The result, or None while it runs."""
        self._drain(0.0)
        return self._result

    def send_signal(self, signal: int, *, group: bool = False) -> bool:
        """Signals it, or with `group` all of its process group, as a terminal's Ctrl-C does; False if it has ended."""
        return bool(self._link.call("signal", job=self._id, signal=int(signal), group=group))

    def wait(self, timeout_s: float | None = None) -> Result:
        """Waits for its end.

        Raises:
            RigTimeout: It did not end in `timeout_s` seconds; its process group has been killed.
            RigHung: That could not even be asked for, because the guest does not answer.
            RigError: The guest went down.
        """
        self._drain(timeout_s)
        if self._result is None:
            self.send_signal(signals.SIGKILL, group=True)
            self._drain(10.0)
            said = f"--- stdout\n{self.stdout}\n--- stderr\n{self.stderr}"
            raise RigTimeout(f"killed after {timeout_s:g} s: {' '.join(self.argv)}\n{said}")
        return self._result

    def _drain(self, patience_s: float | None) -> None:
        """Takes in messages until the end or the deadline; always those that are there already."""
        deadline = None if patience_s is None else time.monotonic() + patience_s
        while self._result is None:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            try:
                message = self._inbox.get(timeout=left) if left != 0.0 else self._inbox.get_nowait()
            except queue.Empty:
                return
            self._take(message)

    def _take(self, message: dict[str, Any] | None) -> None:
        if message is None:
            raise self._link.gone(f"the guest went down while it ran {' '.join(self.argv)}")
        if "exit" in message:
            self._link.forget(self._id)
            self._result = Result(
                returncode=message["exit"],
                stdout=self._output["stdout"].decode(errors="replace"),
                stderr=self._output["stderr"].decode(errors="replace"),
                seconds=time.monotonic() - self._started,
            )
            return
        data = base64.b64decode(message["data"])
        self._output[message["stream"]] += data
        if self._on_output:
            self._on_output(message["stream"], data)
