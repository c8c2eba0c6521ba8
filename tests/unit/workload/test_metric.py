"""Numbers out of files, servers and counters."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwtune.domain.errors import HostError, Unsupported, UsageError, WorkloadError
from hwtune.workload.metric import FileNumber, ServedNumber
from hwtune.workload.pattern import Pattern
from hwtune.workload.prometheus import parse_answer, prometheus_query
from hwtune.workload.spin import NEEDED, Instructions

S = 1_000_000_000


class Clock:
    def __init__(self) -> None:
        self.now_ns = 0

    def __call__(self) -> int:
        return self.now_ns


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "figure"


def number(path: Path, pattern: str | None = None, *, growing: bool = False, clock: Clock | None = None) -> FileNumber:
    return FileNumber(str(path), pattern and Pattern(pattern), now_ns=clock or Clock(), growing=growing)


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [(None, "41\n42\n", 42.0), (None, " 7.5 \n\n\n", 7.5), ("tps=(.+)", "tps=1\ntps=2\nend", 2.0)],
)
def test_the_number_that_a_run_leaves_in_a_file(path: Path, pattern: str | None, text: str, found: float) -> None:
    it = number(path, pattern)
    it.begin()
    it.look()
    path.write_text(text)
    assert it.end("", "") == found


def test_a_number_of_another_time_is_none(path: Path) -> None:
    path.write_text("42\n")
    it = number(path)
    it.begin()
    with pytest.raises(WorkloadError, match="not written to"):
        it.end("", "")
    it.begin()
    path.write_text("43\n")
    assert it.end("", "") == 43.0
    it.begin()
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))
    assert it.end("", "") == 43.0, "written anew with the same"


def test_a_counter_grows(path: Path) -> None:
    clock = Clock()
    it = number(path, growing=True, clock=clock)
    with pytest.raises(WorkloadError, match="there is no file"):
        it.begin()
    path.write_text("100")
    it.begin()
    clock.now_ns = 4 * S
    path.write_text("120")
    assert it.end("", "") == 5.0


@pytest.mark.parametrize("text", ["", "\n\n", "words\n"])
def test_a_file_without_a_number(path: Path, text: str) -> None:
    it = number(path)
    it.begin()
    path.write_text(text)
    with pytest.raises(WorkloadError) as caught:
        it.end("", "")
    assert caught.value.hint


def test_a_path_that_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(HostError):
        number(tmp_path).begin()


@given(st.binary(max_size=60))
def test_any_file_is_a_number_or_an_error_of_ours(tmp_path_factory: pytest.TempPathFactory, raw: bytes) -> None:
    path = tmp_path_factory.mktemp("any") / "figure"
    it = number(path)
    it.begin()
    path.write_bytes(raw)
    try:
        assert it.end("", "") == float(it.end("", ""))
    except WorkloadError as error:
        assert error.hint


def test_a_served_number_or_its_growth() -> None:
    clock, served = Clock(), [10.0]
    gauge = ServedNumber(lambda: served[0], now_ns=clock)
    growth = ServedNumber(lambda: served[0], now_ns=clock, growing=True)
    gauge.begin()
    growth.begin()
    clock.now_ns, served[0] = 2 * S, 30.0
    assert (gauge.end("", ""), growth.end("", "")) == (30.0, 10.0)


def vector(*values: str) -> dict[str, Any]:
    result = [{"metric": {"job": str(n)}, "value": [1732233600.1, value]} for n, value in enumerate(values)]
    return {"status": "success", "data": {"resultType": "vector", "result": result}, "warnings": ["old"]}


def test_answers_of_prometheus() -> None:
    assert parse_answer(json.dumps(vector("42.5")).encode()) == 42.5
    scalar = {"status": "success", "data": {"resultType": "scalar", "result": [1732233600, "7"]}}
    assert parse_answer(json.dumps(scalar).encode()) == 7.0


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (vector(), "gives nothing"),
        (vector("1", "2"), "2 series"),
        (vector("NaN"), "'NaN'"),
        (vector("+Inf"), "Inf"),
        (vector("many"), "'many'"),
        ({"status": "error", "errorType": "bad_data", "error": "parse error"}, "status"),
        ({"status": "success", "data": {"resultType": "matrix", "result": []}}, "data"),
        ({"status": "success", "data": {"resultType": "vector", "result": [{"value": [1]}]}}, "value"),
        ({"status": "success", "data": {"resultType": "vector", "result": [{"value": [1, 2]}]}}, "value"),
        ([], "answer"),
        ("<html>", "answer"),
    ],
)
def test_what_is_no_answer_says_why(answer: Any, words: str) -> None:
    with pytest.raises(WorkloadError, match=words) as caught:
        parse_answer(json.dumps(answer).encode())
    assert caught.value.hint


@given(
    st.binary(max_size=60)
    | st.recursive(st.none() | st.text(max_size=5) | st.floats(), st.lists).map(repr).map(str.encode)
)
def test_any_body_is_a_number_or_an_error_of_ours(body: bytes) -> None:
    with pytest.raises(WorkloadError):
        parse_answer(body)


@pytest.mark.parametrize(
    "url",
    ["", "127.0.0.1:9090", "ftp://127.0.0.1", "http://", "http://127.0.0.1:99999", "http://[::1", "file:///etc/passwd",
     "http://user:secret@127.0.0.1", "http://127.0.0.1/?a=b", "http://127.0.0.1/#x"],
)  # fmt: skip
def test_what_is_no_address_of_a_server(url: str) -> None:
    with pytest.raises(UsageError, match="is not where a Prometheus is"):
        prometheus_query(url, "up", ("127.0.0.1", "::1"))


@pytest.mark.parametrize("url", ["http://example.com:9090", "http://127.0.0.2", "http://localhost.example.com"])
def test_a_host_that_nobody_has_allowed_is_not_asked(url: str) -> None:
    with pytest.raises(UsageError, match="may not be asked") as caught:
        prometheus_query(url, "up", ("127.0.0.1", "localhost"))
    assert caught.value.hint is not None and "metric.prometheus_hosts" in caught.value.hint


@given(st.text(max_size=40))
def test_any_url_is_an_error_of_ours_or_allowed(url: str) -> None:
    try:
        prometheus_query(url, "up", ("127.0.0.1",))
    except UsageError as error:
        assert error.hint


def test_an_empty_query_is_none() -> None:
    with pytest.raises(UsageError, match="empty"):
        prometheus_query("http://127.0.0.1", " ", ("127.0.0.1",))


def test_a_server_that_is_not_there_is_told_with_its_address() -> None:
    with pytest.raises(WorkloadError, match=r"http://127\.0\.0\.1:1: "):
        prometheus_query("http://127.0.0.1:1", "up", ("127.0.0.1",))()


class Counters:
    """A machine that computes or spins, a billion instructions a second."""

    def __init__(self, *, without: tuple[str, ...] = ()) -> None:
        self.counts = dict.fromkeys((name for name in NEEDED if name not in without), 0)
        self.clock = Clock()

    def read(self) -> Mapping[str, int]:
        return dict(self.counts)

    def go_on(self, seconds: int, *, spinning: bool) -> None:
        self.clock.now_ns += seconds * S
        instructions = seconds * 1_000_000_000
        per_instruction = {
            "instructions": 1.0,
            "branches": 0.4 if spinning else 0.18,
            "branch-misses": 1e-6 if spinning else 0.002,
            "cache-references": 1e-7 if spinning else 0.005,
        }
        for name in self.counts:
            self.counts[name] += round(instructions * per_instruction[name])


def test_instructions_count_as_work() -> None:
    machine = Counters()
    it = Instructions(machine.read, machine.clock)
    machine.go_on(5, spinning=True)
    it.begin()
    for _ in range(10):
        machine.go_on(1, spinning=False)
        it.look()
    assert it.end("", "") == 1e9


def test_a_little_spinning_is_left_out_and_much_is_refused() -> None:
    machine = Counters()
    it = Instructions(machine.read, machine.clock)
    for spun, rate in ((1, 0.9e9), (3, None)):
        it.begin()
        for step in range(10):
            machine.go_on(1, spinning=step < spun)
            it.look()
        if rate is not None:
            assert it.end("", "") == rate
        else:
            with pytest.raises(WorkloadError, match="30% of the instructions look like spinning"):
                it.end("", "")


@pytest.mark.parametrize("missing", NEEDED)
def test_without_what_the_guard_needs_there_is_no_such_metric(missing: str) -> None:
    machine = Counters(without=(missing,))
    with pytest.raises(Unsupported, match=missing):
        Instructions(machine.read, machine.clock)


def test_a_pmu_that_another_program_holds_is_told() -> None:
    machine = Counters()
    it = Instructions(machine.read, machine.clock)
    it.begin()
    del machine.counts["branches"]
    with pytest.raises(WorkloadError, match="holds the PMU"):
        it.look()
