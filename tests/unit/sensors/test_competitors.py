"""Other tuners, by their traces in a tree of files and on the bus."""

import json
import os
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwtune.host import bus
from hwtune.host.bus import Bus, Owner, parse_owners, system_bus
from hwtune.host.fs import LinuxFS
from hwtune.sensors.competitors import competing_tuners
from hwtune.sensors.running import parse_command_line, parse_unit, processes, program_names
from hwtune.sensors.tuners import PROFILES, TUNERS

NO_BUS = Bus(why="not here")


@pytest.fixture
def machine(tmp_path):
    """Start processes and units in a tree of files."""

    class Machine:
        files = LinuxFS(tmp_path)

        def put(self, path, text=""):
            place = tmp_path / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text)

        def process(self, pid, *words, comm=None, cgroup="0::/init.scope"):
            self.put(f"proc/{pid}/cmdline", "".join(f"{word}\0" for word in words))
            self.put(f"proc/{pid}/comm", f"{(comm or os.path.basename(words[0]))[:15]}\n")
            self.put(f"proc/{pid}/cgroup", cgroup + "\n")

        def unit(self, name):
            place = tmp_path / f"run/systemd/units/invocation:{name}"
            place.parent.mkdir(parents=True, exist_ok=True)
            place.symlink_to("5d2c0b1f1b7f4d7d8d1f8f3f0a6f7e11")  # points nowhere, as systemd's do

        def found(self, bus=NO_BUS):
            return competing_tuners(self.files, bus)

        def names(self, bus=NO_BUS):
            return [found.tuner.name for found in self.found(bus)]

    return Machine()


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (["/usr/bin/python3", "-Es", "/usr/sbin/tuned", "-l", "-P"], "tuned"),
        (["/usr/libexec/power-profiles-daemon"], "power-profiles-daemon"),
        (["/opt/auto-cpufreq/venv/bin/python", "/opt/auto-cpufreq/venv/bin/auto-cpufreq", "--daemon"], "auto-cpufreq"),
        (["python3.11", "-m", "auto_cpufreq.bin.auto_cpufreq", "--live"], "auto-cpufreq"),
        (["/usr/bin/system76-power", "daemon"], "system76-power"),
        (["/usr/sbin/thermald", "--systemd", "--dbus-enable"], "thermald"),
        (["/usr/bin/gamemoded"], "gamemode"),
        (["/usr/bin/python3", "/usr/sbin/tuned-ppd", "-l"], "tuned-ppd"),
    ],
)
def test_by_process(machine, words, name):
    machine.process(7, *words)
    (found,) = machine.found()
    assert (found.tuner.name, found.pid, found.unit) == (name, 7, "init.scope")


@pytest.mark.parametrize(
    "words",
    [
        ["/usr/sbin/tuned-adm", "active"],
        ["python3", "/usr/sbin/tuned-adm", "profile", "powersave"],
        ["auto-cpufreq", "--stats"],
        ["system76-power", "profile"],
        ["vim", "/usr/sbin/tuned"],
        ["python3", "-c", "import time", "tuned"],
        ["grep", "tuned"],
    ],
)
def test_who_only_looks_is_no_rival(machine, words):
    machine.process(7, *words)
    assert machine.found() == ()


def test_a_kernel_thread_or_a_zombie_is_nobody(machine):
    machine.put("proc/9/cmdline")
    machine.put("proc/9/comm", "tuned\n")
    machine.put("proc/self/cmdline", "tuned\0")
    assert machine.found() == ()
    assert processes(machine.files) == ()


def test_the_kernel_cuts_names_to_15_characters(machine):
    machine.process(3, "-", comm="power-profiles-")
    assert machine.names() == ["power-profiles-daemon"]


def test_by_unit(machine):
    machine.unit("tlp.service")
    machine.unit("ssh.service")
    (found,) = machine.found()
    assert (found.tuner.name, found.pid, found.unit) == ("tlp", None, "tlp.service")
    assert "`systemctl stop tlp.service`" in found.stop


@pytest.mark.parametrize("place", ["system.slice", "systemd/system.slice", "tuners.slice/tuners-own.slice"])
def test_by_the_processes_of_the_units_cgroup(machine, place):
    machine.put(f"sys/fs/cgroup/{place}/tuned.service/cgroup.procs", "")
    assert machine.found() == ()
    machine.put(f"sys/fs/cgroup/{place}/tuned.service/cgroup.procs", "812\n")
    assert [found.unit for found in machine.found()] == ["tuned.service"]


def test_by_state_file_without_systemd(machine):
    machine.put("run/tlp/last_pwr", "0 1")
    (found,) = machine.found()
    assert (found.tuner.name, found.unit) == ("tlp", None)
    assert "stop its service (tlp)" in found.stop


def test_how_to_stop_follows_where_it_runs(machine):
    words = ["/usr/bin/python3", "/usr/bin/auto-cpufreq", "--live"]
    machine.process(7, *words, cgroup="0::/user.slice/user-1000.slice/session-2.scope")
    assert "`kill 7`" in machine.found()[0].stop
    machine.process(7, *words, cgroup="0::/system.slice/auto-cpufreq.service")
    assert "`systemctl stop auto-cpufreq.service`" in machine.found()[0].stop
    machine.process(
        9, "/usr/bin/gamemoded", cgroup="0::/user.slice/user-1.slice/user@1.service/app.slice/gamemoded.service"
    )
    assert "`systemctl --user stop gamemoded.service`; it writes while a game runs" in machine.found()[1].stop
    # D-Bus would start this one again.
    machine.process(
        8, "/usr/libexec/power-profiles-daemon", cgroup="1:name=systemd:/system.slice/power-profiles-daemon.service"
    )
    assert "mask --runtime --now power-profiles-daemon.service" in machine.found()[0].stop


def test_by_bus_name(machine):
    bus = Bus(
        owners={
            "com.redhat.tuned": Owner(pid=5, unit="tuned.service"),
            "org.freedesktop.UPower": Owner(pid=6, unit=None),
        }
    )
    (found,) = machine.found(bus)
    assert (found.tuner.name, found.bus_name, found.pid) == ("tuned", "com.redhat.tuned", 5)


@pytest.mark.parametrize(
    "unit", ["tuned-ppd.service", "tlp-pd.service", "watt.service", "power-profiles-daemon.service"]
)
def test_a_shared_bus_name_is_its_owners(machine, unit):
    bus = Bus(owners={name: Owner(pid=5, unit=unit) for name in PROFILES})
    (found,) = machine.found(bus)
    assert found.tuner.units == (unit,)
    assert found.bus_name in PROFILES


def test_a_shared_bus_name_goes_to_the_process_that_owns_it(machine):
    machine.process(5, "/usr/bin/watt")
    machine.process(6, "/usr/sbin/thermald")
    found = {one.tuner.name: one.bus_name for one in machine.found(Bus(owners={PROFILES[0]: Owner(pid=5, unit=None)}))}
    assert found == {"watt": PROFILES[0], "thermald": None}


def test_whoever_else_answers_to_the_slider(machine):
    bus = Bus(owners={name: Owner(pid=5, unit="new.service") for name in PROFILES})
    (found,) = machine.found(bus)
    assert "`systemctl mask --runtime --now new.service`" in found.stop
    ourselves = Bus(owners={PROFILES[0]: Owner(pid=os.getpid(), unit=None)})
    assert machine.found(ourselves) == ()


@pytest.mark.parametrize(
    ("program", "knobs"),
    [
        ("power-profiles-daemon", "policy0.governor policy4.epp boost ondemand.up_threshold"),
        ("thermald", "policy4.max boost package-0.powercap.long_term perf_pct.max"),
        (
            "tuned",
            "policy0.governor policy4.epp boost ondemand.up_threshold "
            "package_0_die_1.uncore.max cpu4.pm_qos.resume_latency_us perf_pct.max",
        ),
    ],
)
def test_which_knobs_collide(machine, program, knobs):
    machine.process(7, f"/usr/sbin/{program}")
    (found,) = machine.found()
    names = (
        "policy0.governor policy4.max policy4.epp boost ondemand.up_threshold package-0.powercap.long_term "
        "package_0_die_1.uncore.max cpu4.pm_qos.resume_latency_us perf_pct.max cpuidle.C6"
    )
    assert found.collides(names.split()) == tuple(knobs.split())


def test_every_tuner_has_a_trace_and_a_name_of_its_own():
    assert len({tuner.name for tuner in TUNERS}) == len(TUNERS)
    for tuner in TUNERS:
        assert tuner.programs or tuner.state
        assert tuner.units and tuner.knobs
    assert {tuner.name for tuner in TUNERS if tuner.warn_only} == {"thermald", "gamemode", "geopm"}


def test_units_of_a_process():
    assert parse_unit("12:pids:/docker/abc\n1:name=systemd:/system.slice/a.service\n0::/") == "a.service"
    assert parse_unit("0::/user.slice/user-1.slice/user@1.service/app.slice/b.service") == "b.service"
    assert parse_unit("0::/") is None


@given(st.text(max_size=60), st.lists(st.text(max_size=20), max_size=4))
def test_no_text_is_a_traceback(text, words):
    parse_unit(text)
    assert all(program_names(text, parse_command_line("\0".join(words))))


LIST = [
    {
        "name": "com.redhat.tuned",
        "pid": 812,
        "process": "tuned",
        "user": "root",
        "connection": ":1.7",
        "unit": "tuned.service",
    },
    {"name": ":1.7", "pid": 812},
    {"name": "x.y", "pid": None, "unit": None},
    {"pid": 1},
    7,
]


def test_names_of_the_bus():
    assert parse_owners(json.dumps(LIST)) == {
        "com.redhat.tuned": Owner(pid=812, unit="tuned.service"),
        "x.y": Owner(pid=None, unit=None),
    }
    assert parse_owners("{}") == {}


@pytest.fixture
def busctl(tmp_path, monkeypatch):
    """A busctl that runs this Python; with an address set, so that it is asked."""
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nowhere")

    def make(script):
        path = tmp_path / "busctl"
        path.write_text(f"#!{sys.executable}\n{script}\n")
        path.chmod(0o755)
        return system_bus(lambda name: str(path))

    return make


def test_the_bus_is_asked(busctl):
    assert busctl(f"print({json.dumps(LIST)!r})").owners["com.redhat.tuned"].pid == 812


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("import sys; sys.exit('Failed to connect to bus: No such file or directory')", "Failed to connect"),
        ("import sys; sys.exit(3)", "failed"),
        ("print('no json')", "busctl"),
        ("print('[' * 100000)", "busctl"),
    ],
)
def test_a_bus_that_does_not_answer_is_said(busctl, script, why):
    bus = busctl(script)
    assert bus.owners == {}
    assert why in bus.why


def test_a_bus_that_is_stuck_is_not_waited_for(busctl, monkeypatch):
    monkeypatch.setattr(bus, "_PATIENCE_S", 0.1)
    assert "did not answer" in busctl("import time; time.sleep(3600)").why


def test_without_busctl_or_a_bus():
    assert system_bus(lambda name: None).why == "busctl is not installed"
    if "DBUS_SYSTEM_BUS_ADDRESS" not in os.environ and not os.path.exists("/run/dbus/system_bus_socket"):
        assert system_bus(lambda name: "/bin/false").why == "no system bus is running"
