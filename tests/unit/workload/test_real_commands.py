"""Real commands on this machine, measured by what they say: by output, file, socket and a server on loopback."""

from __future__ import annotations

import shlex
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from hwtune.domain.errors import WorkloadError
from hwtune.domain.measure import Better, measure_of
from hwtune.domain.sample import Sample
from hwtune.host.clock import LinuxClock
from hwtune.host.heartbeat import HeartbeatSocket
from hwtune.host.runner import LinuxRunner
from hwtune.workload.command import CommandWorkload
from hwtune.workload.gauge import Gauge
from hwtune.workload.heartbeat import Heartbeat, HeartbeatRate, WindowRate
from hwtune.workload.metric import FileNumber, OutputNumber, ServedNumber
from hwtune.workload.pattern import Pattern
from hwtune.workload.prometheus import prometheus_query
from hwtune.workload.window import WindowWorkload

RATE = measure_of("rate", better=Better.HIGHER, unit="item")
# Works off items at a pace of its own, and says so; also what it must not say.
WORKER = """
import json, os, socket, sys, time
items, pause_s = int(sys.argv[1]), float(sys.argv[2])
peer = socket.socket(socket.AF_UNIX)
peer.connect(os.environ["HWTUNE_HEARTBEAT"])
begun = time.monotonic()
for done in range(items + 1):
    peer.sendall(json.dumps({"done": done}).encode() + b"\\n" + b'{"latency_s": %g, "n": 0}\\n' % pause_s)
    if done % 10 == 0:
        peer.sendall(b"garbage\\n" + b"x" * 5000 + b"\\n")
    time.sleep(max(0.0, begun + (done + 1) * pause_s - time.monotonic()))
print("rate=%.6f" % (items / (time.monotonic() - begun)))
"""


def now() -> Sample:
    return Sample(t_ns=time.monotonic_ns())


def workload(gauge: Gauge, *command: str) -> CommandWorkload:
    return CommandWorkload(
        runner=LinuxRunner(),
        clock=LinuxClock(),
        sample=now,
        sample_energy=now,
        period_s=0.05,
        command=command,
        gauge=gauge,
    )


def of_output(expression: str) -> Gauge:
    return Gauge(measure=RATE, source=OutputNumber(Pattern(expression)), hears=True)


@pytest.mark.parametrize("stream", ["1", "2"])
def test_what_a_command_prints_is_its_rate(stream: str) -> None:
    work = workload(of_output("tps=([0-9.]+)"), "sh", "-c", f"echo tps=1; sleep 0.1; echo tps=40 >&{stream}")
    (run,) = work.measure(1)
    assert (run.time_s, run.unit) == (0.025, "s/item") if stream == "1" else (1.0, "s/item")
    assert 0.1 <= run.wall_s < 30.0


def test_a_command_that_does_not_say_it_fails_with_its_words() -> None:
    with pytest.raises(WorkloadError, match="matches nothing") as caught:
        workload(of_output("tps=([0-9.]+)"), "sh", "-c", "echo I am; echo busy").measure(1)
    assert caught.value.hint == "its last words were:\n  I am\n  busy"


def test_megabytes_of_output_are_no_trouble() -> None:
    (run,) = workload(of_output("tps=([0-9.]+)"), "sh", "-c", "seq 5000000; echo tps=4").measure(1)
    assert run.time_s == 0.25


def test_a_file_that_the_command_writes(tmp_path: Path) -> None:
    path = tmp_path / "figure"
    path.write_text("7\n")
    gauge = Gauge(measure=RATE, source=FileNumber(str(path), None, now_ns=time.monotonic_ns))
    (run,) = workload(gauge, "sh", "-c", f"echo 50 > {shlex.quote(str(path))}").measure(1)
    assert run.time_s == 0.02
    with pytest.raises(WorkloadError, match="not written to"):
        workload(gauge, "true").measure(1)


@contextmanager
def listening(**more: Any) -> Iterator[Gauge]:
    with HeartbeatSocket() as inbox:
        heartbeat = Heartbeat(inbox)
        with Gauge(measure=RATE, source=HeartbeatRate(heartbeat), heartbeat=heartbeat, **more) as gauge:
            yield gauge


def test_a_program_tells_its_progress_and_latencies_by_the_socket() -> None:
    with listening(percentiles=("p90",)) as gauge:
        work = workload(gauge, sys.executable, "-c", WORKER, "50", "0.01")
        (run,) = work.measure(1)
        assert run.time_s >= 0.01 * 0.9, "never faster than it really is"
        assert run.wall_s > 50 * 0.01
        assert run.latency_s["p90"] == pytest.approx(0.01, rel=0.011)
        (warning,) = work.warnings
        assert warning.startswith("12 lines came by heartbeat that say nothing")


def test_the_environment_is_the_commands_and_not_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HWTUNE_HEARTBEAT", raising=False)
    with listening() as gauge:
        program = 'test -S "$HWTUNE_HEARTBEAT" && echo yes >&2; exit 3'
        with pytest.raises(WorkloadError, match="status 3") as caught:
            workload(gauge, "sh", "-c", program).measure(1)
    assert "yes" in (caught.value.hint or "")


def test_a_run_that_surely_is_too_slow_is_stopped_by_its_progress() -> None:
    """Twelve times as slow as before."""
    with listening() as gauge:
        work = workload(gauge, sys.executable, "-c", WORKER, "200", "0.005")
        (whole,) = work.measure(1)
        slow = workload(gauge, sys.executable, "-c", WORKER, "200", "0.06")
        slow._unhurried = work._unhurried
        (run,) = slow.measure(3, give_up_s=1.5 * whole.time_s)
    assert run.censored
    assert run.unit == "s/item"
    assert 1.5 * whole.time_s < run.time_s
    assert run.wall_s < 0.06 * 200 * 0.75, "to its end it would have taken longer"


class Exporter(BaseHTTPRequestHandler):
    """Answers like Prometheus, and counts a hundred requests each time."""

    requests = 0

    def do_GET(self) -> None:
        Exporter.requests += 100
        assert self.path == "/prefix/api/v1/query?query=sum%28requests_total%7Bjob%3D%22a%20b%22%7D%29"
        value = f'{{"metric":{{}},"value":[1732233600.1,"{Exporter.requests}"]}}'
        body = f'{{"status":"success","data":{{"resultType":"vector","result":[{value}]}}}}'.encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@contextmanager
def prometheus() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Exporter) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/prefix/"
        finally:
            server.shutdown()
            thread.join()


def windows(gauge: Gauge) -> WindowWorkload:
    return WindowWorkload(clock=LinuxClock(), sample=now, sample_energy=now, period_s=0.05, window_s=0.3, gauge=gauge)


def test_windows_of_this_machine_by_a_server_on_loopback() -> None:
    with prometheus() as url:
        ask = prometheus_query(url, 'sum(requests_total{job="a b"})', ("127.0.0.1",))
        source = ServedNumber(ask, now_ns=time.monotonic_ns, growing=True)
        runs = windows(Gauge(measure=RATE, source=source)).measure(2)
    for run in runs:
        assert run.wall_s >= 0.3
        assert run.time_s >= 0.3 / 100, "a hundred in each window"
        assert run.unit == "s/item"


def test_windows_of_a_program_that_runs_all_the_time(tmp_path: Path) -> None:
    with HeartbeatSocket(path=tmp_path / "heartbeat") as inbox:
        heartbeat = Heartbeat(inbox)
        source = WindowRate(heartbeat, time.monotonic_ns)
        with Gauge(measure=RATE, source=source, heartbeat=heartbeat) as gauge:
            stop = threading.Event()
            program = threading.Thread(
                target=LinuxRunner().run,
                args=([sys.executable, "-c", WORKER, "100000", "0.005"],),
                kwargs={
                    "cwd": None,
                    "user": None,
                    "tick": stop.is_set,
                    "period_s": 0.02,
                    "environment": dict(inbox.environment),
                },
            )
            program.start()
            try:
                while len(heartbeat.progress) < 10:
                    time.sleep(0.01)
                runs = windows(gauge).measure(2)
            finally:
                stop.set()
                program.join()
    assert all(run.time_s >= 0.005 * 0.9 for run in runs)
    assert all(run.wall_s >= 0.3 for run in runs)
