"""What a sensor has found, when the machine changes under it."""

from __future__ import annotations

import errno
import shutil

import pytest

from hwtune.sensors.cpu import CpuSensor, parse_time_in_state
from hwtune.sensors.found import FoundFiles

CPU = "/sys/devices/system/cpu"


def policy(number, khz="800000", driver="acpi-cpufreq"):
    path = f"{CPU}/cpufreq/policy{number}"
    return {f"{path}/scaling_cur_freq": khz, f"{path}/scaling_driver": driver}


def idle(cpu, stay_us="5"):
    path = f"{CPU}/cpu{cpu}/cpuidle/state0"
    return {f"{path}/name": "C1", f"{path}/time": stay_us}


def remove(tmp_path, path):
    shutil.rmtree(tmp_path / path.lstrip("/"))


def test_what_has_gone_is_left_out_and_its_successor_is_found(tree, tmp_path):
    files = tree({"/a": "1", "/b": "2"})
    looked = []

    def find(files):
        looked.append(None)
        return {path: path for path in files.glob("/?")}

    found = FoundFiles(files, find)
    assert found.ints() == {"/a": 1, "/b": 2}
    (tmp_path / "b").unlink()
    tree({"/c": "3"})
    assert found.ints() == {"/a": 1}
    assert found.ints() == found.ints() == {"/a": 1, "/c": 3}
    assert len(looked) == 2


def test_what_is_refused_stays_and_is_not_looked_for_again(tree):
    files = tree({"/a": "1", "/b": "2"})
    looked = []
    found = FoundFiles(files, lambda files: looked.append(None) or {"a": "/a", "b": "/b"})
    files.refuse["/b"] = errno.EBUSY
    assert found.ints() == found.ints() == {"a": 1}
    files.refuse = {}
    assert found.ints() == {"a": 1, "b": 2}
    assert len(looked) == 1


def test_what_is_refused_at_first_is_read_later(tree):
    files = tree({"/a": "1"})
    files.refuse["/a"] = errno.EBUSY
    found = FoundFiles(files, lambda files: {"a": "/a"})
    files.refuse = {}
    assert found.ints() == {"a": 1}


def test_a_cpu_that_goes_and_comes_back(tree, tmp_path):
    online = f"{CPU}/online"
    sensor = CpuSensor(tree({online: "0-1", **policy(0), **idle(0), **idle(1)}))
    remove(tmp_path, f"{CPU}/cpu1/cpuidle")
    tree({online: "0"})
    sensor.look_again()
    assert sensor.idle_us() == {"C1": {0: 5}}
    tree({online: "0-1", **idle(1, "7")})
    sensor.look_again()
    assert sensor.idle_us() == {"C1": {0: 5, 1: 7}}


@pytest.mark.parametrize(("before", "after"), [({}, policy(0)), (policy(0, driver="intel_pstate"), policy(0))])
def test_a_driver_that_comes_later_is_seen_with_what_it_has(tree, before, after):
    sensor = CpuSensor(tree({f"{CPU}/online": "0", **before}))
    assert sensor.time_in_state() == {}
    tree({**after, f"{CPU}/cpufreq/policy0/stats/time_in_state": "800000 3"})
    assert sensor.time_in_state() == {}
    sensor.look_again()
    assert sensor.time_in_state() == {0: {800_000: 3}}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("800000 3\n900000 4", {800_000: 3, 900_000: 4}),
        ("800000 3\n900000 4\n", {800_000: 3, 900_000: 4}),
        ("800000 3 900000 4", {}),
        ("800000 3\n\n900000 4", {800_000: 3, 900_000: 4}),
        ("800000 3\n900000 4 5", {800_000: 3}),
        ("1 2 3\n4", {}),
    ],
)
def test_only_whole_lines_of_two_numbers_are_times(text, expected):
    assert parse_time_in_state(text) == expected
