"""`hwtune quarantine` on a tree that names its boots, and what the other verbs make of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hwtune.cli import knobs, quarantine
from hwtune.domain.errors import JournalError, KnobError, UsageError
from hwtune.host.fs import LinuxFS
from hwtune.knobs.quarantine import Quarantine

CPUFREQ = "sys/devices/system/cpu/cpufreq"
BOOT = "proc/sys/kernel/random/boot_id"
STATE = "run/hwtune/state"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    texts = {
        BOOT: "second",
        "proc/sys/kernel/osrelease": "6.1.0",
        f"{CPUFREQ}/policy0/affected_cpus": "0",
        f"{CPUFREQ}/policy0/related_cpus": "0",
        f"{CPUFREQ}/policy0/scaling_driver": "acpi-cpufreq",
        f"{CPUFREQ}/policy0/scaling_governor": "schedutil",
        f"{CPUFREQ}/policy0/scaling_available_governors": "performance powersave schedutil",
        f"{CPUFREQ}/policy0/scaling_available_frequencies": "2000000 1400000 800000",
        f"{CPUFREQ}/policy0/cpuinfo_min_freq": "800000",
        f"{CPUFREQ}/policy0/cpuinfo_max_freq": "2000000",
        f"{CPUFREQ}/policy0/scaling_min_freq": "800000",
        f"{CPUFREQ}/policy0/scaling_max_freq": "2000000",
        f"{CPUFREQ}/boost": "1",
    }
    for name, text in texts.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def crashed(root: Path, knob: str = "boost") -> None:
    """The marker that a machine leaves which goes down at the first change of a knob."""
    (root / BOOT).write_text("first")
    Quarantine(root / STATE, LinuxFS(root)).attempt(knob, "0")
    (root / BOOT).write_text("second")


def test_listed_refused_cleared_and_set(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    quarantine.list_(root=root)
    assert capsys.readouterr().out == "no knob is in quarantine\n"
    crashed(root)
    quarantine.list_(root=root, as_json=True)
    (entry,) = json.loads(capsys.readouterr().out)["quarantine"]
    assert (entry["knob"], entry["boot_id"]) == ("boost", "first")
    # All of it or nothing: what could be set goes back, too.
    with pytest.raises(KnobError, match="boost = 0 not set: in quarantine") as caught:
        knobs.apply(["boost=0", "max=1.4GHz"], root=root)
    assert caught.value.hint is not None and "hwtune quarantine clear boost" in caught.value.hint
    assert (root / CPUFREQ / "boost").read_text() == "1"
    assert (root / CPUFREQ / "policy0/scaling_max_freq").read_text() == "2000000"
    quarantine.list_(root=root)
    assert "boost = 0 with acpi-cpufreq on Linux 6.1.0" in capsys.readouterr().out
    quarantine.clear("boost", root=root)
    assert capsys.readouterr().out == "boost may be turned again\n"
    knobs.apply(["boost=0"], root=root)
    assert (root / CPUFREQ / "boost").read_text() == "0"
    assert json.loads((root / STATE / "tried.json").read_text())["knobs"] == ["max", "boost"]


def test_what_is_not_in_quarantine_cannot_be_cleared(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    crashed(root)
    with pytest.raises(UsageError, match="governor is not in quarantine"):
        quarantine.clear("governor", root=root)
    quarantine.clear(root=root, as_json=True)
    assert [entry["knob"] for entry in json.loads(capsys.readouterr().out)["cleared"]] == ["boost"]
    quarantine.clear(root=root)
    assert capsys.readouterr().out == "no knob was in quarantine\n"


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema_version": 2}', '{"attempts": [{}]}', "\x00\x01"])
def test_a_damaged_file_is_said_and_can_be_cleared(root: Path, text: str) -> None:
    (root / STATE).mkdir(parents=True)
    path = root / STATE / "quarantine.json"
    path.write_text(text)
    for attempt in (
        lambda: quarantine.list_(root=root),
        lambda: quarantine.clear("boost", root=root),
        lambda: knobs.apply(["max=1.4GHz"], root=root),
    ):
        with pytest.raises(JournalError, match="is damaged") as caught:
            attempt()
        assert caught.value.exit_status == 1
        assert caught.value.hint is not None and "hwtune quarantine clear" in caught.value.hint
    assert path.read_text() == text
    assert (root / CPUFREQ / "policy0/scaling_max_freq").read_text() == "2000000"
    quarantine.clear(root=root)
    quarantine.list_(root=root)
    assert not path.exists()
