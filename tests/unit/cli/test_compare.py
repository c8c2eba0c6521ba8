"""`hwtune compare` on simulated machines and trees: what it says, what it writes, how it ends."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from hwtune.cli.compare import compare
from hwtune.cli.compare_progress import plan_lines
from hwtune.cli.compare_settings import named_keys, parse_arm, parse_margin
from hwtune.cli.main import app
from hwtune.cli.options import ObjectiveName
from hwtune.compare import Pilot
from hwtune.domain.errors import Unsupported, UsageError
from hwtune.domain.trial import Run
from hwtune.host.runner import Completed
from hwtune.sim.machine import SimulatedRunner
from hwtune.workload.power import Noise, Plan

TREES = Path(__file__).resolve().parents[2] / "trees"


def said(capsys: pytest.CaptureFixture[str], a: str, b: str, *words: str, **more: Any) -> Any:
    options: dict[str, Any] = {"simulate": "laptop", "workload": "compute", "as_json": True} | more
    try:
        compare([a, b, *words], **options)
    finally:
        shown = capsys.readouterr()
        assert shown.err == ""
    return json.loads(shown.out)


def interrupt_at(monkeypatch: pytest.MonkeyPatch, runs: int) -> None:
    run, done = SimulatedRunner.run, [0]

    def counted(self: SimulatedRunner, *words: Any, **more: Any) -> Completed:
        done[0] += 1
        if done[0] > runs:
            raise KeyboardInterrupt
        return run(self, *words, **more)

    monkeypatch.setattr(SimulatedRunner, "run", counted)


def test_a_lower_limit_is_slower_and_everything_is_said(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    files = {f"pyperf_{arm}": tmp_path / f"{arm}.json" for arm in "ab"}
    found = said(capsys, "default", "max=2.4GHz", objective=ObjectiveName.EDP, **files)
    assert (found["machine"], found["simulated"], found["workload"]) == ("simulated laptop", True, "compute")
    verdict, arms = found["verdict"], found["arms"]
    assert verdict["different"] and verdict["decided"] == "difference"
    assert verdict["time_ratio_95"][0] > 1.3 and verdict["energy_ratio_95"][1] < 1.0
    assert found["conclusion"].startswith("B is ")
    assert arms["B"]["asked"] == "max=2.4GHz"
    assert arms["B"]["effective"] == arms["A"]["effective"] | {"max": 2_400_000}
    for arm in arms.values():
        assert len(arm["runs"]) == verdict["runs"] >= 6
        low, high = arm["time_s"]["interval_95"]
        assert low < arm["time_s"]["typical"] < high
        assert all(run["energy_j"] > 0.0 and run["cpu_time_s"] > 0.0 for run in arm["runs"])
    pilot = found["pilot"]
    assert pilot["steady_runs"] >= 8 and pilot["sd_log"] > 0.0
    assert pilot["plans"][-1]["runs"] == pilot["max_runs"] >= verdict["runs"]
    assert found["noise"]["runs"] == 2 * verdict["runs"]
    assert found["noise"]["circumstances"]["governors"] == ["powersave"]
    assert found["restored"] and not found["interrupted"] and found["would_write"] is None
    compared = subprocess.run(
        [sys.executable, "-m", "pyperf", "compare_to", tmp_path / "a.json", tmp_path / "b.json"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert "slower" in compared.stdout


def test_one_seed_gives_one_result(capsys: pytest.CaptureFixture[str]) -> None:
    first, again, other = (said(capsys, "default", "max=2.4GHz", seed=seed, max_runs=4) for seed in (1, 1, 2))
    assert first == again != other


def test_a_machine_without_cpufreq_measures_its_noise(capsys: pytest.CaptureFixture[str]) -> None:
    found = said(capsys, "default", "default", simulate="vm", max_runs=6)
    assert found["verdict"]["runs"] == 6 or found["verdict"]["decided"]
    assert found["arms"]["A"]["requested"] == {} and found["arms"]["A"]["effective"] is None
    assert found["noise"]["spread"].keys() == {"A", "B"}
    with pytest.raises(Unsupported, match="no cpufreq policies, so max cannot be set") as raised:
        said(capsys, "max=2GHz", "default", simulate="vm")
    assert "compare default default" in str(raised.value.hint)
    with pytest.raises(Unsupported, match="needs an energy sensor"):
        said(capsys, "default", "default", simulate="vm", objective=ObjectiveName.ENERGY)


def test_people_get_a_table_and_a_verdict(capsys: pytest.CaptureFixture[str]) -> None:
    compare(["max=2.4GHz", "default"], simulate="laptop", workload="compute", max_runs=4)
    shown = capsys.readouterr()
    assert "runs of each you can see" in shown.err
    assert "simulated laptop: compute (simulated; energy: RAPL package-0)" in shown.out
    assert "2400 MHz" in shown.out and "5200 MHz" in shown.out
    assert "B is faster than A: " in shown.out
    assert "Everything is back as it was." in shown.out


def test_a_metric_of_the_work_takes_the_place_of_its_time(capsys: pytest.CaptureFixture[str]) -> None:
    options: dict[str, Any] = {"simulate": "laptop", "metric": "rounds/s: (.+)", "metric_unit": "round", "max_runs": 4}
    compare(["max=2.4GHz", "default"], **options)
    shown = capsys.readouterr().out
    assert "simulated laptop: mixed [rounds/s: (.+), round/s] (simulated" in shown
    assert "s/round" in shown and "J/round" in shown and "less time per round" in shown


def test_windows_of_a_running_machine_need_no_command(capsys: pytest.CaptureFixture[str]) -> None:
    options: dict[str, Any] = {"window": "5s", "metric_heartbeat": True, "max_runs": 4}
    found = said(capsys, "default", "max=2.4GHz", **options)
    assert found["verdict"]["time_ratio"] > 1.1
    assert found["workload"].startswith("compute, windows of 5s [heartbeat")


def test_two_settings_that_read_the_same_are_said_to(capsys: pytest.CaptureFixture[str]) -> None:
    """Without boost, limits above the base frequency are one and the same."""
    compare(["boost=0,max=5GHz", "boost=0,max=5.2GHz"], simulate="laptop", workload="compute", max_runs=4)
    assert "Both settings read the same on this machine" in capsys.readouterr().out


def test_a_pilot_that_promises_little_says_so() -> None:
    plans = [
        Plan(runs=4, effect=20.0),
        Plan(runs=6, effect=1.5),
        Plan(runs=8, effect=0.34),
        Plan(runs=30, effect=0.021),
    ]
    runs = (Run(time_s=120.0, energy_j=None),) * 8
    noise = Noise(sd_log=0.01, degrees=5)
    pilot = Pilot(warm_up=runs[:2], runs=runs, settled=False, noise=noise, plans=tuple(plans), max_runs=30)
    first, second = plan_lines(pilot)
    assert first == "settled: 8 runs after 2 to warm up, which did not come to one level, noise 1.0%"
    assert second == (
        "with 4 runs of each you can see hardly anything; 6 for a factor of 2.5; 8 for 34 %; 30 for 2.1 %, "
        "which takes 2.0 h at most"
    )


def test_what_was_known_is_said_when_it_is_interrupted(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt_at(monkeypatch, 18)
    with pytest.raises(typer.Exit) as ended:
        compare(["default", "default"], simulate="laptop", as_json=True)
    found = json.loads(capsys.readouterr().out)
    assert ended.value.exit_code == 130
    assert found["interrupted"] and found["restored"]
    assert found["verdict"]["decided"] is None and found["verdict"]["runs"] == 4
    assert found["conclusion"].startswith("Stopped early, not decided: the time of B is within ")


def test_interrupted_at_once_nothing_is_known(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    interrupt_at(monkeypatch, 3)
    with pytest.raises(typer.Exit):
        compare(["max=2GHz", "default"], simulate="laptop", pyperf_a=tmp_path / "a.json")
    shown = capsys.readouterr().out
    assert "nothing is known" in shown and "Everything is back as it was." in shown
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_says_what_each_setting_would_write(capsys: pytest.CaptureFixture[str]) -> None:
    path = "/sys/devices/system/cpu/cpufreq/policy2/scaling_max_freq"
    options = {"simulate": None, "workload": None, "root": TREES / "laptop", "dry_run": True}
    found = said(capsys, "max=2.4GHz", "default", "make", **options)
    assert found["would_write"]["A"][path] == "2400000" and found["would_write"]["B"] == {}
    assert found["dry_run"] and found["verdict"] is None and found["restored"]
    assert (TREES / "laptop" / path[1:]).read_text() != "2400000\n"
    compare(["max=2.4GHz", "default", "make"], root=TREES / "laptop", dry_run=True)
    shown = capsys.readouterr().out
    assert f"would write 2400000 to {path}" in shown and "B: default, nothing to write" in shown


def test_one_policy_alone_can_be_compared(capsys: pytest.CaptureFixture[str]) -> None:
    options = {"simulate": None, "workload": None, "root": TREES / "laptop", "dry_run": True}
    found = said(capsys, "policy0.max=1GHz", "default", "make", **options)
    assert list(found["would_write"]["A"].values()) == ["1000000"]
    assert found["would_write"]["B"] == {}


def test_what_another_tuner_keeps_is_in_neither_setting(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    minded: list[tuple[str, ...]] = []

    def keeps_boost(opened: object, names: tuple[str, ...], *, measuring: bool) -> frozenset[str]:
        assert measuring
        minded.append(names)
        return frozenset({"boost"})

    monkeypatch.setattr("hwtune.cli.compare_open.make_way", keeps_boost)
    options = {"simulate": None, "workload": None, "root": TREES / "laptop", "dry_run": True}
    found = said(capsys, "max=2.4GHz,boost=0", "default", "make", **options)
    assert sorted(minded[0]) == ["boost", "max"], "those in which the two differ"
    for arm in found["arms"].values():
        assert "boost" not in arm["requested"] and "max" in arm["requested"]
    assert not [path for path in found["would_write"]["A"] if path.endswith("no_turbo")]


def test_the_noise_alone(capsys: pytest.CaptureFixture[str]) -> None:
    compare([], noise=True, simulate="laptop", as_json=True)
    found = json.loads(capsys.readouterr().out)
    assert found["watched_s"] == 5 and found["noise"]["runs"] == 1
    assert found["noise"]["other_load_cpus"] < 0.5
    compare([], noise=True, simulate="laptop")
    assert "governor         powersave" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "options", "message"),
    [
        (["default"], {}, "two settings are needed"),
        (["default", "default"], {"simulate": None}, "no command to compare them under"),
        (["default", "make"], {}, "'make' is no setting"),
        (["default", "default", "make"], {}, "cannot run on a simulated machine"),
        (["default", "max=fast"], {}, "not a frequency"),
        (["default", "default,max=2GHz"], {}, "is no setting"),
        (["min=3GHz,max=2GHz", "default"], {}, "is above"),
        (["speed=3", "default"], {}, "unknown knob"),
        (["default", "default"], {"margin": "0%"}, "out of range"),
        (["default", "default"], {"margin": "none"}, "is not a share"),
        (["default", "default", "make"], {"simulate": None, "root": TREES / "laptop"}, "cannot be measured from here"),
        (["default"], {"noise": True}, "runs nothing"),
        ([], {"noise": True, "dry_run": True}, "watches a running machine"),
        (["default", "default", "x"], {"simulate": None, "window": "9s"}, "here is a command"),
        (["default", "default"], {"window": "9s"}, "needs a metric"),
        (["default", "default"], {"metric_unit": "round"}, "are of a metric"),
    ],
)
def test_bad_words_are_refused_with_a_hint(words: list[str], options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message) as raised:
        compare(words, **{"simulate": "laptop", **options})
    assert raised.value.hint


def test_options_may_come_before_and_behind_the_settings(capsys: pytest.CaptureFixture[str]) -> None:
    """The words behind -- are the command's, whatever they look like."""
    words = ["compare", "--dry-run", "max=2GHz", "default", "--json", f"--root={TREES / 'laptop'}", "--", "make", "-j8"]
    app(args=words, standalone_mode=False)
    assert json.loads(capsys.readouterr().out)["workload"] == "make -j8"


@given(st.text())
def test_any_setting_is_words_or_refused(text: str) -> None:
    try:
        arm = parse_arm(text)
    except UsageError as error:
        assert error.hint
    else:
        assert len(named_keys(arm)) == len(arm.assignments)
        assert parse_arm(arm.text) == arm


@given(st.text(max_size=12) | st.floats().map(str))
def test_any_margin_is_a_share_or_refused(text: str) -> None:
    try:
        assert 0.0001 <= parse_margin(text) <= 0.5
    except UsageError as error:
        assert error.hint
