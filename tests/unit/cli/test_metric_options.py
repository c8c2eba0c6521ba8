"""Options of a metric: what contradicts itself is refused, and a whole session by another measure says its unit."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from test_abandon import PLANNER

from hwtune.cli.command import Command
from hwtune.cli.host import OpenHost, open_host
from hwtune.cli.metric import MetricWish, open_gauge
from hwtune.domain.errors import HwtuneError, Unsupported, UsageError
from hwtune.domain.measure import Better
from hwtune.host.perf_system import NoCounters
from hwtune.sensors.collector import Collector
from hwtune.workload.gauge import WALL_TIME


def hwtune(tmp_path: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("HWTUNE_")}
    places = {"HWTUNE_PATHS_STATE_DIR": str(tmp_path / "state"), "HWTUNE_PATHS_RUN_DIR": str(tmp_path / "run")}
    return subprocess.run(
        [sys.executable, "-m", "hwtune", *words],
        env=inherited | places | environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


LIVE = ["--window", "1s"]
COMMAND = ["--", "true"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--metric", "(", *COMMAND], "no regular expression"),
        (["--metric", "x", "--metric-heartbeat", *COMMAND], "gives a number"),
        (["--metric-file", "a", "--metric-heartbeat", *COMMAND], "several metrics"),
        (["--metric-prometheus", "http://127.0.0.1", *COMMAND], "belong together"),
        (["--query", "up", *COMMAND], "belong together"),
        (["--metric-better", "lower", *COMMAND], "are of a metric"),
        (["--metric", "x", "--metric-unit", "ms", *COMMAND], "better when it is lower"),
        (["--metric-heartbeat", "--metric-better", "lower", *COMMAND], "counted per second"),
        (["--metric", "x", "--metric-growing", *COMMAND], "--metric-growing"),
        (["--metric", "x", "--abandon", "--max-slowdown", "5%", *COMMAND], "before the end of a run"),
        (["--max-latency", "p99", *COMMAND], "no bound of a latency"),
        (["--max-pressure", "gpu=1", *COMMAND], "no bound of a pressure"),
        (["--latency", "x", *COMMAND], "serves a bound"),
        (["--max-latency", "p99=1s", "--latency", "x", "--latency-unit", "h", *COMMAND], "no unit of time"),
        ([*LIVE], "needs a metric"),
        ([*LIVE, "--metric-heartbeat", *COMMAND], "and here is a command"),
        (["--window", "soon", "--metric-heartbeat"], "not a duration"),
    ],
)
def test_words_that_contradict_each_other(words: list[str], message: str) -> None:
    """In this process: twenty starts of the program would take a minute."""
    from typer.testing import CliRunner

    from hwtune.cli.main import app

    error = CliRunner().invoke(app, ["tune", "--dry-run", *words]).exception
    assert isinstance(error, UsageError), error
    assert message in str(error)
    assert error.hint


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[OpenHost]:
    with open_host(simulate="laptop", flags={"paths.run_dir": tmp_path, "paths.state_dir": tmp_path}) as opened:
        yield opened


def refused(machine: OpenHost, kind: type[HwtuneError], *, live: bool = False, **wish: Any) -> str:
    collector = Collector(machine.host)
    with pytest.raises(kind) as caught, open_gauge(MetricWish(**wish), machine, collector, live=live, user=None):
        pass
    assert caught.value.hint
    return str(caught.value)


def test_what_the_machine_does_not_tell_is_refused(machine: OpenHost) -> None:
    assert "no output" in refused(machine, UsageError, live=True, expression="x")
    assert "no output" in refused(machine, UsageError, live=True, heartbeat=True, latency="x", max_latency=("p50=1s",))
    assert "writes no file" in refused(machine, UsageError, file=Path("figure"))
    real = replace(machine, host=replace(machine.host, simulated=False))
    query = {"query": "up"}
    assert "may not be asked" in refused(real, UsageError, prometheus="http://example.com", **query)
    assert "is not where" in refused(real, UsageError, prometheus="nowhere", **query)
    silent = replace(machine.host, files=SimpleNamespace(read=lambda path: None, glob=lambda pattern: ()))
    nothing = replace(machine, host=silent)
    assert "no pressure io_full" in refused(nothing, Unsupported, max_pressure=("io_full=1%",))
    uncounted = replace(machine, host=replace(machine.host, counters=NoCounters()))
    assert "cannot stand in for work" in refused(uncounted, Unsupported, instructions=True)


def test_nothing_asked_is_the_wall_time(machine: OpenHost) -> None:
    with open_gauge(MetricWish(), machine, Collector(machine.host), live=False, user=None) as gauge:
        assert gauge is WALL_TIME
    bounded = MetricWish(max_pressure=("cpu_some=0.5",))
    with open_gauge(bounded, machine, Collector(machine.host), live=False, user=None) as gauge:
        assert gauge is WALL_TIME, "the pressure is sensed anyway"


def test_windows_may_be_abandoned_whatever_they_are_measured_by() -> None:
    """Each of them ends soon, and after some hopeless ones there is no other."""
    late = MetricWish(expression="x")
    command = Command(words=("x",), prepare=None, cwd=None, user=None, metric=late)
    assert not command.progresses
    assert replace(command, window="10s").progresses
    assert replace(command, metric=MetricWish()).progresses


def test_a_wish_is_a_measure() -> None:
    assert MetricWish().measure.name == "run time" and not MetricWish().given
    rate = MetricWish(heartbeat=True, unit="frame").measure
    assert (rate.better, rate.unit, rate.time_unit) == (Better.HIGHER, "frame/s", "s/frame")
    assert MetricWish(instructions=True).measure.unit == "instruction/s"
    assert "stand-in" in MetricWish(instructions=True).measure.name
    assert MetricWish(expression="x", better="lower", unit="ms").measure.time_unit == "s"


def tuned(tmp_path: Path, *words: str) -> Any:
    """A session whose planner proposes the lowest limit, then nothing more, and keeps the default."""
    planner = tmp_path / "planner.py"
    planner.write_text(PLANNER)
    command = {"HWTUNE_PLANNER_COMMAND": f"{sys.executable} -u {planner}", "HWTUNE_TUNE_KNOBS": "max"}
    result = hwtune(tmp_path, "tune", "--simulate=laptop", "--runs", "2", "--json", *words, **command)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def test_a_session_by_the_output_and_by_the_heartbeat_agree(tmp_path: Path) -> None:
    said = tuned(tmp_path, "--metric", "rounds/s: (.+)", "--metric-unit", "round")
    told = tuned(tmp_path, "--metric-heartbeat", "--metric-unit", "round")
    plain = tuned(tmp_path)
    assert said["measure"]["time_unit"] == told["measure"]["time_unit"] == "s/round"
    assert plain["measure"] == {
        "name": "run time", "better": "lower", "unit": "s", "time_unit": "s", "energy_unit": "J",
    }  # fmt: skip
    default = [document["evaluated"][0]["measured"] for document in (said, told, plain)]
    assert default[0]["time_s"] == pytest.approx(default[1]["time_s"], rel=0.02)
    rounds = 17
    assert default[0]["time_s"] * rounds == pytest.approx(default[2]["time_s"], rel=1e-4)
    assert default[0]["energy_j"] * rounds == pytest.approx(default[2]["energy_j"], rel=1e-4)
    assert said["workload"] == "mixed [rounds/s: (.+), round/s]"
    told_by_why = hwtune(tmp_path, "why").stdout
    assert "J" in told_by_why


def test_windows_of_an_imaginary_machine(tmp_path: Path) -> None:
    found = tuned(tmp_path, "--metric-heartbeat", "--metric-unit", "round", "--window", "6s")
    assert found["workload"] == "mixed, windows of 6s [heartbeat, round/s]"
    measured = found["evaluated"][0]["measured"]
    run = tuned(tmp_path)["evaluated"][0]["measured"]
    assert measured["time_s"] * 17 == pytest.approx(run["time_s"], rel=0.1)


def test_a_bound_that_nothing_keeps_is_told_and_nothing_kept(tmp_path: Path) -> None:
    found = tuned(tmp_path, "--metric-heartbeat", "--max-latency", "p90=1ms")
    assert all(entry["broke"][0].startswith("p90 latency") for entry in found["evaluated"])
    assert found["max_latency_s"] == {"p90": 0.001}
    default = found["evaluated"][0]["setting"]
    assert [{k: v for k, v in entry.items() if k != "true"} for entry in found["recommended"]] == [default] * 2
    assert any("the defaults themselves break a bound" in warning for warning in found["warnings"])


def test_a_probe_that_gets_on_far_too_slowly_is_stopped(tmp_path: Path) -> None:
    """The lowest limit makes the work several times slower."""
    default, probe = tuned(tmp_path, "--max-slowdown", "5%", "--abandon", "--metric-heartbeat")["evaluated"]
    assert probe["censored"] is True
    slowdown = probe["true"]["time_s"] / default["true"]["time_s"]
    bound = probe["measured"]["time_s"] / default["measured"]["time_s"]
    assert 1.25 < bound <= 1.05 * slowdown, "a lower bound, and one that is worth something"
    assert bound > 0.6 * slowdown


def test_measured_by_hwtune_hwtune_itself_takes_no_notice_of_the_socket(tmp_path: Path) -> None:
    assert hwtune(tmp_path, "config", "show", HWTUNE_HEARTBEAT="/run/x").returncode == 0
    assert hwtune(tmp_path, "config", "show", HWTUNE_HEARTBEET="/run/x").returncode == 2
