"""PID 1 of the rig's guest: runs what the host asks for, and tells what came of it.

Speaks JSON lines over the virtio-serial port `hwtune.agent`. Every request carries an `id`, every answer repeats it:

    {"id", "op": "start", "argv", "cwd", "env", "stdin"}   → {"started": PID} or {"errno", "text"}; then, as it comes,
                                                             {"stream": "stdout"|"stderr", "data"}, at last {"exit"}
    {"id", "op": "signal", "job", "signal", "group"}       → {"value": true|false}: whether there was one to signal
    {"id", "op": "read", "path"}                           → {"value": TEXT} or {"errno", "text"}
    {"id", "op": "write", "path", "text"}                  → {"value": null} or {"errno", "text"}
    {"id", "op": "snapshot", "patterns"}                   → {"value": {PATH: TEXT}}

Standard library only and started with -I -S, because every import costs here. Bytes travel as base64. A status is that
of `subprocess`: negative for a signal.
"""

import base64
import glob
import json
import os
import selectors
import signal
import subprocess
import tempfile
from typing import IO, Any

PORT_NAME = "hwtune.agent"


def port_path(name: str) -> str:
    """The device of a named virtio-serial port; there is no udev here that would link it into /dev/virtio-ports."""
    for path in glob.glob("/sys/class/virtio-ports/*/name"):
        with open(path) as file:
            if file.read().strip() == name:
                return "/dev/" + path.split("/")[-2]
    raise FileNotFoundError(name)


class Job:
    """One command of the host's: its process, and the pipes it writes to."""

    def __init__(self, job_id: int, request: dict[str, Any]) -> None:
        stdin = None
        if request["stdin"] is not None:
            stdin = tempfile.TemporaryFile(dir="/run")  # noqa: SIM115 (the child takes it over)
            stdin.write(base64.b64decode(request["stdin"]))
            stdin.seek(0)
        self.id = job_id
        self.process = subprocess.Popen(
            request["argv"],
            stdin=stdin or subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            cwd=request["cwd"],
            env=request["env"],
            start_new_session=True,
        )
        if stdin:
            stdin.close()
        assert self.process.stdout and self.process.stderr
        self.pipes: dict[str, IO[bytes]] = {"stdout": self.process.stdout, "stderr": self.process.stderr}
        for pipe in self.pipes.values():
            os.set_blocking(pipe.fileno(), False)


class Agent:
    """The loop over the port, the commands' pipes and the death of children."""

    def __init__(self) -> None:
        self.port = os.open(port_path(PORT_NAME), os.O_RDWR)
        self.jobs: dict[int, Job] = {}
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.port, selectors.EVENT_READ, self.on_port)
        self.pending = b""
        wake_read, wake_write = os.pipe()
        os.set_blocking(wake_read, False)
        os.set_blocking(wake_write, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake_write)
        self.selector.register(wake_read, selectors.EVENT_READ, lambda: self.on_child(wake_read))

    def run(self) -> None:
        with open("/proc/uptime") as file:
            self.send(0, ready=float(file.read().split()[0]))
        while True:
            for key, _ in self.selector.select():
                key.data()

    def send(self, request_id: int, **answer: object) -> None:
        data = json.dumps({"id": request_id, **answer}).encode() + b"\n"
        while data:
            data = data[os.write(self.port, data) :]

    def on_port(self) -> None:
        *lines, self.pending = (self.pending + os.read(self.port, 65536)).split(b"\n")
        for line in lines:
            request = json.loads(line)
            try:
                self.send(request["id"], **getattr(self, "do_" + request["op"])(request))
            except OSError as error:
                self.send(
                    request["id"], errno=error.errno, text=f"{error.strerror}: {error.filename or ''}".rstrip(": ")
                )

    def do_start(self, request: dict[str, Any]) -> dict[str, Any]:
        job = Job(request["id"], request)
        self.jobs[job.process.pid] = job
        for name, pipe in job.pipes.items():
            self.selector.register(pipe, selectors.EVENT_READ, lambda n=name: self.on_output(job, n))
        return {"started": job.process.pid}

    def do_signal(self, request: dict[str, Any]) -> dict[str, Any]:
        for pid, job in self.jobs.items():
            if job.id == request["job"]:
                (os.killpg if request["group"] else os.kill)(pid, request["signal"])
                return {"value": True}
        return {"value": False}

    def do_read(self, request: dict[str, Any]) -> dict[str, Any]:
        return {"value": read_text(request["path"])}

    def do_write(self, request: dict[str, Any]) -> dict[str, Any]:
        """One write of the whole value, as a sysfs attribute wants it; makes and truncates other files."""
        fd = os.open(request["path"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        try:
            os.write(fd, request["text"].encode())
        finally:
            os.close(fd)
        return {"value": None}

    def do_snapshot(self, request: dict[str, Any]) -> dict[str, Any]:
        found = {}
        for pattern in request["patterns"]:
            for path in glob.glob(pattern, recursive=True):
                if os.path.isfile(path) and os.access(path, os.R_OK):
                    try:
                        found[path] = read_text(path)
                    except OSError as error:
                        found[path] = f"<{error.strerror}>"
        return {"value": found}

    def on_output(self, job: Job, name: str) -> None:
        pipe = job.pipes.get(name)
        if pipe is None:
            return  # its end was in the same batch of events, and the death of the job came first
        data = pipe.read(65536)
        if data:
            self.send(job.id, stream=name, data=base64.b64encode(data).decode())
        elif data == b"":
            self.close(job, name)

    def close(self, job: Job, name: str) -> None:
        pipe = job.pipes.pop(name)
        self.selector.unregister(pipe)
        pipe.close()

    def on_child(self, wake_fd: int) -> None:
        """Reaps every dead child: the host's commands, and the orphans that PID 1 inherits."""
        os.read(wake_fd, 512)
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            job = self.jobs.pop(pid, None)
            if job:
                job.process.returncode = os.waitstatus_to_exitcode(status)
                self.finish(job)

    def finish(self, job: Job) -> None:
        """Sends what is left in the pipes, and does not wait for children that keep them open."""
        for name in list(job.pipes):
            while name in job.pipes:
                data = job.pipes[name].read(65536)
                if not data:
                    self.close(job, name)
                    break
                self.send(job.id, stream=name, data=base64.b64encode(data).decode())
        self.send(job.id, exit=job.process.returncode)


def read_text(path: str) -> str:
    with open(path, "rb") as file:
        return file.read().decode(errors="replace")


if __name__ == "__main__":
    Agent().run()
