"""Before a run: other tuners are refused, given way to or ignored; what cannot be written is found out first."""

from pathlib import Path

import pytest

from hwtune.cli import ours
from hwtune.cli.competing import make_way
from hwtune.cli.host import OpenHost
from hwtune.cli.ours import check_writable, turnable
from hwtune.config import load_config
from hwtune.domain.errors import Locked, PermissionDenied
from hwtune.host.clock import LinuxClock
from hwtune.host.denial import Denial
from hwtune.host.fs import LinuxFS
from hwtune.host.machine import Host
from hwtune.host.perf_system import NoCounters
from hwtune.host.runner import LinuxRunner
from hwtune.knobs.cpufreq import CpufreqBackend

P0 = "/sys/devices/system/cpu/cpufreq/policy0"
TEXTS = {
    f"{P0}/affected_cpus": "0",
    f"{P0}/related_cpus": "0",
    f"{P0}/scaling_driver": "intel_pstate",
    f"{P0}/scaling_available_governors": "performance powersave",
    f"{P0}/scaling_governor": "performance",
    f"{P0}/energy_performance_available_preferences": "default performance balance_performance power",
    f"{P0}/energy_performance_preference": "performance",
    f"{P0}/cpuinfo_min_freq": "800000",
    f"{P0}/cpuinfo_max_freq": "4000000",
    f"{P0}/scaling_min_freq": "800000",
    f"{P0}/scaling_max_freq": "4000000",
    "/sys/devices/system/cpu/intel_pstate/no_turbo": "0",
}


@pytest.fixture
def machine(tmp_path):
    """A tree that counts as the running machine, and what runs on it."""

    class Machine:
        def put(self, path, text=""):
            place = tmp_path / path.lstrip("/")
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text + "\n")

        def unit(self, *names):
            for name in names:
                self.put(f"/run/systemd/units/invocation:{name}.service")

        def open(self, competing="refuse", *, live=True, dry=False):
            host = Host(
                name="tree",
                files=LinuxFS(tmp_path),
                clock=LinuxClock(),
                counters=NoCounters(),
                runner=LinuxRunner(),
                run_dir=tmp_path / "run/hwtune",
            )
            config = load_config(tmp_path, {}, {"tune.competing": competing})
            return OpenHost(host=host, config=config, live=live, dry=dry)

    machine = Machine()
    for path, text in TEXTS.items():
        machine.put(path, text)
    return machine


NAMES = ("governor", "max", "min", "epp", "boost")


def test_nobody_there_nothing_said(machine, capsys):
    assert make_way(machine.open(), NAMES, measuring=True) == frozenset()
    assert capsys.readouterr() == ("", "")


def test_refused_with_who_and_how(machine):
    machine.unit("power-profiles-daemon", "tlp")
    with pytest.raises(Locked) as caught:
        make_way(machine.open(), NAMES, measuring=True)
    assert caught.value.exit_status == 7
    assert "power-profiles-daemon (power-profiles-daemon.service) sets governor, min, epp, boost as well" in str(
        caught.value
    )
    assert "tlp (tlp.service) sets governor, max, min, epp, boost as well" in str(caught.value)
    for word in ("mask --runtime --now power-profiles-daemon.service", "stop tlp.service", "--competing yield"):
        assert word in caught.value.hint


def test_yielded_knobs_are_left_out_and_said(machine, capsys):
    machine.unit("power-profiles-daemon", "intel_lpmd")
    left = make_way(machine.open("yield"), NAMES, measuring=True)
    assert left == {"governor", "min", "epp", "boost"}
    assert capsys.readouterr().err.splitlines() == [
        "power-profiles-daemon (power-profiles-daemon.service) keeps governor, min, epp, boost",
        "intel_lpmd (intel_lpmd.service) keeps epp",
    ]


def test_nothing_left_to_turn_is_a_refusal(machine, capsys):
    machine.unit("tuned")
    with pytest.raises(Locked, match="tuned"):
        make_way(machine.open("yield"), ("governor", "epp"), measuring=True)
    assert capsys.readouterr().err == ""


def test_ignored_and_said(machine, capsys):
    machine.unit("tuned")
    assert make_way(machine.open("ignore"), NAMES, measuring=True) == frozenset()
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("warning: tuned (tuned.service) sets governor, epp, boost as well")


@pytest.mark.parametrize("competing", ["refuse", "yield", "ignore"])
def test_thermald_is_only_warned_of(machine, capsys, competing):
    machine.unit("thermald")
    assert make_way(machine.open(competing), NAMES, measuring=True) == frozenset()
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("warning: thermald (thermald.service) may set max, boost as well: it guards")


def test_by_hand_only_the_knobs_in_question_count(machine):
    machine.unit("intel_lpmd")
    assert make_way(machine.open(), ("max",), measuring=False) == frozenset()
    with pytest.raises(Locked):
        make_way(machine.open(), ("max", "epp"), measuring=False)
    with pytest.raises(Locked, match="while it is measured"):
        make_way(machine.open(), ("max",), measuring=True)


def test_a_dry_run_goes_on(machine, capsys):
    machine.unit("tuned")
    assert make_way(machine.open(dry=True), NAMES, measuring=True) == frozenset()
    assert "without --dry-run" in capsys.readouterr().err


def test_no_other_machine_has_tuners(machine):
    machine.unit("tuned")
    assert make_way(machine.open(live=False), NAMES, measuring=True) == frozenset()


def chosen(machine, opened, *, named=False):
    backend = CpufreqBackend(opened.host.files)
    return turnable(opened, backend, backend.space, named=named).names


def test_knobs_that_hang_on_a_yielded_one_go_with_it(machine, monkeypatch):
    monkeypatch.setattr(ours, "refused", lambda path: None)
    assert chosen(machine, machine.open()) == NAMES
    machine.unit("cpufreqd")
    # The EPP does nothing under `performance`, and the governor is not ours to change.
    assert chosen(machine, machine.open("yield")) == ("boost",)


def deny(monkeypatch, *attributes, code=13):
    monkeypatch.setattr(ours, "refused", lambda path: code if path.endswith(attributes) else None)
    monkeypatch.setattr(ours, "why_denied", lambda path, errno: Denial(why=f"reason {errno}", hint="do"))


def test_one_knob_that_cannot_be_written_is_left_out_and_explained_once(machine, monkeypatch, capsys):
    deny(monkeypatch, "scaling_governor", "energy_performance_preference")
    assert chosen(machine, machine.open()) == ("max", "min", "boost")
    (line,) = capsys.readouterr().err.splitlines()
    assert line == "warning: governor, epp cannot be written and stay as they are: reason 13"


def test_a_named_knob_that_cannot_be_written_is_an_error(machine, monkeypatch):
    deny(monkeypatch, "scaling_governor")
    with pytest.raises(PermissionDenied) as caught:
        chosen(machine, machine.open(), named=True)
    assert caught.value.path == f"{P0}/scaling_governor"


def test_when_nothing_can_be_written_it_is_one_error(machine, monkeypatch):
    deny(monkeypatch, "", code=30)
    opened = machine.open()
    with pytest.raises(PermissionDenied) as caught:
        chosen(machine, opened)
    assert (caught.value.errno, caught.value.exit_status) == (30, 4)
    assert not Path(opened.host.run_dir).exists()
    assert chosen(machine, machine.open(dry=True)) == NAMES


def test_an_answer_of_the_driver_is_no_matter_of_rights(machine, monkeypatch):
    deny(monkeypatch, "", code=16)  # EBUSY
    opened = machine.open()
    check_writable(opened, CpufreqBackend(opened.host.files), NAMES)
