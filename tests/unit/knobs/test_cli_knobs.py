"""The verbs, on trees of plain files."""

import json
import shutil

import pytest
from sysfs_trees import CPU, intel_policy, policy, write_tree

from hwtune.cli import knobs
from hwtune.domain.errors import HwtuneError, UsageError

P0 = f"{CPU}/cpufreq/policy0"


@pytest.fixture
def root(tmp_path):
    return write_tree(tmp_path, policy(0) | policy(1) | {f"{CPU}/cpufreq/boost": "1"})


def texts(root):
    return {str(path): path.read_bytes() for path in root.rglob("*") if path.is_file() and path.name != "lock"}


def test_apply_status_restore(root, capsys):
    start = texts(root)
    knobs.apply(["max=1.4GHz", "boost=0"], root=root)
    assert capsys.readouterr().out.splitlines() == ["boost = 0", "max = 1400000 kHz"]
    assert (root / P0 / "scaling_max_freq").read_text() == "1400000"
    assert (root / "run/hwtune/journal.json").exists()

    knobs.status(root=root, as_json=True)
    status = json.loads(capsys.readouterr().out)
    assert status["settings"]["max"] == 1_400_000
    assert status["default"]["max"] == 2_000_000
    assert status["journal"]["state"] == "kept"
    assert {change["attribute"]: change["original"] for change in status["changed"]} == {
        "boost": "1",
        "policy0.scaling_max_freq": "2000000",
        "policy1.scaling_max_freq": "2000000",
    }
    knobs.status(root=root)
    assert "  boost: 0 → 1" in capsys.readouterr().out.splitlines()

    knobs.restore(root=root, as_json=True)
    assert len(json.loads(capsys.readouterr().out)["restored"]) == 3
    assert {path: text.strip() for path, text in texts(root).items()} == {p: t.strip() for p, t in start.items()}
    knobs.restore(root=root)
    assert capsys.readouterr().out == "nothing to restore\n"
    knobs.status(root=root)
    assert "nothing was changed" in capsys.readouterr().out


def test_apply_json(root, capsys):
    knobs.apply(["governor=performance", "min=800000"], root=root, as_json=True)
    document = json.loads(capsys.readouterr().out)
    assert document["kept"] is True
    assert {outcome["knob"]: outcome["result"] for outcome in document["outcomes"]} == {
        "governor": "applied",
        "min": "already",
    }
    assert document["effective"]["governor"] == "performance"


def test_a_dry_run_writes_nothing_and_shows_the_difference(root, capsys):
    start = texts(root)
    knobs.apply(["max=1.4GHz", "policy1.min=1.4GHz"], root=root, dry_run=True)
    lines = capsys.readouterr().out.splitlines()
    assert f"would write /{P0}/scaling_max_freq: 2000000 → 1400000" in lines
    assert f"would write /{CPU}/cpufreq/policy1/scaling_min_freq: 800000 → 1400000" in lines
    assert len(lines) == 3
    knobs.reset(root=root, dry_run=True, as_json=True)
    json.loads(capsys.readouterr().out)
    assert texts(root) == start


@pytest.mark.parametrize(
    "words", [["mx=1"], ["max=1"], ["min=2GHz", "max=800000"], ["governor=fast"], ["governor"], ["max=2GHz", "boost=7"]]
)
def test_bad_words_change_nothing(words, root):
    start = texts(root)
    with pytest.raises(UsageError):
        knobs.apply(words, root=root)
    assert texts(root) == start


def test_reset_needs_no_record(tmp_path, capsys):
    root = write_tree(
        tmp_path,
        intel_policy(0) | {f"{CPU}/intel_pstate/no_turbo": "1"},
    )
    knobs.apply(["governor=performance", "max=1GHz"], root=root)
    knobs.reset(root=root, as_json=True)
    assert (root / P0 / "scaling_governor").read_text() == "powersave"
    assert (root / P0 / "scaling_max_freq").read_text() == "2000000"
    assert (root / P0 / "energy_performance_preference").read_text() == "default"
    assert (root / f"{CPU}/intel_pstate/no_turbo").read_text() == "0"
    assert not (root / "run/hwtune/journal.json").exists()


def test_corrupt_journal_and_no_cpufreq(root, tmp_path_factory):
    (root / "run/hwtune").mkdir(parents=True)
    (root / "run/hwtune/journal.json").write_text("{")
    start = texts(root)
    for verb in (lambda: knobs.apply(["max=1.4GHz"], root=root), lambda: knobs.restore(root=root)):
        with pytest.raises(HwtuneError, match="is not a journal") as caught:
            verb()
        assert caught.value.exit_status == 1
    assert texts(root) == start
    bare = tmp_path_factory.mktemp("bare")
    for verb in (lambda: knobs.apply(["max=1GHz"], root=bare), lambda: knobs.status(root=bare)):
        with pytest.raises(HwtuneError) as caught:
            verb()
        assert caught.value.exit_status == 3
    knobs.restore(root=bare)
    assert list(bare.iterdir()) == []


def with_cpus(root, online):
    (root / CPU / "present").write_text("0-1\n")
    (root / CPU / "possible").write_text("0-127\n")
    (root / CPU / "online").write_text(f"{online}\n")


def test_a_cpu_that_is_offline_is_said_to_be_left_out(root, capsys):
    with_cpus(root, "0-1")
    knobs.apply(["max=1.4GHz"], root=root, as_json=True)
    assert json.loads(capsys.readouterr().out)["left_out_cpus"] == []
    with_cpus(root, "0")
    shutil.rmtree(root / CPU / "cpufreq/policy1")
    knobs.apply(["max=1GHz"], root=root)
    lines = capsys.readouterr().out.splitlines()
    assert lines == ["max = 1000000 kHz", "CPU 1 is offline and left out: apply it again once back online"]
    (root / P0 / "related_cpus").write_text("0 1\n")
    knobs.apply(["max=1.4GHz"], root=root, as_json=True)
    assert json.loads(capsys.readouterr().out)["left_out_cpus"] == [], "its policy is there, with another of its CPUs"


def test_what_waits_says_what_for(root, capsys):
    with_cpus(root, "0-1")
    knobs.apply(["max=1.4GHz"], root=root)
    capsys.readouterr()
    away = root / CPU / "away"
    (root / CPU / "cpufreq").rename(away)
    knobs.restore(root=root)
    out = capsys.readouterr().out
    assert "policy1.scaling_max_freq waits: it is not there, as when its driver was removed\n" in out
    assert "offline" not in out
    with_cpus(root, "0")
    knobs.restore(root=root)
    out = capsys.readouterr().out
    assert "policy1.scaling_max_freq waits: its CPUs are offline\n" in out
    assert "policy0.scaling_max_freq waits: it is not there" in out
    away.rename(root / CPU / "cpufreq")
    knobs.restore(root=root)
    assert (root / CPU / "cpufreq/policy1/scaling_max_freq").read_text().strip() == "2000000"


def test_a_machine_that_tells_nothing_has_no_knob_and_says_so(tmp_path):
    root = write_tree(tmp_path, {f"{P0}/scaling_driver": "cpufreq-dt", f"{P0}/scaling_cur_freq": "1000000"})
    for words in (["max=1GHz"], []):
        with pytest.raises(UsageError) as caught:
            knobs.apply(words, root=root)
        assert "neither governors nor limits can be read" in caught.value.hint
