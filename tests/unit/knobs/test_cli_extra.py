"""The verbs with knobs that are off by default, on a tree of plain files."""

import json

import pytest
from fake.machines import MACHINES
from sysfs_trees import write_tree

from hwtune.cli import knobs
from hwtune.cli.host import open_host, open_knobs
from hwtune.cli.problem import choose_knobs
from hwtune.config import load_config
from hwtune.domain.errors import ConfigError, HwtuneError, UsageError

LIMIT = "sys/class/powercap/intel-rapl:0/constraint_0_power_limit_uw"
IDLE = "sys/devices/system/cpu/cpu2/cpuidle/state2/disable"


@pytest.fixture
def root(tmp_path):
    kernel = MACHINES["intel_pstate_hwp"]()
    files = {}
    for path in kernel.paths():
        try:
            files[path.lstrip("/")] = kernel.read(path).rstrip("\n")
        except OSError:
            continue
    return write_tree(tmp_path, files)


def read(root, path):
    return (root / path).read_text().strip()


def test_apply_status_restore(root, capsys):
    knobs.apply(["powercap.long_term=20W", "cpuidle.C6=0"], root=root)
    assert capsys.readouterr().out.splitlines() == ["powercap.long_term = 20000000 uW", "cpuidle.C6 = 0"]
    assert (read(root, LIMIT), read(root, IDLE)) == ("20000000", "1")
    knobs.status(root=root, as_json=True)
    status = json.loads(capsys.readouterr().out)
    assert status["settings"]["powercap.long_term"] == 20_000_000
    assert status["default"]["powercap.long_term"] == 65_000_000
    assert {change["attribute"] for change in status["changed"]} == {
        "intel-rapl:0.constraint_0_power_limit_uw",
        *(f"cpu{cpu}.cpuidle.state2.disable" for cpu in (0, 1, 2, 10)),
    }
    knobs.restore(root=root)
    assert (read(root, LIMIT), read(root, IDLE)) == ("65000000", "0")
    capsys.readouterr()
    knobs.status(root=root, as_json=True)
    assert "powercap.long_term" not in json.loads(capsys.readouterr().out)["settings"]


def test_units_are_those_of_the_knob_itself(root, capsys):
    knobs.apply(["perf_pct.max=90", "policy1.max=2GHz", "uncore.max=2GHz"], root=root)
    assert sorted(capsys.readouterr().out.splitlines()) == [
        "perf_pct.max = 90 %",
        "policy1.max = 2000000 kHz",
        "uncore.max = 2000000 kHz",
    ]


def test_a_dry_run_writes_nothing(root, capsys):
    knobs.apply(["uncore.max=2GHz", "pm_qos.resume_latency_us=n/a"], root=root, dry_run=True)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 5
    assert lines[0].endswith("package_00_die_00/max_freq_khz: 4200000 → 2000000")
    assert not (root / "run").exists()


def test_reset_takes_back_what_was_applied_and_no_more(root, capsys):
    (root / IDLE.replace("state2", "state3")).write_text("1\n")  # somebody's, before us
    knobs.apply(["powercap.long_term=20W"], root=root)
    knobs.reset(root=root)
    assert read(root, LIMIT) == "65000000"
    assert read(root, IDLE.replace("state2", "state3")) == "1"
    assert not (root / "run/hwtune/journal.json").exists()


def test_reset_is_the_way_out_of_an_unreadable_journal(root, capsys):
    knobs.apply(["powercap.long_term=20W"], root=root)
    (root / "run/hwtune/journal.json").write_text("{")
    with pytest.raises(HwtuneError, match="journal"):
        knobs.apply(["max=2GHz"], root=root)
    knobs.reset(root=root)
    assert read(root, LIMIT) == "20000000"  # nothing is known of it any more


def space_of(root, **flags):
    with open_host(root=root, flags={f"tune.{key}": value for key, value in flags.items()}) as opened:
        return choose_knobs(open_knobs(opened).space, opened.config.tune.knobs).names


def test_tune_turns_what_is_asked_for(root):
    default = space_of(root)
    assert default == ("governor", "max", "min", "epp", "boost")
    assert space_of(root, extra=["powercap", "pm_qos"]) == (
        *default,
        "powercap.long_term",
        "powercap.short_term",
        "pm_qos.resume_latency_us",
    )
    assert space_of(root, knobs=["max", "cpuidle.C6"]) == ("max", "cpuidle.C6")
    with pytest.raises(UsageError, match=r"unknown knob 'cpuidle\.C7'"):
        space_of(root, knobs=["cpuidle.C7"])


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (["powrcap"], "did you mean powercap"),
        ("uncore,idle", "did you mean cpuidle|is none of powercap"),
        (["gpu"], "'gpu' is none of powercap, uncore"),
        ([3], "3 is none of"),
        (3, "tuple"),
    ],
)
def test_words_that_are_none(value, message):
    with pytest.raises(ConfigError, match=message):
        load_config(flags={"tune.extra": value})
    assert load_config(environ={"HWTUNE_TUNE_EXTRA": "uncore,cpuidle"}).tune.extra == ("uncore", "cpuidle")
